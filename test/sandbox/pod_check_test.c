/* Every bad input of RunPodSandbox that can be told without making anything, and the sysctls a pod gets. */
#include "sandbox/pod_check.h"

#include "base/json.h"
#include "proto/message_json.h"
#include "test/base/check.h"

#define META "\"metadata\":{\"name\":\"web\",\"uid\":\"u-1\",\"namespace\":\"default\"}"
#define POD(rest) "{\"config\":{" META "," rest "}}"
#define NAMESPACES(options) POD("\"linux\":{\"securityContext\":{\"namespaceOptions\":{" options "}}}")
#define USERNS_MAPPED \
	"\"usernsOptions\":{\"uids\":" IDS("0", "65536", "65536") ",\"gids\":" IDS("0", "65536", "65536") "}"
#define USERNS(options) NAMESPACES("\"usernsOptions\":{" options "}")
#define IDS(from, to, length) "[{\"containerId\":" from ",\"hostId\":" to ",\"length\":" length "}]"

struct world {
	struct config *config;
	struct arena *arena;
};

static int setup(void **state)
{
	struct world *world = xnew(struct world);

	world->config = config_defaults();
	world->arena = arena_new(0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	config_unref(world->config);
	arena_free(world->arena);
	free(world);
	return 0;
}

static Cri__RunPodSandboxRequest *request_of(const struct world *world, const char *text)
{
	CLEANUP(json_decrefp) json_t *json = NULL;
	ProtobufCMessage *message = NULL;
	struct err err = { 0 };

	assert_ok(json_parse(text, strlen(text), 1 << 24, &json, &err));
	assert_ok(message_from_json(&cri__run_pod_sandbox_request__descriptor, json, MESSAGE_JSON_STRICT,
				    world->arena, &message, &err));
	return (Cri__RunPodSandboxRequest *)message;
}

static void refuse(const struct world *world, const char *text, enum rpc_code code, const char *part)
{
	Cri__RunPodSandboxRequest *request = request_of(world, text);
	struct err err = { 0 };

	if (pod_check(request, world->config, &err) == 0)
		fail_msg("not refused: %.300s", text);
	if (err.code != code || !strstr(err.text, part))
		fail_msg("%s: %s, expected %s with \"%s\": %.300s", rpc_code_name(err.code), err.text,
			 rpc_code_name(code), part, text);
}

static void allow(const struct world *world, const char *text)
{
	Cri__RunPodSandboxRequest *request = request_of(world, text);
	struct err err = { 0 };

	if (pod_check(request, world->config, &err) < 0)
		fail_msg("refused: %s: %.300s", err.text, text);
}

struct row {
	const char *request, *part; /* what the answer tells */
};

static void refuse_all(const struct world *world, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		refuse(world, rows[i].request, RPC_INVALID_ARGUMENT, rows[i].part);
}

static void test_good(void **state)
{
	allow(*state, "{\"config\":{" META "}}");
	allow(*state, "{\"runtimeHandler\":\"runc\",\"config\":{" META "}}");
	allow(*state,
	      POD("\"hostname\":\"web-0.example\",\"logDirectory\":\"/var/log/pods/a_b_c\","
		  "\"dnsConfig\":{\"servers\":[\"10.0.0.10\",\"fd00::a\"],\"searches\":[\"svc.local\"],"
		  "\"options\":[\"ndots:5\"]},"
		  "\"portMappings\":[{\"containerPort\":80},{\"containerPort\":80,\"hostPort\":8080},"
		  "{\"protocol\":\"UDP\",\"containerPort\":80,\"hostPort\":8080},"
		  "{\"containerPort\":80,\"hostPort\":8080,\"hostIp\":\"127.0.0.1\"}],"
		  "\"linux\":{\"cgroupParent\":\"/kubepods/burstable/pod1\"}"));
	allow(*state, NAMESPACES("\"network\":\"NODE\",\"ipc\":\"NODE\",\"pid\":\"CONTAINER\""));
	allow(*state, USERNS("\"mode\":\"NODE\""));
}

static void test_metadata(void **state)
{
	static const struct row rows[] = {
		{ "{}", "config is missing" },
		{ "{\"config\":{}}", "metadata is missing" },
		{ "{\"config\":{\"metadata\":{\"uid\":\"u\",\"namespace\":\"n\"}}}", "name is empty" },
		{ "{\"config\":{\"metadata\":{\"name\":\"w\",\"namespace\":\"n\"}}}", "uid is empty" },
		{ "{\"config\":{\"metadata\":{\"name\":\"w\",\"uid\":\"u\"}}}", "namespace is empty" },
		{ "{\"config\":{\"metadata\":{\"name\":\"w\\n\",\"uid\":\"u\",\"namespace\":\"n\"}}}",
		  "printable" },
		{ "{\"config\":{\"metadata\":{\"name\":\"w;IP=10.0.0.1\",\"uid\":\"u\",\"namespace\":\"n\"}}}",
		  "';'" },
		{ "{\"config\":{\"metadata\":{\"name\":\"w\",\"uid\":\"u\",\"namespace\":\"a=b\"}}}", "'='" },
	};
	CLEANUP(freep) char *part = xcalloc(1, METADATA_PART_MAX + 2);

	refuse_all(*state, rows, ARRAY_LEN(rows));
	memset(part, 'a', METADATA_PART_MAX + 1);
	CLEANUP(freep)
	char *longer = xasprintf(
		"{\"config\":{\"metadata\":{\"name\":\"%s\",\"uid\":\"u\",\"namespace\":\"n\"}}}", part);
	refuse(*state, longer, RPC_INVALID_ARGUMENT, "longer than");
	part[METADATA_PART_MAX] = '\0';
	CLEANUP(freep)
	char *longest = xasprintf(
		"{\"config\":{\"metadata\":{\"name\":\"w\",\"uid\":\"u\",\"namespace\":\"%s\"}}}", part);
	allow(*state, longest);
}

static void test_handler(void **state)
{
	static const struct row rows[] = {
		{ "{\"runtimeHandler\":\"kata\",\"config\":{" META "}}", "\"kata\"" },
		{ "{\"runtimeHandler\":\"../crun\",\"config\":{" META "}}", "../crun" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
}

static void test_hostname(void **state)
{
	static const struct row rows[] = {
		{ POD("\"hostname\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""),
		  "hostname" }, /* 65 bytes */
		{ POD("\"hostname\":\"a/b\""), "hostname" },
		{ POD("\"hostname\":\"a\\nb\""), "hostname" },
		{ POD("\"hostname\":\"a b\""), "hostname" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
	allow(*state,
	      POD("\"hostname\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""));
}

static void test_dns(void **state)
{
	static const struct row rows[] = {
		{ POD("\"dnsConfig\":{\"servers\":[\"10.0.0.1\\nnameserver 6.6.6.6\"]}"), "server" },
		{ POD("\"dnsConfig\":{\"servers\":[\"dns.example\"]}"), "server" },
		{ POD("\"dnsConfig\":{\"searches\":[\"a\\noptions debug\"]}"), "search" },
		{ POD("\"dnsConfig\":{\"searches\":[\"a b\"]}"), "search" },
		{ POD("\"dnsConfig\":{\"searches\":[\"\"]}"), "search" },
		{ POD("\"dnsConfig\":{\"options\":[\"ndots:5\\n\"]}"), "option" },
	};
	struct str many = STR_INIT;

	refuse_all(*state, rows, ARRAY_LEN(rows));
	str_add(&many, "{\"config\":{" META ",\"dnsConfig\":{\"searches\":[\"a\"");
	for (int i = 0; i < 100000; i++)
		str_add(&many, ",\"abcdefghij\"");
	str_add(&many, "]}}}");
	refuse(*state, str_get(&many), RPC_INVALID_ARGUMENT, "more than");
	str_done(&many);
}

#define BANDWIDTH(which, value) POD("\"annotations\":{\"kubernetes.io/" which "-bandwidth\":\"" value "\"}")

static void test_bandwidth(void **state)
{
	static const struct row rows[] = {
		{ BANDWIDTH("ingress", ""), "kubernetes.io/ingress-bandwidth" },
		{ BANDWIDTH("egress", "fast"), "kubernetes.io/egress-bandwidth: \"fast\" is no quantity" },
		{ BANDWIDTH("ingress", "999"), "unreasonably small" },
		{ BANDWIDTH("egress", "2P"), "unreasonably large" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
	allow(*state, BANDWIDTH("ingress", "10M"));
	allow(*state, BANDWIDTH("egress", "1Gi"));
}

static void test_ports(void **state)
{
	static const struct row rows[] = {
		{ POD("\"portMappings\":[{\"containerPort\":-1}]"), "out of range" },
		{ POD("\"portMappings\":[{\"containerPort\":65536}]"), "out of range" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"hostPort\":-1}]"), "out of range" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"hostPort\":70000}]"), "out of range" },
		{ POD("\"portMappings\":[{\"hostPort\":80}]"), "no container port" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"protocol\":7}]"), "protocol" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"hostIp\":\"host\"}]"), "host IP" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"hostIp\":\"1.2.3.4\\n\"}]"), "host IP" },
		{ POD("\"portMappings\":[{\"containerPort\":80,\"hostPort\":8080},"
		      "{\"containerPort\":81,\"hostPort\":8080}]"),
		  "mapped twice" },
	};
	struct str many = STR_INIT;

	refuse_all(*state, rows, ARRAY_LEN(rows));
	str_add(&many, "{\"config\":{" META ",\"portMappings\":[{}");
	for (int i = 0; i < PORTS_MAX; i++)
		str_add(&many, ",{}");
	str_add(&many, "]}}");
	refuse(*state, str_get(&many), RPC_INVALID_ARGUMENT, "more than");
	str_done(&many);
}

static void test_paths(void **state)
{
	static const struct row rows[] = {
		{ POD("\"logDirectory\":\"var/log\""), "log_directory" },
		{ POD("\"logDirectory\":\"/var/log/../../etc\""), "log_directory" },
		{ POD("\"logDirectory\":\"/var/./log\""), "log_directory" },
		{ POD("\"logDirectory\":\"/var/log\\n\""), "log_directory" },
		{ POD("\"linux\":{\"cgroupParent\":\"../..\"}"), "cgroup_parent" },
		{ POD("\"linux\":{\"cgroupParent\":\"/a/../b\"}"), "cgroup_parent" },
		{ POD("\"linux\":{\"cgroupParent\":\"/a//b\"}"), "cgroup_parent" },
		{ POD("\"linux\":{\"cgroupParent\":\"kubepods-burstable.slice\"}"), "slice" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
}

static int check_host(const struct world *world, const char *text, struct err *err)
{
	return pod_check_host(request_of(world, text)->config, err);
}

#define HOST_IP(ip) POD("\"portMappings\":[{\"containerPort\":80,\"hostPort\":8080,\"hostIp\":\"" ip "\"}]")

/* An address of documentation blocks (RFC 5737, RFC 3849) is nobody's. */
static void test_host(void **state)
{
	static const char *const good[] = {
		POD("\"hostname\":\"a\""),
		HOST_IP(""),
		HOST_IP("0.0.0.0"),
		HOST_IP("::"),
		HOST_IP("127.0.0.1"),
		HOST_IP("127.9.9.9"),
		POD("\"portMappings\":[{\"containerPort\":80,\"hostIp\":\"192.0.2.7\"}]"),
		POD("\"logDirectory\":\"/var/log/pods/x\""),
	};
	static const char *const bad[] = { HOST_IP("192.0.2.7"), HOST_IP("2001:db8::7"), HOST_IP("224.0.0.1"),
					   HOST_IP("::ffff:192.0.2.7"), POD("\"logDirectory\":\"/dev/fd\"") };
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (check_host(*state, good[i], &err) < 0)
			fail_msg("%s: %s", good[i], err.text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(check_host(*state, bad[i], &err), -1);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	}
}

static void test_namespaces(void **state)
{
	static const struct row rows[] = {
		{ NAMESPACES("\"network\":\"CONTAINER\""), "network" },
		{ NAMESPACES("\"network\":\"TARGET\""), "network" },
		{ NAMESPACES("\"ipc\":\"CONTAINER\""), "IPC" },
		{ NAMESPACES("\"pid\":\"TARGET\""), "PID" },
		{ NAMESPACES("\"pid\":99"), "PID" },
		{ POD("\"linux\":{\"securityContext\":{\"runAsGroup\":{\"value\":\"5\"}}}"), "run_as_user" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
}

static void test_user_namespaces(void **state)
{
	static const struct row rows[] = {
		{ USERNS("\"mode\":\"CONTAINER\""), "user namespace" },
		{ USERNS("\"mode\":\"TARGET\""), "user namespace" },
		{ USERNS("\"mode\":\"POD\""), "exactly one" },
		{ USERNS("\"uids\":[{\"length\":1},{\"length\":1}],\"gids\":[{\"length\":1}]"),
		  "exactly one" },
		{ USERNS("\"uids\":" IDS("0", "65536", "0") ",\"gids\":" IDS("0", "65536", "1")),
		  "length 0" },
		{ USERNS("\"uids\":" IDS("0", "65536", "1") ",\"gids\":" IDS("0", "4294967295", "2")),
		  "range" },
		{ USERNS("\"uids\":" IDS("4294967295", "0", "2") ",\"gids\":" IDS("0", "0", "1")), "range" },
		{ USERNS("\"mode\":\"NODE\",\"uids\":" IDS("0", "65536", "65536")), "no mappings" },
		{ NAMESPACES("\"ipc\":\"NODE\"," USERNS_MAPPED), "host's IPC or PID" },
		{ NAMESPACES("\"pid\":\"NODE\"," USERNS_MAPPED), "host's IPC or PID" },
	};

	refuse_all(*state, rows, ARRAY_LEN(rows));
}

static int sysctls_of(const struct world *world, const char *text, unsigned int namespaces,
		      struct pod_sysctls *ret, struct err *err)
{
	const Cri__RunPodSandboxRequest *request = request_of(world, text);

	return pod_sysctls(request->config, world->config, namespaces, world->arena, ret, err);
}

static void test_sysctls(void **state)
{
	static const char *const bad[] = {
		"\"kernel.shm_rmid_forced\":\"1+kernel.core_pattern=x\"",
		"\"kernel.shm_rmid_forced\":\"1=2\"",
		"\"net.ipv4.ip_forward\":\"1\\n\"",
		"\"net.ipv4.ip forward\":\"1\"",
		"\"net..ipv4\":\"1\"",
		"\"net/../kernel/core_pattern\":\"x\"",
		"\"kernel.core_pattern\":\"x\"",
		"\"vm.swappiness\":\"1\"",
		"\"\":\"1\"",
	};
	struct pod_sysctls sysctls;
	struct err err = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(freep)
		char *text = xasprintf("{\"config\":{" META ",\"linux\":{\"sysctls\":{%s}}}}", bad[i]);
		if (sysctls_of(*state, text, ~0U, &sysctls, &err) == 0)
			fail_msg("not refused: %s", bad[i]);
		assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
		/* Nor is it let through by the namespace being the host's. */
		assert_fails(sysctls_of(*state, text, 0, &sysctls, &err), RPC_INVALID_ARGUMENT);
	}
	assert_ok(sysctls_of(*state, "{\"config\":{" META "}}", ~0U, &sysctls, &err));
	assert_int_equal(sysctls.len, 0);
}

static void test_host_sysctls_are_skipped(void **state)
{
	static const char text[] = POD("\"linux\":{\"sysctls\":{\"net.ipv4.ip_forward\":\"1\","
				       "\"kernel.shm_rmid_forced\":\"1\",\"fs.mqueue.msg_max\":\"100\"}}");
	struct pod_sysctls sysctls;
	struct err err = { 0 };

	assert_ok(sysctls_of(*state, text, NAMESPACE_NET | NAMESPACE_IPC, &sysctls, &err));
	assert_int_equal(sysctls.len, 3);
	assert_ok(sysctls_of(*state, text, NAMESPACE_NET, &sysctls, &err));
	assert_int_equal(sysctls.len, 1);
	assert_string_equal(sysctls.items[0].key, "net.ipv4.ip_forward");
	assert_ok(sysctls_of(*state, text, NAMESPACE_IPC, &sysctls, &err));
	assert_int_equal(sysctls.len, 2);
	assert_ok(sysctls_of(*state, text, 0, &sysctls, &err));
	assert_int_equal(sysctls.len, 0);
}

static void test_default_sysctls(void **state)
{
	const struct config_paths paths = {
		.file = "/nonexistent/crisp.toml",
		.dropins = "/nonexistent/crisp.toml.d",
		.overrides =
			"[crisp.runtime]\n"
			"default_sysctls = [\"net.ipv4.ping_group_range=0 0\", \"net.ipv4.ip_forward=0\"]\n",
	};
	struct world world = *(struct world *)*state;
	struct pod_sysctls sysctls;
	struct err err = { 0 };

	assert_ok(config_load(&paths, &world.config, &err));
	assert_ok(sysctls_of(&world, POD("\"linux\":{\"sysctls\":{\"net.ipv4.ip_forward\":\"1\"}}"),
			     NAMESPACE_NET, &sysctls, &err));
	assert_int_equal(sysctls.len, 2);
	assert_string_equal(sysctls.items[0].key, "net.ipv4.ping_group_range");
	assert_string_equal(sysctls.items[0].value, "0 0");
	assert_string_equal(sysctls.items[1].value, "1"); /* the pod's own word counts */
	config_unref(world.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_handler),
		cmocka_unit_test(test_hostname),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_user_namespaces),
		cmocka_unit_test(test_sysctls),
		cmocka_unit_test(test_host_sysctls_are_skipped),
		cmocka_unit_test(test_default_sysctls),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
