/* See cgroup_systemd.h. */
#include "sandbox/cgroup_systemd.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "base/clock.h"
#include "base/str.h"

#define SERVICE "org.freedesktop.systemd1"
#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"

enum { TIMEOUT_SECONDS = 30, UNIT_NAME_MAX = 255 };

static const char suffix[] = ".slice";

int cgroup_systemd_check(struct err *err)
{
	if (sd_booted() > 0)
		return 0;
	return err_set(err, RPC_FAILED_PRECONDITION,
		       "cgroup_manager is systemd, but this host is not run by systemd: use cgroupfs");
}

static bool name_is_good(const char *name, size_t stem)
{
	for (size_t i = 0; i < stem; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr(":-_.\\@", name[i]))
			return false;
	return stem > 0 && name[0] != '-' && name[stem - 1] != '-' && strlen(name) <= UNIT_NAME_MAX;
}

int cgroup_slice_path(const char *name, char **ret, struct err *err)
{
	CLEANUP(str_done) struct str path = STR_INIT;
	size_t stem = strlen(name) - (str_has_suffix(name, suffix) ? strlen(suffix) : 0);

	if (str_eq(name, "-.slice")) {
		*ret = xstrdup("");
		return 0;
	}
	if (!str_has_suffix(name, suffix) || !name_is_good(name, stem) || strstr(name, "--"))
		return err_set(err, RPC_INVALID_ARGUMENT, "\"%.100s\" is not the name of a systemd slice",
			       name);
	for (size_t i = 0; i < stem; i++)
		if (name[i] == '-')
			str_addf(&path, "/%.*s%s", (int)i, name, suffix);
	str_addf(&path, "/%s", name);
	*ret = str_take(&path);
	return 0;
}

/* ---- the bus ---- */

struct bus {
	sd_bus *bus;
	const char *job; /* waited for; borrowed from its message */
	char *result;    /* of that job, once it is over */
};

static void bus_done(struct bus *bus)
{
	free(bus->result);
	sd_bus_flush_close_unref(bus->bus);
}

static void message_unrefp(sd_bus_message **message)
{
	sd_bus_message_unref(*message);
}

static int job_removed(sd_bus_message *message, void *data, sd_bus_error *error UNUSED)
{
	struct bus *bus = data;
	const char *path, *unit, *result;
	uint32_t id;

	if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 && bus->job &&
	    str_eq(path, bus->job) && !bus->result)
		bus->result = xstrdup(result);
	return 0;
}

static int bus_fail(int error, const char *what, struct err *err)
{
	return err_set(err, RPC_UNAVAILABLE, "systemd: %s: %s", what, strerror(-error));
}

static int bus_open(struct bus *bus, struct err *err)
{
	int error = sd_bus_open_system(&bus->bus);

	if (error < 0)
		return bus_fail(error, "connect to the system bus", err);
	sd_bus_set_method_call_timeout(bus->bus, (uint64_t)TIMEOUT_SECONDS * 1000000);
	error = sd_bus_match_signal(bus->bus, NULL, SERVICE, PATH, MANAGER, "JobRemoved", job_removed, bus);
	if (error < 0)
		return bus_fail(error, "listen for jobs", err);
	error = sd_bus_call_method(bus->bus, SERVICE, PATH, MANAGER, "Subscribe", NULL, NULL, NULL);
	return error < 0 ? bus_fail(error, "listen for jobs", err) : 0;
}

/* Processes what comes in until the job of this reply is over. */
static int wait_job(struct bus *bus, sd_bus_message *reply, const char *name, struct err *err)
{
	int64_t deadline = clock_deadline_in(TIMEOUT_SECONDS * NS_PER_SEC);
	int error = sd_bus_message_read(reply, "o", &bus->job);

	while (error >= 0 && !bus->result) {
		int64_t left = deadline - clock_mono();

		if (left <= 0)
			return err_set(err, RPC_DEADLINE_EXCEEDED, "systemd: %s: the job does not end", name);
		error = sd_bus_process(bus->bus, NULL);
		if (error == 0)
			error = sd_bus_wait(bus->bus, (uint64_t)left / 1000);
	}
	if (error < 0)
		return bus_fail(error, name, err);
	if (!str_eq(bus->result, "done"))
		return err_set(err, RPC_INTERNAL, "systemd: %s: the job ended as \"%s\"", name, bus->result);
	return 0;
}

