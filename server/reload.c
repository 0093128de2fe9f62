/*
 * The new snapshot is complete before anybody sees it. Of the two things that take it over, logging goes
 * first because it can be put back: the old settings were good once.
 */
#include "server/reload.h"

#include "base/log.h"
#include "server/notify.h"

int reload_log(const struct config *config, struct err *err)
{
	struct log_options options = {
		.level = config->runtime.log_level,
		.target = config->runtime.log_target,
		.format = config->runtime.log_format,
		.filter = config->runtime.log_filter,
	};

	return log_setup(&options, err);
}

static void tell(const struct config_change *change, void *data UNUSED)
{
	bool now = change->live;

	log_fields(now ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
		   now ? "reload: changed" : "reload: takes effect after a restart", "key", change->key,
		   "old", change->old_value, "new", change->new_value, NULL);
}

static int apply(struct service *service, const struct config_paths *paths, struct err *err)
{
	CLEANUP(config_unrefp) struct config *old = service_config(service);
	CLEANUP(config_unrefp) struct config *next = NULL;
	struct err ignored = { 0 };

	if (config_load(paths, &next, err) < 0 || reload_log(next, err) < 0)
		return -1;
	if (service_reload(service, next, err) < 0) {
		if (reload_log(old, &ignored) < 0)
			log_error("the old log settings could not be restored: %s", ignored.text);
		return -1;
	}
	if (config_diff(old, next, tell, NULL) == 0)
		log_info("reload: the configuration is the same; registries were read again");
	return 0;
}

void reload(struct service *service, const struct config_paths *paths)
{
	struct err err = { 0 };

	notify_reloading();
	if (apply(service, paths, &err) < 0)
		log_error("reload: nothing changed: %s", err.text);
	notify_ready("%s", err.text[0] ? "serving; the last reload failed" : "serving CRI v1");
}
