/* Names and numbers of signals as images, clients and the CRI write them. */
#include "sandbox/stop_signal.h"

#include <signal.h>

#include "test/base/check.h"

static void assert_signal(const char *text, int number)
{
	int found = stop_signal_parse(text);

	if (found != number)
		fail_msg("\"%s\" gives %d, %d expected", text, found, number);
}

static void test_names(void **state)
{
	(void)state;
	assert_signal("SIGTERM", SIGTERM);
	assert_signal("TERM", SIGTERM);
	assert_signal("sigquit", SIGQUIT);
	assert_signal("Kill", SIGKILL);
	assert_signal("SIGWINCH", SIGWINCH);
	assert_signal("IOT", SIGABRT);
	assert_signal("SIGCLD", SIGCHLD);
	assert_signal("POLL", SIGIO);
}

static void test_numbers(void **state)
{
	(void)state;
	assert_signal("1", SIGHUP);
	assert_signal("15", SIGTERM);
	assert_signal("64", 64);
	assert_signal("0", -1);
	assert_signal("65", -1);
	assert_signal("-9", -1);
	assert_signal("+9", -1);
	assert_signal("9 ", -1);
}

static void test_realtime(void **state)
{
	(void)state;
	assert_signal("SIGRTMIN", SIGRTMIN);
	assert_signal("RTMAX", SIGRTMAX);
	assert_signal("SIGRTMIN+3", SIGRTMIN + 3);
	assert_signal("RTMINPLUS3", SIGRTMIN + 3);
	assert_signal("SIGRTMAX-14", SIGRTMAX - 14);
	assert_signal("RTMAXMINUS14", SIGRTMAX - 14);
	assert_signal("RTMIN+30", 64);
	assert_signal("RTMIN+31", -1);
	assert_signal("RTMIN-1", -1);
	assert_signal("RTMAX+1", -1);
	assert_signal("RTMIN+", -1);
	assert_signal("RTMIN3", -1);
	assert_signal("RTMIN+0x3", -1);
}

static void test_garbage(void **state)
{
	(void)state;
	assert_signal("", -1);
	assert_signal("SIG", -1);
	assert_signal("SIGSIGTERM", -1);
	assert_signal("TERMINATE", -1);
	assert_signal("SIGTERM\n", -1);
	assert_signal("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", -1);
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_SIGUSR1, "SIGQUIT"), SIGUSR1);
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, "SIGQUIT"), SIGQUIT);
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, "3"), SIGQUIT);
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, ""), SIGTERM);
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, NULL), SIGTERM);
	assert_int_equal(stop_signal_number(CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT, "nonsense"), SIGTERM);
	assert_int_equal(stop_signal_number((Cri__Signal)9999, "SIGHUP"), SIGHUP);
}

/* Each of the CRI's signals is one of the kernel's, and comes back as itself. */
static void test_enum(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < cri__signal__descriptor.n_values; i++) {
		const ProtobufCEnumValue *value = &cri__signal__descriptor.values[i];
		if (value->value == CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT)
			continue;
		int number = stop_signal_number((Cri__Signal)value->value, NULL);
		assert_between(number, 1, 64);
		if (stop_signal_number(stop_signal_enum(number), NULL) != number)
			fail_msg("%s is %d, and comes back as %d", value->name, number,
				 (int)stop_signal_enum(number));
		/* SIGTERM is also what a name that cannot be read becomes. */
		if (number == SIGTERM)
			assert_string_equal(value->name, "SIGNAL_SIGTERM");
	}
	assert_int_equal(stop_signal_enum(SIGTERM), CRI__SIGNAL__SIGNAL_SIGTERM);
	assert_int_equal(stop_signal_enum(SIGRTMIN + 3), CRI__SIGNAL__SIGNAL_SIGRTMINPLUS3);
	assert_int_equal(stop_signal_enum(33), CRI__SIGNAL__SIGNAL_RUNTIME_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),    cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_realtime), cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_order),    cmocka_unit_test(test_enum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
