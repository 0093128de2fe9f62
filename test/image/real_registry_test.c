/*
 * The client against the CNCF's registry over TLS with a CA of our own, HTTP/2 and a password from an auth
 * file: what no fake tells. Skipped where docker-registry is not installed.
 */
#include "test/base/check.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "image/keyring.h"
#include "image/registry.h"
#include "test/image/fake_ca.h"
#include "test/image/fake_image.h"

#define PROGRAM "/usr/bin/docker-registry"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true; /* keeps what is freed */
#else
static const bool sanitized = false;
#endif
enum { BLOB_SIZE = 48 * 1024 * 1024, GROWTH_MAX = 12 * 1024 * 1024 };

/* "me" and "pw", as htpasswd -B writes it. */
#define HTPASSWD "me:$2y$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q\n"

struct place {
	struct scratch scratch;
	struct fake_ca *ca;
	struct process process;
	char host[32];
	struct registry *registry;
	struct registry_repo *repo;
	struct registry_conn *conn;
	struct strv auth_files;
	struct descriptor blob;
	struct digest manifest;
	struct ctx ctx;
};

static char *path_of(const struct place *place, const char *name)
{
	return xasprintf("%s/%s", place->scratch.path, name);
}

/* Writes a file below the scratch directory, and the directories above it. */
static void put(const struct place *place, const char *name, const void *data, size_t len)
{
	CLEANUP(freep) char *dir = xstrndup(name, (size_t)(strrchr(name, '/') - name));
	struct err err = { 0 };
	int made = dir_make(place->scratch.dir, dir, 0755, &err);
	int fd = openat(place->scratch.dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(made >= 0 && fd >= 0);
	assert_int_equal(write_all(fd, data, len), 0);
	close(made);
	close(fd);
}

static void put_link(const struct place *place, const char *folder, const char *digest)
{
	CLEANUP(freep)
	char *name = xasprintf("data/docker/registry/v2/repositories/team/app/%s/link", folder);

	put(place, name, digest, strlen(digest));
}

/* A blob in the registry's own layout on disk; it is linked into the repository as `kind`. */
static void store(const struct place *place, const void *data, size_t len, const char *kind,
		  struct digest *ret)
{
	char hex[DIGEST_HEX_SIZE], text[DIGEST_TEXT_SIZE];

	digest_of(DIGEST_SHA256, data, len, ret);
	digest_hex(ret, hex);
	digest_text(ret, text);
	CLEANUP(freep) char *name = xasprintf("data/docker/registry/v2/blobs/sha256/%.2s/%s/data", hex, hex);
	CLEANUP(freep) char *folder = xasprintf("%s/sha256/%s", kind, hex);

	put(place, name, data, len);
	put_link(place, folder, text);
}

static void store_image(struct place *place)
{
	CLEANUP(freep) char *blob = xmalloc(BLOB_SIZE);
	CLEANUP(str_done) struct str manifest = STR_INIT;
	char text[DIGEST_TEXT_SIZE];
	struct digest config;

	for (size_t i = 0; i < BLOB_SIZE; i++)
		blob[i] = (char)(i * 2654435761u >> 13);
	store(place, blob, BLOB_SIZE, "_layers", &place->blob.digest);
	place->blob.size = BLOB_SIZE;
	store(place, "{}", 2, "_layers", &config);
	digest_text(&config, text);
	str_addf(&manifest,
		 "{\"schemaVersion\":2,\"mediaType\":\"" FAKE_MANIFEST "\",\"config\":{\"mediaType\":"
		 "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":2},\"layers\":[]}",
		 text);
	store(place, manifest.data, manifest.len, "_manifests/revisions", &place->manifest);
	digest_text(&place->manifest, text);
	put_link(place, "_manifests/tags/v1/current", text);
}

static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void start_server(struct place *place)
{
	CLEANUP(freep) char *config = path_of(place, "config.yml");
	CLEANUP(freep) char *log = path_of(place, "log");
	const char *dir = place->scratch.path;
	CLEANUP(freep)
	char *yaml =
		xasprintf("version: 0.1\nlog:\n  accesslog:\n    disabled: false\n"
			  "storage:\n  filesystem:\n    rootdirectory: %s/data\n"
			  "auth:\n  htpasswd:\n    realm: r\n    path: %s/htpasswd\n"
			  "http:\n  addr: %s\n  tls:\n    certificate: %s/cert.pem\n    key: %s/key.pem\n",
			  dir, dir, place->host, dir, dir);
	const char *const argv[] = { PROGRAM, "serve", config, NULL };
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	const struct command command = {
		.path = PROGRAM, .argv = argv, .fds = { { fd, 1 }, { fd, 2 } }, .fds_len = 2
	};
	struct err err = { 0 };

	assert_true(fd >= 0);
	put_file(place->scratch.dir, "config.yml", yaml);
	put_file(place->scratch.dir, "htpasswd", HTPASSWD);
	assert_ok(command_start(&command, &place->process, &err));
	close(fd);
}

static int find_credentials(void *data, const struct ctx *ctx, const char *host, const char *repository,
			    struct credentials *ret, struct err *err)
{
	struct place *place = data;
	const struct keyring keyring = { .files = &place->auth_files };

	return keyring_find(&keyring, ctx, host, repository, ret, err);
}

static void connect_repo(struct place *place)
{
	const struct registry_endpoint endpoint = { place->host, "team/app", false, false };
	const struct credentials_source source = { find_credentials, place };
	struct credentials none = { 0 };

	registry_conn_free(place->conn);
	registry_repo_free(place->repo);
	place->repo = registry_repo_new(place->registry, &endpoint, &none, &source);
	place->conn = registry_conn_new(place->repo);
}

