/* Manifests and indexes, lessons, bad input 35: what is read, what is refused (no layers: CVE-2026-24054),
 * which platform is chosen. */
#include "test/base/check.h"

#include "image/manifest.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution.manifest."
#define CONFIG \
	"\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:" HEX "\",\"size\":10}"
#define LAYER "{\"mediaType\":\"" OCI "layer.v1.tar+gzip\",\"digest\":\"sha256:" HEX "\",\"size\":5}"
#define LAYERS "\"layers\":[" LAYER "]"
#define HEAD "{\"schemaVersion\":2,"

static int parse(const char *text, const char *type, struct arena *arena, struct manifest *ret,
		 struct err *err)
{
	return manifest_parse(text, strlen(text), type, arena, ret, err);
}

static void check_good(const char *text, const char *type, bool index)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct manifest manifest;
	struct err err = { 0 };

	assert_ok(parse(text, type, arena, &manifest, &err));
	assert_int_equal(manifest.is_index, index);
	if (index)
		return;
	assert_int_equal(manifest.layers_len, 1);
	assert_int_equal(manifest.layers[0].size, 5);
	assert_int_equal(manifest.config.size, 10);
}

static void check_bad(const char *text, const char *type, const char *why)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct manifest manifest;
	struct err err = { 0 };

	assert_fails(parse(text, type, arena, &manifest, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, why);
}

static void test_good(void **state UNUSED)
{
	check_good(HEAD CONFIG "," LAYERS "}", NULL, false);
	check_good(HEAD CONFIG "," LAYERS "}", "text/plain", false);
	check_good(HEAD CONFIG "," LAYERS "}", OCI "manifest.v1+json; charset=utf-8", false);
	check_good(HEAD "\"mediaType\":\"" DOCKER "v2+json\"," CONFIG "," LAYERS "}", DOCKER "v2+json",
		   false);
	check_good(HEAD "\"manifests\":[]}", OCI "index.v1+json", true);
	check_good(HEAD "\"mediaType\":\"" DOCKER "list.v2+json\",\"manifests\":[]}", NULL, true);
	check_good(HEAD CONFIG ",\"layers\":[{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"sha256:" HEX
			       "\",\"size\":5,\"urls\":[\"http://evil/\"]}]}",
		   NULL, false);
}

/* CVE-2021-41190: one digest, one reading. */
static void test_kinds(void **state UNUSED)
{
	check_bad(HEAD CONFIG "," LAYERS ",\"manifests\":[]}", NULL, "both");
	check_bad(HEAD CONFIG ",\"manifests\":[]}", NULL, "both");
	check_bad(HEAD "\"x\":1}", NULL, "neither");
	check_bad(HEAD CONFIG "," LAYERS "}", OCI "index.v1+json", "kind");
	check_bad(HEAD "\"manifests\":[]}", DOCKER "v2+json", "kind");
	check_bad(HEAD "\"mediaType\":\"" OCI "index.v1+json\"," CONFIG "," LAYERS "}", NULL, "kind");
	check_bad(HEAD "\"mediaType\":\"" OCI "manifest.v1+json\"," CONFIG "," LAYERS "}", DOCKER "v2+json",
		  "Content-Type");
	check_bad(HEAD "\"mediaType\":\"x/y\"," CONFIG "," LAYERS "}", NULL, "unknown mediaType");
}

static void test_old_and_foreign(void **state UNUSED)
{
	check_bad("{\"schemaVersion\":1,\"fsLayers\":[]}", NULL, "schema 1");
	check_bad(HEAD "\"fsLayers\":[]}", NULL, "schema 1");
	check_bad("{}", DOCKER "v1+prettyjws", "schemaVersion");
	check_bad("{\"schemaVersion\":3," CONFIG "," LAYERS "}", NULL, "schemaVersion");
	check_bad(HEAD "\"artifactType\":\"a/b\"," CONFIG "," LAYERS "}", NULL, "artifact");
	check_bad(HEAD "\"config\":{\"mediaType\":\"" OCI "empty.v1+json\",\"digest\":\"sha256:" HEX
		       "\",\"size\":2}," LAYERS "}",
		  NULL, "artifact");
	check_bad(HEAD CONFIG ",\"layers\":[{\"mediaType\":\"" OCI
			      "layer.v1.tar+gzip+encrypted\",\"digest\":\"sha256:" HEX "\",\"size\":5}]}",
		  NULL, "encrypted");
	check_bad(HEAD CONFIG ",\"layers\":[{\"mediaType\":\"text/html\",\"digest\":\"sha256:" HEX
			      "\",\"size\":5}]}",
		  NULL, "media type");
}

