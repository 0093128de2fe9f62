/*
 * Terminal sizes as clients send them: JSON objects {"Width":80,"Height":24}, one behind the other, cut
 * anywhere. Pure; not thread-safe.
 */
#ifndef SERVER_STREAMING_RESIZE_H
#define SERVER_STREAMING_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESIZE_TEXT_MAX = 256 };

struct resize {
	char text[RESIZE_TEXT_MAX]; /* of the object in progress */
	size_t len;
	bool skipping; /* too long: until its end */
};

struct terminal_size {
	uint16_t width, height;
};

/* True when the bytes complete at least one size with sides of at least 1; *ret is the last of them. What is
 * no size is passed over. */
bool resize_feed(struct resize *resize, const uint8_t *data, size_t len, struct terminal_size *ret);

#endif