static void set_up_client(struct place *place)
{
	CLEANUP(freep) char *certs = path_of(place, "certs.d");
	CLEANUP(freep) char *ca = xasprintf("certs.d/%s/ca.crt", place->host);
	CLEANUP(freep) char *ca_path = path_of(place, ca);
	CLEANUP(freep)
	char *auths = xasprintf("{\"auths\":{\"%s/team\":{\"auth\":\"bWU6cHc=\"}}}", place->host);
	const char *const dirs[] = { certs, NULL };
	const struct registry_options options = { .progress_timeout = 60 * NS_PER_SEC, .certs_dirs = dirs };

	put(place, ca, "", 0);
	fake_ca_write(place->ca, ca_path);
	put_file(place->scratch.dir, "auth.json", auths);
	strv_add_take(&place->auth_files, path_of(place, "auth.json"));
	place->registry = registry_new(&options);
	ctx_init(&place->ctx, clock_deadline_in(100 * NS_PER_SEC));
	connect_repo(place);
}

static int setup(void **state)
{
	struct place *place = xnew(struct place);

	signal(SIGPIPE, SIG_IGN);
	scratch_init(&place->scratch);
	CLEANUP(freep) char *cert = path_of(place, "cert.pem");
	CLEANUP(freep) char *key = path_of(place, "key.pem");

	place->ca = fake_ca_new("test CA");
	fake_ca_issue(place->ca, "registry", cert, key);
	snprintf(place->host, sizeof(place->host), "127.0.0.1:%d", free_port());
	store_image(place);
	start_server(place);
	set_up_client(place);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	struct err err;
	int status;

	registry_conn_free(place->conn);
	registry_repo_free(place->repo);
	registry_free(place->registry);
	ctx_done(&place->ctx);
	process_kill_group(&place->process);
	assert_int_equal(process_wait(&place->process, NULL, &status, &err), 0);
	process_done(&place->process);
	fake_ca_free(place->ca);
	strv_done(&place->auth_files);
	scratch_done(&place->scratch);
	free(place);
	return 0;
}

/* Asks until the server is up. */
static void get_manifest(struct place *place)
{
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	int64_t until = clock_deadline_in(60 * NS_PER_SEC);
	struct err err = { 0 };

	while (registry_get_manifest(place->conn, &place->ctx, "v1", NULL, &manifest, &err) < 0) {
		if (err.code != RPC_UNAVAILABLE || clock_mono() > until)
			fail_msg("%s: %s", rpc_code_name(err.code), err.text);
		usleep(20000);
	}
	assert_true(digest_equal(&manifest.digest, &place->manifest));
	assert_string_equal(manifest.content_type, FAKE_MANIFEST);
}

/* Reads the blob, pausing once for long enough that everything the server has to say is on its way. */
static void get_blob(struct place *place)
{
	CLEANUP(hasher_freep) struct hasher *hasher = hasher_new(DIGEST_SHA256);
	struct err err = { 0 };
	struct digest digest;
	const uint8_t *data;
	int64_t total = 0;
	size_t len;

	assert_ok(registry_open_blob(place->conn, &place->ctx, &place->blob, &err));
	for (bool paused = false;; paused = true) {
		assert_ok(registry_read_blob(place->conn, &place->ctx, &data, &len, &err));
		if (len == 0)
			break;
		if (!paused)
			usleep(300000);
		hasher_add(hasher, data, len);
		total += (int64_t)len;
	}
	hasher_end(hasher, &digest);
	assert_int_equal(total, BLOB_SIZE);
	assert_true(digest_equal(&digest, &place->blob.digest));
}

/* The most memory held since the last call, in KiB. */
static long peak_kib(void)
{
	CLEANUP(freep) char *status = NULL;
	struct err err = { 0 };
	const char *line;

	assert_ok(file_read_virtual(AT_FDCWD, "/proc/self/status", 65536, &status, &err));
	assert_ok(file_write_virtual(AT_FDCWD, "/proc/self/clear_refs", "5", &err));
	line = strstr(status, "VmHWM:");
	assert_non_null(line);
	return strtol(line + strlen("VmHWM:"), NULL, 10);
}

static void test_http2(void **state)
{
	struct place *place = *state;
	CLEANUP(freep) char *log_path = path_of(place, "log");
	CLEANUP(freep) char *log = NULL;
	struct err err = { 0 };
	long before;

	get_manifest(place);
	peak_kib();
	before = peak_kib();
	get_blob(place);
	/* A slow reader costs a bounded buffer in HTTP/2 too. */
	if (!sanitized)
		assert_between((peak_kib() - before) * 1024, 0, GROWTH_MAX);
	assert_ok(file_read(AT_FDCWD, log_path, 1 << 20, &log, NULL, &err));
	assert_contains(log, "/blobs/sha256:");
	assert_contains(log, "HTTP/2.0");
	assert_null(strstr(log, "HTTP/1.1"));
}

static void test_wrong_password(void **state)
{
	struct place *place = *state;
	CLEANUP(registry_manifest_done) struct registry_manifest manifest = { 0 };
	struct err err = { 0 };

	get_manifest(place);
	put_file(place->scratch.dir, "auth.json", "{\"auths\":{\"127.0.0.1\":{\"auth\":\"bWU6cHc=\"}}}");
	connect_repo(place);
	assert_fails(registry_get_manifest(place->conn, &place->ctx, "v1", NULL, &manifest, &err),
		     RPC_UNAUTHENTICATED);
	assert_contains(err.text, place->host);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_http2), TEST(test_wrong_password) };

	if (access(PROGRAM, X_OK) < 0) {
		puts("no " PROGRAM ": skipped");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
