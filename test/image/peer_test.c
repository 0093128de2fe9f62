/* How a peer is reached: proxies of the environment, and addresses that nobody may send us to. */
#include "test/image/registry_scene.h"

#include <dlfcn.h>
#include <net/if.h>
#include <netdb.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static void connect_to(struct scene *scene, const char *host, bool insecure)
{
	const struct registry_endpoint endpoint = { host, "team/app", insecure, false };
	struct credentials none = { 0 };

	registry_conn_free(scene->conn);
	registry_repo_free(scene->repo);
	scene->repo = registry_repo_new(scene->registry, &endpoint, &none, NULL);
	scene->conn = registry_conn_new(scene->repo);
}

/* Plays a proxy: refuses tunnels, answers for http://registry.test/. */
static void play_proxy(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	if (str_eq(request->method, "CONNECT"))
		fake_reply_text(request, 403, "", "");
	else if (str_eq(request->path, "http://registry.test/v2/team/app/manifests/v1"))
		fake_reply_text(request, 200, "Content-Type: " FAKE_MANIFEST "\r\n", "{\"a\":1}");
	else
		*handled = false;
}

static void set_proxy(struct scene *scene, const char *variable)
{
	static const char *const all[] = { "http_proxy", "HTTP_PROXY", "https_proxy", "no_proxy",
					   "NO_PROXY" };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		unsetenv(all[i]);
	if (variable) {
		CLEANUP(freep) char *url = xasprintf("http://%s", fake_server_host(scene->server));

		setenv(variable, url, 1);
	}
}

static void test_http_proxy(void **state)
{
	static const char *const variables[] = { "http_proxy", "HTTP_PROXY" };
	struct scene *scene = *state;

	fake_content_fault(&scene->content, play_proxy);
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		struct err err = { 0 };

		set_proxy(scene, variables[i]);
		connect_to(scene, "registry.test", true);
		assert_ok(get_manifest(scene, &err));
		assert_int_equal(asked(scene, "GET http://registry.test/v2/team/app/manifests/v1 "), i + 1);
	}
	set_proxy(scene, NULL);
}

/* A tunnel that the proxy refuses is a registry that can't be reached; it is asked for once, and the name is
 * resolved by the proxy. */
static void test_https_proxy(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, play_proxy);
	set_proxy(scene, "https_proxy");
	connect_to(scene, "registry.test:5000", false);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "registry.test:5000");
	assert_int_equal(asked(scene, "CONNECT registry.test:5000 "), 1);
	set_proxy(scene, NULL);
}

/* What is wrong with a proxy's address is told without its password. */
static void test_proxy_secret(void **state)
{
	static const char *const proxies[] = { "http://me:secretpart@proxy.test:8080",
					       "http://me:secretpart@proxy.test:port",
					       "me:secretpart@[::zz]:1", "odd://me:secretpart@proxy.test",
					       "http://me:secretpart@" };
	struct scene *scene = *state;

	set_proxy(scene, NULL);
	for (size_t i = 0; i < ARRAY_LEN(proxies); i++) {
		struct err err = { 0 };

		setenv("https_proxy", proxies[i], 1);
		connect_to(scene, "registry.test:5000", false);
		assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
		assert_contains(err.text, "registry.test:5000: ");
		assert_null(strstr(err.text, "secretpart"));
	}
	set_proxy(scene, NULL);
}

static void test_no_proxy(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, play_proxy);
	set_proxy(scene, "http_proxy");
	setenv("no_proxy", ".test", 1);
	connect_to(scene, "registry.test", true);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE); /* there is no such host */
	assert_int_equal(asked(scene, "GET"), 0);
	set_proxy(scene, "http_proxy");
	connect_to(scene, fake_server_host(scene->server), true); /* loopback needs no exemption */
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "GET http:"), 0);
	set_proxy(scene, NULL);
}

static const char *const targets[] = { "http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/",
				       "http://[::ffff:169.254.169.254]/", "http://2852039166/" };

static void redirect(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep) char *location = xasprintf("Location: %s\r\n", targets[scene->seen]);

	*handled = true;
	fake_reply_text(request, 302, location, "");
}

/* Fault 35. */
static void test_redirect_to_metadata(void **state)
{
	struct scene *scene = *state;

	fake_content_fault(&scene->content, redirect);
	for (scene->seen = 0; scene->seen < (int)ARRAY_LEN(targets); scene->seen++) {
		struct err err = { 0 };

		assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
		assert_contains(err.text, "link-local");
		assert_contains(err.text, fake_server_host(scene->server));
	}
	assert_int_equal(asked(scene, "GET"), ARRAY_LEN(targets)); /* and none is tried again */
}

/* libcurl's, too: this program's symbols come first. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(str_eq(node, "innocent.test") ? "169.254.169.254" : node, service, hints, ret);
}

static void redirect_to_name(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 302, "Location: http://innocent.test/latest/meta-data/\r\n", "");
}

/* A name is as good as the address behind it, but the registry itself may be where it likes. */
static void test_name_of_metadata(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	set_proxy(scene, NULL);
	fake_content_fault(&scene->content, redirect_to_name);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "link-local");
	connect_to(scene, "innocent.test", true);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE); /* there is no such route */
	assert_null(strstr(err.text, "link-local"));
}

static void challenge(struct fake_request *request, void *data UNUSED, bool *handled)
{
	*handled = true;
	fake_reply_text(request, 401, "WWW-Authenticate: Bearer realm=\"http://169.254.169.254/token\"\r\n",
			"");
}

static void test_realm_of_metadata(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	fake_content_fault(&scene->content, challenge);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "link-local");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_setup, registry_teardown)

/* No request of these tests may leave the machine, whatever goes wrong: a network of loopback alone. */
static void enter_own_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET) < 0) {
		puts("no network namespace of its own: skipped");
		exit(0);
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		abort();
	close(fd);
}

int main(void)
{
	enter_own_network();
	const struct CMUnitTest tests[] = {
		TEST(test_http_proxy),        TEST(test_https_proxy),          TEST(test_proxy_secret),
		TEST(test_no_proxy),          TEST(test_redirect_to_metadata), TEST(test_name_of_metadata),
		TEST(test_realm_of_metadata),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
