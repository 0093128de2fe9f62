/* Over TLS: whom we trust, what we show to whom, what may not follow in plain HTTP. */
#include "test/image/registry_scene.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "test/image/fake_ca.h"

struct tls_scene {
	struct scene *scene;
	struct scratch scratch;
	struct fake_ca *ca;
};

/* Paths of the scratch directory; the scene of one test at a time. */
static struct tls_scene tls;

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", tls.scratch.path, name);
}

/* A server with a certificate of our CA. */
static struct fake_server *serve(struct fake_content *content, struct fake_tls options)
{
	CLEANUP(freep) char *cert = path_of("server.pem");
	CLEANUP(freep) char *key = path_of("server-key.pem");
	CLEANUP(freep) char *ca = path_of("ca.pem");

	options.cert = cert;
	options.key = key;
	if (options.client_ca)
		options.client_ca = ca;
	return fake_server_new_tls(fake_content_handle, content, &options);
}

static void use_certs(void)
{
	CLEANUP(freep) char *missing = path_of("nowhere");
	CLEANUP(freep) char *dir = path_of("certs.d");
	const char *const dirs[] = { missing, dir, NULL };
	const struct registry_options options = { .connect_timeout = 5 * NS_PER_SEC,
						  .progress_timeout = 5 * NS_PER_SEC,
						  .retry_pause = NS_PER_MS,
						  .certs_dirs = dirs };

	assert_int_equal(mkdirat(tls.scratch.dir, "certs.d", 0755), 0);
	registry_configure(tls.scene->registry, &options);
}

static void serve_with(struct fake_tls options)
{
	fake_server_free(tls.scene->server);
	tls.scene->server = serve(&tls.scene->content, options);
	connect_repo(tls.scene, NULL, false);
}

static int setup(void **state)
{
	registry_setup((void **)&tls.scene);
	scratch_init(&tls.scratch);
	tls.ca = fake_ca_new("test CA");
	CLEANUP(freep) char *ca = path_of("ca.pem");
	CLEANUP(freep) char *cert = path_of("server.pem");
	CLEANUP(freep) char *key = path_of("server-key.pem");

	fake_ca_write(tls.ca, ca);
	fake_ca_issue(tls.ca, "server", cert, key);
	use_certs();
	serve_with((struct fake_tls){ 0 });
	*state = tls.scene;
	return 0;
}

static int teardown(void **state)
{
	registry_teardown(state);
	fake_ca_free(tls.ca);
	scratch_done(&tls.scratch);
	return 0;
}

/* certs.d/HOST/name of a server; malloc'd. */
static char *certs_path(const struct fake_server *server, const char *name)
{
	CLEANUP(freep) char *dir = xasprintf("certs.d/%s", fake_server_host(server));

	mkdirat(tls.scratch.dir, dir, 0755);
	return xasprintf("%s/%s/%s", tls.scratch.path, dir, name);
}

static void trust(const struct fake_server *server)
{
	CLEANUP(freep) char *path = certs_path(server, "ca.crt");

	fake_ca_write(tls.ca, path);
}

static void show_certificate(const struct fake_server *server)
{
	CLEANUP(freep) char *cert = certs_path(server, "client.cert");
	CLEANUP(freep) char *key = certs_path(server, "client.key");

	fake_ca_issue(tls.ca, "node-7", cert, key);
}

static void test_private_ca(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, fake_server_host(scene->server));
	assert_contains(err.text, "certificate");
	assert_int_equal(asked(scene, "GET"), 0);
	trust(scene->server);
	connect_repo(scene, NULL, false);
	assert_ok(get_manifest(scene, &err));
	assert_ok(get_blob(scene, &err));
	assert_true(asked(scene, "alpn h2 http/1.1") > 0); /* HTTP/2 is offered, HTTP/1.1 is fine */
}

/* The certificate of somebody else whom our CA knows. */
static void test_other_name(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *cert = path_of("server.pem");
	CLEANUP(freep) char *key = path_of("server-key.pem");
	struct err err = { 0 };

	fake_ca_issue(tls.ca, "stranger", cert, key);
	serve_with((struct fake_tls){ 0 });
	trust(scene->server);
	connect_repo(scene, NULL, false);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "certificate");
	assert_int_equal(asked(scene, "GET"), 0);
}

/* The CA of one registry says nothing about another. */
static void test_ca_is_of_one_registry(void **state)
{
	struct scene *scene = *state;
	struct fake_server *neighbour = serve(&scene->content, (struct fake_tls){ 0 });
	struct err err = { 0 };

	trust(neighbour);
	connect_repo(scene, NULL, false);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	fake_server_free(neighbour);
}

static void test_client_certificate(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	serve_with((struct fake_tls){ .client_ca = "" });
	trust(scene->server);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 0);
	show_certificate(scene->server);
	connect_repo(scene, NULL, false);
	assert_ok(get_manifest(scene, &err));
	assert_int_equal(asked(scene, "client=node-7"), 1);
}

