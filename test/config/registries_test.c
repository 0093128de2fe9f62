/* registries.conf: endpoints in order, prefixes, wildcards, mirrors, short names, drop-ins, and every
 * refusal's text. */
#include "scratch.h"

#include "base/arena.h"
#include "config/registries.h"

static int load(const struct scratch *scratch, const char *const *insecure, struct registries **ret,
		struct err *err)
{
	CLEANUP(freep) char *file = scratch_path(scratch, "registries.conf");
	CLEANUP(freep) char *aliases = scratch_path(scratch, "aliases.conf");

	return registries_load(
		&(struct registries_paths){ .file = file, .aliases = aliases, .insecure = insecure }, ret,
		err);
}

static struct registries *load_text(const char *text)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	static const char *const insecure[] = { "plain.local:5000", NULL };
	struct registries *registries = NULL;
	struct err err = { 0 };

	scratch_write(&scratch, "registries.conf", text);
	if (load(&scratch, insecure, &registries, &err) < 0)
		fail_msg("%s", err.text);
	return registries;
}

/* The endpoints as "host repository[ insecure][ mirror]; ...", or the error's text. */
static void check(const struct registries *registries, struct registries_query query, const char *expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str text = STR_INIT;
	struct registry_endpoints endpoints = { 0 };
	struct err err = { 0 };

	if (registries_endpoints(registries, &query, arena, &endpoints, &err) < 0)
		str_addf(&text, "%s: %s", rpc_code_name(err.code), err.text);
	for (size_t i = 0; i < endpoints.len; i++)
		str_addf(&text, "%s%s %s%s%s", i ? "; " : "", endpoints.items[i].host,
			 endpoints.items[i].repository, endpoints.items[i].insecure ? " insecure" : "",
			 endpoints.items[i].mirror ? " mirror" : "");
	assert_string_equal(str_get(&text), expected);
}

static void check_tag(const struct registries *registries, const char *repository, const char *expected)
{
	check(registries, (struct registries_query){ repository, "latest", NULL }, expected);
}

static void check_digest(const struct registries *registries, const char *repository, const char *expected)
{
	check(registries, (struct registries_query){ repository, NULL, "sha256:abc" }, expected);
}

static void test_no_files(void **state UNUSED)
{
	CLEANUP(registries_unrefp) struct registries *registries = load_text("");

	check_tag(registries, "docker.io/library/nginx", "docker.io library/nginx");
	check_tag(registries, "localhost/x", "localhost x");
	check_tag(registries, "plain.local:5000/x/y", "plain.local:5000 x/y insecure");
	check_tag(registries, "nginx", "INVALID_ARGUMENT: nginx: no registry in the name");
	check_tag(registries, "a.b/UP", "INVALID_ARGUMENT: a.b/UP: \"a.b/UP\" is not a repository");
	check_tag(registries, "a.b/", "INVALID_ARGUMENT: a.b/: \"a.b/\" is not a repository");
	assert_null(registries_notes(registries)[0]);
}

/* The example of containers-registries.conf(5). */
static void test_manual_example(void **state UNUSED)
{
	CLEANUP(registries_unrefp)
	struct registries *registries = load_text(
		"unqualified-search-registries = [\"example.com\"]\n"
		"[[registry]]\nprefix = \"example.com/foo\"\ninsecure = false\nblocked = false\n"
		"location = \"internal-registry-for-example.com/bar\"\n"
		"[[registry.mirror]]\nlocation = \"example-mirror-0.local/mirror-for-foo\"\n"
		"[[registry.mirror]]\nlocation = \"example-mirror-1.local/mirrors/foo\"\ninsecure = true\n"
		"[[registry]]\nlocation = \"registry.com\"\n"
		"[[registry.mirror]]\nlocation = \"mirror.registry.com\"\n");

	check_tag(registries, "example.com/foo/image",
		  "example-mirror-0.local mirror-for-foo/image mirror; "
		  "example-mirror-1.local mirrors/foo/image insecure mirror; "
		  "internal-registry-for-example.com bar/image");
	check_tag(
		registries, "example.com/foo",
		"example-mirror-0.local mirror-for-foo mirror; example-mirror-1.local mirrors/foo insecure mirror; "
		"internal-registry-for-example.com bar");
	check_tag(registries, "registry.com/image", "mirror.registry.com image mirror; registry.com image");
	check_tag(registries, "example.com/foobar", "example.com foobar");
	check_tag(registries, "example.com/fo", "example.com fo");
	check_tag(registries, "registry.com:5000/image", "registry.com:5000 image");
	check_tag(registries, "registry.com.evil.org/image", "registry.com.evil.org image");
}

