/* Counting and its text, held against a strict reader of the format (which is tested, too). */
#include "test/base/check.h"

#include <pthread.h>

#include "base/metric.h"
#include "test/base/exposition.h"

static const char *const fruits[] = { "apple", "a \"pear\"\n\\", "other" };
static const char *const colours[] = { "red", "green" };

METRIC(eaten, 1, .name = "eaten_total", .help = "Fruit eaten.", .type = METRIC_COUNTER);
METRIC(sold, 6, .name = "sold_total", .help = "Fruit sold,\nby \\kind.", .type = METRIC_COUNTER,
       .sparse = true, .labels = { { "fruit", fruits, 3 }, { "colour", colours, 2 } });
METRIC(stock, 3, .name = "stock_kilograms", .help = "What is there.", .type = METRIC_GAUGE, .per_unit = 1000,
       .labels = { { "fruit", fruits, 3 } });
METRIC(peeling, METRIC_HISTOGRAM_CELLS, .name = "peeling_seconds", .help = "Time to peel one.", METRIC_TIME);
METRIC(weights, 2 * METRIC_HISTOGRAM_CELLS, .name = "weight_bytes", .help = "Sizes.",
       .type = METRIC_HISTOGRAM, .bounds = &metric_bounds_size, .labels = { { "colour", colours, 2 } });
METRIC(cpu, 1, .name = "process_cpu_seconds_total", .help = "Time.", .type = METRIC_COUNTER, .plain = true,
       .per_unit = 1000000000);

static struct metric *const all[] = { &eaten, &sold, &stock, &peeling, &weights, &cpu };

static void clear(void)
{
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t j = 0; j < all[i]->cells_len; j++)
			atomic_store(&all[i]->cells[j], 0);
}

static void write_one(const struct metric *metric, struct str *out)
{
	const char *problem;

	metric_write(metric, "shop_", out);
	problem = exposition_problem(str_get(out));
	if (problem)
		fail_msg("%s", problem);
}

static void counters_are_exact(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	clear();
	metric_add(&eaten, UINT64_C(9007199254740993)); /* no double holds it */
	write_one(&eaten, &out);
	assert_string_equal(str_get(&out),
			    "# HELP shop_eaten_total Fruit eaten.\n# TYPE shop_eaten_total counter\n"
			    "shop_eaten_total 9007199254740993\n");
	str_clear(&out);
	metric_add(&cpu, 1500000001);
	write_one(&cpu, &out);
	assert_contains(str_get(&out), "\nprocess_cpu_seconds_total 1.500000001\n");
}

static void labels_and_help_are_escaped(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	clear();
	metric_add_at(&sold, metric_label_index(&sold.labels[0], "a \"pear\"\n\\"), 1, 2);
	metric_add_at(&sold, metric_label_index(&sold.labels[0], "durian"), 0, 1);
	write_one(&sold, &out);
	assert_string_equal(str_get(&out),
			    "# HELP shop_sold_total Fruit sold,\\nby \\\\kind.\n"
			    "# TYPE shop_sold_total counter\n"
			    "shop_sold_total{fruit=\"a \\\"pear\\\"\\n\\\\\",colour=\"green\"} 2\n"
			    "shop_sold_total{fruit=\"other\",colour=\"red\"} 1\n");
	assert_int_equal(metric_get_at(&sold, 1, 1), 2);
}

static void gauges_show_zero_and_fractions(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	clear();
	metric_set_at(&stock, 0, 0, 1234);
	metric_set_at(&stock, 0, 0, 2050);
	write_one(&stock, &out);
	assert_true(exposition_value(str_get(&out), "shop_stock_kilograms{fruit=\"apple\"}") == 2.05);
	assert_true(exposition_value(str_get(&out), "shop_stock_kilograms{fruit=\"other\"}") == 0);
}

