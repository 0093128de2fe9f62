/* What arrives on stderr, byte by byte: formats, escaping, limits, filter, levels, and lines of threads kept
 * apart. */
#include "test/base/check.h"

#include <errno.h>
#include <pthread.h>

#include <jansson.h>

#include "base/log.h"

/* stderr goes into a file while a test logs. */
struct capture {
	int saved, file;
};

static void capture_start(struct capture *capture)
{
	fflush(stderr);
	capture->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	capture->file = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	assert_true(capture->saved >= 0 && capture->file >= 0);
	assert_int_equal(dup3(capture->file, STDERR_FILENO, O_CLOEXEC), STDERR_FILENO);
}

/* What was written, malloc'd. */
static char *capture_end(struct capture *capture)
{
	struct str text = STR_INIT;
	char buffer[4096];
	ssize_t n;

	dup3(capture->saved, STDERR_FILENO, 0);
	close(capture->saved);
	lseek(capture->file, 0, SEEK_SET);
	while ((n = read(capture->file, buffer, sizeof(buffer))) > 0)
		str_addn(&text, buffer, (size_t)n);
	close(capture->file);
	return str_take(&text);
}

static void setup(enum log_level level, enum log_format format, const char *filter)
{
	const struct log_options options = {
		.level = level, .target = LOG_TARGET_STDERR, .format = format, .filter = filter
	};
	struct err err = { 0 };

	assert_ok(log_setup(&options, &err));
}

/* The line without its time, which is checked for its shape. */
static const char *without_time(const char *line)
{
	int used = 0;

	if (sscanf(line, "time=\"20%*2d-%*2d-%*2dT%*2d:%*2d:%*2d.%*9dZ\" %n", &used) < 0 || !used)
		fail_msg("no time in front: %s", line);
	return line + used;
}

static void text_lines(void **state)
{
	struct capture capture;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	capture_start(&capture);
	errno = ENOENT;
	log_error("open %s: %m", "/x");
	log_debug("not seen");
	assert_int_equal(errno, ENOENT);
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_string_equal(without_time(text), "level=error msg=\"open /x: No such file or directory\"\n");
}

static void library(void *who, const char *fmt, ...) PRINTF(2, 3);
static void library(void *who, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_library(who, fmt, args);
	va_end(args);
}

static void a_library_is_heard_by_who_listens(void **state)
{
	static char who[] = "http";
	struct capture capture;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	capture_start(&capture);
	library(who, "not seen\n");
	setup(LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT, NULL);
	library(who, "connection %d is no good\nmore", 7);
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_string_equal(without_time(text), "level=debug msg=\"http: connection 7 is no good\"\n");
}

