/*
 * zlib asks for the dictionary at the first block; one with another checksum is refused by
 * inflateSetDictionary(). A block's end is where its bytes end: the sync flush that each ends with makes all
 * of it come out.
 */
#include "server/streaming/spdy_headers.h"

#include <stdbool.h>
#include <string.h>

#include "server/streaming/spdy_dictionary.h"

static bool take_u32(const uint8_t **at, size_t *left, uint32_t *ret)
{
	const uint8_t *bytes = *at;

	if (*left < 4)
		return false;
	*ret = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
	*at += 4;
	*left -= 4;
	return true;
}

static bool take_text(const uint8_t **at, size_t *left, const uint8_t **ret, uint32_t *ret_len)
{
	if (!take_u32(at, left, ret_len) || *ret_len > *left)
		return false;
	*ret = *at;
	*at += *ret_len;
	*left -= *ret_len;
	return true;
}

static bool is_name(const uint8_t *name, size_t len, const char *want)
{
	return len == strlen(want) && memcmp(name, want, len) == 0;
}

/* A value with bytes that no name or number has stays untold. */
static void keep(char *ret, const uint8_t *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return;
	if (len >= SPDY_HEADER_VALUE_SIZE)
		return;
	memcpy(ret, value, len);
	ret[len] = '\0';
}

int spdy_headers_parse(const uint8_t *data, size_t len, struct spdy_headers *ret, struct err *err)
{
	struct spdy_headers headers = { 0 };
	uint32_t count, name_len, value_len;
	const uint8_t *name, *value;

	if (!take_u32(&data, &len, &count) || count > SPDY_HEADER_PAIRS_MAX)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: too many headers");
	for (uint32_t i = 0; i < count; i++) {
		if (!take_text(&data, &len, &name, &name_len) || !take_text(&data, &len, &value, &value_len))
			return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a header block is cut short");
		if (is_name(name, name_len, "streamtype"))
			keep(headers.stream_type, value, value_len);
		else if (is_name(name, name_len, "port"))
			keep(headers.port, value, value_len);
		else if (is_name(name, name_len, "requestid"))
			keep(headers.request_id, value, value_len);
	}
	if (len)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: bytes behind a header block");
	*ret = headers;
	return 0;
}

static int set_dictionary(z_stream *zlib)
{
	uint8_t dictionary[SPDY_DICTIONARY_SIZE];

	spdy_dictionary(dictionary);
	return inflateSetDictionary(zlib, dictionary, sizeof(dictionary));
}

int spdy_unpack(struct spdy_unpacker *unpacker, const uint8_t *data, size_t len, struct spdy_headers *ret,
		struct err *err)
{
	z_stream *zlib = &unpacker->zlib;
	uint8_t text[SPDY_HEADERS_MAX];
	int result = Z_OK;

	if (!unpacker->open) {
		if (inflateInit(zlib) != Z_OK)
			return err_set(err, RPC_RESOURCE_EXHAUSTED, "SPDY: no memory for headers");
		unpacker->open = 1;
	}
	zlib->next_in = (uint8_t *)data;
	zlib->avail_in = (uInt)len;
	zlib->next_out = text;
	zlib->avail_out = sizeof(text);
	while (result == Z_OK && zlib->avail_in && zlib->avail_out) {
		result = inflate(zlib, Z_SYNC_FLUSH);
		if (result == Z_NEED_DICT)
			result = set_dictionary(zlib);
	}
	if ((result != Z_OK && result != Z_BUF_ERROR) || zlib->avail_in)
		return err_set(err, RPC_INVALID_ARGUMENT,
			       "SPDY: a header block that cannot be unpacked or is too long");
	/* Full to the last byte: there may be more inside zlib. */
	if (!zlib->avail_out)
		return err_set(err, RPC_INVALID_ARGUMENT, "SPDY: a header block is too long");
	return spdy_headers_parse(text, sizeof(text) - zlib->avail_out, ret, err);
}

void spdy_unpacker_done(struct spdy_unpacker *unpacker)
{
	if (unpacker->open)
		inflateEnd(&unpacker->zlib);
	unpacker->open = 0;
}