static void histograms_cumulate(void **state UNUSED)
{
	CLEANUP(str_done) struct str out = STR_INIT;

	clear();
	write_one(&peeling, &out);
	assert_null(strstr(str_get(&out), "_bucket")); /* sparse */
	str_clear(&out);
	metric_observe(&peeling, 500000); /* on a bound: counts in its bucket */
	metric_observe(&peeling, 500001);
	metric_observe(&peeling, 61000000000); /* beyond all */
	write_one(&peeling, &out);
	assert_true(exposition_value(str_get(&out), "shop_peeling_seconds_bucket{le=\"0.0005\"}") == 1);
	assert_true(exposition_value(str_get(&out), "shop_peeling_seconds_bucket{le=\"0.001\"}") == 2);
	assert_true(exposition_value(str_get(&out), "shop_peeling_seconds_bucket{le=\"60\"}") == 2);
	assert_true(exposition_value(str_get(&out), "shop_peeling_seconds_bucket{le=\"+Inf\"}") == 3);
	assert_true(exposition_value(str_get(&out), "shop_peeling_seconds_count") == 3);
	assert_contains(str_get(&out), "\nshop_peeling_seconds_sum 61.001000001\n");
	assert_int_equal(metric_get_at(&peeling, 0, 0), 3);
	str_clear(&out);
	metric_observe_at(&weights, 1, 0, 5000);
	write_one(&weights, &out); /* not sparse: both colours */
	assert_true(exposition_value(str_get(&out),
				     "shop_weight_bytes_bucket{colour=\"green\",le=\"8192\"}") == 1);
	assert_true(exposition_value(str_get(&out), "shop_weight_bytes_count{colour=\"red\"}") == 0);
}

static void codes_have_their_names(void **state UNUSED)
{
	for (int code = 0; code < METRIC_CODES; code++)
		assert_string_equal(metric_codes[code], rpc_code_name(code));
	assert_int_equal(metric_code_index(RPC_DATA_LOSS), RPC_DATA_LOSS);
	assert_int_equal(metric_code_index(17), RPC_UNKNOWN);
}

enum { THREADS = 4, TIMES = 20000 };

static void *count_much(void *data UNUSED)
{
	for (int i = 0; i < TIMES; i++) {
		metric_add(&eaten, 1);
		metric_observe(&peeling, (uint64_t)i);
	}
	return NULL;
}

/* While others count, what is written is well-formed; in the end nothing is lost. */
static void counting_loses_nothing(void **state UNUSED)
{
	pthread_t threads[THREADS];

	clear();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_much, NULL), 0);
	for (int i = 0; i < 50; i++) {
		CLEANUP(str_done) struct str out = STR_INIT;

		write_one(&peeling, &out);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metric_get_at(&eaten, 0, 0), THREADS * TIMES);
	assert_int_equal(metric_get_at(&peeling, 0, 0), THREADS * TIMES);
}

static void the_reader_is_strict(void **state UNUSED)
{
	static const char *const bad[] = {
		"# HELP a_total x\n# TYPE a_total counter\na_total 1", /* no end */
		"# TYPE a_total counter\na_total 1\n",                 /* no help */
		"# HELP a_total x\na_total 1\n",                       /* no type */
		"# HELP a_total \n# TYPE a_total counter\n",           /* empty help */
		"# HELP a x\n# TYPE a counter\na 1\n",                 /* a counter without _total */
		"# HELP a_total x\n# TYPE a_total gauge\n",            /* not a counter */
		"# HELP 9a x\n# TYPE 9a gauge\n9a 1\n",                /* the name */
		"# HELP a x\n# TYPE a gauge\nb 1\n",                   /* another's sample */
		"# HELP a x\n# TYPE a gauge\na 1\na 2\n",              /* twice */
		"# HELP a x\n# TYPE a gauge\na 1\n# HELP a x\n# TYPE a gauge\n", /* twice */
		"# HELP a x\n# TYPE a gauge\na one\n",                           /* no number */
		"# HELP a x\n# TYPE a gauge\na -1\n",                     /* none of ours is negative */
		"# HELP a x\n# TYPE a gauge\na{b=1} 1\n",                 /* no quotes */
		"# HELP a x\n# TYPE a gauge\na{b=\"\\x\"} 1\n",           /* no such escape */
		"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", /* no +Inf */
		"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n",
		"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 2\n",
		"# HELP h x\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n", /* no sum */
	};

	assert_null(exposition_problem("# HELP a x\n# TYPE a gauge\na{b=\"c\",d=\"\\\\\\n\\\"\"} 1e3\n"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!exposition_problem(bad[i]))
			fail_msg("accepted: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_reader_is_strict),
		cmocka_unit_test(counters_are_exact),
		cmocka_unit_test(labels_and_help_are_escaped),
		cmocka_unit_test(gauges_show_zero_and_fractions),
		cmocka_unit_test(histograms_cumulate),
		cmocka_unit_test(codes_have_their_names),
		cmocka_unit_test(counting_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
