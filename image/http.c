/*
 * An easy handle in a multi handle of its own, driven by whoever reads: pump() lets libcurl work and, when it
 * has nothing, waits for its sockets and for the context's fd. libcurl pushes body bytes into `buffer`; when
 * the next piece does not fit, the transfer is paused until the reader has come back. Header bytes set
 * last_progress too, so one clock covers waiting for the response and waiting for its body.
 *
 * Redirects are not left to libcurl since it decides by host name alone which headers may go along.
 */
#include "image/http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "image/http_response.h"
#include "image/origin.h"
#include "image/peer.h"
#include "image/redact.h"

enum {
	RECEIVE_SIZE = 64 * 1024,
	BUFFER_SIZE = 8 * RECEIVE_SIZE,
	DRAIN_MAX = 64 * 1024, /* bytes read and dropped to keep a connection for the next request */
	POLL_MAX_MS = 60 * 1000,
};

struct http {
	struct http_options options; /* certs_dirs points to the next */
	struct strv certs_dirs;
	CURLM *multi;
	CURL *easy;
	bool added; /* easy is in multi */
	struct curl_slist *headers;
	struct http_response response;
	size_t header_bytes;
	bool have_response;
	bool ended;
	CURLcode result; /* when ended */
	enum http_failure failure;
	uint8_t *buffer;
	size_t len;
	bool handed_out; /* the reader has the buffer; its next call gives it back */
	int64_t left_at; /* when the reader was last given something; clock_mono() */
	bool paused;
	int64_t last_progress; /* clock_mono() */
	int64_t window_start;  /* of the time over which the rate is taken; clock_mono() */
	size_t window_bytes;   /* received since */
	struct origin origin;  /* of the request in progress */
	struct origin home;    /* see image/peer.h */
	struct peer peer;
	char error[CURL_ERROR_SIZE];
};

static void init_curl(void)
{
	CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

	assert(code == CURLE_OK);
}

struct http *http_new(const struct http_options *options)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http *http = xnew(struct http);

	pthread_once(&once, init_curl);
	http->options = *options;
	if (options->certs_dirs)
		strv_add_all(&http->certs_dirs, (const char *const *)options->certs_dirs->items,
			     options->certs_dirs->len);
	http->options.certs_dirs = &http->certs_dirs;
	if (http->options.connect_timeout <= 0)
		http->options.connect_timeout = 30 * NS_PER_SEC;
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	assert(http->multi && http->easy);
	http->buffer = xmalloc(BUFFER_SIZE);
	return http;
}

static void stop(struct http *http)
{
	if (http->added)
		curl_multi_remove_handle(http->multi, http->easy);
	http->added = false;
	curl_slist_free_all(http->headers);
	http->headers = NULL;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;
	stop(http);
	curl_easy_cleanup(http->easy);
	curl_multi_cleanup(http->multi);
	http_response_clear(&http->response);
	origin_done(&http->origin);
	origin_done(&http->home);
	peer_done(&http->peer);
	strv_done(&http->certs_dirs);
	free(http->buffer);
	free(http);
	return NULL;
}

void http_freep(struct http **http)
{
	http_free(*http);
}

const struct http_response *http_response(const struct http *http)
{
	return &http->response;
}

enum http_failure http_failure(const struct http *http)
{
	return http->failure;
}

static int fail(struct http *http, enum http_failure failure, struct err *err, const char *why)
{
	http->failure = failure;
	stop(http);
	return err_set(err, RPC_UNAVAILABLE, "%s: %s", origin_text(&http->origin), why);
}

/* libcurl calls this with each whole header line; an empty one ends a block. Blocks of 1xx are not the last.
 */
static size_t on_header(char *line, size_t size, size_t count, void *data)
{
	struct http *http = data;
	size_t len = size * count;
	long status = 0;

	http->last_progress = clock_mono();
	http->window_bytes += len;
	http->header_bytes += len;
	if (http->header_bytes > HTTP_HEADERS_MAX)
		return 0;
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) {
		http_response_clear(&http->response);
		return len;
	}
	if (len > 2) {
		http_response_header(&http->response, line, len);
		return len;
	}
	curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
	http->response.status = (int)status;
	http->have_response = status >= 200;
	return len;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
	struct http *http = data;
	size_t len = size * count;

	http->last_progress = clock_mono();
	if (http->handed_out || http->len + len > BUFFER_SIZE) {
		http->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	memcpy(http->buffer + http->len, bytes, len);
	http->len += len;
	http->window_bytes += len;
	return len;
}

static void set_headers(struct http *http, const struct http_request *request, bool authorize)
{
	CLEANUP(freep) char *accept = request->accept ? xasprintf("Accept: %s", request->accept) : NULL;

	if (accept)
		http->headers = curl_slist_append(http->headers, accept);
	if (authorize && request->authorization) {
		CLEANUP(freep) char *line = xasprintf("Authorization: %s", request->authorization);

		http->headers = curl_slist_append(http->headers, line);
		explicit_bzero(line, strlen(line));
	}
	curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, http->headers);
}

