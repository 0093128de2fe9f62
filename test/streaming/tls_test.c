/*
 * Streaming over TLS: bytes both ways and each direction's end, who is let in, and certificates that change
 * while sessions go on.
 */
#include "test/streaming/scene.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "test/streaming/certificates.h"

enum { DAY = 24 * 60 * 60 };

static char dir[] = "/tmp/crisp-tls-test.XXXXXX";
static char *cert_path, *key_path, *ca_path;
static struct certificate ca, server, client, stranger;

static struct tls_options options(const char *client_ca)
{
	return (struct tls_options){ .cert = cert_path, .key = key_path, .ca = client_ca };
}

static void write_server(const struct certificate *certificate)
{
	write_pem(key_path, certificate, true);
	write_pem(cert_path, certificate, false);
}

static void start_tls(const struct tls_options *tls)
{
	start_server(&(struct streaming_options){ .address = "127.0.0.1", .tls = tls });
}

/* ---- a client ---- */

struct tls_client {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

/* own: the client's certificate, or NULL. max_version: 0 for any. */
static void tls_dial(uint16_t port, const struct certificate *own, int max_version, struct tls_client *ret)
{
	ret->context = SSL_CTX_new(TLS_client_method());
	assert_non_null(ret->context);
	SSL_CTX_set_max_proto_version(ret->context, max_version);
	if (own) {
		assert_int_equal(SSL_CTX_use_certificate(ret->context, own->x509), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey(ret->context, own->key), 1);
	}
	ret->ssl = SSL_new(ret->context);
	ret->fd = dial(port);
	assert_int_equal(SSL_set_fd(ret->ssl, ret->fd), 1);
}

static void tls_close(struct tls_client *tls)
{
	SSL_free(tls->ssl);
	SSL_CTX_free(tls->context);
	close(tls->fd);
	ERR_clear_error();
}

static void tls_say(struct tls_client *tls, const void *data, size_t len)
{
	if (SSL_write(tls->ssl, data, (int)len) != (int)len)
		fail_msg("not sent: %s", ERR_error_string(ERR_get_error(), NULL));
}

static void tls_read_until(struct tls_client *tls, struct queue *in, const char *text)
{
	while (!in->len || !memmem(queue_front(in), in->len, text, strlen(text))) {
		int got = SSL_read(tls->ssl, queue_room(in, 4096), 4096);

		if (got <= 0)
			fail_msg("the end came before %s", text);
		queue_grown(in, (size_t)got);
	}
}

/* An upgraded session; what comes behind the answer stays in `in`. */
static void tls_open(const struct scene *scene, const struct certificate *own, struct tls_client *tls,
		     struct queue *in)
{
	CLEANUP(freep)
	char *request = xasprintf("GET %s HTTP/1.1\r\n%sSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
				  scene->path, websocket_headers);

	tls_dial(scene->port, own, 0, tls);
	if (SSL_connect(tls->ssl) != 1)
		fail_msg("no handshake: %s", ERR_error_string(ERR_get_error(), NULL));
	tls_say(tls, request, strlen(request));
	tls_read_until(tls, in, "\r\n\r\n");
	assert_non_null(memmem(queue_front(in), in->len, "HTTP/1.1 101 ", 13));
}

static void tls_echo(struct tls_client *tls, const char *word)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	CLEANUP(freep) char *sent = xasprintf("0%s", word), *want = xasprintf("\1%s", word);

	sent[0] = '\0';
	put_message(&out, 0x82, sent, strlen(word) + 1);
	tls_say(tls, queue_front(&out), out.len);
	tls_read_until(tls, &in, want);
}

static void open_session(const struct certificate *own, struct tls_client *tls)
{
	CLEANUP(queue_done) struct queue in = { 0 };
	struct scene scene;

	promise_echo(&(struct echo_options){ 0 }, &scene);
	tls_open(&scene, own, tls, &in);
}

/* Whether a client gets an answer to a request; in TLS 1.3 it learns only by reading that it is refused. */
static bool is_let_in(const struct certificate *own, int max_version)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tls_client tls;
	struct scene scene;
	char text[64];
	bool in;

	promise_echo(&(struct echo_options){ 0 }, &scene);
	tls_dial(scene.port, own, max_version, &tls);
	in = SSL_connect(tls.ssl) == 1 && SSL_write(tls.ssl, request, sizeof(request) - 1) > 0 &&
	     SSL_read(tls.ssl, text, sizeof(text)) > 0;
	tls_close(&tls);
	return in;
}

