/*
 * Which profile a container gets, and the cache of what profiles became.
 *
 * The cache is a short array: an entry knows the digest of its profile's text, the form, the capabilities
 * that any condition of the profile names and what the container had of them. A lookup compares these; it
 * needs no parsed profile, so a hit costs reading and hashing the file (nothing at all for the built-in one).
 * Compiling happens outside the lock; of two threads that compile the same thing at once, the second finds
 * the first one's entry when it comes to store its own, and drops its own.
 */
#include "sandbox/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "proto/base64.h"
#include "sandbox/seccomp_profile.h"
#include "sandbox/seccomp_watched.h"

struct seccomp_program {
	atomic_uint refs;
	char *bpf; /* base64; one of the two is NULL */
	char *oci;
	char *answers; /* NULL: not watched */
};

struct key {
	unsigned char digest[SHA256_DIGEST_LENGTH]; /* zeros: the built-in profile */
	uint64_t capabilities;
	bool bpf, watched;
};

struct entry {
	struct key key;    /* capabilities: only the relevant ones */
	uint64_t relevant; /* that some condition names */
	uint64_t used;     /* for least recently used */
	struct seccomp_program *program;
};

struct seccomps {
	const struct config *config;
	struct lock lock;
	struct entry entries[SECCOMP_CACHE_MAX]; /* under lock */
	size_t len;                              /* under lock */
	uint64_t clock;                          /* under lock */
};

struct seccomps *seccomps_new(const struct config *config)
{
	struct seccomps *seccomps = xnew(struct seccomps);

	seccomps->config = config_ref(config);
	lock_init(&seccomps->lock, "seccomp", LOCK_SECCOMP);
	return seccomps;
}

struct seccomps *seccomps_free(struct seccomps *seccomps)
{
	if (!seccomps)
		return NULL;
	for (size_t i = 0; i < seccomps->len; i++)
		seccomp_unref(seccomps->entries[i].program);
	lock_done(&seccomps->lock);
	config_unref(seccomps->config);
	free(seccomps);
	return NULL;
}

struct seccomp_program *seccomp_ref(struct seccomp_program *program)
{
	if (program)
		atomic_fetch_add(&program->refs, 1);
	return program;
}

struct seccomp_program *seccomp_unref(struct seccomp_program *program)
{
	if (program && atomic_fetch_sub(&program->refs, 1) == 1) {
		free(program->bpf);
		free(program->oci);
		free(program->answers);
		free(program);
	}
	return NULL;
}

void seccomp_unrefp(struct seccomp_program **program)
{
	*program = seccomp_unref(*program);
}

const char *seccomp_bpf_base64(const struct seccomp_program *program)
{
	return program->bpf;
}

const char *seccomp_oci_json(const struct seccomp_program *program)
{
	return program->oci;
}

const char *seccomp_answers(const struct seccomp_program *program)
{
	return program->answers;
}

static struct entry *find_locked(struct seccomps *seccomps, const struct key *key) REQUIRES(seccomps->lock)
{
	for (size_t i = 0; i < seccomps->len; i++) {
		struct entry *entry = &seccomps->entries[i];

		if (entry->key.bpf == key->bpf && entry->key.watched == key->watched &&
		    entry->key.capabilities == (key->capabilities & entry->relevant) &&
		    memcmp(entry->key.digest, key->digest, sizeof(key->digest)) == 0) {
			entry->used = ++seccomps->clock;
			return entry;
		}
	}
	return NULL;
}

static struct seccomp_program *cached(struct seccomps *seccomps, const struct key *key)
	EXCLUDES(seccomps->lock)
{
	lock_take(&seccomps->lock);
	struct entry *entry = find_locked(seccomps, key);
	struct seccomp_program *program = entry ? seccomp_ref(entry->program) : NULL;
	lock_drop(&seccomps->lock);
	return program;
}

static struct entry *oldest_locked(struct seccomps *seccomps) REQUIRES(seccomps->lock)
{
	struct entry *oldest = &seccomps->entries[0];

