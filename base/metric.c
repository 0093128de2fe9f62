/*
 * A histogram's cells of one combination of labels are its buckets, not cumulated, and the sum behind them:
 * an observation adds to two. The count shown is the sum of the buckets as they are read, so that the +Inf
 * bucket and the count always agree, also while others observe.
 */
#include "base/metric.h"

#include <assert.h>
#include <inttypes.h>

#define MS UINT64_C(1000000)
#define KIB UINT64_C(1024)

static const uint64_t times[] = { MS / 2,    MS,         5 * MS / 2, 5 * MS,    10 * MS,   25 * MS,
				  50 * MS,   100 * MS,   250 * MS,   500 * MS,  1000 * MS, 2500 * MS,
				  5000 * MS, 10000 * MS, 30000 * MS, 60000 * MS };
static const uint64_t sizes[] = { KIB,
				  8 * KIB,
				  64 * KIB,
				  256 * KIB,
				  KIB *KIB,
				  4 * KIB *KIB,
				  8 * KIB *KIB,
				  16 * KIB *KIB,
				  32 * KIB *KIB,
				  64 * KIB *KIB,
				  128 * KIB *KIB,
				  256 * KIB *KIB,
				  512 * KIB *KIB,
				  KIB *KIB *KIB,
				  2 * KIB *KIB *KIB,
				  4 * KIB *KIB *KIB };

const struct metric_bounds metric_bounds_time = { times, ARRAY_LEN(times) };
const struct metric_bounds metric_bounds_size = { sizes, ARRAY_LEN(sizes) };
_Static_assert(METRIC_HISTOGRAM_CELLS == ARRAY_LEN(times) + 2 && ARRAY_LEN(times) == ARRAY_LEN(sizes),
	       "both have as many bounds as the header says");

const char *const metric_codes[METRIC_CODES] = {
	"OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
	"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
	"DATA_LOSS", "UNAUTHENTICATED"
};

size_t metric_code_index(enum rpc_code code)
{
	return (unsigned int)code < METRIC_CODES ? (size_t)code : RPC_UNKNOWN;
}

static size_t values_len(const struct metric_label *label)
{
	return label->key ? label->values_len : 1;
}

/* Cells of one combination of labels. */
static size_t width(const struct metric *metric)
{
	return metric->type == METRIC_HISTOGRAM ? metric->bounds->len + 2 : 1;
}

static _Atomic uint64_t *cells_at(const struct metric *metric, size_t first, size_t second)
{
	size_t at = (first * values_len(&metric->labels[1]) + second) * width(metric);

	assert(first < values_len(&metric->labels[0]) && second < values_len(&metric->labels[1]));
	assert(at + width(metric) <= metric->cells_len);
	return metric->cells + at;
}

static void add(_Atomic uint64_t *cell, uint64_t count)
{
	atomic_fetch_add_explicit(cell, count, memory_order_relaxed);
}

static uint64_t get(_Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

void metric_add_at(struct metric *metric, size_t first, size_t second, uint64_t count)
{
	assert(metric->type != METRIC_HISTOGRAM);
	add(cells_at(metric, first, second), count);
}

void metric_observe_at(struct metric *metric, size_t first, size_t second, uint64_t value)
{
	_Atomic uint64_t *cells = cells_at(metric, first, second);
	const struct metric_bounds *bounds = metric->bounds;
	size_t bucket = 0;

	assert(metric->type == METRIC_HISTOGRAM);
	while (bucket < bounds->len && value > bounds->items[bucket])
		bucket++;
	add(&cells[bucket], 1);
	add(&cells[bounds->len + 1], value);
}

void metric_set_at(struct metric *metric, size_t first, size_t second, uint64_t value)
{
	assert(metric->type != METRIC_HISTOGRAM);
	atomic_store_explicit(cells_at(metric, first, second), value, memory_order_relaxed);
}

void metric_add(struct metric *metric, uint64_t count)
{
	metric_add_at(metric, 0, 0, count);
}

void metric_observe(struct metric *metric, uint64_t value)
{
	metric_observe_at(metric, 0, 0, value);
}

void metric_set(struct metric *metric, uint64_t value)
{
	metric_set_at(metric, 0, 0, value);
}

uint64_t metric_get_at(const struct metric *metric, size_t first, size_t second)
{
	_Atomic uint64_t *cells = cells_at(metric, first, second);
	uint64_t sum = get(cells);

	if (metric->type == METRIC_HISTOGRAM)
		for (size_t i = 1; i <= metric->bounds->len; i++)
			sum += get(&cells[i]);
	return sum;
}

size_t metric_label_index(const struct metric_label *label, const char *text)
{
	size_t i = 0;

	assert(label->values_len > 0);
	while (i + 1 < label->values_len && !str_eq(label->values[i], text))
		i++;
	return i;
}

/* ---- text ---- */

struct text {
	const struct metric *metric;
	const char *prefix; /* of the name */
	struct str *out;
};

/* `more`: characters that need a backslash beside it and the newline. */
static void add_escaped(struct str *out, const char *text, char more)
{
	for (; *text; text++) {
		if (*text == '\n') {
			str_add(out, "\\n");
			continue;
		}
		if (*text == '\\' || (more && *text == more))
			str_addc(out, '\\');
		str_addc(out, *text);
	}
}

static void write_head(const struct text *text)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"
	};
	const struct metric *metric = text->metric;

	str_addf(text->out, "# HELP %s%s ", text->prefix, metric->name);
	add_escaped(text->out, metric->help, '\0');
	str_addf(text->out, "\n# TYPE %s%s %s\n", text->prefix, metric->name, types[metric->type]);
}

