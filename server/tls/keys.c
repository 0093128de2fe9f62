/*
 * An SSL_CTX is built completely from files that were read once, then shared by all sessions and never
 * changed: a reload is a new one. No tickets and no session cache: connections are few and long, and a
 * client's certificate is to be seen each time. Only HTTP/1.1 is chosen by ALPN, as HTTP/2 cannot be
 * upgraded.
 */
#include "server/tls/keys.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"

enum { PEM_MAX = 1024 * 1024, FILES = 3, CHAIN_MAX = 16, CAS_MAX = 256, READ_SIZE = 64 * 1024 };

static const char good_suites[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct stamp { /* of a file; all 0: there is none */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed;
};

struct tls_material {
	atomic_uint refs;
	SSL_CTX *context;
	struct stamp stamps[FILES];
	/* the options */
	char *cert, *key, *ca;
	enum tls_version min_version;
	struct strv suites;
};

struct tls_keys {
	struct lock lock;
	/* under lock */
	struct tls_material *material;
	struct stamp refused[FILES]; /* of the files that were changed and are no good */
};

/* ---- PEM ---- */

/* The reason that OpenSSL gave first, which is the deepest; its queue is empty after that. */
static const char *reason(void)
{
	unsigned long code = ERR_get_error();
	const char *text = ERR_reason_error_string(code);

	ERR_clear_error();
	return text ? text : "not understood";
}

static int fail(struct err *err, const char *what, const char *path)
{
	return err_set(err, RPC_FAILED_PRECONDITION, "TLS %s %s: %s", what, path, reason());
}

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}

static void x509_freep(X509 **certificate)
{
	X509_free(*certificate);
}

static void pkey_freep(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

/* The file's bytes. A key's are wiped by whoever frees them. */
static int read_pem(const char *what, const char *path, char **ret_text, BIO **ret, struct err *err)
{
	size_t len;

	if (file_read_linked(path, PEM_MAX, ret_text, &len, err) < 0) {
		err->code = RPC_FAILED_PRECONDITION;
		return err_prefix(err, "TLS %s", what);
	}
	*ret = BIO_new_mem_buf(*ret_text, (int)len);
	return *ret ? 0 : fail(err, what, path);
}

static int check_dates(const X509 *certificate, const char *path, struct err *err)
{
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "TLS certificate %s: it has expired", path);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return err_set(err, RPC_FAILED_PRECONDITION, "TLS certificate %s: it is not valid yet", path);
	return 0;
}

static int use_certificate(SSL_CTX *context, const char *path, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(bio_freep) BIO *bio = NULL;
	CLEANUP(x509_freep) X509 *own = NULL;

	if (read_pem("certificate", path, &text, &bio, err) < 0)
		return -1;
	own = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (!own)
		return fail(err, "certificate", path);
	if (check_dates(own, path, err) < 0)
		return -1;
	if (SSL_CTX_use_certificate(context, own) != 1)
		return fail(err, "certificate", path);
	for (int i = 0; i < CHAIN_MAX; i++) {
		X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);

		if (!next)
			break;
		if (SSL_CTX_add0_chain_cert(context, next) != 1) {
			X509_free(next);
			return fail(err, "certificate", path);
		}
	}
	ERR_clear_error(); /* the end of the file is told there, too */
	return 0;
}

/* Nobody is there who could be asked for a pass phrase. */
static int no_phrase(char *buf, int size, int writing, void *data)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static int use_key(SSL_CTX *context, const char *path, const char *cert, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(bio_freep) BIO *bio = NULL;
	CLEANUP(pkey_freep) EVP_PKEY *key = NULL;

	if (read_pem("key", path, &text, &bio, err) < 0)
		return -1;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL);
	OPENSSL_cleanse(text, strlen(text));
	if (!key)
		return fail(err, "key", path);
	if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1) {
		ERR_clear_error();
		return err_set(err, RPC_FAILED_PRECONDITION, "TLS key %s: it is not the key of %s", path,
			       cert);
	}
	return 0;
}

static int use_ca(SSL_CTX *context, const char *path, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(bio_freep) BIO *bio = NULL;
	int count = 0;

	if (read_pem("client CA", path, &text, &bio, err) < 0)
		return -1;
	while (count < CAS_MAX) {
		CLEANUP(x509_freep) X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);

		if (!ca)
			break;
		if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca) != 1 ||
		    SSL_CTX_add_client_CA(context, ca) != 1)
			return fail(err, "client CA", path);
		count++;
	}
	if (!count)
		return fail(err, "client CA", path);
	ERR_clear_error();
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

/* ---- the context ---- */

