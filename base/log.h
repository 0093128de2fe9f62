/*
 * Logging: one line per event to stderr or journald, as text or JSON, with a level and an optional filter.
 *
 * Below server/ code returns errors and stays silent (debug excepted); a failure is logged once, where it is
 * answered or swallowed. A failure that is proceeded past says "ignoring". Fields are pairs of key and value.
 * Threads: all functions may be called from any thread; a line is written with one system call.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"

enum log_level {
	LOG_LEVEL_FATAL,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE
};
enum log_target {
	LOG_TARGET_AUTO,
	LOG_TARGET_STDERR,
	LOG_TARGET_JOURNAL
}; /* auto: journal when JOURNAL_STREAM is stderr */
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_options {
	enum log_level level;
	enum log_target target;
	enum log_format format;
	const char *filter; /* POSIX extended regex on the message; NULL or "": everything */
};

/* May be called again (reload); on failure (bad regex) nothing changes. Where no journal runs, stderr is the
 * target. */
int log_setup(const struct log_options *options, struct err *err) MUST_CHECK;
void log_done(void);
bool log_level_parse(const char *name,
		     enum log_level *ret); /* CRI-O's names: fatal panic error warn info debug trace */
const char *log_level_name(enum log_level level);
bool log_enabled(enum log_level level);

/* Control bytes and invalid UTF-8 in message and values are escaped, long values cut at 4 KiB. */
void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);
/* fields: key, value (const char *, NULL skips the pair), ..., NULL */
void log_fields(enum log_level level, const char *message, ...) __attribute__((sentinel));

/* What a library has to say, in the form that libmicrohttpd's callback has: a debug line "WHO: text", without
 * its newline. */
void log_library(void *who, const char *fmt, va_list args) PRINTF(2, 0);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                           \
	do {                                                     \
		if (log_enabled(LOG_LEVEL_DEBUG))                \
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