static bool shows(const struct tls_client *tls, const struct certificate *certificate)
{
	X509 *shown = SSL_get1_peer_certificate(tls->ssl);
	bool same = shown && X509_cmp(shown, certificate->x509) == 0;

	X509_free(shown);
	return same;
}

/* ---- tests ---- */

static void test_session(void **state)
{
	CLEANUP(queue_done) struct queue out = { 0 }, in = { 0 };
	struct tls_options tls_options = options("");
	struct tls_client tls;
	struct scene scene;

	(void)state;
	start_tls(&tls_options);
	promise_echo(&(struct echo_options){ .exit_code = 3 }, &scene);
	tls_open(&scene, NULL, &tls, &in);
	tls_echo(&tls, "hello");
	put_message(&out, 0x82, "\377\0", 2);
	tls_say(&tls, queue_front(&out), out.len);
	tls_read_until(&tls, &in, "\"message\":\"3\"");
	tls_read_until(&tls, &in, "\x88\2\3\350");
	while (SSL_read(tls.ssl, queue_room(&in, 64), 64) > 0)
		;
	/* Its end was said, not cut. */
	assert_int_equal(SSL_get_shutdown(tls.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
	tls_close(&tls);
	wait_for(&freed, 1);
	assert_int_equal(atomic_load(&abandoned), 0);
}

/* Who does not speak TLS, or who vanishes. */
static void test_others(void **state)
{
	struct tls_options tls_options = options("");
	struct tls_client tls;
	struct scene scene;
	int fd;

	(void)state;
	start_tls(&tls_options);
	promise_echo(&(struct echo_options){ 0 }, &scene);
	fd = dial(scene.port);
	say(fd, "GET %s HTTP/1.1\r\n%s\r\n", scene.path, websocket_headers);
	expect_end(fd);
	close(fd);
	assert_false(is_let_in(NULL, TLS1_1_VERSION));
	open_session(NULL, &tls);
	tls_close(&tls);
	wait_for(&abandoned, 1);
}

static void test_client_certificates(void **state)
{
	struct tls_options tls_options = options(ca_path);
	struct tls_client tls;

	(void)state;
	start_tls(&tls_options);
	assert_false(is_let_in(NULL, 0));
	assert_false(is_let_in(&stranger, 0));
	assert_true(is_let_in(&client, 0));
	open_session(&client, &tls);
	tls_echo(&tls, "hello");
	tls_close(&tls);
}

static void test_versions_and_suites(void **state)
{
	static const char *const suites[] = { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" };
	static const char *const unknown[] = { "TLS_NO_SUCH_SUITE" };
	struct tls_options tls_options = options("");
	struct tls_material *material;
	struct tls_client tls;
	struct scene scene;
	struct err err = { 0 };

	(void)state;
	tls_options.min_version = TLS_VERSION_13;
	tls_options.cipher_suites = suites;
	tls_options.cipher_suites_len = 1;
	start_tls(&tls_options);
	assert_false(is_let_in(NULL, TLS1_2_VERSION));
	assert_true(is_let_in(NULL, 0));
	tls_options.min_version = TLS_VERSION_12;
	assert_ok(streaming_prepare_tls(streaming, &tls_options, &material, &err));
	streaming_replace_tls_take(streaming, material);
	promise_echo(&(struct echo_options){ 0 }, &scene);
	tls_dial(scene.port, NULL, TLS1_2_VERSION, &tls);
	assert_int_equal(SSL_connect(tls.ssl), 1);
	assert_string_equal(SSL_CIPHER_standard_name(SSL_get_current_cipher(tls.ssl)), suites[0]);
	tls_close(&tls);
	tls_options.cipher_suites = unknown;
	assert_fails(streaming_prepare_tls(streaming, &tls_options, &material, &err),
		     RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(err.text, unknown[0]));
}

/* New files are seen by the next connection; the session before goes on. */
static void test_replaced_files(void **state)
{
	struct certificate next CLEANUP(certificate_done) = make_certificate("next", &ca, -DAY, DAY);
	struct tls_options tls_options = options("");
	struct tls_client before, after;

	(void)state;
	start_tls(&tls_options);
	open_session(NULL, &before);
	assert_true(shows(&before, &server));
	write_server(&next);
	open_session(NULL, &after);
	assert_true(shows(&after, &next));
	tls_echo(&before, "before");
	tls_echo(&after, "after");
	tls_close(&after);
	/* A key that is not the certificate's is not taken, nor is one that cannot be read. */
	write_pem(key_path, &server, true);
	open_session(NULL, &after);
	assert_true(shows(&after, &next));
	tls_close(&after);
	assert_int_equal(unlink(key_path), 0);
	open_session(NULL, &after);
	assert_true(shows(&after, &next));
	tls_close(&after);
	tls_echo(&before, "still");
	tls_close(&before);
}

static void expect_bad(const struct tls_options *tls, const char *first, const char *second)
{
	struct tls_material *material;
	struct err err = { 0 };

	assert_fails(tls_material_load(tls, &material, &err), RPC_FAILED_PRECONDITION);
	if (!strstr(err.text, first) || !strstr(err.text, second))
		fail_msg("neither \"%s\" nor \"%s\" in: %s", first, second, err.text);
}

static void test_bad_files(void **state)
{
	struct certificate old CLEANUP(certificate_done) = make_certificate("old", &ca, -2 * DAY, -DAY);
	struct certificate early CLEANUP(certificate_done) = make_certificate("early", &ca, DAY, 2 * DAY);
	struct tls_options tls = options("");
	CLEANUP(freep) char *junk = xasprintf("%s/junk", dir);
	FILE *file = fopen(junk, "we");

	(void)state;
	assert_non_null(file);
	fputs("no certificate\n", file);
	fclose(file);
	write_server(&old);
	expect_bad(&tls, cert_path, "expired");
	write_server(&early);
	expect_bad(&tls, cert_path, "not valid yet");
	write_server(&server);
	write_pem(key_path, &early, true);
	expect_bad(&tls, key_path, "is not the key of");
	write_server(&server);
	tls.ca = junk;
	expect_bad(&tls, "client CA", junk);
	tls.ca = "";
	tls.cert = junk;
	expect_bad(&tls, "certificate", junk);
	tls.cert = "/no/such/file";
	expect_bad(&tls, "certificate", "/no/such/file");
	tls = options("");
	tls.key = cert_path;
	expect_bad(&tls, "key", cert_path);
}

/* A handshake that never ends does not hold up the end of all. */
static void test_end_of_server(void **state)
{
	struct tls_options tls_options = options("");
	struct tls_client tls;
	struct scene scene;
	int fd;

	(void)state;
	start_tls(&tls_options);
	open_session(NULL, &tls);
	promise_echo(&(struct echo_options){ 0 }, &scene);
	fd = dial(scene.port);
	streaming = streaming_free(streaming);
	assert_int_equal(atomic_load(&freed), 2);
	expect_end(fd);
	close(fd);
	tls_close(&tls);
}

static int reset(void **state)
{
	(void)state;
	write_server(&server);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	cert_path = xasprintf("%s/tls.crt", dir);
	key_path = xasprintf("%s/tls.key", dir);
	ca_path = xasprintf("%s/ca.crt", dir);
	ca = make_certificate("a CA", NULL, -DAY, DAY);
	server = make_certificate("the server", &ca, -DAY, DAY);
	client = make_certificate("a client", &ca, -DAY, DAY);
	stranger = make_certificate("somebody", NULL, -DAY, DAY);
	write_pem(ca_path, &ca, false);
	return 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(tree_remove(tmp, dir + strlen("/tmp/"), NULL), 0);
	close(tmp);
	certificate_done(&ca);
	certificate_done(&server);
	certificate_done(&client);
	certificate_done(&stranger);
	free(cert_path);
	free(key_path);
	free(ca_path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_session, reset, stop),
		cmocka_unit_test_setup_teardown(test_others, reset, stop),
		cmocka_unit_test_setup_teardown(test_client_certificates, reset, stop),
		cmocka_unit_test_setup_teardown(test_versions_and_suites, reset, stop),
		cmocka_unit_test_setup_teardown(test_replaced_files, reset, stop),
		cmocka_unit_test_setup_teardown(test_bad_files, reset, stop),
		cmocka_unit_test_setup_teardown(test_end_of_server, reset, stop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