static void set_options(struct http *http, const struct http_request *request, const char *url)
{
	CURL *easy = http->easy;

	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* don't wait for a resolver thread on cancel */
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "crisp/" CRISP_VERSION);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(http->options.connect_timeout / NS_PER_MS));
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
	if (request->form)
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->form);
	if (request->offset > 0 || request->end > 0) {
		CLEANUP(str_done) struct str range = STR_INIT;

		str_addf(&range, "%llu-", (unsigned long long)request->offset);
		if (request->end > 0)
			str_addf(&range, "%llu", (unsigned long long)request->end - 1);
		curl_easy_setopt(easy, CURLOPT_RANGE, str_get(&range));
	}
}

static int begin(struct http *http, const struct http_request *request, const char *url, bool authorize,
		 struct err *err)
{
	const struct peer_route route = { &http->certs_dirs, &http->origin, &http->home, request->insecure };
	CURLMcode code;

	stop(http);
	http_response_clear(&http->response);
	http->header_bytes = 0;
	http->have_response = http->ended = http->handed_out = http->paused = false;
	http->len = 0;
	http->error[0] = '\0';
	set_options(http, request, url);
	set_headers(http, request, authorize);
	if (peer_prepare(&http->peer, http->easy, &route, err) < 0) {
		http->failure = HTTP_REFUSED;
		return err_prefix(err, "%s", origin_text(&http->home));
	}
	http->last_progress = http->window_start = clock_mono();
	http->window_bytes = 0;
	code = curl_multi_add_handle(http->multi, http->easy);
	assert(code == CURLM_OK);
	http->added = true;
	return 0;
}

static enum http_failure classify(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
		return HTTP_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return HTTP_TLS;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return HTTP_REFUSED;
	default:
		return HTTP_BROKEN;
	}
}

static void collect_result(struct http *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)))
		if (message->msg == CURLMSG_DONE) {
			http->ended = true;
			http->result = message->data.result;
		}
}

static int poll_timeout(const struct http *http, const struct ctx *ctx)
{
	int left = ctx_poll_timeout(ctx);
	int timeout = left >= 0 && left < POLL_MAX_MS ? left : POLL_MAX_MS;

	if (http->options.progress_timeout > 0) {
		int64_t since =
			http->last_progress < http->window_start ? http->last_progress : http->window_start;
		int stall = clock_poll_timeout(since + http->options.progress_timeout);

		if (stall < timeout)
			timeout = stall;
	}
	return timeout;
}

/* No byte for the time, or too few over it. */
static bool stalled(struct http *http)
{
	int64_t timeout = http->options.progress_timeout, now = clock_mono();
	double needed = (double)HTTP_RATE_MIN * (double)timeout / NS_PER_SEC;

	if (timeout <= 0)
		return false;
	if (now - http->last_progress >= timeout)
		return true;
	if (now - http->window_start < timeout)
		return false;
	if ((double)http->window_bytes < needed)
		return true;
	http->window_start = now;
	http->window_bytes = 0;
	return false;
}

/* Lets libcurl work once, waiting for something to happen when `wait`. */
static int pump(struct http *http, const struct ctx *ctx, bool wait, struct err *err)
{
	struct curl_waitfd end = { .fd = ctx_fd(ctx), .events = CURL_WAIT_POLLIN };
	int running;

	if (ctx_check(ctx, origin_text(&http->origin), err) < 0) {
		stop(http);
		return -1;
	}
	if (stalled(http))
		return fail(http, HTTP_BROKEN, err, "no data, or too little, for too long");
	if (wait)
		curl_multi_poll(http->multi, end.fd >= 0 ? &end : NULL, end.fd >= 0 ? 1 : 0,
				poll_timeout(http, ctx), NULL);
	if (curl_multi_perform(http->multi, &running) != CURLM_OK)
		return fail(http, HTTP_BROKEN, err, "transfer failed");
	collect_result(http);
	return 0;
}