static void test_malformed(void **state UNUSED)
{
	check_bad("", NULL, "JSON");
	check_bad("[]", NULL, "object");
	check_bad(HEAD CONFIG ",\"layers\":[]}", NULL, "no layers");
	check_bad(HEAD LAYERS "}", NULL, "no config");
	check_bad(HEAD "\"schemaVersion\":2," CONFIG "," LAYERS "}", NULL, "duplicate");
	check_bad(HEAD CONFIG ",\"layers\":[{\"digest\":\"sha256:../x\",\"size\":5}]}", NULL, "sha256");
	check_bad(HEAD CONFIG ",\"layers\":[{\"digest\":\"md5:" HEX "\",\"size\":5}]}", NULL, "algorithm");
	check_bad(HEAD CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX "\",\"size\":-1}]}", NULL, "size");
	check_bad(HEAD CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX "\",\"size\":4611686018427387904}]}",
		  NULL, "size");
	check_bad(HEAD "\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:" HEX
		       "\",\"size\":4194305}," LAYERS "}",
		  NULL, "4 MiB");
	check_bad(HEAD CONFIG ",\"layers\":{}}", NULL, "layers");
}

static void test_too_many(void **state UNUSED)
{
	CLEANUP(str_done) struct str layers = STR_INIT;
	CLEANUP(str_done) struct str entries = STR_INIT;
	CLEANUP(str_done) struct str deep = STR_INIT;
	CLEANUP(str_done) struct str huge = STR_INIT;

	str_add(&layers, HEAD CONFIG ",\"layers\":[" LAYER);
	for (int i = 0; i < MANIFEST_LAYERS_MAX; i++)
		str_add(&layers, "," LAYER);
	str_add(&layers, "]}");
	check_bad(str_get(&layers), NULL, "more than");
	str_add(&entries, HEAD "\"manifests\":[" LAYER);
	for (int i = 0; i < MANIFEST_ENTRIES_MAX; i++)
		str_add(&entries, "," LAYER);
	str_add(&entries, "]}");
	check_bad(str_get(&entries), NULL, "more than");
	for (int i = 0; i < 10000; i++)
		str_add(&deep, "{\"a\":");
	check_bad(str_get(&deep), NULL, "deep");
	while (huge.len <= MANIFEST_SIZE_MAX)
		str_add(&huge, "                                                                ");
	check_bad(str_get(&huge), NULL, "longer");
}

static void check_choice(const char *entries, const struct platform *host, int expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *text = xasprintf(HEAD "\"manifests\":[%s]}", entries);
	const struct descriptor *chosen;
	struct manifest manifest;
	struct err err = { 0 };

	assert_ok(parse(text, NULL, arena, &manifest, &err));
	if (expected < 0) {
		assert_fails(manifest_choose(&manifest, host, &chosen, &err), RPC_NOT_FOUND);
		return;
	}
	assert_ok(manifest_choose(&manifest, host, &chosen, &err));
	assert_int_equal(chosen->size, expected);
}

#define ENTRY(size, platform)                                                                      \
	"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"sha256:" HEX "\",\"size\":" #size \
	"" platform "}"
#define PLATFORM(os, arch, variant) \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}"

static void test_choice(void **state UNUSED)
{
	static const struct platform amd64 = { "linux", "amd64", "" };
	static const struct platform arm = { "linux", "arm", "v7" };
	static const struct platform arm64 = { "linux", "arm64", "v8" };
	static const char many[] =
		ENTRY(1, PLATFORM("windows", "amd64", "")) "," ENTRY(2, PLATFORM("linux", "arm", "v5")) "," ENTRY(3, PLATFORM("linux", "arm", "v6")) "," ENTRY(
			4,
			PLATFORM(
				"linux", "arm",
				"v8")) "," ENTRY(5,
						 PLATFORM(
							 "linux",
							 "amd64",
							 "v3")) "," ENTRY(6,
									  PLATFORM(
										  "linux",
										  "amd64",
										  "")) "," ENTRY(7,
												 PLATFORM(
													 "unknown",
													 "unknown",
													 "")) "," ENTRY(8,
															PLATFORM(
																"linux",
																"arm64",
																"v8"));

	check_choice(many, &amd64, 6);
	check_choice(many, &arm, 3);
	check_choice(many, &arm64, 8);
	check_choice(ENTRY(1, PLATFORM("linux", "amd64", "v2")), &amd64, 1);
	check_choice(ENTRY(1, "") "," ENTRY(2, PLATFORM("linux", "arm", "v7")), &amd64, 1);
	check_choice(ENTRY(1, "") "," ENTRY(2, PLATFORM("linux", "amd64", "")), &amd64, 2);
	check_choice(ENTRY(1, PLATFORM("linux", "arm", "v8")), &arm, -1);
	check_choice(ENTRY(1, ",\"artifactType\":\"a/b\"") "," ENTRY(2, ""), &amd64, 2);
	check_choice(ENTRY(1, ",\"artifactType\":\"a/b\""), &amd64, -1);
	check_choice("", &amd64, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_old_and_foreign),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
