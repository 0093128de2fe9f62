/* What plugins answer to VERSION, and which version is used then. */
#include "test/cni/fake.h"

#include "base/clock.h"
#include "cni/versions.h"

static struct fake fake;

static void test_parse(void **state)
{
	static const struct {
		const char *text, *versions; /* NULL: refused */
	} rows[] = {
		{ "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.3.1\",\"1.0.0\"]}", "0.3.1 1.0.0" },
		{ "{\"cniVersion\":\"0.2.0\"}", "0.1.0 0.2.0" },
		/* Of the future, twice, and not strings. */
		{ "{\"cniVersion\":\"9.0.0\",\"supportedVersions\":[\"1.1.0\",\"9.0.0\",1,null,\"1.1.0\"]}",
		  "1.1.0" },
		{ "{\"cniVersion\":\"1.0.0\"}", NULL },
		{ "{\"supportedVersions\":[\"1.0.0\"]}", NULL },
		{ "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":{}}", NULL },
		{ "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":\"1.0.0\"}", NULL },
		{ "[]", NULL },
		{ "", NULL },
		{ "CNI bridge plugin v1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(strv_done) struct strv versions = STRV_INIT;
		struct err err;
		int failed = versions_parse(rows[i].text, strlen(rows[i].text), &versions, &err);
		CLEANUP(freep) char *joined = strv_join(&versions, " ");
		assert_int_equal(failed, rows[i].versions ? 0 : -1);
		assert_string_equal(joined, rows[i].versions ? rows[i].versions : "");
	}
}

static void speak(const char *type, const char *versions)
{
	CLEANUP(freep) char *name = xasprintf("version.%s", type);
	CLEANUP(freep)
	char *text = xasprintf("{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[%s]}\n", versions);

	fake_plugin(&fake, type, "");
	fake_write(fake.root, name, text, 0644);
}

/* The version, or the error's text. malloc'd */
static char *chosen(const char *versions)
{
	CLEANUP(freep)
	char *text =
		xasprintf("{%s,\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\"}]}", versions);
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(conflist_unrefp) const struct conflist *at = NULL;
	struct err err;

	assert_int_equal(conflist_parse("f", text, strlen(text), &list, &err), 0);
	if (versions_choose(list, &fake.dirs, 30 * NS_PER_SEC, NULL, &at, &err) < 0) {
		assert_int_equal(err.code, RPC_FAILED_PRECONDITION);
		return xstrdup(err.text);
	}
	return xstrdup(at->version);
}

static void assert_chosen(const char *versions, const char *wanted)
{
	CLEANUP(freep) char *have = chosen(versions);

	assert_string_equal(have, wanted);
}

#define SEVERAL "\"cniVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"

static void test_choose(void **state)
{
	(void)state;
	speak("a", "\"0.4.0\",\"1.0.0\",\"1.1.0\"");
	speak("b", "\"0.3.1\",\"0.4.0\",\"1.0.0\"");
	assert_chosen(SEVERAL, "1.0.0");
	assert_chosen("\"cniVersion\":\"0.4.0\"", "0.4.0");
	assert_chosen("\"cniVersion\":\"1.1.0\"",
		      "plugin b: does not speak CNI 1.1.0, but 0.3.1, 0.4.0, 1.0.0");
	speak("b", "\"0.3.1\"");
	assert_chosen(SEVERAL, "its plugins have no version of CNI in common that the configuration offers");
}

/* Who does not answer properly is taken to speak everything; one that never knew the verb is of 0.1.0. */
static void test_odd_plugins(void **state)
{
	static const char *const odd[] = {
		"#!/bin/sh\nexit 1\n",
		"#!/bin/sh\necho hello\n",
		"#!/bin/sh\necho '{\"cniVersion\":\"5.0.0\",\"supportedVersions\":[\"5.0.0\"]}'\n",
		"#!/no/such/interpreter\n",
		"#!/bin/sh\nhead -c 3000000 /dev/zero\n",
	};

	(void)state;
	speak("a", "\"0.4.0\",\"1.0.0\",\"1.1.0\"");
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		fake_write(fake.bin, "b", odd[i], 0755);
		assert_chosen(SEVERAL, "1.1.0");
	}
	fake_write(
		fake.bin, "b",
		"#!/bin/sh\n[ $CNI_NETNS$CNI_IFNAME = dummydummy ] && echo '{\"code\":4,\"msg\":\"unknown CNI_COMMAND: "
		"VERSION\"}'; exit 1\n",
		0755);
	assert_chosen("\"cniVersion\":\"1.0.0\"", "plugin b: does not speak CNI 1.0.0, but 0.1.0");
}

static void test_hanging(void **state)
{
	static const char text[] = "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"type\":\"b\"}";
	CLEANUP(conflist_unrefp) const struct conflist *list = NULL;
	CLEANUP(conflist_unrefp) const struct conflist *at = NULL;
	struct err err;

	(void)state;
	fake_write(fake.bin, "b", "#!/bin/sh\nsleep 1000\n", 0755);
	assert_int_equal(conflist_parse("f", text, strlen(text), &list, &err), 0);
	int64_t before = clock_mono();
	assert_int_equal(versions_choose(list, &fake.dirs, 200 * NS_PER_MS, NULL, &at, &err), 0);
	assert_ptr_equal(at, list);
	assert_true(clock_mono() - before < 60 * NS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_odd_plugins),
		cmocka_unit_test(test_hanging),
	};

	fake_open(&fake);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	fake_close(&fake);
	return failed;
}
