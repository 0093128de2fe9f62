/*
 * The metrics as they are served: the whole table held against a strict reader (and promtool, where it is
 * installed), the dashboard's queries against the table, the HTTP side with libcurl, a certificate that is
 * renewed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/json.h"
#include "base/spawn.h"
#include "server/metrics/endpoint.h"
#include "server/metrics/metrics_table.h"
#include "server/metrics/rpc_metrics.h"
#include "server/unix_socket.h"
#include "test/base/exposition.h"
#include "test/image/fake_ca.h"
#include "test/server/fixture.h"

static const struct rpc fakes[] = {
	{ .service = "RuntimeService", .method = "Version" },
	{ .service = "ImageService", .method = "PullImage" },
};

static const struct rpc *const table[] = { &fakes[0], &fakes[1], NULL };

static void write_all_metrics(struct str *out)
{
	for (size_t i = 0; metrics_table[i]; i++)
		metric_write(metrics_table[i], METRICS_PREFIX, out);
}

/* ---- the table ---- */

static void the_table_is_well_formed(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	const char *problem;

	for (size_t i = 0; metrics_table[i]; i++) {
		struct metric *metric = metrics_table[i];

		/* One of each is shown, also of those that never counted. */
		if (metric->type == METRIC_HISTOGRAM)
			metric_observe_at(metric, 0, 0, 12345678);
		else
			metric_add_at(metric, 0, 0, 1);
	}
	write_all_metrics(&out);
	problem = exposition_problem(str_get(&out));
	if (problem)
		fail_msg("%s", problem);
}

static void promtool_accepts_it(void **state UNUSED)
{
	CLEANUP(command_result_done) struct command_result result = { 0 };
	CLEANUP(str_done) struct str out = STR_INIT;
	const char *const argv[] = { "promtool", "check", "metrics", NULL };
	struct err err = { 0 };

	if (access("/usr/bin/promtool", X_OK) < 0)
		skip();
	write_all_metrics(&out);
	struct command command = { .path = "promtool",
				   .argv = argv,
				   .input = str_get(&out),
				   .input_len = out.len,
				   .stdout_max = 65536,
				   .stderr_max = 65536 };
	if (command_run(&command, NULL, &result, &err) < 0)
		fail_msg("%s", err.text);
	if (!result.exited || result.status)
		fail_msg("%s%s", str_get(&result.out), str_get(&result.err_out));
}

static void calls_are_counted(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	static const struct rpc unknown = { .service = "RuntimeService", .method = "Nobody" };
	uint64_t before = metric_get_at(&metric_operations, 1, 0);
	struct err err;

	err_set(&err, RPC_NOT_FOUND, "no");
	rpc_metrics_count(&fakes[1], NULL, 2 * NS_PER_SEC);
	rpc_metrics_count(&fakes[1], &err, 3000);
	rpc_metrics_count(&fakes[1], &err, -1); /* turned away: took no time */
	rpc_metrics_count(&unknown, &err, 3000);
	assert_int_equal(metric_get_at(&metric_operations, 1, 0), before + 3);
	metric_write(&metric_operations_errors, "", &out);
	metric_write(&metric_operations_latency, "", &out);
	assert_true(exposition_value(str_get(&out),
				     "operations_errors_total{operation=\"PullImage\",code=\"NOT_FOUND\"}") ==
		    2);
	assert_true(exposition_value(str_get(&out),
				     "operations_latency_seconds_count{operation=\"PullImage\"}") == 2);
	assert_true(exposition_value(str_get(&out),
				     "operations_latency_seconds_bucket{operation=\"PullImage\",le=\"1\"}") ==
		    1);
	assert_null(strstr(str_get(&out), "Nobody"));
}

/* ---- the dashboard ---- */

static const struct metric *metric_named(const char *name, size_t len)
{
	for (size_t i = 0; metrics_table[i]; i++) {
		const struct metric *metric = metrics_table[i];
		CLEANUP(freep)
		char *full = xasprintf("%s%s", metric->plain ? "" : METRICS_PREFIX, metric->name);
		const char *suffixes[] = { "", "_bucket", "_sum", "_count" };
		bool histogram = metric->type == METRIC_HISTOGRAM;

		for (size_t j = histogram; j < (histogram ? ARRAY_LEN(suffixes) : 1); j++) {
			CLEANUP(freep) char *series = xasprintf("%s%s", full, suffixes[j]);

			if (strlen(series) == len && strncmp(series, name, len) == 0)
				return metric;
		}
	}
	return NULL;
}

