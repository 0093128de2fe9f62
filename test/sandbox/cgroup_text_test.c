/* What cgroup files say, as kernels write them, cut off, and garbled; and what it means in both views. */
#include "test/base/check.h"

#include "sandbox/cgroup_usage.h"

static const char stat_v2[] = "anon 4096\nfile 1000\nkernel 77\nfile_mapped 300\ninactive_anon 5\n"
			      "inactive_file 600\nactive_file 400\npgfault 12\npgmajfault 3\nanon_thp 0\n";
static const char stat_v1[] = "cache 1\nrss 2\ninactive_file 3\nhierarchical_memory_limit 10485760\n"
			      "hierarchical_memsw_limit 12582912\ntotal_cache 1000\ntotal_rss 4096\n"
			      "total_mapped_file 300\ntotal_swap 8192\ntotal_pgfault 12\ntotal_pgmajfault 3\n"
			      "total_inactive_file 600\ntotal_active_file 400\n";

static void test_numbers(void **state)
{
	uint64_t number = 1;

	(void)state;
	assert_true(cgroup_text_number("42\n", &number));
	assert_int_equal(number, 42);
	assert_true(cgroup_text_number("max\n", &number));
	assert_true(number == UINT64_MAX);
	assert_true(cgroup_text_number("18446744073709551615", &number));
	assert_true(number == UINT64_MAX);
	assert_true(cgroup_text_number("99999999999999999999999", &number));
	assert_true(number == UINT64_MAX);
	assert_false(cgroup_text_number("", &number));
	assert_false(cgroup_text_number("-1\n", &number));
	assert_false(cgroup_text_number("\n7", &number));
}

static void test_keys(void **state)
{
	uint64_t value = 7;

	(void)state;
	assert_true(cgroup_text_key("a 1\nab 2\nabc 3\n", "ab", &value));
	assert_int_equal(value, 2);
	assert_false(cgroup_text_key("a 1\nabc 3\n", "ab", &value));
	assert_false(cgroup_text_key("ab\nab\n", "ab", &value));
	assert_false(cgroup_text_key("ab x\n", "ab", &value));
	assert_int_equal(value, 2);
	assert_true(cgroup_text_key("ab 9", "ab", &value)); /* no newline at the end */
	assert_int_equal(value, 9);
	assert_int_equal(cgroup_text_lines(""), 0);
	assert_int_equal(cgroup_text_lines("1\n22\n333"), 3);
}

static void test_pressure(void **state)
{
	struct cgroup_pressure pressure;

	(void)state;
	assert_true(
		cgroup_text_pressure("some avg10=1.25 avg60=0.50 avg300=0.01 total=123456\n"
				     "full avg10=0.00 avg60=100.00 avg300=7.00 total=18446744073709551615\n",
				     &pressure));
	assert_true(pressure.some.avg10 > 1.2499 && pressure.some.avg10 < 1.2501);
	assert_true(pressure.some.avg300 > 0.0099 && pressure.some.avg300 < 0.0101);
	assert_int_equal(pressure.some.total_us, 123456);
	assert_true(pressure.full.avg60 > 99.999 && pressure.full.avg60 < 100.001);
	assert_true(pressure.full.total_us == UINT64_MAX);
	/* a cpu.pressure of older kernels */
	assert_true(cgroup_text_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n", &pressure));
	assert_int_equal(pressure.some.total_us, 5);
	assert_int_equal(pressure.full.total_us, 0);
	assert_false(cgroup_text_pressure("", &pressure));
	assert_false(cgroup_text_pressure("some avg10=0.00 avg60=0.00\n", &pressure));
	assert_false(cgroup_text_pressure("some avg10= avg60=0.00 avg300=0.00 total=5\n", &pressure));
}

static void test_io(void **state)
{
	struct cgroup_devices devices;

	(void)state;
	cgroup_text_io("8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
		       "253:1 rbytes=1 cost.usage=9\nrubbish\n",
		       &devices);
	assert_int_equal(devices.len, 2);
	assert_int_equal(devices.items[0].major, 8);
	assert_int_equal(devices.items[0].read_bytes, 4096);
	assert_int_equal(devices.items[0].write_bytes, 8192);
	assert_int_equal(devices.items[0].reads, 1);
	assert_int_equal(devices.items[0].writes, 2);
	assert_int_equal(devices.items[1].minor, 1);
	assert_int_equal(devices.items[1].read_bytes, 1);

	devices.len = 0;
	cgroup_text_blkio("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n9:0 Read 5\nTotal 35\n", true, &devices);
	cgroup_text_blkio("8:0 Read 1\n8:0 Write 2\n", false, &devices);
	assert_int_equal(devices.len, 2);
	assert_int_equal(devices.items[0].read_bytes, 10);
	assert_int_equal(devices.items[0].write_bytes, 20);
	assert_int_equal(devices.items[0].reads, 1);
	assert_int_equal(devices.items[0].writes, 2);
	assert_int_equal(devices.items[1].read_bytes, 5);
}

/* As many devices as there is room for, and no more. */
static void test_many_devices(void **state)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	struct cgroup_devices devices = { 0 };

	(void)state;
	for (int i = 0; i < CGROUP_DEVICES_MAX + 10; i++)
		str_addf(&text, "8:%d Read %d\n", i, i);
	cgroup_text_blkio(str_get(&text), true, &devices);
	assert_int_equal(devices.len, CGROUP_DEVICES_MAX);
	assert_int_equal(devices.items[CGROUP_DEVICES_MAX - 1].read_bytes, CGROUP_DEVICES_MAX - 1);
}

static struct cgroup_usage usage_new(void)
{
	return (struct cgroup_usage){ .memory_max = UINT64_MAX,
				      .swap_max = UINT64_MAX,
				      .pids_max = UINT64_MAX };
}

