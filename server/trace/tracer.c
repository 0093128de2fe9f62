/*
 * The sender waits for a first span and then a moment for more, takes what is there as a batch and posts it.
 * While the collector does not answer the queue fills and then drops; nobody waits for it. libcurl's progress
 * callback ends a transfer whose time is over when crispd stops.
 */
#include "server/trace/tracer.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/step.h"
#include "base/thread.h"
#include "server/trace/otlp.h"

#define GATHER (2 * NS_PER_SEC)
#define LAST_PATIENCE (2 * NS_PER_SEC)

enum {
	QUEUE_MAX = 2048, /* spans */
	BATCH_MAX = 512,
	TRIES_MAX = 3,
	SEND_SECONDS = 10,
	STACK_SIZE = 512 * 1024,
};

METRIC(metric_spans_sent, 1, .name = "trace_spans_sent_total", .help = "Spans that the collector has taken.",
       .type = METRIC_COUNTER);
METRIC(metric_spans_dropped, 1, .name = "trace_spans_dropped_total",
       .help = "Spans that found the queue full or could not be sent.", .type = METRIC_COUNTER);

struct tracer {
	uint32_t rate;
	char *url;
	char host[256];
	pthread_t thread;
	bool running;
	CURL *curl;
	struct curl_slist *headers;
	bool failing; /* sender only: the last batch was not taken */

	struct lock lock;
	struct cond changed;
	/* under lock */
	struct list queue; /* struct ended_span */
	size_t count;
	int64_t stop_at; /* clock_mono() ns: nothing is sent later; NO_DEADLINE: not stopping */
};

/* ---- sampling ---- */

static bool is_key(const grpc_metadata *item, const char *key)
{
	return GRPC_SLICE_LENGTH(item->key) == strlen(key) &&
	       memcmp(GRPC_SLICE_START_PTR(item->key), key, strlen(key)) == 0;
}

static bool find_parent(const grpc_metadata_array *metadata, struct trace_context *ret)
{
	bool found = false;

	for (size_t i = 0; i < metadata->count; i++) {
		const grpc_metadata *item = &metadata->metadata[i];
		const uint8_t *value = GRPC_SLICE_START_PTR(item->value);
		size_t len = GRPC_SLICE_LENGTH(item->value);

		if (is_key(item, "traceparent") && trace_context_parse((const char *)value, len, ret))
			return true;
		if (!found && is_key(item, "grpc-trace-bin"))
			found = trace_context_parse_binary(value, len, ret);
	}
	return found;
}

void tracer_begin(const struct tracer *tracer, const grpc_metadata_array *metadata, struct trace_span *ret)
{
	struct trace_context parent;

	*ret = (struct trace_span){ 0 };
	if (!tracer)
		return;
	if (find_parent(metadata, &parent)) {
		if (!parent.sampled)
			return;
		ret->has_parent = true;
		memcpy(ret->trace_id, parent.trace_id, TRACE_ID_SIZE);
		memcpy(ret->parent_id, parent.span_id, TRACE_SPAN_ID_SIZE);
	} else {
		if (!tracer->rate)
			return;
		random_bytes(ret->trace_id, TRACE_ID_SIZE);
		if (!trace_id_is_sampled(ret->trace_id, tracer->rate))
			return;
	}
	random_bytes(ret->span_id, TRACE_SPAN_ID_SIZE);
	ret->began = clock_real();
	ret->sampled = true;
}

void tracer_end(struct tracer *tracer, const struct trace_span *span, const struct trace_facts *facts)
{
	struct ended_span *ended;

	if (!tracer || !span->sampled)
		return;
	ended = ended_span_new(span, facts);
	lock_take(&tracer->lock);
	if (tracer->count < QUEUE_MAX) {
		list_add_tail(&tracer->queue, &ended->node);
		tracer->count++;
		ended = NULL;
		cond_signal(&tracer->changed);
	}
	lock_drop(&tracer->lock);
	if (!ended)
		return;
	metric_add(&metric_spans_dropped, 1);
	ended_span_free(ended);
}