static int use_suites(SSL_CTX *context, const struct strv *suites, struct err *err)
{
	CLEANUP(str_done) struct str names = STR_INIT;

	for (size_t i = 0; i < suites->len; i++) {
		const char *name = OPENSSL_cipher_name(suites->items[i]);

		if (str_eq(name, "(NONE)"))
			return err_set(err, RPC_FAILED_PRECONDITION, "TLS cipher suite \"%s\" is not known",
				       suites->items[i]);
		str_addf(&names, "%s%s", names.len ? ":" : "", name);
	}
	if (SSL_CTX_set_cipher_list(context, names.len ? str_get(&names) : good_suites) != 1)
		return err_set(err, RPC_FAILED_PRECONDITION, "TLS cipher suites: %s", reason());
	return 0;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
			   const unsigned char *offer, unsigned int offer_len, void *data)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl;
	(void)data;
	return SSL_select_next_proto((unsigned char **)(uintptr_t)ret, ret_len, ours, sizeof(ours) - 1, offer,
				     offer_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

static int build(struct tls_material *material, struct err *err)
{
	SSL_CTX *context = material->context;
	int version = material->min_version == TLS_VERSION_13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_min_proto_version(context, version);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					     SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(context, 1); /* fewer reads; whoever polls asks SSL_read() first */
	SSL_CTX_set_default_read_buffer_len(context, READ_SIZE);
	SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
	if (use_suites(context, &material->suites, err) < 0 ||
	    use_certificate(context, material->cert, err) < 0 ||
	    use_key(context, material->key, material->cert, err) < 0)
		return -1;
	return *material->ca ? use_ca(context, material->ca, err) : 0;
}

/* ---- material ---- */

static void stamp_file(const char *path, struct stamp *ret)
{
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	if (*path && stat(path, &st) == 0) {
		ret->dev = st.st_dev;
		ret->ino = st.st_ino;
		ret->size = st.st_size;
		ret->changed = st.st_ctim;
	}
}

static void stamp_files(const struct tls_material *material, struct stamp ret[FILES])
{
	stamp_file(material->cert, &ret[0]);
	stamp_file(material->key, &ret[1]);
	stamp_file(material->ca, &ret[2]);
}

static bool same_stamps(const struct stamp a[FILES], const struct stamp b[FILES])
{
	return memcmp(a, b, FILES * sizeof(*a)) == 0;
}

static struct tls_material *material_ref(struct tls_material *material)
{
	atomic_fetch_add_explicit(&material->refs, 1, memory_order_relaxed);
	return material;
}

struct tls_material *tls_material_unref(struct tls_material *material)
{
	if (!material || atomic_fetch_sub_explicit(&material->refs, 1, memory_order_acq_rel) > 1)
		return NULL;
	SSL_CTX_free(material->context);
	strv_done(&material->suites);
	free(material->cert);
	free(material->key);
	free(material->ca);
	free(material);
	return NULL;
}

static void unrefp(struct tls_material **material)
{
	tls_material_unref(*material);
}

int tls_material_load(const struct tls_options *options, struct tls_material **ret, struct err *err)
{
	CLEANUP(unrefp) struct tls_material *material = xnew(struct tls_material);

	atomic_init(&material->refs, 1);
	material->cert = xstrdup(options->cert);
	material->key = xstrdup(options->key);
	material->ca = xstrdup(options->ca);
	material->min_version = options->min_version;
	strv_add_all(&material->suites, options->cipher_suites, options->cipher_suites_len);
	stamp_files(material,
		    material->stamps); /* before they are read: what changes meanwhile is seen later */
	material->context = SSL_CTX_new(TLS_server_method());
	if (!material->context)
		return err_set(err, RPC_INTERNAL, "TLS: %s", reason());
	if (build(material, err) < 0)
		return -1;
	*ret = TAKE(material);
	return 0;
}

/* ---- keys ---- */

struct tls_keys *tls_keys_new_take(struct tls_material *material)
{
	struct tls_keys *keys = xnew(struct tls_keys);

	lock_init(&keys->lock, "TLS keys", LOCK_STREAMING);
	keys->material = material;
	return keys;
}

struct tls_keys *tls_keys_free(struct tls_keys *keys)
{
	if (!keys)
		return NULL;
	tls_material_unref(keys->material);
	lock_done(&keys->lock);
	free(keys);
	return NULL;
}

void tls_keys_replace_take(struct tls_keys *keys, struct tls_material *material)
{
	struct tls_material *old;

	lock_take(&keys->lock);
	old = keys->material;
	keys->material = material;
	lock_drop(&keys->lock);
	tls_material_unref(old);
}

static struct tls_material *current(struct tls_keys *keys)
{
	struct tls_material *material;

	lock_take(&keys->lock);
	material = material_ref(keys->material);
	lock_drop(&keys->lock);
	return material;
}

/* Whether these files were found wanting before; from now on they were. */
static bool was_refused(struct tls_keys *keys, const struct stamp stamps[FILES])
{
	bool was;

	lock_take(&keys->lock);
	was = same_stamps(keys->refused, stamps);
	memcpy(keys->refused, stamps, sizeof(keys->refused));
	lock_drop(&keys->lock);
	return was;
}

/* Unless somebody else was faster. */
static void renew_take(struct tls_keys *keys, const struct tls_material *old, struct tls_material *material)
{
	struct tls_material *unused = material;

	lock_take(&keys->lock);
	if (keys->material == old) {
		unused = keys->material;
		keys->material = material;
	}
	lock_drop(&keys->lock);
	tls_material_unref(unused);
}

static void refresh(struct tls_keys *keys)
{
	CLEANUP(unrefp) struct tls_material *old = current(keys);
	struct tls_options options = { .cert = old->cert,
				       .key = old->key,
				       .ca = old->ca,
				       .min_version = old->min_version,
				       .cipher_suites = (const char *const *)old->suites.items,
				       .cipher_suites_len = old->suites.len };
	struct stamp now[FILES];
	struct tls_material *material;
	struct err err;

	stamp_files(old, now);
	if (same_stamps(now, old->stamps))
		return;
	if (tls_material_load(&options, &material, &err) == 0) {
		renew_take(keys, old, material);
		log_info("TLS: %s has changed and is in force", old->cert);
	} else if (!was_refused(keys, now)) {
		log_error("TLS: changed files are not taken, the old certificate goes on: %s", err.text);
	}
}

SSL *tls_keys_session(struct tls_keys *keys, int fd)
{
	refresh(keys);

	CLEANUP(unrefp) struct tls_material *material = current(keys);
	SSL *ssl = SSL_new(material->context);

	if (!ssl)
		return NULL;
	if (SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}
