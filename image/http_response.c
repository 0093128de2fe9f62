/* Only the headers that somebody asks for are kept; of each the last, of challenges all up to a bound. */
#include "image/http_response.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { CHALLENGES_MAX = 8, HEADER_VALUE_MAX = 8192 };

void http_response_clear(struct http_response *response)
{
	free(response->content_type);
	free(response->content_digest);
	free(response->location);
	free(response->host);
	strv_done(&response->www_authenticate);
	*response = (struct http_response){
		.content_length = -1, .range_start = -1, .range_end = -1, .range_size = -1, .retry_after = -1
	};
}

static void replace(char **slot, const char *value)
{
	free(*slot);
	*slot = xstrdup(value);
}

/* Retry-After: seconds or a date. */
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

/* "bytes 100-199/200" */
static void take_range(struct http_response *response, const char *value)
{
	CLEANUP(freep) char *first = NULL;
	CLEANUP(freep) char *last = NULL;
	const char *dash;
	int64_t start, end, size;

	if (strncasecmp(value, "bytes ", 6) != 0 || !(dash = strchr(value, '-')))
		return;
	first = xstrndup(value + 6, (size_t)(dash - value - 6));
	last = xstrndup(dash + 1, strcspn(dash + 1, "/"));
	if (!parse_i64(first, 0, INT64_MAX, &start) || !parse_i64(last, start, INT64_MAX, &end))
		return;
	response->range_start = start;
	response->range_end = end;
	dash += 1 + strlen(last);
	if (dash[0] == '/' && parse_i64(dash + 1, 0, INT64_MAX, &size))
		response->range_size = size;
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
		take_range(response, value);
	else if (strcasecmp(name, "retry-after") == 0)
		response->retry_after = seconds_until(value);
	else if (strcasecmp(name, "www-authenticate") == 0 && response->www_authenticate.len < CHALLENGES_MAX)
		strv_add(&response->www_authenticate, value);
}

void http_response_header(struct http_response *response, const char *line, size_t len)
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
