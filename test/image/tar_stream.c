/* ustar headers, POSIX.1-2017 pax, "ustar Interchange Format". */
#include "test/image/tar_stream.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { TAR_BLOCK = 512 };

/* The byte after the digits is 0 already. */
static void octal(char *field, size_t size, unsigned long long value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

static void add_padded(struct str *tar, const void *data, size_t len)
{
	static const char zeros[TAR_BLOCK];

	str_addn(tar, data, len);
	str_addn(tar, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

void tar_add(struct str *tar, const struct tar_member *member)
{
	char header[TAR_BLOCK] = { 0 };
	char type = member->type ? member->type : '0';
	size_t size = member->size ? member->size : member->data ? strlen(member->data) : 0;
	const char *link = member->link ? member->link : "";
	unsigned int sum = 0;

	if (strlen(member->name) > 100)
		tar_pax(tar, "path", member->name);
	if (member->link && strlen(member->link) > 100)
		tar_pax(tar, "linkpath", member->link);
	memcpy(header, member->name, strnlen(member->name, 100));
	octal(header + 100, 8, member->mode ? member->mode : type == '5' ? 0755 : 0644);
	octal(header + 108, 8, member->uid);
	octal(header + 116, 8, member->gid);
	octal(header + 124, 12, size);
	octal(header + 136, 12, (unsigned long long)member->mtime);
	header[156] = type;
	memcpy(header + 157, link, strnlen(link, 100));
	memcpy(header + 257,
	       "ustar\0"
	       "00",
	       8);
	octal(header + 329, 8, member->major);
	octal(header + 337, 8, member->minor);
	memset(header + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	str_addn(tar, header, TAR_BLOCK);
	add_padded(tar, member->data ? member->data : "", size);
}

/* "LEN key=value\n", where LEN counts itself. */
void tar_pax_bytes(struct str *tar, const char *key, const void *value, size_t len)
{
	CLEANUP(str_done) struct str record = STR_INIT;
	size_t rest = strlen(key) + len + 3, digits = 1, total;

	for (total = rest + 1; total >= 10; total /= 10)
		digits++;
	if (snprintf(NULL, 0, "%zu", rest + digits) > (int)digits)
		digits++;
	str_addf(&record, "%zu %s=", rest + digits, key);
	str_addn(&record, value, len);
	str_addc(&record, '\n');
	assert(record.len == rest + digits);
	tar_add(tar, &(struct tar_member){
			     .name = "pax", .type = 'x', .data = str_get(&record), .size = record.len });
}

void tar_pax(struct str *tar, const char *key, const char *value)
{
	tar_pax_bytes(tar, key, value, strlen(value));
}

void tar_end(struct str *tar)
{
	static const char zeros[2 * TAR_BLOCK];

	str_addn(tar, zeros, sizeof(zeros));
}

void compress_gzip(const void *data, size_t len, struct str *out)
{
	z_stream stream = { 0 };
	size_t room = compressBound(len) + 64;
	int code = deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);

	assert(code == Z_OK);
	stream.next_in = (Bytef *)data;
	stream.avail_in = (uInt)len;
	stream.next_out = (Bytef *)str_room(out, room);
	stream.avail_out = (uInt)room;
	code = deflate(&stream, Z_FINISH);
	assert(code == Z_STREAM_END);
	str_grown(out, stream.total_out);
	deflateEnd(&stream);
}

void compress_zstd(const void *data, size_t len, struct str *out)
{
	size_t room = ZSTD_compressBound(len);
	size_t n = ZSTD_compress(str_room(out, room), room, data, len, 3);

	assert(!ZSTD_isError(n));
	str_grown(out, n);
}
