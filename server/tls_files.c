/* The stamps are taken before the reading: what changes during it is seen as changed at the next look. */
#include "server/tls_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum { PEM_MAX = 1024 * 1024 };

struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec modified;
};

struct tls_file {
	char *path;
	char *text; /* NULL: never read */
	struct stamp stamp;
};

struct tls_files {
	struct tls_file cert, key;
};

struct tls_files *tls_files_new(const char *cert, const char *key)
{
	struct tls_files *files = xnew(struct tls_files);

	files->cert.path = xstrdup(cert);
	files->key.path = xstrdup(key);
	return files;
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

struct tls_files *tls_files_free(struct tls_files *files)
{
	if (!files)
		return NULL;
	free(files->cert.path);
	free(files->cert.text);
	free(files->key.path);
	wipe(files->key.text);
	free(files);
	return NULL;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* Of a file that is not there: all zero. */
static struct stamp look(const struct tls_file *file)
{
	struct stat st;

	if (stat(file->path, &st) < 0)
		return (struct stamp){ 0 };
	return (struct stamp){ st.st_dev, st.st_ino, st.st_size, st.st_mtim };
}

static bool changed(const struct tls_file *file)
{
	struct stamp now = look(file);

	return !same(&now, &file->stamp);
}

bool tls_files_changed(const struct tls_files *files)
{
	return changed(&files->cert) || changed(&files->key);
}

static int read_one(const struct tls_file *file, char **ret, struct err *err)
{
	return file_read_linked(file->path, PEM_MAX, ret, NULL, err);
}

int tls_files_read(struct tls_files *files, struct err *err)
{
	CLEANUP(freep) char *cert = NULL;
	char *key = NULL;

	/* Also of files that cannot be read: they are tried again once they have changed. */
	files->cert.stamp = look(&files->cert);
	files->key.stamp = look(&files->key);
	if (read_one(&files->cert, &cert, err) < 0 || read_one(&files->key, &key, err) < 0)
		return -1;
	free(files->cert.text);
	files->cert.text = TAKE(cert);
	wipe(files->key.text);
	files->key.text = key;
	return 0;
}

const char *tls_files_cert(const struct tls_files *files)
{
	return files->cert.text;
}

const char *tls_files_key(const struct tls_files *files)
{
	return files->key.text;
}
