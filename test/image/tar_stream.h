/*
 * Tar streams byte by byte, so that tests can write members that no tar program would: any name, any type,
 * any size field, PAX records. And their compression.
 */
#ifndef TEST_IMAGE_TAR_STREAM_H
#define TEST_IMAGE_TAR_STREAM_H

#include <stddef.h>

#include "base/str.h"

struct tar_member {
	const char *name;
	char type; /* '0' file, '1' hard link, '2' symlink, '3' char, '4' block, '5' dir, '6' fifo, 'x' PAX
		      ...; 0: file */
	unsigned int mode; /* 0: 0644, of a directory 0755 */
	unsigned long uid, gid;
	long long mtime;
	const char *link;
	const char *data;
	size_t size; /* of data; 0: strlen */
	unsigned int major, minor;
};

void tar_add(struct str *tar, const struct tar_member *member);
/* A PAX header for the next member. */
void tar_pax(struct str *tar, const char *key, const char *value);
void tar_pax_bytes(struct str *tar, const char *key, const void *value, size_t len);
void tar_end(struct str *tar);

#define tar_file(tar, file_name, text) \
	tar_add((tar), &(struct tar_member){ .name = (file_name), .data = (text) })
#define tar_dir(tar, dir_name) tar_add((tar), &(struct tar_member){ .name = (dir_name), .type = '5' })

/* One gzip member; one zstd frame. Appended to out. */
void compress_gzip(const void *data, size_t len, struct str *out);
void compress_zstd(const void *data, size_t len, struct str *out);

#endif
