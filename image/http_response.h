/*
 * The headers of a response, line by line, into struct http_response. Pure functions over bytes from a
 * server: what is too long, not printable or malformed is passed over.
 */
#ifndef IMAGE_HTTP_RESPONSE_H
#define IMAGE_HTTP_RESPONSE_H

#include <stddef.h>

#include "image/http.h"

/* Frees what it holds, and leaves an empty response. */
void http_response_clear(struct http_response *response);
/* One header line ("Name: value"), with or without its CRLF. */
void http_response_header(struct http_response *response, const char *line, size_t len);

#endif
