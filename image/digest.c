/*
 * OpenSSL's EVP picks the fastest SHA-2 of the machine. A digest call that fails there means a broken library
 * (or memory exhaustion, which ends the process anyway), not bad input: it is asserted.
 */
#include "image/digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"

struct hasher {
	EVP_MD_CTX *ctx;
	enum digest_algorithm algorithm;
};

static const struct algorithm {
	const char *name;
	size_t len;
	const EVP_MD *(*md)(void);
} algorithms[] = {
	[DIGEST_SHA256] = { "sha256", 32, EVP_sha256 },
	[DIGEST_SHA512] = { "sha512", 64, EVP_sha512 },
};

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
	return algorithms[algorithm].name;
}

size_t digest_len(const struct digest *digest)
{
	return algorithms[digest->algorithm].len;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool hex_decode(const char *text, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_value(text[2 * i]);
		int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return text[2 * len] == '\0';
}

int digest_parse(const char *text, struct digest *ret, struct err *err)
{
	const char *colon = strchr(text, ':');
	struct digest digest = { 0 };

	if (!colon)
		return err_set(err, RPC_INVALID_ARGUMENT, "digest has no algorithm");
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (strlen(algorithms[i].name) != (size_t)(colon - text) ||
		    !str_has_prefix(text, algorithms[i].name))
			continue;
		digest.algorithm = (enum digest_algorithm)i;
		if (!hex_decode(colon + 1, digest.bytes, algorithms[i].len))
			return err_set(err, RPC_INVALID_ARGUMENT, "malformed %s digest", algorithms[i].name);
		*ret = digest;
		return 0;
	}
	return err_set(err, RPC_INVALID_ARGUMENT,
		       "unknown digest algorithm (sha256 and sha512 are supported)");
}

void digest_hex(const struct digest *digest, char text[DIGEST_HEX_SIZE])
{
	hex_encode(digest->bytes, digest_len(digest), text);
}

void digest_text(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
	const char *name = digest_algorithm_name(digest->algorithm);
	size_t len = strlen(name);

	memcpy(text, name, len);
	text[len] = ':';
	digest_hex(digest, text + len + 1);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->algorithm == b->algorithm && memcmp(a->bytes, b->bytes, digest_len(a)) == 0;
}

void digest_of(enum digest_algorithm algorithm, const void *data, size_t len, struct digest *ret)
{
	CLEANUP(hasher_freep) struct hasher *hasher = hasher_new(algorithm);

	hasher_add(hasher, data, len);
	hasher_end(hasher, ret);
}

int digest_expect(const struct digest *expected, const struct digest *got, const char *what, struct err *err)
{
	char want[DIGEST_TEXT_SIZE], have[DIGEST_TEXT_SIZE];

	if (digest_equal(expected, got))
		return 0;
	digest_text(expected, want);
	digest_text(got, have);
	return err_set(err, RPC_DATA_LOSS, "%s: expected %s, got %s", what, want, have);
}

int digest_check(const struct digest *expected, const void *data, size_t len, const char *what,
		 struct err *err)
{
	struct digest got;

	digest_of(expected->algorithm, data, len, &got);
	return digest_expect(expected, &got, what, err);
}

struct hasher *hasher_new(enum digest_algorithm algorithm)
{
	struct hasher *hasher = xnew(struct hasher);
	int ok;

	hasher->algorithm = algorithm;
	hasher->ctx = EVP_MD_CTX_new();
	assert(hasher->ctx);
	ok = EVP_DigestInit_ex(hasher->ctx, algorithms[algorithm].md(), NULL);
	assert(ok == 1);
	return hasher;
}

struct hasher *hasher_free(struct hasher *hasher)
{
	if (hasher)
		EVP_MD_CTX_free(hasher->ctx);
	free(hasher);
	return NULL;
}

void hasher_freep(struct hasher **hasher)
{
	hasher_free(*hasher);
}

void hasher_add(struct hasher *hasher, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(hasher->ctx, data, len);

	assert(ok == 1);
}

void hasher_end(struct hasher *hasher, struct digest *ret)
{
	struct digest digest = { .algorithm = hasher->algorithm };
	int ok = EVP_DigestFinal_ex(hasher->ctx, digest.bytes, NULL);

	assert(ok == 1);
	*ret = digest;
}
