/*
 * Three kinds of things live here: connections of runtimes, until they have sent their state; listeners, one
 * for each program with a filter, until the kernel says that nobody uses it any more (EPOLLHUP, Linux 5.9);
 * and what is watched, one for each container with listeners.
 *
 * SECCOMP_IOCTL_NOTIF_RECV blocks when nothing is there, so each is preceded by a poll. A caller that dies in
 * between is ENOENT.
 */
#include "sandbox/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "sandbox/seccomp_watched.h"

enum {
	STATE_MAX = 256 * 1024,        /* bytes of a runtime's state */
	ANSWERS_MAX = 2 * 1024 * 1024, /* of NOTIFIER_FILE */
	CONNECTIONS_MAX = 1024,        /* crun keeps one from create to start */
	FDS_MAX = 8,
	AT_ONCE = 32,      /* calls answered before others have their turn */
	PER_SECOND = 1000, /* calls of one listener */
	CALLS_TEXT_MAX = 2048,
	NUMBERS = 512, /* of system calls, for the metric */
};
static const int64_t stop_delay = 5 * NS_PER_SEC; /* after the last forbidden call, as CRI-O has it */

static const char *call_names[NUMBERS];
METRIC(metric_seccomp_forbidden, NUMBERS, .name = "containers_seccomp_notifier_count_total",
       .help = "Forbidden system calls of watched containers.", .type = METRIC_COUNTER, .sparse = true,
       .labels = { { "syscall", call_names, NUMBERS } });

struct notifier {
	struct notifier_options options;
	char *path;
	int fd;
	struct source *source;
	struct list connections, listeners;
	size_t connections_len;
	struct map watched; /* by container id; owned */
};

struct watched {
	struct notifier *notifier;
	char *id;
	json_t *answers; /* the document of NOTIFIER_FILE */
	bool stop;
	struct map counts; /* of struct count by the call's name */
	size_t listeners;
	struct source *timer;
};

struct count {
	uint64_t times;
};

struct listener {
	struct list node;
	struct watched *watched;
	int fd;
	struct source *source, *pause; /* one of the two */
	int64_t since;                 /* clock_mono() ns: this second */
	int in_second;
};

struct connection {
	struct list node;
	struct notifier *notifier;
	int fd;
	struct source *source;
	struct str state;
	int fds[FDS_MAX];
	size_t fds_len;
};

/* ---- what is watched ---- */

static void watched_free(void *data)
{
	struct watched *watched = data;

	source_free(watched->timer);
	map_done(&watched->counts);
	json_decref(watched->answers);
	free(watched->id);
	free(watched);
}

static json_t *read_answers(const struct notifier *notifier, const char *id, struct err *err)
{
	CLEANUP(freep)
	char *path = xasprintf("%s/containers/%s/%s", notifier->options.runroot, id, NOTIFIER_FILE);
	CLEANUP(freep) char *text = NULL;
	json_t *answers = NULL;
	size_t len;

	if (file_read(AT_FDCWD, path, ANSWERS_MAX, &text, &len, err) < 0 ||
	    json_parse(text, len, ANSWERS_MAX, &answers, err) < 0)
		return NULL;
	return answers;
}

static struct watched *watched_get(struct notifier *notifier, const char *id, struct err *err)
{
	struct watched *watched = map_get(&notifier->watched, id);

