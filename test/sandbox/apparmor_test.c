/* The built-in profile's text; what needs AppArmor itself is in integration/tests/46-apparmor.bats. */
#include "sandbox/apparmor.h"

#include <string.h>

#include "test/base/check.h"

static void test_daemons_that_are_confined_may_send_signals(void **state)
{
	CLEANUP(freep) char *usual = apparmor_built_in_text("unconfined");
	CLEANUP(freep) char *confined = apparmor_built_in_text("/usr/sbin/crispd");

	(void)state;
	assert_non_null(strstr(usual, "profile " APPARMOR_BUILT_IN " "));
	assert_non_null(strstr(usual, "signal (receive) peer=unconfined,"));
	assert_null(strstr(usual, "crispd"));
	assert_non_null(strstr(confined, "signal (receive) peer=\"/usr/sbin/crispd\",\n"));
	assert_int_equal(confined[strlen(confined) - 2], '}');
}

static void test_a_profile_that_is_not_loaded(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(apparmor_loaded("no-such-profile", &err), -1);
	assert_non_null(strstr(err.text, "AppArmor"));
}

/* As on every host without AppArmor. */
static void test_none(void **state)
{
	(void)state;
	apparmor_preload(NULL, NULL);
	assert_null(apparmor_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_daemons_that_are_confined_may_send_signals),
		cmocka_unit_test(test_a_profile_that_is_not_loaded),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