static void test_longest_prefix(void **state UNUSED)
{
	CLEANUP(registries_unrefp)
	struct registries *registries =
		load_text("[[registry]]\nlocation = \"a.io\"\nblocked = true\n"
			  "[[registry]]\nprefix = \"a.io/x\"\nlocation = \"one.io\"\n"
			  "[[registry]]\nprefix = \"a.io/x/y\"\nlocation = \"two.io/deep/er/\"\n"
			  "[[registry]]\nprefix = \"a.io/x/y:v1\"\nlocation = \"three.io/tagged\"\n"
			  "[[registry]]\nprefix = \"a.io/x/z@sha256:abc\"\nlocation = \"four.io/digest\"\n"
			  "[[registry]]\nprefix = \"d.io\"\nlocation = \"docker.io\"\n");

	check_tag(registries, "a.io/x", "INVALID_ARGUMENT: a.io/x: \"one.io\" is not a repository");
	check_tag(registries, "a.io/x/1", "one.io 1");
	check_tag(registries, "a.io/x/y", "two.io deep/er");
	check_tag(registries, "a.io/x/y/z", "two.io deep/er/z");
	check(registries, (struct registries_query){ "a.io/x/y", "v1", NULL }, "three.io tagged");
	check(registries, (struct registries_query){ "a.io/x/y", "v1", "sha256:abc" }, "three.io tagged");
	check(registries, (struct registries_query){ "a.io/x/y", "v10", NULL }, "two.io deep/er");
	check(registries, (struct registries_query){ "a.io/x/z", NULL, "sha256:abc" }, "four.io digest");
	check(registries, (struct registries_query){ "a.io/x/z", NULL, "sha256:abcd" }, "one.io z");
	check_tag(registries, "d.io/nginx", "docker.io library/nginx");
}

static void test_blocked(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(registries_unrefp) struct registries *registries = NULL;
	CLEANUP(freep)
	char *expected = xasprintf(
		"PERMISSION_DENIED: a.io/x: registry a.io is blocked in %s/registries.conf:2", scratch.path);
	struct err err = { 0 };

	scratch_write(&scratch, "registries.conf", "\n[[registry]]\nlocation = \"a.io\"\nblocked = true\n");
	assert_int_equal(load(&scratch, NULL, &registries, &err), 0);
	check_tag(registries, "a.io/x", expected);
	check_tag(registries, "b.io/x", "b.io x");
}

static void test_wildcards(void **state UNUSED)
{
	CLEANUP(registries_unrefp)
	struct registries *registries =
		load_text("[[registry]]\nprefix = \"*.example.com\"\ninsecure = true\n"
			  "[[registry.mirror]]\nlocation = \"m.local/e\"\n"
			  "[[registry]]\nprefix = \"*.sub.example.com\"\nlocation = \"s.local/s\"\n"
			  "[[registry]]\nlocation = \"a.example.com\"\n");

	check_tag(registries, "x.example.com/i", "m.local e/i mirror; x.example.com i insecure");
	check_tag(registries, "x.y.example.com:5000/i",
		  "m.local e/i mirror; x.y.example.com:5000 i insecure");
	check_tag(registries, "x.sub.example.com/i", "s.local s/i");
	check_tag(registries, "a.example.com/i", "a.example.com i");
	check_tag(registries, "example.com/i", "example.com i");
	check_tag(registries, "badexample.com/i", "badexample.com i");
	check_tag(registries, "x.org/y.example.com/i", "x.org y.example.com/i");
}

