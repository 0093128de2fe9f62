/* Bounds of the parser, every field type both ways, and the paths in errors. */
#include "test/base/check.h"

#include "base/json.h"

struct inner {
	char *type;
	int64_t number;
};

struct document {
	char *name;
	bool flag;
	int64_t number;
	uint64_t size;
	struct json_strings args;
	struct json_string_map labels;
	struct inner inner;
	struct inner *maybe;
	struct json_array plugins;
	json_t *raw;
};

static const struct json_field inner_fields[] = {
	{ "type", JSON_FIELD_STRING, offsetof(struct inner, type), JSON_NEEDED, NULL, 0 },
	{ "number", JSON_FIELD_INT, offsetof(struct inner, number), JSON_OMIT_EMPTY, NULL, 0 },
	{ NULL, 0, 0, 0, NULL, 0 },
};

#define FIELD(key, type, member)                                                       \
	{                                                                              \
		key, type, offsetof(struct document, member), JSON_OMIT_EMPTY, NULL, 0 \
	}
#define STRUCT(key, type, member)                                                            \
	{                                                                                    \
		key, type, offsetof(struct document, member), JSON_OMIT_EMPTY, inner_fields, \
			sizeof(struct inner)                                                 \
	}

static const struct json_field fields[] = {
	{ "name", JSON_FIELD_STRING, offsetof(struct document, name), JSON_NEEDED, NULL, 0 },
	FIELD("flag", JSON_FIELD_BOOL, flag),
	FIELD("number", JSON_FIELD_INT, number),
	FIELD("size", JSON_FIELD_UINT, size),
	FIELD("args", JSON_FIELD_STRINGS, args),
	FIELD("labels", JSON_FIELD_STRING_MAP, labels),
	{ "inner", JSON_FIELD_OBJECT, offsetof(struct document, inner), 0, inner_fields,
	  sizeof(struct inner) },
	STRUCT("maybe", JSON_FIELD_OBJECT_PTR, maybe),
	STRUCT("plugins", JSON_FIELD_ARRAY, plugins),
	FIELD("raw", JSON_FIELD_RAW, raw),
	{ NULL, 0, 0, 0, NULL, 0 },
};

static const char whole[] =
	"{\"name\":\"n\",\"flag\":true,\"number\":-5,\"size\":9223372036854775807,\"args\":[\"a\",\"\"],"
	"\"labels\":{\"z\":\"1\",\"a\":\"2\"},\"inner\":{\"type\":\"t\"},\"maybe\":{\"type\":\"m\",\"number\":3},"
	"\"plugins\":[{\"type\":\"p0\"},{\"type\":\"p1\"}],\"raw\":{\"x\":[1,null,2.5]}}";

static json_t *parse(const char *text)
{
	struct err err = { 0 };
	json_t *json = NULL;

	assert_ok(json_parse(text, strlen(text), 65536, &json, &err));
	return json;
}

static void refuses(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
		{ "", "line 1" },
		{ "{", "line 1" },
		{ "{}x", "line 1" },
		{ "{} {}", "line 1" },
		{ "{\n\"a\":1,\n\"a\":2}", "duplicate" },
		{ "{\"a\":\"\\u0000\"}", "\\u0000" },
		{ "{\"a\":\"\xff\"}", "decode byte 0xff" },
		{ "{'a':1}", "line 1" },
		{ "{\"a\":01}", "line 1" },
		{ "{\"a\":99999999999999999999}", "integer" },
		{ "[1,]", "line 1" },
		{ "\"text\"", "line 1" },
		{ "{\"a\":nan}", "line 1" },
	};
	struct err err = { 0 };
	json_t *json = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_fails(json_parse(rows[i].text, strlen(rows[i].text), 1000, &json, &err),
			     RPC_INVALID_ARGUMENT);
		assert_contains(err.text, rows[i].reason);
	}
	assert_fails(json_parse("{\"a\":1}\0", 8, 1000, &json, &err), RPC_INVALID_ARGUMENT);
	assert_fails(json_parse("{\"a\":1}\0{}", 10, 1000, &json, &err), RPC_INVALID_ARGUMENT);
	assert_fails(json_parse("{\"a\":\0"
				"1}",
				8, 1000, &json, &err),
		     RPC_INVALID_ARGUMENT);
	assert_fails(json_parse("\0{\"a\":1}", 8, 1000, &json, &err), RPC_INVALID_ARGUMENT);
	assert_fails(json_parse("{\"a\":\"b\0c\"}", 11, 1000, &json, &err), RPC_INVALID_ARGUMENT);
	assert_fails(json_parse("{}    ", 6, 5, &json, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "5 bytes");
	assert_null(json);
}

