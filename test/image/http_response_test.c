/* Header lines: what is understood, and what is passed over. */
#include "test/base/check.h"

#include <time.h>

#include "image/http_response.h"

static struct http_response parse(const char *line)
{
	struct http_response response = { 0 };

	http_response_clear(&response);
	http_response_header(&response, line, strlen(line));
	return response;
}

static void check_retry_after(const char *value, int64_t low, int64_t high)
{
	CLEANUP(freep) char *line = xasprintf("Retry-After:%s\r\n", value);
	CLEANUP(http_response_clear) struct http_response response = parse(line);

	assert_between(response.retry_after, low, high);
}

static void test_retry_after(void **state UNUSED)
{
	time_t soon = time(NULL) + 100;
	char date[64];
	struct tm parts;

	gmtime_r(&soon, &parts);
	strftime(date, sizeof(date), " %a, %d %b %Y %H:%M:%S GMT", &parts);
	check_retry_after(" 7 ", 7, 7);
	check_retry_after(date, 60, 100);
	check_retry_after(" Fri, 31 Dec 1999 23:59:59 GMT", 0, 0);
	check_retry_after(" -1", -1, -1);
	check_retry_after(" soon", -1, -1);
	check_retry_after(" 4294967296", -1, -1);
	check_retry_after(" 99999999999999999999", -1, -1);
	check_retry_after("", -1, -1);
}

static void check_range(const char *value, int64_t start, int64_t end, int64_t size)
{
	CLEANUP(freep) char *line = xasprintf("Content-Range: %s\r\n", value);
	CLEANUP(http_response_clear) struct http_response response = parse(line);

	assert_int_equal(response.range_start, start);
	assert_int_equal(response.range_end, end);
	assert_int_equal(response.range_size, size);
}

static void test_range(void **state UNUSED)
{
	check_range("bytes 10-19/20", 10, 19, 20);
	check_range("Bytes 0-0/*", 0, 0, -1);
	check_range("bytes 19-10/20", -1, -1, -1);
	check_range("bytes -5-10/20", -1, -1, -1);
	check_range("bytes */20", -1, -1, -1);
	check_range("bytes 1", -1, -1, -1);
	check_range("bytes 10-99999999999999999999/20", -1, -1, -1);
	check_range("lines 10-19/20", -1, -1, -1);
	check_range("bytes 10-19", 10, 19, -1);
	check_range("bytes 10-19/x", 10, 19, -1);
}

static void test_bounds(void **state UNUSED)
{
	struct http_response response = { 0 };
	CLEANUP(freep) char *value = xmalloc(9001);

	memset(value, 'a', 9000);
	value[9000] = '\0';
	CLEANUP(freep) char *line = xasprintf("Location: %s\r\n", value);

	http_response_clear(&response);
	http_response_header(&response, line, strlen(line));
	assert_null(response.location);
	http_response_header(&response, "Location: /a\x01\r\n", 15);
	assert_null(response.location);
	for (int i = 0; i < 20; i++)
		http_response_header(&response, "WWW-Authenticate: Basic\r\n", 25);
	assert_int_equal(response.www_authenticate.len, 8);
	http_response_clear(&response);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