static void test_mirror_kinds(void **state UNUSED)
{
	CLEANUP(registries_unrefp)
	struct registries *registries = load_text(
		"[[registry]]\nlocation = \"a.io\"\n"
		"[[registry.mirror]]\nlocation = \"all.io\"\npull-from-mirror = \"all\"\n"
		"[[registry.mirror]]\nlocation = \"digest.io\"\npull-from-mirror = \"digest-only\"\n"
		"[[registry.mirror]]\nlocation = \"tag.io\"\npull-from-mirror = \"tag-only\"\n"
		"[[registry.mirror]]\nlocation = \"plain.local:5000\"\npull-from-mirror = \"\"\n"
		"[[registry]]\nlocation = \"b.io\"\nmirror-by-digest-only = true\n"
		"[[registry.mirror]]\nlocation = \"m.io\"\n");

	check_tag(registries, "a.io/x",
		  "all.io x mirror; tag.io x mirror; plain.local:5000 x insecure mirror; a.io x");
	check_digest(registries, "a.io/x",
		     "all.io x mirror; digest.io x mirror; plain.local:5000 x insecure mirror; a.io x");
	check(registries, (struct registries_query){ "a.io/x", "t", "sha256:abc" },
	      "all.io x mirror; digest.io x mirror; plain.local:5000 x insecure mirror; a.io x");
	check_tag(registries, "b.io/x", "b.io x");
	check_digest(registries, "b.io/x", "m.io x mirror; b.io x");
}

/* The names as "a, b (origin)", or the error's text. */
static void check_names(const struct registries *registries, const char *name, const char *expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str text = STR_INIT;
	struct registries_names names = { 0 };
	struct err err = { 0 };

	if (registries_resolve(registries, name, arena, &names, &err) < 0)
		str_addf(&text, "%s: %s", rpc_code_name(err.code), err.text);
	for (size_t i = 0; i < names.len; i++)
		str_addf(&text, "%s%s", i ? ", " : "", names.items[i]);
	if (names.len)
		str_addf(&text, " (%s)", names.origin);
	assert_string_equal(str_get(&text), expected);
}

static void test_short_names(void **state UNUSED)
{
	static const char search[] = "unqualified-search-registries = [\"a.io\", \"docker.io/\"]\n";
	CLEANUP(freep) char *enforcing_text = xasprintf("%sshort-name-mode = \"enforcing\"\n", search);
	CLEANUP(registries_unrefp) struct registries *unset = load_text("");
	CLEANUP(registries_unrefp)
	struct registries *empty = load_text("unqualified-search-registries = []\n");
	CLEANUP(registries_unrefp) struct registries *permissive = load_text(search);
	CLEANUP(registries_unrefp) struct registries *enforcing = load_text(enforcing_text);
	CLEANUP(registries_unrefp)
	struct registries *one =
		load_text("unqualified-search-registries = [\"b.io:1\"]\nshort-name-mode = \"enforcing\"\n");

	check_names(unset, "nginx", "docker.io/library/nginx (docker.io)");
	check_names(unset, "user/nginx", "docker.io/user/nginx (docker.io)");
	check_names(unset, "docker.io/nginx", "docker.io/library/nginx (full name)");
	check_names(unset, "index.docker.io/nginx", "docker.io/library/nginx (full name)");
	check_names(unset, "localhost/nginx", "localhost/nginx (full name)");
	check_names(unset, "h:5000/nginx", "h:5000/nginx (full name)");
	check_names(unset, "", "INVALID_ARGUMENT: an image name of 1 to 1024 bytes is needed");
	check_names(
		empty, "nginx",
		"NOT_FOUND: nginx: a short name, which no alias resolves and unqualified-search-registries is empty");
	check_names(permissive, "nginx",
		    "a.io/nginx, docker.io/library/nginx (unqualified-search-registries)");
	check_names(
		enforcing, "nginx",
		"INVALID_ARGUMENT: nginx: a short name that could be of 2 registries: give the full name, or an "
		"alias in registries.conf");
	check_names(one, "nginx", "b.io:1/nginx (unqualified-search-registries)");
}

static void test_dropins_and_aliases(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(registries_unrefp) struct registries *registries = NULL;
	CLEANUP(freep)
	char *origin = xasprintf("q.io/new (alias of %s/registries.conf.d/20.conf)", scratch.path);
	CLEANUP(freep) char *recorded = xasprintf("r.io/recorded (alias of %s/aliases.conf)", scratch.path);
	struct err err = { 0 };

	scratch_write(
		&scratch, "registries.conf",
		"unqualified-search-registries = [\"a.io\"]\n"
		"[[registry]]\nlocation = \"x.io\"\n[[registry.mirror]]\nlocation = \"m.io\"\n"
		"[[registry]]\nlocation = \"y.io\"\nblocked = true\n"
		"[aliases]\n\"one\" = \"q.io/old\"\n\"two\" = \"q.io/two\"\n\"org/three\" = \"docker.io/three\"\n"
		"four = \"q.io/four\"\n");
	scratch_dir(&scratch, "registries.conf.d");
	scratch_write(&scratch, "registries.conf.d/20.conf", "[aliases]\none = \"q.io/new\"\ntwo = \"\"\n");
	scratch_write(
		&scratch, "registries.conf.d/10.conf",
		"unqualified-search-registries = [\"b.io\"]\n[[registry]]\nlocation = \"x.io\"\ninsecure = true\n"
		"[aliases]\none = \"q.io/middle\"\n");
	scratch_write(&scratch, "aliases.conf", "[aliases]\nfour = \"r.io/recorded\"\n");
	assert_int_equal(load(&scratch, NULL, &registries, &err), 0);
	check_tag(registries, "x.io/i", "x.io i insecure");
	check_names(registries, "one", origin);
	check_names(registries, "two", "b.io/two (unqualified-search-registries)");
	check_names(registries, "four", recorded);
	assert_true(registries_is_short("org/three"));
}