	for (size_t i = 1; i < seccomps->len; i++)
		if (seccomps->entries[i].used < oldest->used)
			oldest = &seccomps->entries[i];
	return oldest;
}

static void store_locked(struct seccomps *seccomps, const struct key *key, uint64_t relevant,
			 struct seccomp_program *program) REQUIRES(seccomps->lock)
{
	struct entry *entry;

	if (find_locked(seccomps, key))
		return;
	if (seccomps->len < SECCOMP_CACHE_MAX) {
		entry = &seccomps->entries[seccomps->len++];
	} else {
		entry = oldest_locked(seccomps);
		seccomp_unref(entry->program);
	}
	*entry = (struct entry){
		.key = *key, .relevant = relevant, .used = ++seccomps->clock, .program = seccomp_ref(program)
	};
	entry->key.capabilities &= relevant;
}

static void store(struct seccomps *seccomps, const struct key *key, uint64_t relevant,
		  struct seccomp_program *program) EXCLUDES(seccomps->lock)
{
	lock_take(&seccomps->lock);
	store_locked(seccomps, key, relevant, program);
	lock_drop(&seccomps->lock);
}

static int make_watched(const struct seccomp_profile *profile, const struct key *key,
			struct seccomp_program *program, struct err *err)
{
	enum { ARENA_MAX = 64 * 1024 * 1024 };
	CLEANUP(arena_freep) struct arena *arena = arena_new(ARENA_MAX);
	struct seccomp_profile watched;

	if (seccomp_profile_watched(profile, key->capabilities, arena, &watched, &program->answers, err) < 0)
		return -1;
	CLEANUP(json_decrefp) json_t *oci = seccomp_profile_oci(&watched, key->capabilities);
	program->oci = json_text(oci);
	return 0;
}

static int make_program(const struct seccomp_profile *profile, const struct key *key,
			struct seccomp_program **ret, struct err *err)
{
	CLEANUP(seccomp_unrefp) struct seccomp_program *program = xnew(struct seccomp_program);

	atomic_init(&program->refs, 1);
	if (key->watched) {
		if (make_watched(profile, key, program, err) < 0)
			return -1;
	} else if (key->bpf && !seccomp_profile_needs_oci(profile)) {
		struct str bpf CLEANUP(str_done) = STR_INIT;
		struct str text CLEANUP(str_done) = STR_INIT;

		if (seccomp_profile_compile(profile, key->capabilities, &bpf, err) < 0)
			return -1;
		base64_encode(&text, bpf.data, bpf.len);
		program->bpf = str_take(&text);
	} else {
		CLEANUP(json_decrefp) json_t *oci = seccomp_profile_oci(profile, key->capabilities);

		program->oci = json_text(oci);
	}
	*ret = TAKE(program);
	return 0;
}

static int get_builtin(struct seccomps *seccomps, const struct key *key, struct seccomp_program **ret,
		       struct err *err)
{
	struct seccomp_program *program = cached(seccomps, key);

	if (!program) {
		if (make_program(&seccomp_default_profile, key, &program, err) < 0)
			return err_prefix(err, "built-in seccomp profile");
		store(seccomps, key, seccomp_profile_capabilities(&seccomp_default_profile), program);
	}
	*ret = program;
	return 0;
}

static int get_parsed(struct seccomps *seccomps, const char *text, size_t len, struct key *key,
		      struct seccomp_program **ret, struct err *err)
{
	enum { ARENA_MAX = 64 * SECCOMP_PROFILE_MAX };
	CLEANUP(arena_freep) struct arena *arena = NULL;
	struct seccomp_profile profile;
	struct seccomp_program *program;

	SHA256((const unsigned char *)text, len, key->digest);
	program = cached(seccomps, key);
	if (!program) {
		arena = arena_new(ARENA_MAX);
		if (seccomp_profile_parse(text, len, arena, &profile, err) < 0 ||
		    make_program(&profile, key, &program, err) < 0)
			return -1;
		store(seccomps, key, seccomp_profile_capabilities(&profile), program);
	}
	*ret = program;
	return 0;
}