	if (watched)
		return watched;
	json_t *answers = read_answers(notifier, id, err);
	if (!answers)
		return NULL;
	watched = xnew(struct watched);
	watched->notifier = notifier;
	watched->id = xstrdup(id);
	watched->answers = answers;
	watched->stop = json_is_true(json_object_get(answers, "stop"));
	map_init(&watched->counts, free);
	map_put(&notifier->watched, id, watched);
	return watched;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "mount (1x), swapoff (2x)"; malloc'd. */
static char *calls_text(const struct watched *watched)
{
	struct str text CLEANUP(str_done) = STR_LIMIT(CALLS_TEXT_MAX);
	CLEANUP(strv_done) struct strv names = STRV_INIT;

	map_for_each (slot, &watched->counts)
		strv_add(&names, slot->key);
	if (names.len)
		qsort(names.items, names.len, sizeof(*names.items), by_name);
	for (size_t i = 0; i < names.len && !text.failed; i++) {
		const struct count *count = map_get(&watched->counts, names.items[i]);

		str_addf(&text, "%s%s (%" PRIu64 "x)", i ? ", " : "", names.items[i], count->times);
	}
	return text.failed ? xasprintf("%zu different ones", names.len) : str_take(&text);
}

static void time_to_stop(struct source *source UNUSED, void *data)
{
	struct watched *watched = data;
	CLEANUP(freep) char *calls = calls_text(watched);

	watched->notifier->options.stop(watched->notifier->options.data, watched->id, calls);
}

static void delay_stop(struct watched *watched)
{
	struct err err;

	if (watched->timer ? source_rearm(watched->timer, stop_delay, 0, &err) == 0
			   : (watched->timer = loop_add_timer(watched->notifier->options.loop, stop_delay, 0,
							      time_to_stop, watched, &err)) != NULL)
		return;
	log_warn("container %s: %s, stopping it at once", watched->id, err.text);
	time_to_stop(NULL, watched);
}

static void count_call(struct watched *watched, const char *name, int number, pid_t pid)
{
	struct count *count = map_get(&watched->counts, name);

	if (!count) {
		count = xnew(struct count);
		map_put(&watched->counts, name, count);
		log_warn("container %s: process %d used the forbidden system call %s", watched->id, (int)pid,
			 name);
	}
	count->times++;
	metric_add_at(&metric_seccomp_forbidden,
		      number >= 0 && number < NUMBERS - 1 ? (size_t)number : NUMBERS - 1, 0, 1);
	if (watched->stop)
		delay_stop(watched);
}

/* ---- listeners ---- */

static void listener_free(struct listener *listener)
{
	struct watched *watched = listener->watched;

	source_free(listener->source);
	source_free(listener->pause);
	fd_close(listener->fd);
	list_del(&listener->node);
	free(listener);
	if (--watched->listeners)
		return;
	if (map_len(&watched->counts)) {
		CLEANUP(freep) char *calls = calls_text(watched);

		log_info("container %s used forbidden system calls: %s", watched->id, calls);
	}
	map_del(&watched->notifier->watched, watched->id);
}

static int answer_to(const struct watched *watched, const char *name)
{
	const json_t *answer = json_object_get(json_object_get(watched->answers, "calls"), name);

	if (!answer)
		answer = json_object_get(watched->answers, "default");
	return json_is_integer(answer) ? (int)json_integer_value(answer) : EPERM;
}

static void answer_call(struct listener *listener, const struct seccomp_notif *call,
			struct seccomp_notif_resp *response)
{
	CLEANUP(freep)
	char *name = seccomp_syscall_resolve_num_arch(call->data.arch, call->data.nr);
	CLEANUP(freep) char *unnamed = name ? NULL : xasprintf("%d", call->data.nr);
	const char *called = name ? name : unnamed;
	int answer = answer_to(listener->watched, called);