static void check_error(const char *text, const char *expected)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(registries_unrefp) struct registries *registries = NULL;
	struct err err = { 0 };

	scratch_write(&scratch, "registries.conf", text);
	if (load(&scratch, NULL, &registries, &err) == 0)
		fail_msg("accepted: %s", text);
	assert_string_equal(scratch_cut(&scratch, err.text), expected);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_null(registries);
}

static void test_refused_shapes(void **state UNUSED)
{
	check_error(
		"[registries.search]\nregistries = ['r1.com']\n",
		"registries.conf:1: registries: the version 1 format is not supported: use unqualified-search-registries "
		"and [[registry]]");
	check_error("a = 1\n", "registries.conf:1: a: unknown key");
	check_error("[[registry]]\nlocation = \"a.io\"\nblokced = true\n",
		    "registries.conf:3: registry.blokced: unknown key");
	check_error("[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\nlocation = \"b.io\"\nx = 1\n",
		    "registries.conf:5: registry.mirror.x: unknown key");
	check_error("[registry]\nlocation = \"a.io\"\n",
		    "registries.conf:1: registry: an array expected, not a table");
	check_error("registry = [1]\n", "registries.conf:1: registry: a table expected, not an integer");
	check_error("[[registry]]\nlocation = 1\n",
		    "registries.conf:2: registry.location: a string expected, not an integer");
	check_error("[[registry]]\nlocation = \"a.io\"\nblocked = \"no\"\n",
		    "registries.conf:3: registry.blocked: a boolean expected, not a string");
	check_error("[[registry]]\nlocation = \"a.io\"\nmirror = 1\n",
		    "registries.conf:3: registry.mirror: an array expected, not an integer");
	check_error("aliases = []\n", "registries.conf:1: aliases: a table expected, not an array");
	check_error("unqualified-search-registries = \"a.io\"\n",
		    "registries.conf:1: unqualified-search-registries: an array expected, not a string");
	check_error("unqualified-search-registries = [\n1]\n",
		    "registries.conf:2: unqualified-search-registries: a string expected, not an integer");
	check_error(
		"short-name-mode = \"loose\"\n",
		"registries.conf:1: short-name-mode: \"loose\" is not one of enforcing permissive disabled");
	check_error("[[registry]\n", "registries.conf:1: \"]]\" after a header expected, the line ends here");
}

