/*
 * One map from full path to method, filled by walking the two services' descriptors and looking each method
 * up in the table. Counting matches both ways finds methods without an RPC, RPCs without a method, and
 * doubles.
 */
#include "server/grpc/methods.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto/cri.pb-c.h"

enum { PATH_LEN_MAX = 127 };

struct methods {
	struct map by_path; /* struct method */
};

static const ProtobufCServiceDescriptor *const services[] = {
	&cri__runtime_service__descriptor,
	&cri__image_service__descriptor,
};

static int table_entry(const struct rpc *const *table, const ProtobufCServiceDescriptor *service,
		       const char *method, const struct rpc **ret, struct err *err)
{
	const struct rpc *found = NULL;

	for (; *table; table++) {
		if (!str_eq((*table)->service, service->short_name) || !str_eq((*table)->method, method))
			continue;
		if (found)
			return err_set(err, RPC_INTERNAL, "%s.%s is in the table of RPCs twice",
				       service->short_name, method);
		found = *table;
	}
	if (!found)
		return err_set(err, RPC_INTERNAL, "%s.%s is not in the table of RPCs", service->short_name,
			       method);
	*ret = found;
	return 0;
}

static int add_service(struct methods *methods, const ProtobufCServiceDescriptor *service,
		       const struct rpc *const *table, struct err *err)
{
	for (unsigned int i = 0; i < service->n_methods; i++) {
		const ProtobufCMethodDescriptor *desc = &service->methods[i];
		CLEANUP(freep) char *path = xasprintf("/%s/%s", service->name, desc->name);
		struct method *method;
		const struct rpc *rpc;

		if (strlen(path) > PATH_LEN_MAX)
			return err_set(err, RPC_INTERNAL, "%s: longer than %d bytes", path, PATH_LEN_MAX);
		if (table_entry(table, service, desc->name, &rpc, err) < 0)
			return -1;
		method = xnew(struct method);
		*method = (struct method){ .rpc = rpc, .input = desc->input, .output = desc->output };
		map_put(&methods->by_path, path, method);
	}
	return 0;
}

static int check_strangers(const struct methods *methods, const struct rpc *const *table, struct err *err)
{
	size_t entries = 0;

	for (const struct rpc *const *rpc = table; *rpc; rpc++) {
		entries++;
		if ((*rpc)->streaming && (*rpc)->speed != RPC_SLOW)
			return err_set(err, RPC_INTERNAL, "%s: streams need a worker", (*rpc)->method);
	}
	if (entries != map_len(&methods->by_path))
		return err_set(err, RPC_INTERNAL, "the table of RPCs has %zu entries for %zu methods",
			       entries, map_len(&methods->by_path));
	return 0;
}

struct methods *methods_new(const struct rpc *const *table, struct err *err)
{
	struct methods *methods = xnew(struct methods);

	map_init(&methods->by_path, free);
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (add_service(methods, services[i], table, err) < 0)
			return methods_free(methods);
	if (check_strangers(methods, table, err) < 0)
		return methods_free(methods);
	return methods;
}

struct methods *methods_free(struct methods *methods)
{
	if (!methods)
		return NULL;
	map_done(&methods->by_path);
	free(methods);
	return NULL;
}

const struct method *methods_find(const struct methods *methods, const void *path, size_t len)
{
	char text[PATH_LEN_MAX + 1];

	if (len > PATH_LEN_MAX || memchr(path, '\0', len))
		return NULL;
	memcpy(text, path, len);
	text[len] = '\0';
	return map_get(&methods->by_path, text);
}
