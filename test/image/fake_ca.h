/*
 * A certificate authority of the test's own, made on the spot: for servers that speak TLS and for clients
 * that show a certificate.
 */
#ifndef TEST_IMAGE_FAKE_CA_H
#define TEST_IMAGE_FAKE_CA_H

struct fake_ca;

struct fake_ca *fake_ca_new(const char *name);
struct fake_ca *fake_ca_free(struct fake_ca *ca); /* accepts NULL, returns NULL */
/* Writes the CA's certificate (PEM). */
void fake_ca_write(const struct fake_ca *ca, const char *path);
/* Issues a certificate for the common name and writes it and its key. It is good for 127.0.0.1 and localhost,
 * but for that of "stranger". */
void fake_ca_issue(struct fake_ca *ca, const char *name, const char *cert_path, const char *key_path);

#endif
