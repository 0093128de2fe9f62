/*
 * A line is built whole in a struct str and handed to the kernel in one write(2), so lines of different
 * threads never mix. Whatever a client can get into a message (names, paths, output of plugins) is escaped
 * first: a log line stays one line and valid UTF-8 in both formats, and in text format a value that needs it
 * is quoted.
 *
 * The level is an atomic that log_enabled() reads without a lock; target, format and filter change together
 * under the lock and are copied (or, the regex, used) under it. Writing happens outside: a blocked stderr
 * blocks its writers only.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/str.h"

enum { VALUE_MAX = 4096, PAIRS_MAX = 16 };

static atomic_int log_level = LOG_LEVEL_INFO;
static struct lock log_lock = { .mutex = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
				.name = "log",
				.rank = LOCK_LOG };
static struct {
	bool journal;
	enum log_format format;
	bool filtered;
	regex_t filter;
} config; /* under log_lock */

struct line {
	enum log_level level;
	const char *message;
	struct {
		const char *key, *value;
	} pairs[PAIRS_MAX];
	size_t len;
};

/* systemd sets JOURNAL_STREAM to the device and inode of the stream it gave us. */
static bool stderr_is_journal(void)
{
	const char *stream =
		getenv("JOURNAL_STREAM"); /* NOLINT(concurrency-mt-unsafe): nothing here sets it */
	uintmax_t dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* sd_journal_sendv() drops what it is given, without an error, where no journal runs. */
static bool journal_runs(void)
{
	return access("/run/systemd/journal/socket", W_OK) == 0;
}

int log_setup(const struct log_options *options, struct err *err)
{
	bool filtered = !str_empty(options->filter);
	bool journal = journal_runs() && (options->target == LOG_TARGET_JOURNAL ||
					  (options->target == LOG_TARGET_AUTO && stderr_is_journal()));
	regex_t filter, old;

	if (filtered) {
		int error = regcomp(&filter, options->filter, REG_EXTENDED | REG_NOSUB);
		if (error) {
			char text[256];
			regerror(error, &filter, text, sizeof(text));
			return err_set(err, RPC_INVALID_ARGUMENT, "log filter \"%s\": %s", options->filter,
				       text);
		}
	}
	lock_take(&log_lock);
	bool had_filter = config.filtered;
	old = config.filter;
	config.journal = journal;
	config.format = options->format;
	config.filtered = filtered;
	if (filtered)
		config.filter = filter;
	lock_drop(&log_lock);
	if (had_filter)
		regfree(&old);
	atomic_store(&log_level, (int)options->level);
	return 0;
}

void log_done(void)
{
	const struct log_options defaults = { .level = LOG_LEVEL_INFO, .target = LOG_TARGET_STDERR };
	int failed = log_setup(&defaults, NULL);

	(void)failed; /* there is no filter that could be wrong */
}

static const char *const level_names[] = { "fatal", "error", "warn", "info", "debug", "trace" };

bool log_level_parse(const char *name, enum log_level *ret)
{
	if (strcmp(name, "panic") == 0) {
		*ret = LOG_LEVEL_FATAL;
		return true;
	}
	if (strcmp(name, "warning") == 0) {
		*ret = LOG_LEVEL_WARN;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(name, level_names[i]) != 0)
			continue;
		*ret = (enum log_level)i;
		return true;
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < ARRAY_LEN(level_names) ? level_names[level] : "info";
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* Control characters: C0, DEL and, in two bytes, C1, which terminals obey as well. */
static bool is_control(const char *text, size_t len)
{
	unsigned char c = (unsigned char)text[0];

	if (len == 1)
		return c < 0x20 || c == 0x7f;
	return len == 2 && c == 0xc2 && (unsigned char)text[1] < 0xa0;
}

/* One character of at most 4 bytes, fit to stand between double quotes. `slash` is what a backslash of ours
 * looks like. */
static void add_char(struct str *out, const char *text, size_t len, const char *slash)
{
	if (len == 1 && (*text == '"' || *text == '\\')) {
		str_addf(out, "\\%c", *text);
	} else if (len == 1 && *text == '\n') {
		str_add(out, "\\n");
	} else if (len == 1 && *text == '\t') {
		str_add(out, "\\t");
	} else if (len == 0 || is_control(text, len)) {
		for (size_t i = 0; i < (len ? len : 1); i++)
			str_addf(out, "%sx%02x", slash, (unsigned char)text[i]);
	} else {
		str_addn(out, text, len);
	}
}

/* JSON has no \x escape, so there the backslash itself is escaped and the reader sees the text \x1b. */
static void add_quoted(struct str *out, const char *text, enum log_format format)
{
	const char *slash = format == LOG_FORMAT_JSON ? "\\\\" : "\\";
	size_t used = 0;

	str_addc(out, '"');
	while (*text && used < VALUE_MAX) {
		size_t len = utf8_len(text);
		add_char(out, text, len, slash);
		text += len ? len : 1;
		used += len ? len : 1;
	}
	if (*text)
		str_add(out, "...");
	str_addc(out, '"');
}

/* May the value stand bare in the text format? */
static bool is_plain(const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+:,";
	size_t len = strspn(text, plain);

	return len && len <= VALUE_MAX && !text[len];
}

static void format_text(struct str *out, const struct line *line, const char *time)
{
	str_addf(out, "time=\"%s\" level=%s msg=", time, log_level_name(line->level));
	add_quoted(out, line->message, LOG_FORMAT_TEXT);
	for (size_t i = 0; i < line->len; i++) {
		str_addf(out, " %s=", line->pairs[i].key);
		if (is_plain(line->pairs[i].value))
			str_add(out, line->pairs[i].value);
		else
			add_quoted(out, line->pairs[i].value, LOG_FORMAT_TEXT);
	}
	str_addc(out, '\n');
}

static void format_json(struct str *out, const struct line *line, const char *time)
{
	str_addf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", time, log_level_name(line->level));
	add_quoted(out, line->message, LOG_FORMAT_JSON);
	for (size_t i = 0; i < line->len; i++) {
		str_addc(out, ',');
		add_quoted(out, line->pairs[i].key, LOG_FORMAT_JSON);
		str_addc(out, ':');
		add_quoted(out, line->pairs[i].value, LOG_FORMAT_JSON);
	}
	str_add(out, "}\n");
}

/* One call for the line; a reader of a pipe that is full may make the kernel take only a part, which is
 * completed. */
static void write_stderr(const struct line *line, enum log_format format)
{
	CLEANUP(str_done) struct str out = STR_INIT;
	char time[CLOCK_RFC3339_SIZE];
	size_t done = 0;

	clock_rfc3339(clock_real(), time);
	if (format == LOG_FORMAT_JSON)
		format_json(&out, line, time);
	else
		format_text(&out, line, time);
	while (done < out.len) {
		ssize_t n = write(STDERR_FILENO, out.data + done, out.len - done);
		if (n < 0 && errno != EINTR)
			return; /* there is nowhere left to say so */
		if (n > 0)
			done += (size_t)n;
	}
}

static int priority_of(enum log_level level)
{
	static const int priorities[] = { LOG_CRIT, LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_DEBUG };

	return priorities[level];
}

/* A journal field: "KEY=value"; field names are upper-case letters, digits and underscores. malloc'd. */
static char *journal_field(const char *key, const char *value)
{
	struct str field = STR_INIT;

	for (; *key; key++) {
		char c = *key;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		else if (!(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
			c = '_';
		str_addc(&field, c);
	}
	str_addc(&field, '=');
	size_t len = strnlen(value, VALUE_MAX + 1);
	str_addn(&field, value, len > VALUE_MAX ? VALUE_MAX : len);
	if (len > VALUE_MAX)
		str_add(&field, "...");
	return str_take(&field);
}

static int send_journal(const struct line *line)
{
	CLEANUP(strv_done) struct strv fields = STRV_INIT;
	struct iovec iov[PAIRS_MAX + 3];

	strv_add_take(&fields, journal_field("MESSAGE", line->message));
	strv_addf(&fields, "PRIORITY=%d", priority_of(line->level));
	strv_addf(&fields, "SYSLOG_IDENTIFIER=%s", program_invocation_short_name);
	for (size_t i = 0; i < line->len; i++)
		strv_add_take(&fields, journal_field(line->pairs[i].key, line->pairs[i].value));
	for (size_t i = 0; i < fields.len; i++)
		iov[i] = (struct iovec){ .iov_base = fields.items[i], .iov_len = strlen(fields.items[i]) };
	return sd_journal_sendv(iov, (int)fields.len);
}

static void emit(const struct line *line)
{
	int saved = errno;

	lock_take(&log_lock);
	bool wanted = !config.filtered || regexec(&config.filter, line->message, 0, NULL, 0) == 0;
	bool journal = config.journal;
	enum log_format format = config.format;
	lock_drop(&log_lock);
	if (wanted && (!journal || send_journal(line) < 0))
		write_stderr(line, format);
	errno = saved;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	CLEANUP(freep) char *message = xvasprintf(fmt, args); /* first of all: fmt may hold %m */
	va_end(args);
	const struct line line = { .level = level, .message = message };
	emit(&line);
}

void log_fields(enum log_level level, const char *message, ...)
{
	struct line line = { .level = level, .message = message };
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, message);
	for (const char *key; (key = va_arg(args, const char *));) {
		const char *value = va_arg(args, const char *);
		if (!value || line.len == PAIRS_MAX)
			continue;
		line.pairs[line.len].key = key;
		line.pairs[line.len++].value = value;
	}
	va_end(args);
	emit(&line);
}

void log_library(void *who, const char *fmt, va_list args)
{
	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	CLEANUP(freep) char *text = xvasprintf(fmt, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("%s: %s", (const char *)who, text);
}