void tracer_enter(const struct trace_span *span)
{
	struct step_scope scope = { .traced = span->sampled };

	_Static_assert(sizeof(scope.trace_id) == TRACE_ID_SIZE && sizeof(scope.span_id) == TRACE_SPAN_ID_SIZE,
		       "the same ids");
	memcpy(scope.trace_id, span->trace_id, TRACE_ID_SIZE);
	memcpy(scope.span_id, span->span_id, TRACE_SPAN_ID_SIZE);
	step_enter(&scope);
}

static void on_step(void *data, const struct step_scope *scope, const struct step *step)
{
	struct trace_span span = { .sampled = true, .has_parent = true };
	const struct trace_facts facts = { .method = step->name, .what = step->what };

	memcpy(span.trace_id, scope->trace_id, TRACE_ID_SIZE);
	memcpy(span.parent_id, scope->span_id, TRACE_SPAN_ID_SIZE);
	random_bytes(span.span_id, TRACE_SPAN_ID_SIZE);
	span.began = clock_real() - step->took;
	span.step = true;
	span.failed = step->failed;
	tracer_end(data, &span, &facts);
}

/* ---- sending ---- */

static int64_t stop_at(struct tracer *tracer)
{
	int64_t at;

	lock_take(&tracer->lock);
	at = tracer->stop_at;
	lock_drop(&tracer->lock);
	return at;
}

static int on_progress(void *data, curl_off_t a UNUSED, curl_off_t b UNUSED, curl_off_t c UNUSED,
		       curl_off_t d UNUSED)
{
	return clock_mono() > stop_at(data);
}

static size_t ignore(char *data UNUSED, size_t size, size_t count, void *to UNUSED)
{
	return size * count;
}

static void prepare(struct tracer *tracer, const struct str *body)
{
	CURL *curl = tracer->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_URL, tracer->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "crisp/" CRISP_VERSION);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, tracer->headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, str_get(body));
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)SEND_SECONDS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, tracer);
}

enum outcome { POST_TAKEN, POST_REFUSED, POST_AGAIN };

/* Which failures may pass is said by the OTLP specification, "OTLP/HTTP Response". */
static enum outcome post(struct tracer *tracer, const struct str *body, struct err *err)
{
	CURLcode code;
	long status = 0;

	prepare(tracer, body);
	code = curl_easy_perform(tracer->curl);
	if (code != CURLE_OK) {
		err_set(err, RPC_UNAVAILABLE, "%s", curl_easy_strerror(code));
		return POST_AGAIN;
	}
	curl_easy_getinfo(tracer->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && status < 300)
		return POST_TAKEN;
	err_set(err, RPC_UNAVAILABLE, "HTTP status %ld", status);
	return status == 429 || (status >= 502 && status <= 504) ? POST_AGAIN : POST_REFUSED;
}

/* Waits so long, or until crispd stops. */
static void pause_for(struct tracer *tracer, int64_t ns)
{
	int64_t until = clock_deadline_in(ns);

	lock_take(&tracer->lock);
	while (tracer->stop_at == NO_DEADLINE && clock_mono() < until)
		cond_wait_until(&tracer->changed, &tracer->lock, until);
	lock_drop(&tracer->lock);
}

static bool deliver(struct tracer *tracer, const struct str *body, struct err *err)
{
	for (int tried = 1;; tried++) {
		enum outcome outcome = post(tracer, body, err);

		if (outcome != POST_AGAIN)
			return outcome == POST_TAKEN;
		if (tried == TRIES_MAX || stop_at(tracer) != NO_DEADLINE)
			return false;
		pause_for(tracer, tried * NS_PER_SEC);
	}
}

/* Once when it begins to fail, once when that is over. */
static void tell(struct tracer *tracer, bool taken, const struct err *err)
{
	if (taken && tracer->failing)
		log_info("traces are sent to %s again", tracer->url);
	else if (!taken && !tracer->failing)
		log_warn("traces cannot be sent to %s, they are dropped: %s", tracer->url, err->text);
	tracer->failing = !taken;
}