static void test_refused_names(void **state UNUSED)
{
	check_error("\n[[registry]]\nblocked = true\n",
		    "registries.conf:2: registry: neither prefix nor location");
	check_error(
		"[[registry]]\nlocation = \"https://a.io\"\n",
		"registries.conf:1: registry.prefix: \"https://a.io\" has a scheme: only host[:port][/path] is allowed");
	check_error("[[registry]]\nprefix = \"a.io\"\nlocation = \"b.io/x:tag\"\n",
		    "registries.conf:1: registry.location: \"b.io/x:tag\" names a tag or digest");
	check_error("[[registry]]\nprefix = \"a.io/x:tag\"\n",
		    "registries.conf:1: registry.location: missing: the prefix names a tag or digest");
	check_error(
		"[[registry]]\nprefix = \"a.*.io\"\nlocation = \"b.io\"\n",
		"registries.conf:1: registry.prefix: \"a.*.io\": a wildcard is possible in the form *.example.com only");
	check_error(
		"[[registry]]\nprefix = \"*.a.io/x\"\n",
		"registries.conf:1: registry.prefix: \"*.a.io/x\": a wildcard is possible in the form *.example.com only");
	check_error("[[registry]]\nprefix = \"a.io//x\"\n",
		    "registries.conf:1: registry.prefix: \"a.io//x\" is not host[:port][/path]");
	check_error("[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\ninsecure = true\n",
		    "registries.conf:3: registry.mirror.location: missing");
	check_error(
		"[[registry]]\nlocation = \"a.io\"\n[[registry.mirror]]\nlocation = \"b.io\"\npull-from-mirror = \"x\"\n",
		"registries.conf:3: registry.mirror.pull-from-mirror: \"x\" is not one of all digest-only tag-only");
	check_error(
		"[[registry]]\nlocation = \"a.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\n"
		"location = \"b.io\"\npull-from-mirror = \"all\"\n",
		"registries.conf:4: registry.mirror.pull-from-mirror: not allowed where the registry sets "
		"mirror-by-digest-only");
	check_error("[[registry]]\nlocation = \"a.io\"\n[[registry]]\nprefix = \"a.io/\"\n",
		    "registries.conf:3: registry.prefix: \"a.io\" is the prefix of line 1 already");
	check_error(
		"unqualified-search-registries = [\"myhost\"]\n",
		"registries.conf:1: unqualified-search-registries: \"myhost\" is not a registry: it has no '.', no port and "
		"is not localhost");
	check_error(
		"[aliases]\n\"a.io/x\" = \"b.io/x\"\n",
		"registries.conf:2: aliases.a.io/x: not a short name: no registry, tag or digest is allowed");
	check_error(
		"[aliases]\n\"x:1\" = \"b.io/x\"\n",
		"registries.conf:2: aliases.x:1: not a short name: no registry, tag or digest is allowed");
	check_error("[aliases]\nx = \"b.io/x:1\"\n",
		    "registries.conf:2: aliases.x: \"b.io/x:1\" names a tag or digest");
	check_error("[aliases]\nx = \"y\"\n", "registries.conf:2: aliases.x: \"y\" is not a full name");
}

static void test_bounds(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;

	str_add(&text, "[[registry]]\nlocation = \"a.io\"\n");
	for (int i = 0; i < REGISTRIES_ENDPOINTS_MAX; i++)
		str_addf(&text, "[[registry.mirror]]\nlocation = \"m%d.io\"\n", i);
	check_error(str_get(&text), "registries.conf:3: registry.mirror: more than 63 mirrors");
	str_clear(&text);
	str_add(&text, "[[registry]]\nlocation = \"a.io/");
	for (int i = 0; i < REGISTRIES_REFERENCE_MAX; i++)
		str_addc(&text, 'x');
	str_add(&text, "\"\n");
	CLEANUP(registries_unrefp) struct registries *registries = NULL;
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	struct err err = { 0 };
	scratch_write(&scratch, "registries.conf", str_get(&text));
	assert_int_equal(load(&scratch, NULL, &registries, &err), -1);
	assert_non_null(strstr(err.text, "xxx\" is too long"));
}

static void test_credential_helpers(void **state UNUSED)
{
	CLEANUP(registries_unrefp) struct registries *none = load_text("");
	CLEANUP(registries_unrefp)
	struct registries *registries =
		load_text("credential-helpers = [\"containers-auth.json\", \"ecr-login\"]\n");

	assert_null(registries_credential_helpers(none));
	assert_string_equal(registries_credential_helpers(registries)[0], "containers-auth.json");
	assert_string_equal(registries_credential_helpers(registries)[1], "ecr-login");
	assert_null(registries_credential_helpers(registries)[2]);
	assert_null(registries_notes(registries)[0]);
}

static void test_references(void **state UNUSED)
{
	struct registries *registries = load_text("");

	assert_ptr_equal(registries_ref(registries), registries);
	assert_null(registries_unref(registries));
	check_names(registries, "x", "docker.io/library/x (docker.io)");
	assert_null(registries_unref(registries));
	assert_null(registries_unref(NULL));
	assert_null(registries_ref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_files),       cmocka_unit_test(test_manual_example),
		cmocka_unit_test(test_longest_prefix), cmocka_unit_test(test_blocked),
		cmocka_unit_test(test_wildcards),      cmocka_unit_test(test_mirror_kinds),
		cmocka_unit_test(test_short_names),    cmocka_unit_test(test_dropins_and_aliases),
		cmocka_unit_test(test_refused_shapes), cmocka_unit_test(test_refused_names),
		cmocka_unit_test(test_bounds),         cmocka_unit_test(test_credential_helpers),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
