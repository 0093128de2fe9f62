/*
 * One decoder out of three, chosen when the first piece arrives. Each decoder has one step: it turns what is
 * in `in` into at most INFLATE_BUFFER bytes of output. The loop around it fetches input when there is none
 * and returns as soon as there is output. At the end of input `between` tells whether the decoder stands
 * between two members (fine) or inside one (truncated).
 */
#include "image/inflate.h"

#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/str.h"

enum { MAGIC_MAX = 4, ZSTD_WINDOW_LOG_MAX = 27 };

struct inflate {
	struct byte_source source;
	const uint8_t *in;
	size_t in_len;
	bool in_ended;
	bool between; /* no member is half read */
	bool begun;
	struct str head; /* first pieces, when they were too short to choose by */
	int (*step)(struct inflate *inflate, size_t *ret_len, struct err *err);
	struct inflate_state *gzip;
	ZSTD_DStream *zstd;
	uint8_t *out;
};

struct inflate *inflate_new(const struct byte_source *source)
{
	struct inflate *inflate = xnew(struct inflate);

	inflate->source = *source;
	inflate->between = true;
	return inflate;
}

struct inflate *inflate_free(struct inflate *inflate)
{
	if (!inflate)
		return NULL;
	ZSTD_freeDStream(inflate->zstd);
	free(inflate->gzip);
	free(inflate->out);
	str_done(&inflate->head);
	free(inflate);
	return NULL;
}

void inflate_freep(struct inflate **inflate)
{
	inflate_free(*inflate);
}

bool inflate_is_plain(const struct inflate *inflate)
{
	return inflate->begun && !inflate->step;
}

static int fill(struct inflate *inflate, struct err *err)
{
	if (inflate->in_len > 0 || inflate->in_ended)
		return 0;
	if (inflate->source.next(inflate->source.data, &inflate->in, &inflate->in_len, err) < 0)
		return -1;
	inflate->in_ended = inflate->in_len == 0;
	return 0;
}

static const char *gzip_error_text(int code)
{
	switch (code) {
	case ISAL_INVALID_WRAPPER:
		return "bytes that are no gzip member";
	case ISAL_INCORRECT_CHECKSUM:
		return "wrong checksum";
	case ISAL_UNSUPPORTED_METHOD:
		return "unsupported method";
	default:
		return "broken deflate data";
	}
}

static int gzip_step(struct inflate *inflate, size_t *ret_len, struct err *err)
{
	struct inflate_state *state = inflate->gzip;
	uint32_t len = inflate->in_len > UINT32_MAX ? UINT32_MAX : (uint32_t)inflate->in_len;
	int code;

	if (inflate->between && len == 0)
		return 0;
	state->next_in = (uint8_t *)inflate->in;
	state->avail_in = len;
	state->next_out = inflate->out;
	state->avail_out = INFLATE_BUFFER;
	code = isal_inflate(state);
	if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
		return err_set(err, RPC_INVALID_ARGUMENT, "gzip: %s", gzip_error_text(code));
	inflate->between = state->block_state == ISAL_BLOCK_FINISH;
	inflate->in += len - state->avail_in;
	inflate->in_len -= len - state->avail_in;
	*ret_len = INFLATE_BUFFER - state->avail_out;
	if (inflate->between) { /* whatever follows must be another member, RFC 1952 section 2.2 */
		isal_inflate_reset(state);
		state->crc_flag = ISAL_GZIP;
	}
	return 0;
}

static int zstd_step(struct inflate *inflate, size_t *ret_len, struct err *err)
{
	ZSTD_inBuffer in = { inflate->in, inflate->in_len, 0 };
	ZSTD_outBuffer out = { inflate->out, INFLATE_BUFFER, 0 };
	size_t code;

	if (inflate->between && in.size == 0)
		return 0;
	code = ZSTD_decompressStream(inflate->zstd, &out, &in);
	if (ZSTD_isError(code))
		return err_set(err, RPC_INVALID_ARGUMENT, "zstd: %s", ZSTD_getErrorName(code));
	inflate->between = code == 0;
	inflate->in += in.pos;
	inflate->in_len -= in.pos;
	*ret_len = out.pos;
	return 0;
}

static bool is_zstd(const uint8_t *head, size_t len)
{
	static const uint8_t frame[] = { 0x28, 0xb5, 0x2f, 0xfd };
	static const uint8_t skippable[] = { 0x2a, 0x4d, 0x18 }; /* behind one byte 0x50 to 0x5f */

	return len >= 4 &&
	       (memcmp(head, frame, sizeof(frame)) == 0 ||
		((head[0] & 0xf0) == 0x50 && memcmp(head + 1, skippable, sizeof(skippable)) == 0));
}

static void choose(struct inflate *inflate)
{
	const uint8_t *head = inflate->in;
	size_t len = inflate->in_len;

	if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
		inflate->gzip = xnew(struct inflate_state);
		isal_inflate_init(inflate->gzip);
		inflate->gzip->crc_flag = ISAL_GZIP;
		inflate->step = gzip_step;
	} else if (is_zstd(head, len)) {
		inflate->zstd = ZSTD_createDStream();
		ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
		inflate->step = zstd_step;
	}
	if (inflate->step)
		inflate->out = xmalloc(INFLATE_BUFFER);
}

/* The first piece may be shorter than a magic number: then pieces are gathered in `head` until it is not. */
static int begin(struct inflate *inflate, struct err *err)
{
	inflate->begun = true;
	if (fill(inflate, err) < 0)
		return -1;
	if (inflate->in_len < MAGIC_MAX) {
		while (!inflate->in_ended && inflate->head.len < MAGIC_MAX) {
			str_addn(&inflate->head, inflate->in, inflate->in_len);
			inflate->in_len = 0;
			if (inflate->head.len < MAGIC_MAX && fill(inflate, err) < 0)
				return -1;
		}
		inflate->in = (const uint8_t *)str_get(&inflate->head);
		inflate->in_len = inflate->head.len;
	}
	choose(inflate);
	return 0;
}

static int plain_next(struct inflate *inflate, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	if (fill(inflate, err) < 0)
		return -1;
	*ret = inflate->in;
	*ret_len = inflate->in_len;
	inflate->in_len = 0;
	return 0;
}

int inflate_next(struct inflate *inflate, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	if (!inflate->begun && begin(inflate, err) < 0)
		return -1;
	if (!inflate->step)
		return plain_next(inflate, ret, ret_len, err);
	for (;;) {
		size_t before, len = 0;

		if (fill(inflate, err) < 0)
			return -1;
		before = inflate->in_len;
		if (inflate->step(inflate, &len, err) < 0)
			return -1;
		if (len == 0 && inflate->in_ended && inflate->in_len == 0 && !inflate->between)
			return err_set(err, RPC_INVALID_ARGUMENT, "compressed data is truncated");
		if (len == 0 && before > 0 && before == inflate->in_len)
			return err_set(err, RPC_INVALID_ARGUMENT, "compressed data does not decode");
		if (len > 0 || (inflate->in_ended && inflate->in_len == 0)) {
			*ret = inflate->out;
			*ret_len = len;
			return 0;
		}
	}
}