static void send_batch(struct tracer *tracer, struct ended_span *const *batch, size_t count)
{
	CLEANUP(str_done) struct str body = STR_INIT;
	struct err err = { 0 };
	bool taken;

	otlp_pack(batch, count, tracer->host, &body);
	taken = deliver(tracer, &body, &err);
	metric_add(taken ? &metric_spans_sent : &metric_spans_dropped, count);
	tell(tracer, taken, &err);
}

/* Waits for spans, then for more of them. 0: crispd stops and there are none, or no time. */
static size_t take_batch(struct tracer *tracer, struct ended_span **batch)
{
	size_t count = 0;
	int64_t until;

	lock_take(&tracer->lock);
	while (list_empty(&tracer->queue) && tracer->stop_at == NO_DEADLINE)
		cond_wait(&tracer->changed, &tracer->lock);
	until = clock_deadline_in(GATHER);
	while (tracer->count < BATCH_MAX && tracer->stop_at == NO_DEADLINE &&
	       cond_wait_until(&tracer->changed, &tracer->lock, until))
		;
	while (count < BATCH_MAX && !list_empty(&tracer->queue) && clock_mono() < tracer->stop_at) {
		struct ended_span *span = list_entry(tracer->queue.next, struct ended_span, node);

		list_del(&span->node);
		tracer->count--;
		batch[count++] = span;
	}
	lock_drop(&tracer->lock);
	return count;
}

static void *run(void *data)
{
	struct ended_span *batch[BATCH_MAX];
	struct tracer *tracer = data;
	size_t count;

	while ((count = take_batch(tracer, batch))) {
		send_batch(tracer, batch, count);
		for (size_t i = 0; i < count; i++)
			ended_span_free(batch[i]);
	}
	return NULL;
}

/* ---- birth and end ---- */

/* HOST:PORT is plain HTTP, and the usual path is meant where there is none. */
static char *url_of(const char *endpoint)
{
	bool whole = strstr(endpoint, "://");
	const char *host = whole ? strstr(endpoint, "://") + 3 : endpoint;

	return xasprintf("%s%s%s", whole ? "" : "http://", endpoint, strchr(host, '/') ? "" : "/v1/traces");
}

static int start(struct tracer *tracer, struct err *err)
{
	int error;

	tracer->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
	tracer->headers = curl_slist_append(NULL, "Content-Type: application/x-protobuf");
	if (!tracer->curl || !tracer->headers)
		return err_set(err, RPC_INTERNAL, "tracing: libcurl does not start");
	error = thread_start(&tracer->thread, "tracer", STACK_SIZE, run, tracer);
	if (error)
		return err_set(err, RPC_RESOURCE_EXHAUSTED, "tracing: start a thread: error %d", error);
	tracer->running = true;
	return 0;
}

struct tracer *tracer_new(const struct config_tracing *config, struct err *err)
{
	struct tracer *tracer = xnew(struct tracer);

	tracer->rate = (uint32_t)config->tracing_sampling_rate_per_million;
	tracer->url = url_of(config->tracing_endpoint);
	if (gethostname(tracer->host, sizeof(tracer->host) - 1) < 0)
		tracer->host[0] = '\0';
	tracer->stop_at = NO_DEADLINE;
	list_init(&tracer->queue);
	lock_init(&tracer->lock, "tracer", LOCK_TRACE);
	cond_init(&tracer->changed);
	if (start(tracer, err) < 0)
		return tracer_free(tracer);
	step_listen(on_step, tracer);
	return tracer;
}

static void stop(struct tracer *tracer)
{
	lock_take(&tracer->lock);
	tracer->stop_at = clock_deadline_in(LAST_PATIENCE);
	cond_broadcast(&tracer->changed);
	lock_drop(&tracer->lock);
	pthread_join(tracer->thread, NULL);
}

struct tracer *tracer_free(struct tracer *tracer)
{
	if (!tracer)
		return NULL;
	step_listen(NULL, NULL);
	if (tracer->running)
		stop(tracer);
	list_for_each_safe (node, &tracer->queue)
		ended_span_free(list_entry(node, struct ended_span, node));
	curl_easy_cleanup(tracer->curl);
	curl_slist_free_all(tracer->headers);
	cond_done(&tracer->changed);
	lock_done(&tracer->lock);
	free(tracer->url);
	free(tracer);
	return NULL;
}
