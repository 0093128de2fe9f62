/*
 * Status: can pods be run here, is there a network for them, and what can each runtime handler do?
 *
 * Handlers that can't be used are not listed (verbose info tells why); the default one is listed a second
 * time under the empty name, which is how requests mean it. User namespaces are offered where kernel and
 * runtime have them, and idmapped mounts for the volumes.
 */
#include "proto/cri.pb-c.h"
#include "proto/map_entry.h"
#include "proto/message.h"
#include "server/grpc/call.h"
#include "server/rpc/rpc.h"
#include "server/service.h"
#include "server/status_info.h"

struct condition {
	const char *type, *reason, *message;
	bool status;
};

static Cri__RuntimeCondition *condition_message(const struct condition *condition, struct arena *arena)
{
	Cri__RuntimeCondition *message = message_new(arena, &cri__runtime_condition__descriptor);

	message->type = arena_strdup(arena, condition->type);
	message->status = condition->status;
	message->reason = arena_strdup(arena, condition->reason);
	message->message = arena_strdup(arena, condition->message);
	return message;
}

static Cri__RuntimeCondition *runtime_condition(const struct service *service, struct arena *arena)
{
	const struct handler *handler = handlers_find(service->handlers, "");
	struct condition condition = { .type = "RuntimeReady", .status = handler && !handler->problem };

	if (condition.status) {
		condition.reason = "RuntimeIsReady";
		condition.message =
			arena_fmt(arena, "default handler %s: %s", handler->name, handler->version);
	} else {
		condition.reason = "RuntimeNotReady";
		condition.message =
			arena_fmt(arena, "default handler %s: %s", handlers_default_name(service->handlers),
				  handler ? handler->problem : "there is none of that name");
	}
	return condition_message(&condition, arena);
}

static Cri__RuntimeCondition *network_condition(const struct service *service, struct arena *arena)
{
	CLEANUP(freep) char *reason = NULL, *text = NULL;
	struct condition condition = { .type = "NetworkReady" };

	condition.status = network_ready(service->network, &reason, &text);
	condition.reason = condition.status ? "NetworkIsReady" : reason ? reason : "NetworkPluginNotReady";
	condition.message = text ? text : "";
	return condition_message(&condition, arena);
}

static Cri__RuntimeHandler *handler_message(const struct service *service, const struct handler *handler,
					    const char *name, struct arena *arena)
{
	Cri__RuntimeHandler *message = message_new(arena, &cri__runtime_handler__descriptor);

	message->name = arena_strdup(arena, name);
	message->features = message_new(arena, &cri__runtime_handler_features__descriptor);
	message->features->recursive_read_only_mounts = handler->recursive_read_only_mounts;
	message->features->user_namespaces =
		service->user_namespaces && handler->user_namespaces && handler->idmap_mounts;
	return message;
}

static void add_handlers(const struct service *service, Cri__StatusResponse *response, struct arena *arena)
{
	const struct handler *handler = handlers_find(service->handlers, "");
	size_t count = 1;

	while (handlers_at(service->handlers, count - 1))
		count++;
	response->runtime_handlers = arena_array(arena, count, sizeof(*response->runtime_handlers));
	if (handler && !handler->problem)
		response->runtime_handlers[response->n_runtime_handlers++] =
			handler_message(service, handler, "", arena);
	for (size_t i = 0; (handler = handlers_at(service->handlers, i)); i++)
		if (!handler->problem)
			response->runtime_handlers[response->n_runtime_handlers++] =
				handler_message(service, handler, handler->name, arena);
}

static void add_info(struct service *service, Cri__StatusResponse *response, struct arena *arena)
{
	struct map_entry **info = arena_array(arena, STATUS_INFO_COUNT, sizeof(*info));

	for (size_t i = 0; i < STATUS_INFO_COUNT; i++) {
		CLEANUP(freep) char *text = status_info(service, i);

		info[i] = map_entry_new(arena, status_info_names[i], text);
	}
	response->info = (void *)info;
	response->n_info = STATUS_INFO_COUNT;
}

static int status(struct call *call, const void *message, void *answer, struct err *err UNUSED)
{
	const Cri__StatusRequest *request = message;
	Cri__StatusResponse *response = answer;
	struct service *service = call_service(call);
	struct arena *arena = call_arena(call);

	response->status = message_new(arena, &cri__runtime_status__descriptor);
	response->status->conditions = arena_array(arena, 2, sizeof(*response->status->conditions));
	response->status->conditions[0] = runtime_condition(service, arena);
	response->status->conditions[1] = network_condition(service, arena);
	response->status->n_conditions = 2;
	add_handlers(service, response, arena);
	response->features = message_new(arena, &cri__runtime_features__descriptor);
	response->features->supplemental_groups_policy = true;
	response->features->user_namespaces_host_network = service->user_namespaces;
	if (request->verbose)
		add_info(service, response, arena);
	return 0;
}

const struct rpc rpc_status = {
	.service = "RuntimeService",
	.method = "Status",
	.speed = RPC_FAST,
	.effect = RPC_READS,
	.handle = status,
};
