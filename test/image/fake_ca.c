/* P-256 keys: they take no time to make. */
#include "test/image/fake_ca.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

struct fake_ca {
	EVP_PKEY *key;
	X509 *cert;
	long serial;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert(extension);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
}

static X509 *make_cert(const char *name, EVP_PKEY *key, X509 *issuer, long serial)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(cert, key);
	return cert;
}

struct fake_ca *fake_ca_new(const char *name)
{
	struct fake_ca *ca = xnew(struct fake_ca);

	ca->key = EVP_EC_gen("P-256");
	ca->cert = make_cert(name, ca->key, NULL, ++ca->serial);
	add_extension(ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign");
	X509_sign(ca->cert, ca->key, EVP_sha256());
	return ca;
}

struct fake_ca *fake_ca_free(struct fake_ca *ca)
{
	if (!ca)
		return NULL;
	EVP_PKEY_free(ca->key);
	X509_free(ca->cert);
	free(ca);
	return NULL;
}

static void write_cert(X509 *cert, const char *path)
{
	FILE *file = fopen(path, "we");

	assert(file);
	PEM_write_X509(file, cert);
	fclose(file);
}

void fake_ca_write(const struct fake_ca *ca, const char *path)
{
	write_cert(ca->cert, path);
}

void fake_ca_issue(struct fake_ca *ca, const char *name, const char *cert_path, const char *key_path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert(name, key, ca->cert, ++ca->serial);
	FILE *file = fopen(key_path, "we");

	assert(file);
	add_extension(cert, ca->cert, NID_subject_alt_name,
		      str_eq(name, "stranger") ? "IP:127.0.0.2,DNS:stranger.test"
					       : "IP:127.0.0.1,DNS:localhost");
	X509_sign(cert, ca->key, EVP_sha256());
	write_cert(cert, cert_path);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_free(cert);
	EVP_PKEY_free(key);
}