static void test_usage_v2(void **state)
{
	struct cgroup_usage usage = usage_new();
	uint64_t available;

	(void)state;
	cgroup_usage_take(&usage, CGROUP_ITEM_CPU, true,
			  "usage_usec 5000\nuser_usec 3000\nsystem_usec 2000\nnr_periods 10\n"
			  "nr_throttled 4\nthrottled_usec 70\n");
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY, true, "6000\n");
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_STAT, true, stat_v2);
	assert_int_equal(usage.cpu, 5000000);
	assert_int_equal(usage.cpu_user, 3000000);
	assert_int_equal(usage.cpu_system, 2000000);
	assert_int_equal(usage.throttled_periods, 4);
	assert_int_equal(usage.throttled, 70000);
	assert_int_equal(usage.rss, 4096);
	assert_int_equal(usage.cache, 1000);
	assert_int_equal(usage.kernel, 77);
	assert_int_equal(usage.faults, 12);
	assert_int_equal(usage.major_faults, 3);
	assert_int_equal(cgroup_usage_working_set(&usage), 5400);
	assert_false(cgroup_usage_has(&usage, CGROUP_ITEM_SWAP));
	assert_false(cgroup_usage_available(&usage, &available));
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_MAX, true, "max\n");
	assert_false(cgroup_usage_available(&usage, &available));
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_MAX, true, "10000\n");
	assert_true(cgroup_usage_available(&usage, &available));
	assert_int_equal(available, 4600);
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_MAX, true, "100\n");
	assert_true(cgroup_usage_available(&usage, &available));
	assert_int_equal(available, 0);
	cgroup_usage_take(&usage, CGROUP_ITEM_FAILURES, true, "low 0\nhigh 0\nmax 8\noom 2\noom_kill 1\n");
	assert_int_equal(usage.failures, 8);
	assert_int_equal(usage.oom_kills, 1);
	assert_true(cgroup_usage_has(&usage, CGROUP_ITEM_OOM));
}

static void test_usage_v1(void **state)
{
	struct cgroup_usage usage = usage_new();
	uint64_t available;

	(void)state;
	cgroup_usage_take(&usage, CGROUP_ITEM_CPU, false, "123456789\n");
	cgroup_usage_take(&usage, CGROUP_ITEM_THROTTLED, false,
			  "nr_periods 10\nnr_throttled 4\nthrottled_time 70\n");
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY, false, "6000\n");
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_STAT, false, stat_v1);
	assert_int_equal(usage.cpu, 123456789);
	assert_int_equal(usage.throttled, 70);
	assert_int_equal(usage.rss, 4096);
	assert_int_equal(usage.cache, 1000);
	assert_int_equal(usage.faults, 12);
	assert_int_equal(cgroup_usage_working_set(&usage), 5400);
	assert_true(cgroup_usage_available(&usage, &available));
	assert_int_equal(available, 10485760 - 5400);
	assert_int_equal(usage.swap, 8192);
	assert_int_equal(usage.swap_max, 2097152);
	cgroup_usage_take(&usage, CGROUP_ITEM_MEMORY_STAT, false,
			  "hierarchical_memory_limit 9223372036854771712\n"
			  "hierarchical_memsw_limit 9223372036854771712\ntotal_inactive_file 9000\n");
	assert_false(cgroup_usage_available(&usage, &available));
	assert_true(usage.swap_max == UINT64_MAX);
	assert_int_equal(cgroup_usage_working_set(&usage), 0); /* not below nothing */
}

/* A file that is not there, or says nothing we know, is not known. */
static void test_usage_unknown(void **state)
{
	struct cgroup_usage usage = usage_new();

	(void)state;
	for (enum cgroup_item i = 0; i < CGROUP_ITEMS; i++) {
		if (i == CGROUP_ITEM_PROCS || i == CGROUP_ITEM_IO || i == CGROUP_ITEM_IO_OPS)
			continue; /* may be empty */
		cgroup_usage_take(&usage, i, true, "what is this\n");
		cgroup_usage_take(&usage, i, false, "");
	}
	assert_int_equal(usage.known, 0);
}

static void test_rate(void **state)
{
	struct cgroup_rate rate = { 0 };
	uint64_t nano_cores = 9;
	const int64_t second = CGROUP_RATE_WINDOW;

	(void)state;
	assert_false(cgroup_rate_take(&rate, 10 * second, 5 * second, &nano_cores));
	/* Too early to tell. */
	assert_false(cgroup_rate_take(&rate, 10 * second + second / 2, 6 * second, &nano_cores));
	assert_true(cgroup_rate_take(&rate, 12 * second, 6 * second, &nano_cores));
	assert_int_equal(nano_cores, second / 2);
	/* A second caller just after the first gets the same. */
	assert_true(cgroup_rate_take(&rate, 12 * second + 1, 9 * second, &nano_cores));
	assert_int_equal(nano_cores, second / 2);
	/* Readings may overtake each other, and counters begin again. */
	assert_true(cgroup_rate_take(&rate, 11 * second, 0, &nano_cores));
	assert_int_equal(nano_cores, second / 2);
	assert_true(cgroup_rate_take(&rate, 14 * second, 0, &nano_cores));
	assert_int_equal(nano_cores, 0);
	assert_true(cgroup_rate_take(&rate, 15 * second, 2 * (uint64_t)second, &nano_cores));
	assert_int_equal(nano_cores, 2 * second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),      cmocka_unit_test(test_keys),
		cmocka_unit_test(test_pressure),     cmocka_unit_test(test_io),
		cmocka_unit_test(test_many_devices), cmocka_unit_test(test_usage_v2),
		cmocka_unit_test(test_usage_v1),     cmocka_unit_test(test_usage_unknown),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