static void fields_are_quoted_when_they_must(void **state)
{
	struct capture capture;

	(void)state;
	setup(LOG_LEVEL_TRACE, LOG_FORMAT_TEXT, "");
	capture_start(&capture);
	log_fields(LOG_LEVEL_TRACE, "m", "id", "abc-1.2/x", "none", NULL, "empty", "", "space", "a b",
		   "equals", "a=b", NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_string_equal(without_time(text),
			    "level=trace msg=\"m\" id=abc-1.2/x empty=\"\" space=\"a b\" equals=\"a=b\"\n");
}

/* A log line cannot be forged, and a terminal cannot be steered. */
static void hostile_values_stay_on_their_line(void **state)
{
	struct capture capture;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	capture_start(&capture);
	log_fields(LOG_LEVEL_INFO, "a\nlevel=info \"x\" \\", "esc", "\x1b[2J\x7f\xc2\x9b", "bad", "\xff\xc3(",
		   "ok", "gr\xc3\xbc\xc3\x9f", "tab", "\t", NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_string_equal(
		without_time(text),
		"level=info msg=\"a\\nlevel=info \\\"x\\\" \\\\\" esc=\"\\x1b[2J\\x7f\\xc2\\x9b\" "
		"bad=\"\\xff\\xc3(\" ok=\"gr\xc3\xbc\xc3\x9f\" tab=\"\\t\"\n");
}

static void json_lines_parse_and_carry_everything(void **state)
{
	struct capture capture;
	json_error_t error;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON, NULL);
	capture_start(&capture);
	log_fields(LOG_LEVEL_WARN, "a\n\"b\"\\", "k", "\x01\xff\x1b gr\xc3\xbc\xc3\x9f", NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_int_equal(strcspn(text, "\n"), strlen(text) - 1);
	json_t *json = json_loads(text, 0, &error);
	if (!json)
		fail_msg("%s: %s", error.text, text);
	assert_string_equal(json_string_value(json_object_get(json, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(json, "msg")), "a\n\"b\"\\");
	assert_string_equal(json_string_value(json_object_get(json, "k")),
			    "\\x01\\xff\\x1b gr\xc3\xbc\xc3\x9f");
	assert_int_equal(strlen(json_string_value(json_object_get(json, "time"))), 30);
	json_decref(json);
}

static void long_values_are_cut_between_characters(void **state)
{
	struct capture capture;
	struct str value = STR_INIT;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	for (int i = 0; i < 5000; i++)
		str_add(&value, "\xe2\x82\xac");
	capture_start(&capture);
	log_fields(LOG_LEVEL_INFO, "m", "k", value.data, NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	str_done(&value);
	assert_between(strlen(text), 4096, 4300);
	assert_string_equal(text + strlen(text) - 8, "\xe2\x82\xac...\"\n");
}

static void filter_picks_messages(void **state)
{
	struct capture capture;
	struct err err = { 0 };

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, "^(pull|stop) ");
	capture_start(&capture);
	log_info("pull image");
	log_info("do pull image");
	const struct log_options bad = { .level = LOG_LEVEL_TRACE, .filter = "(" };
	int failed = log_setup(&bad, &err);
	log_info("stop pod");
	log_debug("stop pod at debug");
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_int_equal(failed, -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_contains(text, "pull image");
	assert_contains(text, "stop pod");
	assert_null(strstr(text, "do pull"));
	assert_null(strstr(text, "at debug"));
	log_done();
	assert_true(log_enabled(LOG_LEVEL_INFO));
	assert_false(log_enabled(LOG_LEVEL_DEBUG));
}

static void levels_have_names(void **state)
{
	enum log_level level;

	(void)state;
	assert_true(log_level_parse("panic", &level) && level == LOG_LEVEL_FATAL);
	assert_true(log_level_parse("warning", &level) && level == LOG_LEVEL_WARN);
	for (int i = LOG_LEVEL_FATAL; i <= LOG_LEVEL_TRACE; i++) {
		assert_true(log_level_parse(log_level_name((enum log_level)i), &level));
		assert_int_equal(level, i);
	}
	assert_false(log_level_parse("verbose", &level));
	assert_false(log_level_parse("", &level));
}

static void *chatter(void *data)
{
	for (int i = 0; i < 300; i++) {
		const struct log_options options = { .level = LOG_LEVEL_INFO,
						     .target = LOG_TARGET_STDERR,
						     .filter = i % 2 ? "thread" : "^thread [0-9]" };
		log_fields(LOG_LEVEL_INFO, "thread 1 says something of a certain length", "n", data, NULL);
		if (i % 10 == 0 && log_setup(&options, NULL) < 0)
			return data;
	}
	return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
	struct capture capture;
	pthread_t threads[6];
	char name[] = "x";
	int lines = 0;

	(void)state;
	setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, NULL);
	capture_start(&capture);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_create(&threads[i], NULL, chatter, name);
	void *failed = NULL;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
		void *one = NULL;
		pthread_join(threads[i], &one);
		failed = one ? one : failed;
	}
	CLEANUP(freep) char *text = capture_end(&capture);
	assert_null(failed);
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		assert_string_equal(without_time(line),
				    "level=info msg=\"thread 1 says something of a certain length\" n=x");
		lines++;
	}
	assert_int_equal(lines, 6 * 300);
	log_done();
}

/* With JOURNAL_STREAM naming stderr the target is the journal; without a journal the line still gets out on
 * stderr. */
static void without_a_journal_lines_go_to_stderr(void **state)
{
	struct capture capture;
	const struct log_options options = { .level = LOG_LEVEL_INFO, .target = LOG_TARGET_AUTO };
	const struct log_options journal = { .level = LOG_LEVEL_INFO, .target = LOG_TARGET_JOURNAL };
	struct err err = { 0 };

	(void)state;
	if (access("/run/systemd/journal/socket", F_OK) == 0)
		skip();
	setenv("JOURNAL_STREAM", "1:1", 1);
	capture_start(&capture);
	int failed = log_setup(&options, &err);
	log_info("auto");
	failed |= log_setup(&journal, &err);
	log_fields(LOG_LEVEL_INFO, "journal", "pod-id", "1", NULL);
	CLEANUP(freep) char *text = capture_end(&capture);
	unsetenv("JOURNAL_STREAM");
	log_done();
	assert_int_equal(failed, 0);
	assert_contains(text, "msg=\"auto\"\n");
	assert_contains(text, "msg=\"journal\" pod-id=1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines),
		cmocka_unit_test(a_library_is_heard_by_who_listens),
		cmocka_unit_test(fields_are_quoted_when_they_must),
		cmocka_unit_test(hostile_values_stay_on_their_line),
		cmocka_unit_test(json_lines_parse_and_carry_everything),
		cmocka_unit_test(long_values_are_cut_between_characters),
		cmocka_unit_test(filter_picks_messages),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(threads_do_not_mix_lines),
		cmocka_unit_test(without_a_journal_lines_go_to_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