static int get_file(struct seccomps *seccomps, const char *path, struct key *key,
		    struct seccomp_program **ret, struct err *err)
{
	CLEANUP(freep) char *text = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, SECCOMP_PROFILE_MAX, &text, &len, err) < 0) {
		if (err && (err->code == RPC_RESOURCE_EXHAUSTED || err->code == RPC_FAILED_PRECONDITION))
			err->code = RPC_INVALID_ARGUMENT;
		return err_prefix(err, "seccomp profile");
	}
	if (get_parsed(seccomps, text, len, key, ret, err) < 0)
		return err_prefix(err, "seccomp profile %s", path);
	return 0;
}

/* The profile's file out of localhost_ref: absolute, kubelet puts "localhost/" in front only of the old
 * string form. */
static int localhost_path(const char *reference, const char **ret, struct err *err)
{
	const char *path = reference;

	if (str_has_prefix(path, "localhost/"))
		path += strlen("localhost/");
	if (str_empty(path))
		return err_set(err, RPC_INVALID_ARGUMENT, "seccomp: localhost_ref is empty");
	if (*path != '/' || strlen(path) >= 4096)
		return err_set(err, RPC_INVALID_ARGUMENT, "seccomp: localhost_ref is not an absolute path");
	*ret = path;
	return 0;
}

enum kind { UNCONFINED, RUNTIME_DEFAULT, LOCALHOST };

/* The old string: "", "unconfined", "runtime/default", "docker/default", "localhost/PATH". */
static int kind_of_string(const char *text, enum kind *ret, struct err *err)
{
	if (str_empty(text) || strcmp(text, "unconfined") == 0)
		*ret = UNCONFINED;
	else if (strcmp(text, "runtime/default") == 0 || strcmp(text, "docker/default") == 0)
		*ret = RUNTIME_DEFAULT;
	else if (str_has_prefix(text, "localhost/"))
		*ret = LOCALHOST;
	else
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown seccomp_profile_path \"%.64s\"", text);
	return 0;
}

/* The field is deprecated in the CRI, and clients older than the SecurityProfile message still send it. */
static const char *old_profile(const Cri__LinuxContainerSecurityContext *security)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	return security->seccomp_profile_path;
#pragma GCC diagnostic pop
}

static int kind_of(const Cri__LinuxContainerSecurityContext *security, enum kind *ret,
		   const char **ret_reference, struct err *err)
{
	*ret_reference = NULL;
	if (!security || security->privileged) {
		*ret = UNCONFINED;
		return 0;
	}
	if (!security->seccomp) {
		*ret_reference = old_profile(security);
		return kind_of_string(*ret_reference, ret, err);
	}
	*ret_reference = security->seccomp->localhost_ref;
	switch (security->seccomp->profile_type) {
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
		*ret = RUNTIME_DEFAULT;
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
		*ret = UNCONFINED;
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
		*ret = LOCALHOST;
		return 0;
	default:
		return err_set(err, RPC_INVALID_ARGUMENT, "unknown seccomp profile type %d",
			       (int)security->seccomp->profile_type);
	}
}

int seccomp_get(struct seccomps *seccomps, const struct seccomp_request *request,
		struct seccomp_program **ret, struct err *err)
{
	struct key key = { .capabilities = request->capabilities,
			   .bpf = request->bpf,
			   .watched = request->watched };
	const char *configured = seccomps->config->runtime.seccomp_profile;
	const char *reference, *path;
	enum kind kind;

	if (kind_of(request->security, &kind, &reference, err) < 0)
		return -1;
	switch (kind) {
	case RUNTIME_DEFAULT:
		if (str_empty(configured))
			return get_builtin(seccomps, &key, ret, err);
		return get_file(seccomps, configured, &key, ret, err);
	case LOCALHOST:
		if (localhost_path(reference, &path, err) < 0)
			return -1;
		return get_file(seccomps, path, &key, ret, err);
	case UNCONFINED:
		break;
	}
	*ret = NULL;
	return 0;
}