static char *nested(int depth)
{
	struct str text = STR_INIT;

	for (int i = 0; i < depth; i++)
		str_add(&text, i % 2 ? "{\"a\":" : "[");
	str_add(&text, "\"[[[{{{\\\"[[[\"");
	for (int i = depth; i-- > 0;)
		str_addc(&text, i % 2 ? '}' : ']');
	return str_take(&text);
}

static void depth_is_bounded(void **state)
{
	CLEANUP(freep) char *fine = nested(JSON_DEPTH_MAX);
	CLEANUP(freep) char *deep = nested(JSON_DEPTH_MAX + 1);
	struct err err = { 0 };
	json_t *json = NULL;

	(void)state;
	assert_ok(json_parse(fine, strlen(fine), 1000, &json, &err));
	json_decref(json);
	assert_fails(json_parse(deep, strlen(deep), 1000, &json, &err), RPC_INVALID_ARGUMENT);
	assert_contains(err.text, "deeper");
}

static void decodes_everything(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp) json_t *json = parse(whole);
	struct document doc = { 0 };
	struct err err = { 0 };

	(void)state;
	assert_ok(json_decode(json, fields, &doc, arena, &err));
	assert_string_equal(doc.name, "n");
	assert_true(doc.flag);
	assert_int_equal(doc.number, -5);
	assert_true(doc.size == INT64_MAX);
	assert_int_equal(doc.args.len, 2);
	assert_string_equal(doc.args.items[0], "a");
	assert_string_equal(doc.args.items[1], "");
	assert_null(doc.args.items[2]);
	assert_int_equal(doc.labels.len, 2);
	assert_string_equal(doc.labels.items[0].key, "z");
	assert_string_equal(doc.labels.items[1].value, "2");
	assert_string_equal(doc.inner.type, "t");
	assert_string_equal(doc.maybe->type, "m");
	assert_int_equal(doc.maybe->number, 3);
	assert_int_equal(doc.plugins.len, 2);
	assert_string_equal(((struct inner *)doc.plugins.items)[1].type, "p1");
	assert_int_equal(json_array_size(json_object_get(doc.raw, "x")), 3);
	CLEANUP(json_decrefp) json_t *again = json_encode(fields, &doc);
	CLEANUP(freep) char *text = json_text(again);
	assert_string_equal(text, whole);
}

static void absent_and_null_leave_defaults(void **state)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(json_decrefp)
	json_t *json = parse("{\"name\":\"n\",\"number\":null,\"args\":null,\"maybe\":null,"
			     "\"unknown\":[{}],\"labels\":{\"a\":null,\"b\":\"c\"}}");
	struct document doc = { .number = 7, .flag = true };
	struct err err = { 0 };

	(void)state;
	assert_ok(json_decode(json, fields, &doc, arena, &err));
	assert_int_equal(doc.number, 7);
	assert_true(doc.flag);
	assert_null(doc.args.items);
	assert_null(doc.maybe);
	assert_int_equal(doc.labels.len, 1);
	assert_string_equal(doc.labels.items[0].key, "b");
}

