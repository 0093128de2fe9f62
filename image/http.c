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
#include <strings.h>

#include "base/clock.h"
#include "image/origin.h"

enum {
	RECEIVE_SIZE = 512 * 1024,
	BUFFER_SIZE = 2 * RECEIVE_SIZE,
	CHALLENGES_MAX = 8,
	DRAIN_MAX = 64 * 1024, /* bytes read and dropped to keep a connection for the next request */
	HEADER_VALUE_MAX = 8192,
	POLL_MAX_MS = 60 * 1000,
};

struct http {
	struct http_options options;
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
	bool paused;
	int64_t last_progress; /* clock_mono() */
	struct origin origin;  /* of the request in progress */
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
	if (http->options.connect_timeout <= 0)
		http->options.connect_timeout = 30 * NS_PER_SEC;
	http->multi = curl_multi_init();
	http->easy = curl_easy_init();
	assert(http->multi && http->easy);
	http->buffer = xmalloc(BUFFER_SIZE);
	return http;
}

static void response_done(struct http_response *response)
{
	free(response->content_type);
	free(response->content_digest);
	free(response->location);
	free(response->host);
	strv_done(&response->www_authenticate);
	*response = (struct http_response){ .content_length = -1, .range_start = -1, .retry_after = -1 };
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
	response_done(&http->response);
	origin_done(&http->origin);
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

static void replace(char **slot, const char *value)
{
	free(*slot);
	*slot = xstrdup(value);
}

static int64_t seconds_until(const char *value)
{
	uint64_t seconds;
	time_t date;

	if (parse_u64(value, INT32_MAX, &seconds))
		return (int64_t)seconds;
	date = curl_getdate(value, NULL);
	if (date < 0)
		return -1;
	return date > time(NULL) ? date - time(NULL) : 0;
}

/* "bytes 100-199/200" is 100. */
static int64_t range_start(const char *value)
{
	CLEANUP(freep) char *number = NULL;
	int64_t start;

	if (strncasecmp(value, "bytes ", 6) != 0)
		return -1;
	number = xstrndup(value + 6, strcspn(value + 6, "-"));
	return parse_i64(number, 0, INT64_MAX, &start) ? start : -1;
}

static void take_header(struct http_response *response, const char *name, const char *value)
{
	if (strcasecmp(name, "content-type") == 0)
		replace(&response->content_type, value);
	else if (strcasecmp(name, "docker-content-digest") == 0)
		replace(&response->content_digest, value);
	else if (strcasecmp(name, "location") == 0)
		replace(&response->location, value);
	else if (strcasecmp(name, "content-range") == 0)
		response->range_start = range_start(value);
	else if (strcasecmp(name, "retry-after") == 0)
		response->retry_after = seconds_until(value);
	else if (strcasecmp(name, "www-authenticate") == 0 && response->www_authenticate.len < CHALLENGES_MAX)
		strv_add(&response->www_authenticate, value);
}

static void parse_header(struct http_response *response, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	const char *value = colon ? colon + 1 : line;
	const char *end = line + len;
	CLEANUP(freep) char *name_text = NULL;
	CLEANUP(freep) char *value_text = NULL;

	if (!colon)
		return;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
		end--;
	if (end - value > HEADER_VALUE_MAX)
		return;
	name_text = xstrndup(line, (size_t)(colon - line));
	value_text = xstrndup(value, (size_t)(end - value));
	if (str_is_printable(value_text))
		take_header(response, name_text, value_text);
}

/* libcurl calls this with each whole header line; an empty one ends a block. Blocks of 1xx are not the last.
 */
static size_t on_header(char *line, size_t size, size_t count, void *data)
{
	struct http *http = data;
	size_t len = size * count;
	long status = 0;

	http->last_progress = clock_mono();
	http->header_bytes += len;
	if (http->header_bytes > HTTP_HEADERS_MAX)
		return 0;
	if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) {
		response_done(&http->response);
		return len;
	}
	if (len > 2) {
		parse_header(&http->response, line, len);
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
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
	if (request->form)
		curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->form);
	if (request->offset > 0) {
		CLEANUP(freep) char *range = xasprintf("%llu-", (unsigned long long)request->offset);

		curl_easy_setopt(easy, CURLOPT_RANGE, range);
	}
}

static void begin(struct http *http, const struct http_request *request, const char *url, bool authorize)
{
	CURLMcode code;

	stop(http);
	response_done(&http->response);
	http->header_bytes = 0;
	http->have_response = http->ended = http->handed_out = http->paused = false;
	http->len = 0;
	http->error[0] = '\0';
	set_options(http, request, url);
	set_headers(http, request, authorize);
	http->last_progress = clock_mono();
	code = curl_multi_add_handle(http->multi, http->easy);
	assert(code == CURLM_OK);
	http->added = true;
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
		int stall = clock_poll_timeout(http->last_progress + http->options.progress_timeout);

		if (stall < timeout)
			timeout = stall;
	}
	return timeout;
}

static bool stalled(const struct http *http)
{
	return http->options.progress_timeout > 0 &&
	       clock_mono() - http->last_progress >= http->options.progress_timeout;
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
		return fail(http, HTTP_BROKEN, err, "no data for too long");
	if (wait)
		curl_multi_poll(http->multi, end.fd >= 0 ? &end : NULL, end.fd >= 0 ? 1 : 0,
				poll_timeout(http, ctx), NULL);
	if (curl_multi_perform(http->multi, &running) != CURLM_OK)
		return fail(http, HTTP_BROKEN, err, "transfer failed");
	collect_result(http);
	return 0;
}

static int check_result(struct http *http, struct err *err)
{
	if (!http->ended || http->result == CURLE_OK)
		return 0;
	if (http->header_bytes > HTTP_HEADERS_MAX)
		return fail(http, HTTP_REFUSED, err, "response headers are too large");
	return fail(http, classify(http->result), err,
		    http->error[0] ? http->error : curl_easy_strerror(http->result));
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

	if (!origin_of(request->url, &http->origin) || !origin_of(request->url, &first))
		return fail(http, HTTP_REFUSED, err, "unusable address");
	for (int hops = 0;; hops++) {
		begin(http, request, url, authorize);
		if (wait_response(http, ctx, err) < 0)
			return -1;
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
	replace(&http->response.host, origin_text(&http->origin));
	return 0;
}

static void take_back(struct http *http)
{
	if (http->handed_out)
		http->len = 0;
	http->handed_out = false;
	http->last_progress = clock_mono();
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
