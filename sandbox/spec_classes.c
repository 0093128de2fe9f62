/*
 * Classes of block I/O and of Intel RDT (cache and memory bandwidth), which other engines take from
 * annotations (goresctrl's names) and a file of the node: crisp does neither. Who asks for a class hears so,
 * since the container would run with more, or less, than was planned for it.
 */
#include <string.h>

#include "sandbox/spec_parts.h"

static const struct {
	const char *what, *own, *pod, *prefix;
} kinds[] = {
	{ "blockio", "io.kubernetes.cri.blockio-class", "blockio.resources.beta.kubernetes.io/pod",
	  "blockio.resources.beta.kubernetes.io/container." },
	{ "RDT", "io.kubernetes.cri.rdt-class", "rdt.resources.beta.kubernetes.io/pod",
	  "rdt.resources.beta.kubernetes.io/container." },
};

static int refuse(const char *what, const char *key, const char *class, struct err *err)
{
	return err_set(err, RPC_FAILED_PRECONDITION,
		       "%s class \"%.64s\" (annotation %.128s): crisp does not do %s classes", what, class,
		       key, what);
}

int spec_classes_check(const struct spec_input *input, struct err *err)
{
	const Cri__ContainerConfig *own = input->config;
	const Cri__PodSandboxConfig *pod = input->pod_config;
	const char *name = own->metadata ? own->metadata->name : "";

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < own->n_annotations; i++)
			if (str_eq(own->annotations[i]->key, kinds[k].own) && *own->annotations[i]->value)
				return refuse(kinds[k].what, own->annotations[i]->key,
					      own->annotations[i]->value, err);
		for (size_t i = 0; pod && i < pod->n_annotations; i++) {
			const char *key = pod->annotations[i]->key;
			bool ours =
				str_eq(key, kinds[k].pod) || (str_has_prefix(key, kinds[k].prefix) &&
							      str_eq(key + strlen(kinds[k].prefix), name));

			if (ours && *pod->annotations[i]->value)
				return refuse(kinds[k].what, key, pod->annotations[i]->value, err);
		}
	}
	return 0;
}
