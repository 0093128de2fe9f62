/*
 * A pod on the real bridge, host-local and portmap plugins, in network and mount namespaces of the test's
 * own: reachable while attached, and afterwards nothing is left: no address, no interface, no rule, no cache
 * entry.
 */
#include "test/cni/fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/spawn.h"
#include "cni/masquerade.h"
#include "cni/network.h"

#define PLUGINS "/usr/lib/cni"

static struct fake fake;
static char *netns;
static struct network *the_network;
static struct loop *loop; /* does not run: the configuration is there when the network is opened */

static char *run(const char *script)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct command command = {
		.path = "sh", .argv = argv, .stdout_max = 1 << 20, .stderr_max = 4096
	};
	CLEANUP(command_result_done) struct command_result result = { 0 };
	struct err err;

	assert_int_equal(command_run(&command, NULL, &result, &err), 0);
	if (!result.exited || result.status)
		fail_msg("%s: %s", script, str_get(&result.err_out));
	return str_take(&result.out);
}

static const struct config *load_config(void)
{
	CLEANUP(freep)
	char *toml = xasprintf("[crisp]\nroot = \"%s/root\"\nrunroot = \"%s/run\"\n[crisp.network]\n"
			       "network_dir = \"%s\"\nplugin_dirs = [\"" PLUGINS "\"]\n",
			       fake.root, fake.root, fake.net);
	CLEANUP(freep) char *path = xasprintf("%s/crisp.toml", fake.root);
	const struct config_paths paths = { .file = path, .dropins = "/no/such/folder", .file_needed = true };
	struct config *config = NULL;
	struct err err;

	fake_write(fake.root, "crisp.toml", toml, 0644);
	if (config_load(&paths, &config, &err) < 0)
		fail_msg("%s", err.text);
	return config;
}

static struct network *open_network(void)
{
	const struct config *config = load_config();
	struct err err;

	struct network *network = network_open(config, loop, &err);
	config_unref(config);
	if (!network)
		fail_msg("%s", err.text);
	return network;
}

static void write_network(void)
{
	CLEANUP(freep)
	char *text = xasprintf(
		"{\"cniVersion\":\"1.0.0\",\"name\":\"pod-net\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":\"cni-test0\","
		"\"isGateway\":true,\"ipMasq\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/ipam\",\"ranges\":[[{\"subnet\":"
		"\"10.89.7.0/24\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}},{\"type\":\"portmap\",\"capabilities\":"
		"{\"portMappings\":true}}]}",
		fake.root);

	fake_write(fake.net, "10-pod-net.conflist", text, 0644);
}