static int call_failed(const sd_bus_error *error, const char *name, struct err *err)
{
	return err_set(err, RPC_INTERNAL, "systemd: %s: %s", name,
		       error->message ? error->message : error->name);
}

int cgroup_systemd_start(const char *name, struct err *err)
{
	CLEANUP(bus_done) struct bus bus = { 0 };
	CLEANUP(message_unrefp) sd_bus_message *reply = NULL;
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	if (bus_open(&bus, err) < 0)
		return -1;
	/* Accounting makes systemd hand the controllers down to it, but not the one of the CPU, for which
	 * cgroup v2 needs no controller; a weight does, and 100 is what every unit has. */
	int failed = sd_bus_call_method(bus.bus, SERVICE, PATH, MANAGER, "StartTransientUnit", &error, &reply,
					"ssa(sv)a(sa(sv))", name, "replace", 7, "Description", "s",
					"A pod of crisp", "DefaultDependencies", "b", 0, "CPUAccounting", "b",
					1, "MemoryAccounting", "b", 1, "TasksAccounting", "b", 1,
					"IOAccounting", "b", 1, "CPUWeight", "t", (uint64_t)100, 0);
	if (sd_bus_error_has_name(&error, SERVICE ".UnitExists"))
		return 0;
	if (failed < 0)
		return call_failed(&error, name, err);
	return wait_job(&bus, reply, name, err);
}

int cgroup_systemd_scope(const char *name, const char *slice, pid_t pid, struct err *err)
{
	CLEANUP(bus_done) struct bus bus = { 0 };
	CLEANUP(message_unrefp) sd_bus_message *reply = NULL;
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	if (bus_open(&bus, err) < 0)
		return -1;
	if (sd_bus_call_method(bus.bus, SERVICE, PATH, MANAGER, "StartTransientUnit", &error, &reply,
			       "ssa(sv)a(sa(sv))", name, "fail", 4, "Description", "s", "A monitor of crisp",
			       "DefaultDependencies", "b", 0, "Slice", "s", slice, "PIDs", "au", 1,
			       (uint32_t)pid, 0) < 0)
		return call_failed(&error, name, err);
	return wait_job(&bus, reply, name, err);
}

int cgroup_systemd_stop(const char *name, struct err *err)
{
	CLEANUP(bus_done) struct bus bus = { 0 };
	CLEANUP(message_unrefp) sd_bus_message *reply = NULL;
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	if (bus_open(&bus, err) < 0)
		return -1;
	int failed = sd_bus_call_method(bus.bus, SERVICE, PATH, MANAGER, "StopUnit", &error, &reply, "ss",
					name, "replace");
	if (sd_bus_error_has_name(&error, SERVICE ".NoSuchUnit"))
		return 0;
	if (failed < 0)
		return call_failed(&error, name, err);
	return wait_job(&bus, reply, name, err);
}

static int append(sd_bus_message *message, const struct cgroup_property *properties, size_t len)
{
	int error = sd_bus_message_open_container(message, 'a', "(sv)");

	for (size_t i = 0; i < len && error >= 0; i++)
		error = sd_bus_message_append(message, "(sv)", properties[i].name, "t", properties[i].value);
	return error < 0 ? error : sd_bus_message_close_container(message);
}

int cgroup_systemd_set(const char *name, const struct cgroup_property *properties, size_t len,
		       struct err *err)
{
	CLEANUP(bus_done) struct bus bus = { 0 };
	CLEANUP(message_unrefp) sd_bus_message *message = NULL;
	CLEANUP(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	if (len == 0)
		return 0;
	if (bus_open(&bus, err) < 0)
		return -1;
	int failed = sd_bus_message_new_method_call(bus.bus, &message, SERVICE, PATH, MANAGER,
						    "SetUnitProperties");
	if (failed >= 0)
		failed = sd_bus_message_append(message, "sb", name, 1); /* for this boot */
	if (failed >= 0)
		failed = append(message, properties, len);
	if (failed < 0)
		return bus_fail(failed, name, err);
	if (sd_bus_call(bus.bus, message, 0, &error, NULL) < 0)
		return call_failed(&error, name, err);
	return 0;
}