	count_call(listener->watched, called, seccomp_syscall_resolve_name(called), (pid_t)call->pid);
	/* The caller waits for us and so its id is not another's. SIGKILL, since init could ignore SIGSYS. */
	if (answer == SECCOMP_ANSWER_KILL && call->pid > 0 &&
	    seccomp_notify_id_valid(listener->fd, call->id) == 0)
		(void)kill((pid_t)call->pid, SIGKILL);
	response->id = call->id;
	response->val = 0;
	response->error = answer == SECCOMP_ANSWER_KILL ? -EPERM : -answer;
	response->flags = 0;
	(void)seccomp_notify_respond(listener->fd, response); /* fails when the caller has died */
}

static bool has_call(const struct listener *listener)
{
	struct pollfd poll_fd = { .fd = listener->fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLIN);
}

static void answer_calls(struct listener *listener)
{
	struct seccomp_notif *call = NULL;
	struct seccomp_notif_resp *response = NULL;

	if (seccomp_notify_alloc(&call, &response) != 0)
		return;
	for (int i = 0; i < AT_ONCE && has_call(listener); i++) {
		if (seccomp_notify_receive(listener->fd, call) != 0)
			continue;
		listener->in_second++;
		answer_call(listener, call, response);
	}
	seccomp_notify_free(call, response);
}

static void listener_ready(struct source *source, uint32_t events, void *data);

static int listen_to(struct listener *listener, struct err *err)
{
	listener->source = loop_add_fd(listener->watched->notifier->options.loop, listener->fd, EPOLLIN,
				       listener_ready, listener, err);
	return listener->source ? 0 : -1;
}

static void resume(struct source *source UNUSED, void *data)
{
	struct listener *listener = data;
	struct err err;

	listener->pause = source_free(listener->pause);
	if (listen_to(listener, &err) == 0)
		return;
	log_warn("container %s: %s, not hearing of its forbidden calls any more", listener->watched->id,
		 err.text);
	listener_free(listener);
}

/* Enough for this second. */
static void rest(struct listener *listener)
{
	int64_t until = listener->since + NS_PER_SEC - clock_mono();
	struct err err;

	listener->pause = loop_add_timer(listener->watched->notifier->options.loop,
					 until > NS_PER_MS ? until : NS_PER_MS, 0, resume, listener, &err);
	if (listener->pause)
		listener->source = source_free(listener->source);
}

static void listener_ready(struct source *source UNUSED, uint32_t events, void *data)
{
	struct listener *listener = data;

	if (events & EPOLLIN) {
		if (clock_mono() - listener->since >= NS_PER_SEC) {
			listener->since = clock_mono();
			listener->in_second = 0;
		}
		answer_calls(listener);
		if (listener->in_second >= PER_SECOND)
			rest(listener);
	} else {
		listener_free(listener);
	}
}

/* Takes the descriptor, also on failure. */
static int add_listener_take(struct notifier *notifier, const char *id, int fd, struct err *err)
{
	struct watched *watched = watched_get(notifier, id, err);

	if (!watched) {
		fd_close(fd);
		return -1;
	}
	struct listener *listener = xnew(struct listener);
	listener->watched = watched;
	listener->fd = fd;
	watched->listeners++;
	list_add_tail(&notifier->listeners, &listener->node);
	if (listen_to(listener, err) == 0)
		return 0;
	listener_free(listener);
	return -1;
}

/* ---- connections ---- */

static void connection_free(struct connection *connection)
{
	source_free(connection->source);
	fd_close(connection->fd);
	for (size_t i = 0; i < connection->fds_len; i++)
		fd_close(connection->fds[i]);
	str_done(&connection->state);
	list_del(&connection->node);
	connection->notifier->connections_len--;
	free(connection);
}

/* -1 and errno. 0: the other end is closed. */
static ssize_t receive(struct connection *connection)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))] __attribute__((aligned(8)));
	char buffer[16 * 1024];
	struct iovec data = { buffer, sizeof(buffer) };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t len = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (len < 0)
		return -1;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fds[FDS_MAX];

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || count > FDS_MAX)
			continue;
		memcpy(fds, CMSG_DATA(part), count * sizeof(int));
		for (size_t i = 0; i < count; i++) {
			if (connection->fds_len < FDS_MAX)
				connection->fds[connection->fds_len++] = fds[i];
			else
				close(fds[i]);
		}
	}
	str_addn(&connection->state, buffer, (size_t)len);
	return len;
}

/* The container process state (runtime-spec): "fds" names what came with it. */
static int take_state(struct connection *connection, const json_t *state, struct err *err)
{
	const char *id = json_string_value(json_object_get(state, "metadata"));
	json_t *names = json_object_get(state, "fds"), *name;
	size_t i;

	if (!id || !id_valid(id))
		return err_set(err, RPC_INVALID_ARGUMENT, "its metadata is no container id");
	json_array_foreach(names, i, name) if (i < connection->fds_len && connection->fds[i] >= 0 &&
					       str_eq(json_string_value(name), "seccompFd"))
	{
		int fd = connection->fds[i];

		connection->fds[i] = -1;
		return add_listener_take(connection->notifier, id, fd, err);
	}
	return err_set(err, RPC_INVALID_ARGUMENT, "it has no seccompFd");
}