/* Every metric that a query names; returns how many. */
static size_t check_query(const char *query, const struct metric **ret)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t count = 0;

	while (*query) {
		size_t len = strspn(query, chars);

		if (str_has_prefix(query, METRICS_PREFIX) || str_has_prefix(query, "process_")) {
			*ret = metric_named(query, len);
			if (!*ret)
				fail_msg("the dashboard asks for %.*s, which there is not", (int)len, query);
			count++;
		}
		query += len ? len : 1;
	}
	return count;
}

/* {{label}} of the legend is a label of the metric, or instance. */
static void check_legend(const char *legend, const struct metric *metric)
{
	for (const char *at = legend; (at = strstr(at, "{{")); at += 2) {
		CLEANUP(freep) char *label = xstrndup(at + 2, strcspn(at + 2, "}"));

		if (!str_eq(label, "instance") && !str_eq(label, metric->labels[0].key) &&
		    !str_eq(label, metric->labels[1].key))
			fail_msg("%s has no label %s", metric->name, label);
	}
}

static size_t check_panel(const json_t *panel)
{
	const json_t *target;
	size_t i, count = 0;

	json_array_foreach(json_object_get(panel, "targets"), i, target)
	{
		const struct metric *metric = NULL;
		size_t named = check_query(json_string_value(json_object_get(target, "expr")), &metric);

		assert_true(named > 0);
		check_legend(json_string_value(json_object_get(target, "legendFormat")), metric);
		count += named;
	}
	return count;
}

static void the_dashboard_knows_the_names(void **state UNUSED)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(json_decrefp) json_t *dashboard = NULL;
	const json_t *panel;
	struct err err = { 0 };
	size_t len, i, count = 0;

	assert_int_equal(file_read(AT_FDCWD, "server/metrics/grafana.json", 1 << 20, &text, &len, &err), 0);
	if (json_parse(text, len, 1 << 20, &dashboard, &err) < 0)
		fail_msg("%s", err.text);
	json_array_foreach(json_object_get(dashboard, "panels"), i, panel) count += check_panel(panel);
	assert_true(count >= 30);
	/* And every metric is shown somewhere, but what only limits tell. */
	for (i = 0; metrics_table[i]; i++)
		if (!strstr(text, metrics_table[i]->name) &&
		    !str_eq(metrics_table[i]->name, "process_virtual_memory_bytes") &&
		    !str_eq(metrics_table[i]->name, "process_max_fds"))
			fail_msg("the dashboard does not show %s", metrics_table[i]->name);
}

/* ---- HTTP ---- */

struct scene {
	char folder[64];
	char *path, *ca, *cert, *key;
	struct unix_socket socket;
	struct endpoint *endpoint;
	int port;
};

static void write_page(void *data UNUSED, struct str *out)
{
	str_add(out, "# HELP x_total X.\n# TYPE x_total counter\nx_total 1\n");
}

static int set_up(void **state)
{
	struct scene *scene = xnew(struct scene);

	snprintf(scene->folder, sizeof(scene->folder), "/tmp/crisp-metrics.XXXXXX");
	assert_non_null(mkdtemp(scene->folder));
	scene->path = xasprintf("%s/sub/m.sock", scene->folder);
	scene->ca = xasprintf("%s/ca.pem", scene->folder);
	scene->cert = xasprintf("%s/cert.pem", scene->folder);
	scene->key = xasprintf("%s/key.pem", scene->folder);
	scene->socket = (struct unix_socket)UNIX_SOCKET_INIT;
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;
	CLEANUP(fd_closep) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;

	endpoint_free(scene->endpoint);
	unix_socket_done(&scene->socket);
	assert_int_equal(tree_remove(tmp, scene->folder + strlen("/tmp/"), &err), 0);
	free(scene->path);
	free(scene->ca);
	free(scene->cert);
	free(scene->key);
	free(scene);
	return 0;
}

