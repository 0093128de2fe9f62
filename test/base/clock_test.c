/* Deadlines that saturate, poll timeouts that round up, and RFC 3339 both ways. */
#include "test/base/check.h"

#include <limits.h>

#include "base/clock.h"

static void deadlines(void **state)
{
	int64_t now = clock_mono();

	(void)state;
	assert_true(now > 0);
	assert_between(clock_deadline_in(NS_PER_SEC), now + NS_PER_SEC, now + 10 * NS_PER_SEC);
	assert_between(clock_deadline_in(-5), now, now + NS_PER_SEC);
	assert_true(clock_deadline_in(INT64_MAX) == NO_DEADLINE);
	assert_int_equal(clock_poll_timeout(NO_DEADLINE), -1);
	assert_int_equal(clock_poll_timeout(now), 0);
	assert_int_equal(clock_poll_timeout(INT64_MIN + 1 + now), 0);
	assert_int_equal(clock_poll_timeout(NO_DEADLINE - 1), INT_MAX);
	assert_between(clock_poll_timeout(clock_mono() + NS_PER_SEC), 500, 1000);
	assert_int_equal(clock_poll_timeout(clock_mono() + 100 * NS_PER_US), 1);
	struct timespec ts = clock_timespec(3 * NS_PER_SEC + 7);
	assert_int_equal(ts.tv_sec, 3);
	assert_int_equal(ts.tv_nsec, 7);
}

static void formats(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000000000Z" },
		{ -1, "1969-12-31T23:59:59.999999999Z" },
		{ INT64_C(1582934400123456789), "2020-02-29T00:00:00.123456789Z" },
		{ INT64_MAX, "2262-04-11T23:47:16.854775807Z" },
		{ INT64_C(-9223372036000000000), "1677-09-21T00:12:44.000000000Z" },
	};
	char text[CLOCK_RFC3339_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t back = 0;
		clock_rfc3339(rows[i].ns, text);
		assert_string_equal(text, rows[i].text);
		assert_true(clock_parse_rfc3339(text, &back));
		assert_true(back == rows[i].ns);
	}
}

static void parses(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} rows[] = {
		{ "1970-01-01T00:00:01Z", NS_PER_SEC },
		{ "1970-01-01T00:00:01z", NS_PER_SEC },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:30:00-00:30", 0 },
		{ "1970-01-01T00:00:00.5Z", NS_PER_SEC / 2 },
		{ "1970-01-01T00:00:00.1234567899999Z", 123456789 },
	};
	static const char *const bad[] = {
		"",
		"x",
		"1970-01-01",
		"1970-01-01T00:00:00",
		"1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00Zx",
		"1970-01-01T00:00:00+1:00",
		"1970-01-01T00:00:00+24:00",
		"1970-01-01T00:00:00+00:60",
		"1970-01-01T00:00:00+00:00x",
		"1970-13-01T00:00:00Z",
		"1970-01-01T25:00:00Z",
		"9999-01-01T00:00:00Z",
		"0001-01-01T00:00:00Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t ns = -7;
		if (!clock_parse_rfc3339(rows[i].text, &ns) || ns != rows[i].ns)
			fail_msg("%s: %jd, %jd expected", rows[i].text, (intmax_t)ns, (intmax_t)rows[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = -7;
		if (clock_parse_rfc3339(bad[i], &ns))
			fail_msg("\"%s\" was taken as %jd", bad[i], (intmax_t)ns);
		assert_int_equal(ns, -7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines),
		cmocka_unit_test(formats),
		cmocka_unit_test(parses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
