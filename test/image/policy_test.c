/* policy.json: which scope decides, and that whatever is not understood refuses. */
#include "test/base/check.h"

#include "image/policy.h"

static const char accept_list[] = "[{\"type\":\"insecureAcceptAnything\"}]";
static const char reject_list[] = "[{\"type\":\"reject\"}]";

static struct policy *parse(const char *text)
{
	struct policy *policy = NULL;
	struct err err = { 0 };

	assert_ok(policy_parse(text, strlen(text), "policy.json", &policy, &err));
	return policy;
}

static void check(const struct policy *policy, const char *repository, const char *rest, const char *why)
{
	CLEANUP(freep) char *text = xasprintf("%s%s", repository, rest);
	CLEANUP(reference_done) struct reference reference = { 0 };
	struct err err = { 0 };

	assert_ok(reference_parse(text, &reference, &err));
	if (!why) {
		assert_ok(policy_check(policy, repository, &reference, &err));
		return;
	}
	assert_fails(policy_check(policy, repository, &reference, &err), RPC_UNKNOWN);
	assert_true(str_has_prefix(err.text, "SignatureValidationFailed: "));
	assert_contains(err.text, why);
}

#define DIGEST "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_scopes(void **state UNUSED)
{
	CLEANUP(freep)
	char *text = xasprintf(
		"{\"default\":%s,\"transports\":{\"docker\":{\"r.io\":%s,\"r.io/team\":%s,\"r.io/team/app\":%s,"
		"\"r.io/team/app:v2\":%s,\"r.io/team/app" DIGEST
		"\":%s,\"r.io:5000\":%s,\"*.example.com\":%s,"
		"\"*.eu.example.com\":%s,\"docker.io/library/busybox\":%s},\"dir\":{\"\":%s}}}",
		reject_list, accept_list, reject_list, accept_list, reject_list, reject_list, accept_list,
		accept_list, reject_list, accept_list, accept_list);
	CLEANUP(policy_freep) struct policy *policy = parse(text);

	check(policy, "r.io/other", ":v1", NULL);
	check(policy, "r.io/team/x", ":v1", "scope \"r.io/team\"");
	check(policy, "r.io/team/app", ":v1", NULL);
	check(policy, "r.io/team/app", "", NULL);
	check(policy, "r.io/team/app/sub", "", NULL);
	check(policy, "r.io/team/app", ":v2", "scope \"r.io/team/app:v2\"");
	check(policy, "r.io/team/app", DIGEST, "scope \"r.io/team/app@sha256:");
	check(policy, "r.io/teamwork", "", NULL);
	check(policy, "r.io:5000/team/x", "", NULL);
	check(policy, "r.io:5001/team/x", "", "default");
	check(policy, "a.example.com/x", "", NULL);
	check(policy, "a.example.com:5000/x", "", NULL);
	check(policy, "a.eu.example.com/x", "", "scope \"*.eu.example.com\"");
	check(policy, "example.com/x", "", "default");
	check(policy, "docker.io/library/busybox", ":1", NULL);
	check(policy, "docker.io/library/nginx", ":1", "policy.json, default");
}

static void test_transport_default(void **state UNUSED)
{
	CLEANUP(freep)
	char *text = xasprintf("{\"default\":%s,\"transports\":{\"docker\":{\"\":%s,\"r.io\":%s}}}",
			       accept_list, reject_list, accept_list);
	CLEANUP(policy_freep) struct policy *policy = parse(text);

	check(policy, "r.io/x", "", NULL);
	check(policy, "s.io/x", "", "scope \"docker\"");
}

/* What can't be verified is refused, and so is a list of which one part is. */
static void test_signatures(void **state UNUSED)
{
	static const char *const lists[] = {
		"[{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"/k\"}]",
		"[{\"type\":\"sigstoreSigned\",\"keyPath\":\"/k\"}]",
		"[{\"type\":\"insecureAcceptAnything\"},{\"type\":\"signedBy\"}]",
		"[{\"type\":\"signedBy\"},{\"type\":\"insecureAcceptAnything\"}]",
		"[{\"type\":\"signedBaseLayer\"}]",
	};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		CLEANUP(freep) char *text = xasprintf("{\"default\":%s}", lists[i]);
		CLEANUP(policy_freep) struct policy *policy = parse(text);

		check(policy, "r.io/x", "", "can't be verified yet");
	}
	CLEANUP(policy_freep)
	struct policy *policy = parse("{\"default\":[{\"type\":\"signedBy\"},{\"type\":\"reject\"}]}");

	check(policy, "r.io/x", "", "is rejected");
}

static void test_broken(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		"{\"default\":[]}",
		"{\"default\":{}}",
		"{\"default\":[{}]}",
		"{\"default\":[1]}",
		"{\"default\":[{\"type\":\"acceptAll\"}]}",
		"{\"default\":[{\"type\":\"insecureAcceptAnything\",\"keyPath\":\"/k\"}]}",
		"{\"default\":[{\"type\":\"reject\"}],\"defualt\":[{\"type\":\"reject\"}]}",
		"{\"default\":[{\"type\":\"reject\"}],\"default\":[{\"type\":\"insecureAcceptAnything\"}]}",
		"{\"default\":[{\"type\":\"reject\"}],\"transports\":[]}",
		"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":[]}}",
		"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"r.io\":[]}}}",
		"{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"dir\":{\"\":[{\"type\":\"x\"}]}}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct policy *policy = NULL;
		struct err err = { 0 };

		assert_fails(policy_parse(bad[i], strlen(bad[i]), "policy.json", &policy, &err), RPC_UNKNOWN);
		assert_true(str_has_prefix(err.text, "SignatureValidationFailed: policy.json: "));
	}
}

static void test_load(void **state UNUSED)
{
	struct policy *policy = NULL;
	struct scratch scratch;
	struct err err = { 0 };

	scratch_init(&scratch);
	CLEANUP(freep) char *path = xasprintf("%s/policy.json", scratch.path);

	assert_fails(policy_load(path, &policy, &err), RPC_UNKNOWN); /* it was named, so it must be there */
	put_file(scratch.dir, "policy.json", "{\"default\":[{\"type\":\"reject\"}]}");
	assert_ok(policy_load(path, &policy, &err));
	check(policy, "r.io/x", "", path);
	policy = policy_free(policy);
	check(policy, "r.io/x", "", NULL); /* none: everything goes */
	scratch_done(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scopes),     cmocka_unit_test(test_transport_default),
		cmocka_unit_test(test_signatures), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