static size_t keep(char *data, size_t size, size_t count, void *to)
{
	str_addn(to, data, size * count);
	return size * count;
}

/* The HTTP status; 0: none, as the certificate was not trusted or nobody answered. */
static long ask(const struct scene *scene, const char *method, const char *path, struct str *body)
{
	CLEANUP(freep)
	char *url = scene->port ? xasprintf("https://127.0.0.1:%d%s", scene->port, path)
				: xasprintf("http://localhost%s", path);
	CURL *curl = curl_easy_init();
	long status = 0;

	str_clear(body);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_NOBODY, (long)(strcmp(method, "HEAD") == 0));
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, body);
	if (scene->port)
		curl_easy_setopt(curl, CURLOPT_CAINFO, scene->ca);
	else
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, scene->path);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	return status;
}

static void the_socket_serves_one_page(void **state)
{
	struct scene *scene = *state;
	struct endpoint_options options = { .write = write_page };
	CLEANUP(str_done) struct str body = STR_INIT;
	struct err err = { 0 };
	struct stat st;

	if (unix_socket_listen(scene->path, 0600, &scene->socket, &err) < 0)
		fail_msg("%s", err.text);
	options.listener = TAKE_FD(scene->socket.fd);
	scene->endpoint = endpoint_new_take(&options, &err);
	assert_non_null(scene->endpoint);
	assert_int_equal(stat(scene->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
	assert_null(exposition_problem(str_get(&body)));
	assert_int_equal(ask(scene, "HEAD", "/metrics", &body), 200);
	assert_int_equal(body.len, 0);
	assert_int_equal(ask(scene, "GET", "/", &body), 404);
	assert_int_equal(ask(scene, "GET", "/metrics/../debug", &body), 404);
	assert_int_equal(ask(scene, "DELETE", "/metrics", &body), 405);
	assert_int_equal(ask(scene, "GET", "/metrics?x=y", &body), 200);
	scene->endpoint = endpoint_free(scene->endpoint);
	unix_socket_done(&scene->socket);
	assert_int_equal(stat(scene->path, &st), -1);
}

static int listen_on_loopback(int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

/* A new authority's certificate and key in the endpoint's files; only this authority is trusted from then on.
 */
static void issue(const struct scene *scene)
{
	struct fake_ca *ca = fake_ca_new("metrics");

	fake_ca_write(ca, scene->ca);
	fake_ca_issue(ca, "localhost", scene->cert, scene->key);
	fake_ca_free(ca);
}

static void a_renewed_certificate_is_used(void **state)
{
	struct scene *scene = *state;
	struct endpoint_options options = { .cert = scene->cert, .key = scene->key, .write = write_page };
	CLEANUP(str_done) struct str body = STR_INIT;
	struct err err = { 0 };

	issue(scene);
	options.listener = listen_on_loopback(&scene->port);
	scene->endpoint = endpoint_new_take(&options, &err);
	if (!scene->endpoint)
		fail_msg("%s", err.text);
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
	issue(scene); /* only the new one is trusted */
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
	/* One that is of no use changes nothing. */
	assert_int_equal(truncate(scene->cert, 10), 0);
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
	issue(scene);
	assert_int_equal(ask(scene, "GET", "/metrics", &body), 200);
}

static void a_bad_certificate_is_refused(void **state)
{
	struct scene *scene = *state;
	struct endpoint_options options = { .cert = scene->cert, .key = scene->key, .write = write_page };
	struct err err = { 0 };

	options.listener = listen_on_loopback(&scene->port);
	assert_null(endpoint_new_take(&options, &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, scene->cert));
	issue(scene);
	assert_int_equal(truncate(scene->key, 20), 0);
	options.listener = listen_on_loopback(&scene->port);
	assert_null(endpoint_new_take(&options, &err));
	assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
}

static int begin(void **state UNUSED)
{
	rpc_metrics_init(table);
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static int end(void **state UNUSED)
{
	curl_global_cleanup();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_are_counted),
		cmocka_unit_test(the_table_is_well_formed),
		cmocka_unit_test(promtool_accepts_it),
		cmocka_unit_test(the_dashboard_knows_the_names),
		cmocka_unit_test_setup_teardown(the_socket_serves_one_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_renewed_certificate_is_used, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_bad_certificate_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