/* A proxy would not make the tunnel: nobody has been reached. */
static bool proxy_refused(const struct http *http)
{
	long status = 0;

	curl_easy_getinfo(http->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status >= 300;
}

/* libcurl's own words may quote a proxy's address, with its password. One that it cannot even parse is not
 * shown. */
static void curl_words(const struct http *http, struct str *ret)
{
	bool own = http->error[0] && http->result != CURLE_COULDNT_RESOLVE_PROXY;

	redact(own ? http->error : curl_easy_strerror(http->result), ret);
}

static int check_result(struct http *http, struct err *err)
{
	CLEANUP(str_done) struct str words = STR_LIMIT(CURL_ERROR_SIZE);

	if (!http->ended || http->result == CURLE_OK)
		return 0;
	if (http->header_bytes > HTTP_HEADERS_MAX)
		return fail(http, HTTP_REFUSED, err, "response headers are too large");
	if (http->peer.refused)
		return fail(http, HTTP_REFUSED, err, PEER_REFUSAL);
	curl_words(http, &words);
	return fail(http, proxy_refused(http) ? HTTP_CONNECT : classify(http->result), err, str_get(&words));
}

static int wait_response(struct http *http, const struct ctx *ctx, struct err *err)
{
	bool wait = false;

	while (!http->have_response && !http->ended) {
		if (pump(http, ctx, wait, err) < 0)
			return -1;
		wait = true;
	}
	if (!http->have_response) {
		if (http->result == CURLE_OK)
			http->result = CURLE_GOT_NOTHING;
		return check_result(http, err);
	}
	return 0;
}

/* Reads and drops a short body, so that the connection can serve the next request. */
static void drain(struct http *http, const struct ctx *ctx)
{
	size_t total = 0;
	struct err ignored;

	while (total < DRAIN_MAX) {
		const uint8_t *data;
		size_t len;

		if (http_read(http, ctx, &data, &len, &ignored) < 0 || len == 0)
			return;
		total += len;
	}
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where a redirect leads; http->origin becomes the new one. */
static int next_url(struct http *http, const struct http_request *request, char **url, struct err *err)
{
	CLEANUP(freep) char *next = NULL;
	CLEANUP(origin_done) struct origin origin = { 0 };

	if (!http->response.location || request->form)
		return fail(http, HTTP_REFUSED, err, "redirect to nowhere");
	next = url_resolve(*url, http->response.location, HTTP_URL_MAX);
	if (!next || !origin_of(next, &origin))
		return fail(http, HTTP_REFUSED, err, "redirect to an unusable address");
	if (http->origin.secure && !origin.secure && !request->insecure)
		return fail(http, HTTP_REFUSED, err, "redirect from https to http");
	free(*url);
	*url = TAKE(next);
	origin_done(&http->origin);
	http->origin = origin;
	origin = (struct origin){ 0 };
	return 0;
}

static int follow(struct http *http, const struct ctx *ctx, const struct http_request *request,
		  struct err *err)
{
	CLEANUP(origin_done) struct origin first = { 0 };
	CLEANUP(freep) char *url = xstrdup(request->url);
	bool authorize = true;

	origin_done(&http->home);
	if (!origin_of(request->url, &http->origin) || !origin_of(request->url, &first) ||
	    !origin_of(request->home ? request->home : request->url, &http->home))
		return fail(http, HTTP_REFUSED, err, "unusable address");
	for (int hops = 0;; hops++) {
		if (begin(http, request, url, authorize, err) < 0 || wait_response(http, ctx, err) < 0)
			return -1;
		http->response.elsewhere = !authorize;
		if (!is_redirect(http->response.status))
			return 0;
		if (hops == HTTP_REDIRECTS_MAX)
			return fail(http, HTTP_REFUSED, err, "too many redirects");
		drain(http, ctx);
		if (next_url(http, request, &url, err) < 0)
			return -1;
		authorize = authorize && origin_equal(&first, &http->origin);
	}
}

int http_start(struct http *http, const struct ctx *ctx, const struct http_request *request, struct err *err)
{
	curl_off_t length = -1;

	if (http->added && http->have_response && http->response.content_length >= 0 &&
	    http->response.content_length <= DRAIN_MAX)
		drain(http, ctx);
	http->failure = HTTP_OK;
	origin_done(&http->origin);
	if (follow(http, ctx, request, err) < 0)
		return -1;
	curl_easy_getinfo(http->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	http->response.content_length = length;
	http->response.host = xstrdup(origin_text(&http->origin));
	http->left_at = clock_mono();
	return 0;
}

static void take_back(struct http *http)
{
	if (http->handed_out)
		http->len = 0;
	http->handed_out = false;
	http->last_progress = clock_mono();
	http->window_start += http->last_progress - http->left_at; /* the time the reader took is his */
	if (http->paused && http->added) {
		http->paused = false;
		curl_easy_pause(http->easy, CURLPAUSE_CONT); /* may call on_body at once */
	}
}

int http_read(struct http *http, const struct ctx *ctx, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	bool wait = false;

	take_back(http);
	while (http->len == 0 && !http->ended) {
		if (!http->added)
			return fail(http, HTTP_BROKEN, err, "transfer has ended");
		if (pump(http, ctx, wait, err) < 0)
			return -1;
		wait = true;
	}
	if (http->len == 0 && check_result(http, err) < 0)
		return -1;
	*ret = http->buffer;
	*ret_len = http->len;
	http->handed_out = http->len > 0;
	http->left_at = clock_mono();
	return 0;
}

int http_read_all(struct http *http, const struct ctx *ctx, size_t max, struct str *ret, struct err *err)
{
	for (;;) {
		const uint8_t *data;
		size_t len;

		if (http_read(http, ctx, &data, &len, err) < 0)
			return -1;
		if (len == 0)
			return 0;
		if (len > max - ret->len) {
			stop(http);
			return err_set(err, RPC_RESOURCE_EXHAUSTED, "%s: answer is longer than %zu bytes",
				       origin_text(&http->origin), max);
		}
		str_addn(ret, data, len);
	}
}
