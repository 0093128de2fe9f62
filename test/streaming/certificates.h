/* Certificates made for a test: a CA, and what it signs. */
#ifndef TEST_STREAMING_CERTIFICATES_H
#define TEST_STREAMING_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "test/base/check.h"

struct certificate {
	X509 *x509;
	EVP_PKEY *key;
};

static inline void certificate_done(struct certificate *certificate)
{
	X509_free(certificate->x509);
	EVP_PKEY_free(certificate->key);
}

static inline void set_name(X509_NAME *name, const char *text)
{
	assert_int_equal(
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0),
		1);
}

/* ca: who signs; NULL: itself, and it is a CA. from, to: seconds from now. */
static inline struct certificate make_certificate(const char *name, const struct certificate *ca, long from,
						  long to)
{
	struct certificate made = { X509_new(), EVP_EC_gen("P-256") };
	static long serial;

	assert_true(made.x509 && made.key);
	X509_set_version(made.x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(made.x509), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(made.x509), from);
	X509_gmtime_adj(X509_getm_notAfter(made.x509), to);
	X509_set_pubkey(made.x509, made.key);
	set_name(X509_get_subject_name(made.x509), name);
	X509_set_issuer_name(made.x509, X509_get_subject_name(ca ? ca->x509 : made.x509));
	if (!ca) {
		X509_EXTENSION *extension =
			X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

		assert_non_null(extension);
		X509_add_ext(made.x509, extension, -1);
		X509_EXTENSION_free(extension);
	}
	assert_true(X509_sign(made.x509, ca ? ca->key : made.key, EVP_sha256()) > 0);
	return made;
}

/* The file is replaced as a whole, as rotation does it. */
static inline void write_pem(const char *path, const struct certificate *certificate, bool key)
{
	CLEANUP(freep) char *temporary = xasprintf("%s.new", path);
	FILE *file = fopen(temporary, "we");

	assert_non_null(file);
	if (key)
		assert_int_equal(PEM_write_PrivateKey(file, certificate->key, NULL, NULL, 0, NULL, NULL), 1);
	else
		assert_int_equal(PEM_write_X509(file, certificate->x509), 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(rename(temporary, path), 0);
}

#endif