/* Exact in decimal: a double would lose counts beyond 2^53. */
static void add_number(struct str *out, const struct metric *metric, uint64_t value)
{
	uint64_t unit = metric->per_unit ? metric->per_unit : 1;
	uint64_t rest = value % unit;

	str_addf(out, "%" PRIu64, value / unit);
	if (!rest)
		return;
	str_addc(out, '.');
	while (rest) {
		rest *= 10;
		str_addc(out, (char)('0' + rest / unit));
		rest %= unit;
	}
}

/* {a="x",b="y",le="0.5"}; bound NULL: no le; nothing at all when there is none. */
static void write_labels(const struct text *text, const size_t *at, const char *bound)
{
	const char *opening = "{";

	for (size_t i = 0; i < ARRAY_LEN(text->metric->labels); i++) {
		const struct metric_label *label = &text->metric->labels[i];

		if (!label->key)
			continue;
		str_addf(text->out, "%s%s=\"", opening, label->key);
		add_escaped(text->out, label->values[at[i]], '"');
		str_addc(text->out, '"');
		opening = ",";
	}
	if (bound) {
		str_addf(text->out, "%sle=\"%s\"", opening, bound);
		opening = ",";
	}
	str_add(text->out, *opening == ',' ? "} " : " ");
}

static void write_line(const struct text *text, const char *suffix, const size_t *at, uint64_t value)
{
	str_addf(text->out, "%s%s%s", text->prefix, text->metric->name, suffix);
	write_labels(text, at, NULL);
	add_number(text->out, text->metric, value);
	str_addc(text->out, '\n');
}

static void write_histogram(const struct text *text, const size_t *at)
{
	const struct metric *metric = text->metric;
	_Atomic uint64_t *cells = cells_at(metric, at[0], at[1]);
	uint64_t count = 0;

	for (size_t i = 0; i <= metric->bounds->len; i++) {
		CLEANUP(str_done) struct str bound = STR_INIT;

		count += get(&cells[i]);
		if (i < metric->bounds->len)
			add_number(&bound, metric, metric->bounds->items[i]);
		else
			str_add(&bound, "+Inf");
		str_addf(text->out, "%s%s_bucket", text->prefix, metric->name);
		write_labels(text, at, str_get(&bound));
		str_addf(text->out, "%" PRIu64 "\n", count);
	}
	write_line(text, "_sum", at, get(&cells[metric->bounds->len + 1]));
	str_addf(text->out, "%s%s_count", text->prefix, metric->name);
	write_labels(text, at, NULL);
	str_addf(text->out, "%" PRIu64 "\n", count);
}

void metric_write(const struct metric *metric, const char *prefix, struct str *out)
{
	const struct text text = { metric, metric->plain ? "" : prefix, out };
	size_t at[2];

	write_head(&text);
	for (at[0] = 0; at[0] < values_len(&metric->labels[0]); at[0]++)
		for (at[1] = 0; at[1] < values_len(&metric->labels[1]); at[1]++) {
			if (metric->sparse && !metric_get_at(metric, at[0], at[1]))
				continue;
			if (metric->type == METRIC_HISTOGRAM)
				write_histogram(&text, at);
			else
				write_line(&text, "", at, metric_get_at(metric, at[0], at[1]));
		}
}