/* Refused is reached: the pod's kernel answered. */
static void assert_reachable(const char *ip)
{
	CLEANUP(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	assert_int_equal(inet_pton(AF_INET, ip, &to.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static struct network_pod the_pod(void)
{
	static const struct network_port ports[] = { { "tcp", "", 80, 18080 } };

	return (struct network_pod){
		.id = FAKE_ID,
		.name = "web",
		.namespace = "default",
		.uid = "u",
		.netns = netns,
		.cgroup_parent = "",
		.ports = ports,
		.ports_len = 1,
	};
}

static size_t count(const char *rest)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", fake.root, rest);
	CLEANUP(strv_done) struct strv names = STRV_INIT;
	size_t leases = 0;
	struct err err;

	assert_int_equal(dir_list(AT_FDCWD, path, &names, &err), 0);
	for (size_t i = 0; i < names.len; i++)
		leases += strncmp(names.items[i], "l", 1) !=
			  0; /* host-local's lock and last_reserved_ip.0 stay */
	return leases;
}

static void assert_nothing_left(void)
{
	CLEANUP(freep) char *links = run("ip -o link show type veth");
	CLEANUP(freep) char *rules = run("iptables-save -t nat");

	assert_string_equal(links, "");
	assert_null(strstr(rules, "18080"));
	assert_null(strstr(rules, "10.89.7."));
	assert_int_equal(count("ipam/pod-net"), 0);
	assert_int_equal(count("root/cni/results"), 0);
}

static void test_pod(void **state UNUSED)
{
	struct network *network = the_network;
	struct network_pod pod = the_pod();
	CLEANUP(network_result_done) struct network_result result = { 0 };
	CLEANUP(freep) char *inside = xasprintf("nsenter --net=%s ip -o -4 addr show dev eth0", netns);
	struct err err;

	int64_t begin = clock_mono();
	if (network_attach(network, NULL, &pod, &result, &err) < 0)
		fail_msg("%s", err.text);
	int64_t attached = clock_mono();
	assert_int_equal(result.ips.len, 1);
	assert_true(str_has_prefix(result.ips.items[0], "10.89.7."));
	CLEANUP(freep) char *address = run(inside);
	assert_non_null(strstr(address, result.ips.items[0]));
	CLEANUP(freep) char *rules = run("iptables-save -t nat");
	assert_non_null(strstr(rules, "18080"));
	assert_reachable(result.ips.items[0]);
	int64_t before = clock_mono();
	if (network_detach(network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
	print_message("attach %.1f ms, detach %.1f ms\n", (double)(attached - begin) / NS_PER_MS,
		      (double)(clock_mono() - before) / NS_PER_MS);
	assert_nothing_left();
	assert_int_equal(network_detach(network, NULL, &pod, &err), 0);
}

/* Without ports: CHECK of portmap 1.1 looks for IPv6 rules that its ADD of an IPv4 pod never made. */
static void test_check(void **state UNUSED)
{
	struct network *network = the_network;
	struct network_pod pod = the_pod();
	CLEANUP(network_result_done) struct network_result result = { 0 };
	CLEANUP(freep) char *delete = xasprintf("nsenter --net=%s ip link del eth0", netns);
	struct err err;

	pod.ports_len = 0;
	assert_int_equal(network_attach(network, NULL, &pod, &result, &err), 0);
	if (network_check(network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
	free(run(delete));
	assert_int_equal(network_check(network, NULL, &pod, &err), -1);
	assert_non_null(strstr(err.text, "plugin bridge: CHECK: "));
	pod.netns = "";
	assert_int_equal(network_detach(network, NULL, &pod, &err), 0);
	assert_nothing_left();
}

/* As after a reboot or when the namespace was removed under us: the address and the ports are freed all the
 * same. */
static void test_detach_without_namespace(void **state UNUSED)
{
	struct network *network = the_network;
	struct network_pod pod = the_pod();
	CLEANUP(network_result_done) struct network_result result = { 0 };
	CLEANUP(freep) char *delete = xasprintf("nsenter --net=%s ip link del eth0", netns);
	struct err err;

	assert_int_equal(network_attach(network, NULL, &pod, &result, &err), 0);
	free(run(delete));
	pod.netns = "";
	if (network_detach(network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
	assert_nothing_left();
}

/* The next crispd's DEL finds no interface any more, as after one that was killed halfway. */
static void test_detach_after_half_a_detach(void **state UNUSED)
{
	struct network_pod pod = the_pod();
	CLEANUP(network_result_done) struct network_result result = { 0 };
	CLEANUP(freep) char *delete = xasprintf("nsenter --net=%s ip link del eth0", netns);
	struct err err;

	assert_int_equal(network_attach(the_network, NULL, &pod, &result, &err), 0);
	free(run(delete));
	network_free(the_network);
	the_network = open_network();
	if (network_detach(the_network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
	assert_nothing_left();
}

/* DEL fails in the middle: its tool refuses to remove the chain, which another rule leads to. */
static void test_detach_after_a_failed_detach(void **state UNUSED)
{
	struct network_pod pod = the_pod();
	CLEANUP(network_result_done) struct network_result result = { 0 };
	char chain[MASQUERADE_CHAIN_SIZE];
	struct err err;

	assert_int_equal(network_attach(the_network, NULL, &pod, &result, &err), 0);
	masquerade_chain("pod-net", pod.id, chain);
	CLEANUP(freep) char *hold = xasprintf("iptables -t nat -A POSTROUTING -s 192.0.2.1 -j %s", chain);
	CLEANUP(freep) char *let_go = xasprintf("iptables -t nat -D POSTROUTING -s 192.0.2.1 -j %s", chain);
	free(run(hold));
	assert_int_equal(network_detach(the_network, NULL, &pod, &err), -1);
	assert_int_equal(network_detach(the_network, NULL, &pod, &err), -1);
	assert_non_null(strstr(err.text, chain));
	free(run(let_go));
	if (network_detach(the_network, NULL, &pod, &err) < 0)
		fail_msg("%s", err.text);
	assert_nothing_left();
}

static void test_chain_name(void **state UNUSED)
{
	char chain[MASQUERADE_CHAIN_SIZE];

	masquerade_chain("crisp-it", "73a6b2fb9dd46895cf91265292b6c2b3f47d7886df0096b987ca9d27d75564c9",
			 chain);
	assert_string_equal(chain, "CNI-8674fed015af476691d0099d");
}

/* portmap refuses what bridge has made room for: all of it is taken back. */
static void test_failure_in_the_middle(void **state UNUSED)
{
	struct network *network = the_network;
	struct network_pod pod = the_pod();
	const struct network_port bad = { "no-such-protocol", "", 80, 18080 };
	CLEANUP(network_result_done) struct network_result result = { 0 };
	struct err err;

	pod.ports = &bad;
	assert_int_equal(network_attach(network, NULL, &pod, &result, &err), -1);
	assert_non_null(strstr(err.text, "plugin portmap: ADD: "));
	assert_nothing_left();
}

static int set_up(void **state UNUSED)
{
	CLEANUP(freep) char *make = xasprintf("touch %s && unshare --net=%s ip link set lo up", netns, netns);
	free(run(make));
	struct err err;

	write_network();
	loop = loop_new(&err);
	assert_non_null(loop);
	the_network = open_network();
	return 0;
}

static int tear_down(void **state UNUSED)
{
	network_free(the_network);
	loop_free(loop);
	umount2(netns, MNT_DETACH);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pod),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_detach_without_namespace),
		cmocka_unit_test(test_detach_after_half_a_detach),
		cmocka_unit_test(test_detach_after_a_failed_detach),
		cmocka_unit_test(test_chain_name),
		cmocka_unit_test(test_failure_in_the_middle),
	};

	if (geteuid() != 0 || access(PLUGINS "/bridge", X_OK) < 0) {
		print_message("needs root and the plugins in " PLUGINS "\n");
		return 0;
	}
	fake_open(&fake);
	netns = xasprintf("%s/netns", fake.root);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("set up");
		return 1;
	}
	assert_int_equal(mkdir(fake.net, 0755), 0);
	free(run("ip link set lo up"));
	int failed = cmocka_run_group_tests(tests, set_up, tear_down);
	fake_close(&fake);
	free(netns);
	return failed;
}
