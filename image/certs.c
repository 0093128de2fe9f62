/*
 * A registry's name becomes the name of a directory, so it is looked at again here: what comes from a
 * redirect has passed libcurl's parser only.
 */
#include "image/certs.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void certs_done(struct certs *certs)
{
	free(certs->ca);
	free(certs->cert);
	free(certs->key);
	*certs = (struct certs){ 0 };
}

size_t certs_each(const char *pem, void (*use)(void *cert, void *data), void *data)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	size_t count = 0;
	X509 *cert;

	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		count++;
		if (use)
			use(cert, data);
		X509_free(cert);
	}
	ERR_clear_error();
	BIO_free(bio);
	return count;
}

/* *ret gains the text of a CA file; a link that leads nowhere gives none. */
static int add_ca(const char *path, struct str *ret, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	struct err local;

	if (file_read_linked(path, CERTS_CA_MAX, &text, NULL, &local) < 0)
		return local.code == RPC_NOT_FOUND ? 0
						   : err_set(err, RPC_FAILED_PRECONDITION, "%s", local.text);
	if (certs_each(text, NULL, NULL) == 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "%s: no certificate in it", path);
	str_add(ret, text);
	str_addc(ret, '\n');
	if (ret->failed)
		return err_set(err, RPC_FAILED_PRECONDITION, "%s: more than %d bytes of certificates", path,
			       CERTS_CA_MAX);
	return 0;
}

/* names holds "a.key" for "a.cert". */
static bool has_partner(const struct strv *names, const char *name, const char *suffix, const char *other)
{
	CLEANUP(freep)
	char *partner = xasprintf("%.*s%s", (int)(strlen(name) - strlen(suffix)), name, other);

	return strv_has(names, partner);
}

static int add_pair(const char *dir, const struct strv *names, const char *name, struct certs *certs,
		    struct err *err)
{
	int stem = (int)(strlen(name) - strlen(".cert"));

	if (!has_partner(names, name, ".cert", ".key"))
		return err_set(err, RPC_FAILED_PRECONDITION,
			       "%s/%s: a client certificate without its %.*s.key (a CA's name ends in .crt)",
			       dir, name, stem, name);
	if (certs->cert)
		return 0;
	certs->cert = xasprintf("%s/%s", dir, name);
	certs->key = xasprintf("%s/%.*s.key", dir, stem, name);
	return 0;
}

static int collect(const char *dir, const struct strv *names, struct certs *ret, struct err *err)
{
	CLEANUP(certs_done) struct certs certs = { 0 };
	CLEANUP(str_done) struct str ca = STR_LIMIT(CERTS_CA_MAX);

	for (size_t i = 0; i < names->len; i++) {
		const char *name = names->items[i];
		CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);

		if (str_has_suffix(name, ".crt") && add_ca(path, &ca, err) < 0)
			return -1;
		if (str_has_suffix(name, ".cert") && add_pair(dir, names, name, &certs, err) < 0)
			return -1;
		if (str_has_suffix(name, ".key") && !has_partner(names, name, ".key", ".cert"))
			return err_set(err, RPC_FAILED_PRECONDITION,
				       "%s: a key without its certificate (.cert)", path);
	}
	if (ca.len > 0)
		certs.ca = str_take(&ca);
	*ret = certs;
	certs = (struct certs){ 0 };
	return 0;
}

/* *found: the directory exists, and what is in it counts. */
static int look_in(const char *dir, const char *name, bool *found, struct certs *ret, struct err *err)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	struct err local;

	if (dir_list(AT_FDCWD, path, &names, &local) < 0)
		return local.code == RPC_NOT_FOUND ? 0
						   : err_set(err, RPC_FAILED_PRECONDITION, "%s", local.text);
	*found = true;
	return collect(path, &names, ret, err);
}

static bool is_own_port(const struct origin *origin)
{
	return str_eq(origin->port, origin->secure ? "443" : "80");
}

/* The registry's directory of that name below dir. */
static int look_up(const char *dir, const char *host, const struct origin *origin, bool *found,
		   struct certs *ret, struct err *err)
{
	CLEANUP(freep) char *with_port = xasprintf("%s:%s", host, origin->port);

	if (look_in(dir, with_port, found, ret, err) < 0)
		return -1;
	return *found || !is_own_port(origin) ? 0 : look_in(dir, host, found, ret, err);
}

int certs_find(const struct strv *dirs, const struct origin *origin, struct certs *ret, struct err *err)
{
	/* What references, and so its users, call Docker Hub's API host. */
	const char *alias = str_eq(origin->host, "registry-1.docker.io") ? "docker.io" : NULL;
	bool found = false;

	if (origin->host[0] == '.' || strchr(origin->host, '/'))
		return 0;
	for (size_t i = 0; i < dirs->len && !found; i++)
		if ((alias && look_up(dirs->items[i], alias, origin, &found, ret, err) < 0) ||
		    (!found && look_up(dirs->items[i], origin->host, origin, &found, ret, err) < 0))
			return -1;
	return 0;
}
