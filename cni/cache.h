/*
 * The record of an ADD, so that DEL and CHECK use the configuration and the result which that ADD had: one
 * file per attachment, <root>/results/<network>-<container id>-<ifname>, in the format of libcni's cache
 * ("cniCacheV1", libcni/api.go), which other tools read.
 *
 * Files are replaced whole; they are not flushed to the disk: what a power cut may take is of use only with a
 * network that the same cut took. Thread-safe for different containers.
 */
#ifndef CNI_CACHE_H
#define CNI_CACHE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cni/conflist.h"

enum { CACHE_FILE_MAX = 4 * 1024 * 1024, CACHE_ENTRIES_MAX = 64 };

struct cache;

struct cache_entry {
	char *file; /* its name in the folder; set by cache_find() */
	char *container_id, *ifname, *netns;
	char *args;                  /* CNI_ARGS: "K=V;K=V" */
	json_t *capabilities;        /* capabilityArgs, an object; may be NULL */
	json_t *result;              /* NULL: ADD had not come to its end */
	const struct conflist *list; /* NULL: the file is damaged */
};
void cache_entry_done(struct cache_entry *entry); /* also for CLEANUP */

struct cache_entries {
	struct cache_entry items[CACHE_ENTRIES_MAX];
	size_t len;
};
void cache_entries_done(struct cache_entries *entries); /* also for CLEANUP */

/* Makes root/results (0700). NULL and err on failure. */
struct cache *cache_open(const char *root, struct err *err);
struct cache *cache_free(struct cache *cache); /* accepts NULL, returns NULL */

/* A file's bytes into an entry that has container_id and ifname. False and nothing changed when they are
 * damaged or of another attachment. */
bool cache_entry_parse(const char *text, size_t len, struct cache_entry *entry) MUST_CHECK;

/* Writes or replaces the file of entry's list, container and interface. */
int cache_put(struct cache *cache, const struct cache_entry *entry, struct err *err) MUST_CHECK;
/* Removes entry->file, or when that is NULL the file that cache_put() writes; absent is success. */
int cache_del(struct cache *cache, const struct cache_entry *entry, struct err *err) MUST_CHECK;
/* All attachments of a container, in order of file names. Of a damaged file only `file`, container_id and
 * ifname are told. */
int cache_find(struct cache *cache, const char *container_id, struct cache_entries *ret,
	       struct err *err) MUST_CHECK;
/* The container ids that have at least one file, each once. */
int cache_ids(struct cache *cache, struct strv *ret, struct err *err) MUST_CHECK;

#endif
