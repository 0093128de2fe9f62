/* Decompression in pieces of every size; and lessons, bad input 38: truncated streams, members and frames in
 * a row, junk behind them, a huge window. The bomb is in unpack_test.c. */
#include "test/base/check.h"

#include <zstd.h>

#include "image/inflate.h"
#include "test/image/tar_stream.h"

/* Yields data in pieces of `step` bytes. */
struct pieces {
	const char *data;
	size_t len, at, step;
};

static int next_piece(void *data, const uint8_t **ret, size_t *ret_len, struct err *err UNUSED)
{
	struct pieces *pieces = data;
	size_t left = pieces->len - pieces->at;

	*ret_len = left < pieces->step ? left : pieces->step;
	*ret = (const uint8_t *)pieces->data + pieces->at;
	pieces->at += *ret_len;
	return 0;
}

static int decode(const struct str *in, size_t len, size_t step, struct str *out, struct err *err)
{
	struct pieces pieces = { str_get(in), len, 0, step };
	const struct byte_source source = { next_piece, &pieces };
	CLEANUP(inflate_freep) struct inflate *inflate = inflate_new(&source);
	const uint8_t *data;
	size_t n;

	do {
		if (inflate_next(inflate, &data, &n, err) < 0)
			return -1;
		str_addn(out, data, n);
	} while (n > 0);
	return 0;
}

static void make_text(struct str *text, size_t lines)
{
	for (size_t i = 0; i < lines; i++)
		str_addf(text, "line %zu of a text that compresses, %zu\n", i, i * 2654435761u % 1000003);
}

static void check_decodes(const struct str *in, const struct str *expected)
{
	static const size_t steps[] = { 1, 2, 3, 7, 18, 4096, 1 << 20 };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		CLEANUP(str_done) struct str out = STR_INIT;
		struct err err = { 0 };

		assert_ok(decode(in, in->len, steps[i], &out, &err));
		assert_int_equal(out.len, expected->len);
		assert_memory_equal(str_get(&out), str_get(expected), out.len);
	}
}

static void check_compression(void (*compress)(const void *, size_t, struct str *))
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(str_done) struct str twice = STR_INIT;
	CLEANUP(str_done) struct str packed = STR_INIT;

	make_text(&text, 20000);
	compress(text.data, text.len, &packed);
	check_decodes(&packed, &text);
	/* A second member, an empty one and a small one. */
	str_addn(&twice, text.data, text.len);
	compress("", 0, &packed);
	compress("x", 1, &packed);
	str_add(&twice, "x");
	check_decodes(&packed, &twice);
}

static void test_gzip(void **state UNUSED)
{
	check_compression(compress_gzip);
}

static void test_zstd(void **state UNUSED)
{
	CLEANUP(str_done) struct str packed = STR_INIT;
	CLEANUP(str_done) struct str expected = STR_INIT;

	check_compression(compress_zstd);
	/* zstd:chunked ends in a skippable frame, RFC 8878 section 3.1.2 */
	compress_zstd("abc", 3, &packed);
	str_addn(&packed, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12);
	str_add(&expected, "abc");
	check_decodes(&packed, &expected);
}

static void test_plain(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(str_done) struct str empty = STR_INIT;
	CLEANUP(str_done) struct str tiny = STR_INIT;

	make_text(&text, 1000);
	check_decodes(&text, &text);
	check_decodes(&empty, &empty);
	str_add(&tiny, "\x1f");
	check_decodes(&tiny, &tiny);
}

static void check_truncations(const struct str *packed)
{
	for (size_t len = 5; len < packed->len; len += 1 + packed->len / 300) {
		CLEANUP(str_done) struct str out = STR_INIT;
		struct err err = { 0 };

		assert_fails(decode(packed, len, 64, &out, &err), RPC_INVALID_ARGUMENT);
	}
}

/* Bad input 38. */
static void test_truncated(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(str_done) struct str gzip = STR_INIT;
	CLEANUP(str_done) struct str zstd = STR_INIT;

	make_text(&text, 500);
	compress_gzip(text.data, text.len, &gzip);
	compress_zstd(text.data, text.len, &zstd);
	check_truncations(&gzip);
	check_truncations(&zstd);
}

static void test_trailing(void **state UNUSED)
{
	CLEANUP(str_done) struct str packed = STR_INIT;
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err = { 0 };

	compress_gzip("abc", 3, &packed);
	str_add(&packed, "trailing junk that is no member");
	assert_fails(decode(&packed, packed.len, 4096, &out, &err), RPC_INVALID_ARGUMENT);
}

static void test_flipped(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(str_done) struct str packed = STR_INIT;
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err = { 0 };

	make_text(&text, 500);
	compress_gzip(text.data, text.len, &packed);
	packed.data[packed.len - 6] ^= 1; /* in the CRC */
	assert_fails(decode(&packed, packed.len, 4096, &out, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "checksum");
}

/* Bad input 38: a frame that asks for a window of 1 GiB: its header is enough to refuse it. */
static void test_zstd_window(void **state UNUSED)
{
	CLEANUP(str_done) struct str frame = STR_INIT;
	CLEANUP(str_done) struct str out = STR_INIT;
	struct err err = { 0 };

	str_addn(&frame, "\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00",
		 9); /* no single segment, exponent 20: 2^30 */
	assert_fails(decode(&frame, frame.len, 4096, &out, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "zstd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip),        cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_plain),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_trailing),    cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_zstd_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
