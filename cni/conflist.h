/*
 * A CNI network configuration list: one file of the configuration folder, parsed and checked
 * (CNI spec 1.1.0, section 1 "Network configuration format", and the single-plugin files of spec 0.x:
 * ".conf", ".json").
 *
 * An immutable, reference-counted snapshot; any thread may ref, unref and read it.
 */
#ifndef CNI_CONFLIST_H
#define CNI_CONFLIST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

enum {
	CONFLIST_MAX = 1024 * 1024,
	CONFLIST_PLUGINS_MAX = 64,
	CONFLIST_NAME_MAX = 128,
	CONFLIST_VERSIONS_MAX = 16
};

struct conflist_plugin {
	const char *type;           /* the binary's name: one path component */
	const char *ipam;           /* its ipam plugin's name, or NULL */
	const json_t *conf;         /* as in the file */
	const json_t *capabilities; /* an object, or NULL */
};

struct conflist {
	char *file;                                  /* name without folder, for messages */
	char *name;                                  /* of the network */
	const char *version;                         /* the spec version spoken: the highest of `versions` */
	const char *versions[CONFLIST_VERSIONS_MAX]; /* of cniVersion and cniVersions those that we know,
							ascending */
	size_t versions_len;
	bool disable_check, disable_gc;
	struct conflist_plugin plugins[CONFLIST_PLUGINS_MAX];
	size_t plugins_len;
	char *text; /* the file's bytes */
	json_t *json;
};

/* Parses and checks; file is for messages. *ret has one reference. INVALID_ARGUMENT "FILE: what". */
int conflist_parse(const char *file, const char *text, size_t len, const struct conflist **ret,
		   struct err *err) MUST_CHECK;
const struct conflist *conflist_ref(const struct conflist *list);   /* accepts NULL */
const struct conflist *conflist_unref(const struct conflist *list); /* returns NULL */
void conflist_unrefp(const struct conflist **list);

/* The list as the document of a list with its one chosen version, also when the file was of a single plugin:
 * what the result cache holds. malloc'd. */
char *conflist_as_list_text(const struct conflist *list);

/* The same list with one of its versions, a new reference. */
const struct conflist *conflist_at_version(const struct conflist *list, const char *version);

/* True for the names of files that are read: *.conflist, *.conf, *.json, not hidden. */
bool conflist_is_file_name(const char *name);
/* Reads dir/name (links are followed: installers link), with the plugins of the folder dir/NETWORK, and
 * parses it. PERMISSION_DENIED when anybody or a group but root's may write to the file. *ret_warning is
 * malloc'd or NULL: somebody else than root owns it.
 */
int conflist_read(int dir, const char *name, const struct conflist **ret, char **ret_warning,
		  struct err *err) MUST_CHECK;

/* Spec versions are compared as numbers: conflist_version_at_least("1.0.0", 0, 4). */
bool conflist_version_at_least(const char *version, int major, int minor);
/* The known spelling of a spec version, or NULL when we do not speak it. */
const char *conflist_known_version(const char *version);

#endif
