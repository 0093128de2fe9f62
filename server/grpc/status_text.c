/*
 * Mending may lengthen the text (U+FFFD has three bytes), so it is cut afterwards, at the last whole
 * character. Newlines and tabs stay: errors of runtimes have several lines, and they survive
 * percent-encoding.
 */
#include "server/grpc/status_text.h"

#include <string.h>

#include "base/err.h"
#include "base/str.h"
#include "proto/utf8.h"

grpc_slice status_text(const char *text)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	size_t len;

	utf8_mend(&out, text, strnlen(text, ERR_TEXT_MAX));
	len = out.len < ERR_TEXT_MAX ? out.len : utf8_prefix(out.data, ERR_TEXT_MAX);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)out.data[i] < 0x20 && out.data[i] != '\n' && out.data[i] != '\t') ||
		    out.data[i] == 0x7f)
			out.data[i] = ' ';
	return grpc_slice_from_copied_buffer(str_get(&out), len);
}
