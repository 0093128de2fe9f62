/*
 * Blobs: streams that ask again, with an offset, when their body breaks off. A part is a stream that ends
 * before the blob does; an endpoint that knows no Range turns it into one that doesn't.
 */
#include <assert.h>
#include <stdlib.h>

#include "image/registry_state.h"

enum {
	RESUMES_MAX = 50, /* of one blob, or part */
	RESUME_GAIN_MIN =
		16 * 1024, /* bytes by which a blob must grow for a resumption to count as progress */
};

static int wrong_size(const struct registry_conn *conn, const char *how, struct err *err)
{
	return err_set(err, RPC_DATA_LOSS, "%s: %s is %s than the %lld bytes its manifest says",
		       conn->repo->host, conn->path, how, (long long)conn->size);
}

/* What the answer is of: the range we asked for, or (200) all of the blob. */
static int check_answer(struct registry_conn *conn, struct err *err)
{
	const struct http_response *response = http_response(conn->http);
	bool part = response->status == 206;
	int64_t expected;

	conn->range_failed = part;
	conn->skip = part ? 0 : conn->offset;
	if (!part)
		conn->end = conn->size;
	if (part && (response->range_start != conn->offset || response->range_end != conn->end - 1 ||
		     (response->range_size >= 0 && response->range_size != conn->size)))
		return err_set(err, RPC_UNAVAILABLE, "%s: answer to a range request is of another range",
			       response->host);
	expected = part ? conn->end - conn->offset : conn->size;
	if (response->content_length >= 0 && response->content_length != expected)
		return wrong_size(conn, response->content_length < expected ? "shorter" : "longer", err);
	conn->range_failed = false;
	return 0;
}

static int request_blob(struct registry_conn *conn, const struct ctx *ctx, struct err *err)
{
	const struct registry_request request = {
		.path = conn->path,
		.offset = (uint64_t)conn->offset,
		.end = conn->end < conn->size ? (uint64_t)conn->end : 0,
	};

	conn->range_failed = false;
	if (registry_fetch(conn, ctx, &request, err) < 0) {
		int status = http_response(conn->http)->status;

		conn->range_failed = status == 400 || status == 416 || status == 501;
		return -1;
	}
	return check_answer(conn, err);
}

int registry_open_part(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		       const struct blob_part *part, struct err *err)
{
	char text[DIGEST_TEXT_SIZE];

	assert(part->start >= 0 && part->start <= part->end && part->end <= descriptor->size);
	digest_text(&descriptor->digest, text);
	free(conn->path);
	conn->path = xasprintf("blobs/%s", text);
	conn->size = descriptor->size;
	conn->offset = conn->resumed_at = part->start;
	conn->end = part->end;
	conn->idle_resumes = conn->resumes = 0;
	return request_blob(conn, ctx, err);
}

int registry_open_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		       struct err *err)
{
	const struct blob_part whole = { 0, descriptor->size };

	return registry_open_part(conn, ctx, descriptor, &whole, err);
}

int64_t registry_part_end(const struct registry_conn *conn)
{
	return conn->end;
}

bool registry_range_failed(const struct registry_conn *conn)
{
	return conn->range_failed;
}

/* The body broke off (err says how): goes on at conn->offset, or gives up with that error. */
static int resume(struct registry_conn *conn, const struct ctx *ctx, struct err *err)
{
	if (conn->offset - conn->resumed_at < RESUME_GAIN_MIN) {
		conn->idle_resumes++;
	} else {
		conn->idle_resumes = 0;
		conn->resumed_at = conn->offset;
	}
	if (conn->idle_resumes == REGISTRY_REPEATS_MAX || ++conn->resumes > RESUMES_MAX)
		return -1;
	if (registry_pause(conn, ctx, conn->idle_resumes, err) < 0)
		return -1;
	return request_blob(conn, ctx, err);
}

/* One piece of the body without what is to be skipped; *len 0 when all of it was. */
static int read_piece(struct registry_conn *conn, const struct ctx *ctx, const uint8_t **data, size_t *len,
		      bool *ended, struct err *err)
{
	size_t drop;

	if (http_read(conn->http, ctx, data, len, err) < 0)
		return -1;
	*ended = *len == 0;
	drop = (int64_t)*len < conn->skip ? *len : (size_t)conn->skip;
	conn->skip -= (int64_t)drop;
	*data += drop;
	*len -= drop;
	return 0;
}

int registry_read_blob(struct registry_conn *conn, const struct ctx *ctx, const uint8_t **ret,
		       size_t *ret_len, struct err *err)
{
	for (;;) {
		bool ended = false, broken;

		broken = read_piece(conn, ctx, ret, ret_len, &ended, err) < 0;
		if (broken && (err->code != RPC_UNAVAILABLE || http_failure(conn->http) == HTTP_REFUSED))
			return -1;
		if (!broken && *ret_len > 0) {
			if ((int64_t)*ret_len > conn->end - conn->offset)
				return wrong_size(conn, "longer", err);
			conn->offset += (int64_t)*ret_len;
			return 0;
		}
		if (conn->offset == conn->end &&
		    (ended || broken)) { /* whole: how it ended does not matter */
			*ret_len = 0;
			return 0;
		}
		if (ended)
			err_set(err, RPC_UNAVAILABLE, "%s: %s ended after %lld of %lld bytes",
				conn->repo->host, conn->path, (long long)conn->offset, (long long)conn->size);
		if ((ended || broken) && resume(conn, ctx, err) < 0)
			return -1;
	}
}

int registry_get_blob(struct registry_conn *conn, const struct ctx *ctx, const struct descriptor *descriptor,
		      char **ret, struct err *err)
{
	CLEANUP(str_done) struct str body = STR_INIT;
	const uint8_t *data;
	size_t len;

	assert(descriptor->size >= 0 && descriptor->size <= MANIFEST_CONFIG_MAX);
	if (registry_open_blob(conn, ctx, descriptor, err) < 0)
		return -1;
	do {
		if (registry_read_blob(conn, ctx, &data, &len, err) < 0)
			return -1;
		str_addn(&body, data, len);
	} while (len > 0);
	if (digest_check(&descriptor->digest, str_get(&body), body.len, conn->path, err) < 0)
		return err_prefix(err, "%s", conn->repo->host);
	*ret = str_take(&body);
	return 0;
}