static void test_broken_material(void **state)
{
	struct scene *scene = *state;
	CLEANUP(freep) char *ca = certs_path(scene->server, "ca.crt");
	CLEANUP(freep) char *cert = certs_path(scene->server, "x.cert");
	CLEANUP(freep) char *key = certs_path(scene->server, "x.key");
	CLEANUP(freep) char *gone = certs_path(scene->server, "gone.crt");
	struct err err = { 0 };

	put_file(AT_FDCWD, ca, "nothing");
	assert_fails(get_manifest(scene, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "ca.crt: no certificate in it");
	fake_ca_write(tls.ca, ca);
	put_file(AT_FDCWD, cert, "x");
	assert_fails(get_manifest(scene, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "without its x.key");
	assert_int_equal(rename(cert, key), 0);
	assert_fails(get_manifest(scene, &err), RPC_FAILED_PRECONDITION);
	assert_contains(err.text, "without its certificate");
	assert_int_equal(unlink(key), 0);
	assert_int_equal(symlink("/nowhere", gone), 0);
	assert_ok(get_manifest(scene, &err));
}

static void send_elsewhere(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep)
	char *location = xasprintf("Location: %s://%s/elsewhere\r\n", scene->seen ? "http" : "https",
				   fake_server_host(scene->other));

	*handled = strstr(request->path, "/blobs/") != NULL;
	if (*handled)
		fake_reply_text(request, 307, location, "");
}

/* Where a registry sends us its CA is trusted, but neither certificate nor token goes along. */
static void test_redirect(void **state)
{
	const struct image_auth auth = { .registry_token = "t0k3n" };
	struct scene *scene = *state;
	struct err err = { 0 };

	serve_with((struct fake_tls){ .client_ca = "", .client_optional = true });
	fake_server_free(scene->other);
	scene->other =
		serve(&scene->other_content, (struct fake_tls){ .client_ca = "", .client_optional = true });
	trust(scene->server);
	show_certificate(scene->server);
	fake_content_fault(&scene->content, send_elsewhere);
	connect_repo(scene, &auth, false);
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "auth=Bearer t0k3n range= body= client=node-7"), 1);
	assert_int_equal(fake_server_count(scene->other, "GET /elsewhere auth= range= body= client="), 1);
	assert_int_equal(fake_server_count(scene->other, "client=node-7"), 0);
}

/* Fault 35. */
static void test_no_downgrade(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	trust(scene->server);
	scene->seen = 1;
	fake_content_fault(&scene->content, send_elsewhere);
	assert_fails(get_blob(scene, &err), RPC_UNAVAILABLE);
	assert_contains(err.text, "redirect from https to http");
	assert_int_equal(fake_server_count(scene->other, "GET"), 0);
	assert_int_equal(asked(scene, "GET"), 1);
}

/* An insecure registry may send us to plain HTTP, but the token stays behind: the scheme is part of an
 * origin. */
static void test_insecure_downgrade(void **state)
{
	const struct image_auth auth = { .registry_token = "t0k3n" };
	struct scene *scene = *state;
	struct err err = { 0 };

	scene->seen = 1;
	fake_content_fault(&scene->content, send_elsewhere);
	connect_repo(scene, &auth, true);
	assert_ok(get_blob(scene, &err));
	assert_int_equal(asked(scene, "auth=Bearer t0k3n"), 1);
	assert_int_equal(fake_server_count(scene->other, "GET /elsewhere auth= "), 1);
}

static void ask_for_token(struct fake_request *request, void *data, bool *handled)
{
	struct scene *scene = data;
	CLEANUP(freep)
	char *challenge = xasprintf("WWW-Authenticate: Bearer realm=\"http://%s/token\"\r\n",
				    fake_server_host(scene->other));

	*handled = true;
	fake_reply_text(request, 401, challenge, "");
}

/* CVE-2019-10214: the token server is no worse protected than the registry. */
static void test_realm_downgrade(void **state)
{
	const struct image_auth auth = { .username = "me", .password = "pw" };
	struct scene *scene = *state;
	struct err err = { 0 };

	trust(scene->server);
	fake_content_fault(&scene->content, ask_for_token);
	connect_repo(scene, &auth, false);
	assert_fails(get_manifest(scene, &err), RPC_UNAUTHENTICATED);
	assert_contains(err.text, "is not https");
	assert_int_equal(fake_server_count(scene->other, "GET"), 0);
}

static void test_insecure(void **state)
{
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_repo(scene, NULL, true);
	assert_ok(get_manifest(scene, &err));
}

/* Who breaks TLS of an insecure registry in mid pull does not get the token in clear. */
static void test_no_plain_after_tls(void **state)
{
	const struct image_auth auth = { .registry_token = "t0k3n" };
	struct scene *scene = *state;
	struct err err = { 0 };

	connect_repo(scene, &auth, true);
	assert_ok(get_manifest(scene, &err));
	registry_conn_free(scene->conn);
	scene->conn = registry_conn_new(scene->repo);
	fake_server_forget_tls(scene->server);
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_int_equal(asked(scene, "GET"), 1);
	connect_repo(scene, &auth, true); /* another pull may find a registry without TLS */
	assert_ok(get_manifest(scene, &err));
}

/* Fault 32: a handshake that never ends. */
static void test_slow_handshake(void **state)
{
	static const struct registry_options options = { .connect_timeout = 200 * NS_PER_MS,
							 .progress_timeout = 5 * NS_PER_SEC,
							 .retry_pause = NS_PER_MS };
	struct scene *scene = *state;
	int64_t start = clock_mono();
	struct err err = { 0 };

	registry_configure(scene->registry, &options);
	serve_with((struct fake_tls){ .slow = true });
	assert_fails(get_manifest(scene, &err), RPC_UNAVAILABLE);
	assert_between((clock_mono() - start) / NS_PER_MS, 190, 4500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_private_ca),
		TEST(test_other_name),
		TEST(test_ca_is_of_one_registry),
		TEST(test_client_certificate),
		TEST(test_broken_material),
		TEST(test_redirect),
		TEST(test_no_downgrade),
		TEST(test_insecure_downgrade),
		TEST(test_realm_downgrade),
		TEST(test_insecure),
		TEST(test_no_plain_after_tls),
		TEST(test_slow_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