static void errors_name_the_path(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
		{ "[]", "JSON: not an object" },
		{ "{}", "name: missing" },
		{ "{\"name\":null}", "name: missing" },
		{ "{\"name\":1}", "name: not a string" },
		{ "{\"name\":\"n\",\"flag\":1}", "flag: not a boolean" },
		{ "{\"name\":\"n\",\"number\":1.0}", "number: not an integer" },
		{ "{\"name\":\"n\",\"number\":\"1\"}", "number: not an integer" },
		{ "{\"name\":\"n\",\"size\":-1}", "size: negative" },
		{ "{\"name\":\"n\",\"args\":\"a\"}", "args: not an array" },
		{ "{\"name\":\"n\",\"args\":[\"a\",null]}", "args[1]: not a string" },
		{ "{\"name\":\"n\",\"labels\":[]}", "labels: not an object" },
		{ "{\"name\":\"n\",\"labels\":{\"k\":1}}", "labels.k: not a string" },
		{ "{\"name\":\"n\",\"inner\":{}}", "inner.type: missing" },
		{ "{\"name\":\"n\",\"maybe\":[]}", "maybe: not an object" },
		{ "{\"name\":\"n\",\"plugins\":{}}", "plugins: not an array" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{},{\"type\":2}]}",
		  "plugins[1].type: missing" },
		{ "{\"name\":\"n\",\"plugins\":[{\"type\":\"a\"},{\"type\":\"b\"},{\"type\":2}]}",
		  "plugins[2].type: not a string" },
		{ "{\"name\":\"n\",\"plugins\":[null]}", "plugins[0]: not an object" },
	};
	struct err err = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(arena_freep) struct arena *arena = arena_new(0);
		CLEANUP(json_decrefp) json_t *json = parse(rows[i].text);
		struct document doc = { 0 };
		assert_fails(json_decode(json, fields, &doc, arena, &err), RPC_INVALID_ARGUMENT);
		assert_string_equal(err.text, rows[i].reason);
	}
}

static void empty_values_are_left_out_or_null(void **state)
{
	struct document doc = { 0 };
	struct inner empty = { 0 };
	CLEANUP(json_decrefp) json_t *bare = json_encode(fields, &doc);
	CLEANUP(freep) char *bare_text = json_text(bare);

	(void)state;
	assert_string_equal(bare_text, "{\"name\":null,\"inner\":{\"type\":null}}");
	doc.maybe = &empty;
	doc.raw = json_object();
	CLEANUP(json_decrefp) json_t *pointed = json_encode(fields, &doc);
	CLEANUP(freep) char *pointed_text = json_text(pointed);
	assert_string_equal(pointed_text,
			    "{\"name\":null,\"inner\":{\"type\":null},\"maybe\":{\"type\":null},\"raw\":{}}");
	json_decref(doc.raw);
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
	char key[] = "k\xff", value[] = "\xc3(", name[] = "a\xff\xfe z";
	struct json_string_pair pair = { .key = key, .value = value };
	struct document doc = { .name = name, .size = UINT64_MAX, .labels = { .items = &pair, .len = 1 } };
	CLEANUP(json_decrefp) json_t *json = json_encode(fields, &doc);
	CLEANUP(freep) char *text = json_text(json);

	(void)state;
	assert_string_equal(text,
			    "{\"name\":\"a\xef\xbf\xbd\xef\xbf\xbd z\",\"size\":9223372036854775807,"
			    "\"labels\":{\"k\xef\xbf\xbd\":\"\xef\xbf\xbd(\"},\"inner\":{\"type\":null}}");
	CLEANUP(json_decrefp) json_t *again = parse(text);
	assert_non_null(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(decodes_everything),
		cmocka_unit_test(absent_and_null_leave_defaults),
		cmocka_unit_test(errors_name_the_path),
		cmocka_unit_test(empty_values_are_left_out_or_null),
		cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