static void connection_ready(struct source *source UNUSED, uint32_t events UNUSED, void *data)
{
	struct connection *connection = data;
	CLEANUP(json_decrefp) json_t *state = NULL;
	struct err err = { 0 };
	ssize_t len = receive(connection);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len > 0 && !connection->state.failed &&
	    json_parse(str_get(&connection->state), connection->state.len, STATE_MAX, &state, &err) < 0)
		return; /* not all of it yet */
	/* A runtime that gives up a container closes without a word. */
	if (!state && connection->state.len)
		log_warn("seccomp notifier: a runtime sent no state: %s, ignoring", err.text);
	if (state && take_state(connection, state, &err) < 0)
		log_warn("seccomp notifier: state of a runtime: %s, ignoring", err.text);
	connection_free(connection);
}

static void accepted(struct source *source UNUSED, uint32_t events UNUSED, void *data)
{
	struct notifier *notifier = data;
	int fd = accept4(notifier->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct err err;

	if (fd < 0)
		return;
	if (notifier->connections_len >= CONNECTIONS_MAX) {
		fd_close(fd);
		return;
	}
	struct connection *connection = xnew(struct connection);
	connection->notifier = notifier;
	connection->fd = fd;
	connection->state = (struct str)STR_LIMIT(STATE_MAX);
	list_add_tail(&notifier->connections, &connection->node);
	notifier->connections_len++;
	connection->source =
		loop_add_fd(notifier->options.loop, fd, EPOLLIN, connection_ready, connection, &err);
	if (!connection->source)
		connection_free(connection);
}

/* ---- the whole ---- */

static int open_socket(struct notifier *notifier, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(notifier->path) >= sizeof(address.sun_path)) {
		free(TAKE(notifier->path));
		return 0;
	}
	memcpy(address.sun_path, notifier->path, strlen(notifier->path) + 1);
	notifier->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* What is there is a crispd's that has ended: the state folder is locked by now. */
	if (notifier->fd < 0 || (unlink(notifier->path) < 0 && errno != ENOENT) ||
	    bind(notifier->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(notifier->path, 0600) < 0 || listen(notifier->fd, 128) < 0)
		return err_errno(err, "socket %s", notifier->path);
	notifier->source =
		loop_add_fd(notifier->options.loop, notifier->fd, EPOLLIN, accepted, notifier, err);
	return notifier->source ? 0 : -1;
}

/* The label's values are libseccomp's names; a metric may be shown before there is a notifier. */
static void __attribute__((constructor)) name_calls(void)
{
	static char numbers[NUMBERS][24];

	for (int i = 0; i < NUMBERS - 1; i++) {
		CLEANUP(freep) char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);

		if (name)
			snprintf(numbers[i], sizeof(numbers[i]), "%s", name);
		else
			snprintf(numbers[i], sizeof(numbers[i]), "%d", i);
		call_names[i] = numbers[i];
	}
	call_names[NUMBERS - 1] = "other";
}

struct notifier *notifier_new(const struct notifier_options *options, struct err *err)
{
	struct notifier *notifier = xnew(struct notifier);

	notifier->options = *options;
	notifier->path = xasprintf("%s/seccomp.sock", options->runroot);
	notifier->fd = -1;
	list_init(&notifier->connections);
	list_init(&notifier->listeners);
	map_init(&notifier->watched, watched_free);
	if (open_socket(notifier, err) < 0)
		return notifier_free(notifier);
	return notifier;
}

struct notifier *notifier_free(struct notifier *notifier)
{
	if (!notifier)
		return NULL;
	list_for_each_safe (node, &notifier->connections)
		connection_free(list_entry(node, struct connection, node));
	list_for_each_safe (node, &notifier->listeners)
		listener_free(list_entry(node, struct listener, node));
	map_done(&notifier->watched);
	source_free(notifier->source);
	fd_close(notifier->fd);
	free(notifier->path);
	free(notifier);
	return NULL;
}

const char *notifier_socket(const struct notifier *notifier)
{
	return notifier->path;
}
