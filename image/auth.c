/*
 * Keys of an auth file are "host[:port][/path...]"; docker also writes "https://host/v1/". Both come down to
 * the same text by dropping the scheme and, for the latter, the version path. Docker Hub goes by several
 * names; all count as docker.io.
 */
#include "image/auth.h"

#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_MAX = 64 * 1024 };

void wipe_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void wipe_freep(char **secret)
{
	wipe_free(*secret);
}

void credentials_done(struct credentials *credentials)
{
	wipe_free(credentials->username);
	wipe_free(credentials->password);
	wipe_free(credentials->identity_token);
	wipe_free(credentials->registry_token);
	*credentials = (struct credentials){ 0 };
}

bool credentials_empty(const struct credentials *credentials)
{
	return !credentials->username && !credentials->identity_token && !credentials->registry_token;
}

void credentials_copy(const struct credentials *from, struct credentials *to)
{
	to->username = xstrdup_null(from->username);
	to->password = xstrdup_null(from->password);
	to->identity_token = xstrdup_null(from->identity_token);
	to->registry_token = xstrdup_null(from->registry_token);
}

char *credentials_basic(const struct credentials *credentials)
{
	CLEANUP(wipe_freep) char *pair = NULL;
	CLEANUP(wipe_freep) char *encoded = NULL;
	size_t len;

	if (!credentials->username || !credentials->password)
		return NULL;
	pair = xasprintf("%s:%s", credentials->username, credentials->password);
	len = strlen(pair);
	encoded = xmalloc((len + 2) / 3 * 4 + 1);
	EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)pair, (int)len);
	return xasprintf("Basic %s", encoded);
}

/* Header material: bounded, without control bytes. UTF-8 in user names and passwords is fine. */
static int check_secret(const char *name, const char *value, struct err *err)
{
	if (strlen(value) > SECRET_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "%s is longer than %d bytes", name, SECRET_MAX);
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return err_set(err, RPC_INVALID_ARGUMENT, "%s has control characters", name);
	return 0;
}

/* Strict RFC 4648 base64 of text without NUL; NULL when it is not. malloc'd. */
static char *decode_base64(const char *text)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), digits = strspn(text, alphabet), padding = len - digits;
	CLEANUP(wipe_freep) char *plain = NULL;
	int n;

	if (len == 0 || len % 4 != 0 || len > SECRET_MAX || padding > 2 ||
	    strspn(text + digits, "=") != padding)
		return NULL;
	plain = xcalloc(len / 4 * 3 + 1, 1);
	n = EVP_DecodeBlock((unsigned char *)plain, (const unsigned char *)text, (int)len);
	if (n < 0 || strlen(plain) != (size_t)n - padding)
		return NULL;
	return TAKE(plain);
}

/* "user:password" in base64, as AuthConfig.auth and auth files have it. */
static int decode_pair(const char *encoded, struct credentials *ret, struct err *err)
{
	CLEANUP(wipe_freep) char *pair = decode_base64(encoded);
	char *colon = pair ? strchr(pair, ':') : NULL;

	if (!colon || colon == pair)
		return err_set(err, RPC_INVALID_ARGUMENT, "auth is not base64 of user:password");
	*colon = '\0';
	if (check_secret("user name", pair, err) < 0 || check_secret("password", colon + 1, err) < 0)
		return -1;
	ret->username = xstrdup(pair);
	ret->password = xstrdup(colon + 1);
	return 0;
}

int credentials_collect(const struct image_auth *auth, struct credentials *ret, struct err *err)
{
	CLEANUP(credentials_done) struct credentials credentials = { 0 };

	if (!str_empty(auth->username)) {
		const char *password = auth->password ? auth->password : "";

		if (check_secret("user name", auth->username, err) < 0 ||
		    check_secret("password", password, err) < 0)
			return -1;
		if (strchr(auth->username, ':'))
			return err_set(err, RPC_INVALID_ARGUMENT, "user name has a colon");
		credentials.username = xstrdup(auth->username);
		credentials.password = xstrdup(password);
	} else if (!str_empty(auth->auth) && decode_pair(auth->auth, &credentials, err) < 0) {
		return -1;
	}
	if (!str_empty(auth->identity_token)) {
		if (check_secret("identity token", auth->identity_token, err) < 0)
			return -1;
		credentials.identity_token = xstrdup(auth->identity_token);
	}
	if (!str_empty(auth->registry_token)) {
		if (check_secret("registry token", auth->registry_token, err) < 0)
			return -1;
		credentials.registry_token = xstrdup(auth->registry_token);
	}
	*ret = credentials;
	credentials = (struct credentials){ 0 };
	return 0;
}

static const char *without_scheme(const char *key)
{
	if (str_has_prefix(key, "https://"))
		return key + strlen("https://");
	if (str_has_prefix(key, "http://"))
		return key + strlen("http://");
	return key;
}

char *auth_key(const char *key)
{
	static const char *const hubs[] = { "index.docker.io", "registry-1.docker.io",
					    "registry.hub.docker.com" };
	const char *plain = without_scheme(key);
	size_t host_len = strcspn(plain, "/");
	const char *path = plain + host_len;
	CLEANUP(freep) char *host = xstrndup(plain, host_len);
	char *result;

	for (size_t i = 0; i < ARRAY_LEN(hubs); i++)
		if (str_eq(host, hubs[i])) {
			free(host);
			host = xstrdup("docker.io");
		}
	if (plain != key || str_eq(path, "/v1/") || str_eq(path, "/v2/") || str_eq(path, "/v1"))
		path = "";
	result = xasprintf("%s%s", host, path);
	while (str_has_suffix(result, "/"))
		result[strlen(result) - 1] = '\0';
	return result;
}

int credentials_from_cri(const struct image_auth *auth, const char *host, struct credentials *ret,
			 struct err *err)
{
	CLEANUP(credentials_done) struct credentials credentials = { 0 };

	if (!auth)
		return 0;
	if (credentials_collect(auth, &credentials, err) < 0)
		return err_prefix(err, "credentials");
	if (!str_empty(auth->server_address)) {
		CLEANUP(freep) char *server = auth_key(auth->server_address);
		CLEANUP(freep) char *wanted = auth_key(host);

		server[strcspn(server, "/")] = '\0';
		if (!str_eq(server, wanted))
			return 0;
	}
	*ret = credentials;
	credentials = (struct credentials){ 0 };
	return 0;
}

void image_auth_digest(const struct image_auth *auth, struct digest *ret)
{
	CLEANUP(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);

	if (auth) {
		const char *fields[] = { auth->username,       auth->password,       auth->auth,
					 auth->server_address, auth->identity_token, auth->registry_token };

		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			hasher_add(hasher, fields[i] ? fields[i] : "",
				   strlen(fields[i] ? fields[i] : "") + 1);
	}
	hasher_end(hasher, ret);
}
