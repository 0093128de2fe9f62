/* The TOML reader beyond the public suite: messages with their lines, positions in the tree, bounds, merging,
 * files. */
#include "scratch.h"

#include "config/toml.h"

static int parse(const char *text, struct arena *arena, struct toml_value **root, struct err *err)
{
	struct toml_source source = { "t.toml", text, strlen(text) };

	return toml_parse(&source, arena, root, err);
}

static void check_error(const char *text, const char *expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct err err = { 0 };
	struct toml_value *root = NULL;

	if (parse(text, arena, &root, &err) == 0)
		fail_msg("accepted: %s", text);
	assert_string_equal(err.text, expected);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_null(root);
}

static void test_errors(void **state UNUSED)
{
	check_error("a", "t.toml:1: '=' after a key expected, the file ends here");
	check_error("a = 1\nb = \n", "t.toml:2: a value expected, the line ends here");
	check_error("a = 1 b = 2", "t.toml:1: the end of the line expected, not 'b'");
	check_error("\n\na = 1\na = 2", "t.toml:4: \"a\" is already defined on line 3");
	check_error("[a]\n[b]\n[a]\n", "t.toml:3: \"a\" is already defined on line 1");
	check_error("a = \"x\n\"", "t.toml:1: a string is not closed on its line");
	check_error("a = 1\nb = \"\"\"\n\n", "t.toml:4: the string opened on line 2 is not closed");
	check_error("a = \"\\x41\"", "t.toml:1: an escape (one of b t n f r \" \\ u U) expected, not 'x'");
	check_error("a = \"\\u12\"", "t.toml:1: \\u needs 4 hexadecimal digits");
	check_error("a = \"\\ud800\"", "t.toml:1: U+D800 is not a Unicode scalar value");
	check_error("a = [1,\n2\n3]", "t.toml:3: ',' or ']' in an array expected, not '3'");
	check_error("a = {b = 1,}", "t.toml:1: a key expected, not '}'");
	check_error("a = {b = 1\n}", "t.toml:1: ',' or '}' in an inline table expected, the line ends here");
	check_error("[a", "t.toml:1: ']' after a header expected, the file ends here");
	check_error("[[a]\n", "t.toml:1: \"]]\" after a header expected, the line ends here");
	check_error("a = 01", "t.toml:1: \"01\" is not a value");
	check_error("a = 9223372036854775808", "t.toml:1: an integer outside 64 bits");
	check_error("a = 1e999", "t.toml:1: a float outside the range of doubles");
	check_error("a = 2021-02-29", "t.toml:1: \"2021-02-29\" is not a date or time");
	check_error("a = 1\n\x01", "t.toml:2: control character 0x01");
	check_error("a = 1\n# \xff", "t.toml:2: byte 0xff is not valid UTF-8");
	check_error("a = 1\rb", "t.toml:1: a carriage return without a newline");
	check_error("\xc3\xa4 = 1", "t.toml:1: a key expected, not a character outside ASCII");
	check_error("a = {}\na.b = 1", "t.toml:2: \"a\" is complete and can't be extended");
	check_error("a = 1\na.b = 1", "t.toml:2: \"a\" is not a table");
	check_error("\"\"\"a\"\"\" = 1", "t.toml:1: a multi-line string can't be a key");
}

static void test_nul_bytes_in_the_source(void **state UNUSED)
{
	static const char text[] = "a = 1\n\0b = 2";
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct toml_source source = { "t.toml", text, sizeof(text) - 1 };
	struct toml_value *root;
	struct err err = { 0 };

	assert_int_equal(toml_parse(&source, arena, &root, &err), -1);
	assert_string_equal(err.text, "t.toml:2: control character 0x00");
}

static void test_values_know_their_place(void **state UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct toml_value *root;
	struct err err = { 0 };

	assert_int_equal(parse("# one\n[t.u]\ntext = '''\n\nx'''\nlist = [\n1,\n2]\n\"a\\u0000b\" = 0x10\n",
			       arena, &root, &err),
			 0);
	const struct toml_value *table = toml_find(toml_find(root, "t")->value, "u")->value;
	assert_int_equal(table->line, 2);
	assert_string_equal(table->file, "t.toml");
	assert_string_equal(toml_find(table, "text")->value->string.data, "\nx");
	assert_int_equal(toml_find(table, "text")->value->line, 3);
	const struct toml_array *list = &toml_find(table, "list")->value->array;
	assert_int_equal(list->len, 2);
	assert_int_equal(list->items[1]->line, 8);
	assert_int_equal(list->items[1]->integer, 2);
	const struct toml_entry *odd = toml_find_text(table, (struct toml_text){ "a\0b", 3 });
	assert_non_null(odd);
	assert_int_equal(odd->value->integer, 16);
	assert_null(toml_find(table, "a"));
}

static void test_many_keys(void **state UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str text = STR_INIT;
	struct toml_value *root;
	struct err err = { 0 };
	char name[16];

	for (int i = 0; i < 20000; i++)
		str_addf(&text, "k%d = %d\n", i, i);
	assert_int_equal(parse(str_get(&text), arena, &root, &err), 0);
	assert_int_equal(root->table.len, 20000);
	for (int i = 0; i < 20000; i += 777) {
		snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(toml_find(root, name)->value->integer, i);
	}
	assert_null(toml_find(root, "k20000"));
	str_add(&text, "k5 = 1\n");
	assert_int_equal(parse(str_get(&text), arena, &root, &err), -1);
	assert_string_equal(err.text, "t.toml:20001: \"k5\" is already defined on line 6");
}

static void repeat(struct str *out, const char *text, int times)
{
	while (times-- > 0)
		str_add(out, text);
}

static void test_bounds(void **state UNUSED)
{
	CLEANUP(str_done) struct str text = STR_INIT;
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct toml_value *root;
	struct err err = { 0 };

	str_add(&text, "a = ");
	repeat(&text, "[", 64);
	repeat(&text, "]", 64);
	assert_int_equal(parse(str_get(&text), arena, &root, &err), -1);
	assert_string_equal(err.text, "t.toml:1: nested more than 64 levels deep");
	str_clear(&text);
	str_add(&text, "a = ");
	repeat(&text, "[", 63);
	repeat(&text, "]", 63);
	assert_int_equal(parse(str_get(&text), arena, &root, &err), 0);

	str_clear(&text);
	repeat(&text, "a.", 63);
	str_add(&text, "a = 1");
	assert_int_equal(parse(str_get(&text), arena, &root, &err), 0);
	str_clear(&text);
	repeat(&text, "a.", 64);
	str_add(&text, "a = 1");
	check_error(str_get(&text), "t.toml:1: a key of more than 64 parts");
	str_clear(&text);
	str_add(&text, "a=");
	repeat(&text, "{b.b.b.b.b.b.b.b.b.b=", 8);
	check_error(str_get(&text), "t.toml:1: nested more than 64 levels deep");
	str_clear(&text);
	str_add(&text, "a = [");
	repeat(&text, "1,", TOML_VALUES_MAX);
	check_error(str_get(&text), "t.toml:1: more than 65536 values");
	str_clear(&text);
	str_add(&text, "a = ");
	repeat(&text, "1", 256);
	check_error(str_get(&text), "t.toml:1: a value of more than 255 characters");
	str_clear(&text);
	repeat(&text, "# 89012345678901\n", TOML_SIZE_MAX / 16);
	check_error(str_get(&text), "t.toml:1: larger than 1048576 bytes");
}

static void test_merge(void **state UNUSED)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	struct toml_value *root = toml_new_table("", arena), *one, *two;
	struct err err = { 0 };

	assert_int_equal(parse("a.b = 1\na.c = [1, 2]\nd = 1\n", arena, &one, &err), 0);
	struct toml_source source = { "u.toml", "\n[a]\nc = [3]\ne = 4\n[d]\nx = 1\n", 29 };
	assert_int_equal(toml_parse(&source, arena, &two, &err), 0);
	toml_merge(root, one, arena);
	toml_merge(root, two, arena);

	const struct toml_value *a = toml_find(root, "a")->value;
	assert_int_equal(toml_find(a, "b")->value->integer, 1);
	assert_string_equal(toml_find(a, "b")->value->file, "t.toml");
	assert_int_equal(toml_find(a, "c")->value->array.len, 1);
	assert_string_equal(toml_find(a, "c")->value->file, "u.toml");
	assert_int_equal(toml_find(a, "c")->value->line, 3);
	assert_int_equal(toml_find(a, "e")->value->integer, 4);
	assert_int_equal(toml_find(root, "d")->value->type, TOML_TABLE);
}

static void test_quoting(void **state UNUSED)
{
	static const char text[] = "tab\t \"quotes\" back\\slash\nbell\a del\x7f \xc3\xa4";
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(str_done) struct str out = STR_INIT;
	struct toml_value *root;
	struct err err = { 0 };

	toml_quote_key(&out, "");
	str_add(&out, ".");
	toml_quote_key(&out, "a.b");
	str_add(&out, ".");
	toml_quote_key(&out, "plain-key_1");
	str_add(&out, " = ");
	toml_quote(&out, text);
	assert_string_equal(str_get(&out),
			    "\"\".\"a.b\".plain-key_1 = \"tab\\t \\\"quotes\\\" back\\\\slash\\nbell\\u0007 "
			    "del\\u007F \xc3\xa4\"");
	assert_int_equal(parse(str_get(&out), arena, &root, &err), 0);
	const struct toml_value *inner = toml_find(toml_find(root, "")->value, "a.b")->value;
	assert_string_equal(toml_find(inner, "plain-key_1")->value->string.data, text);
}

static void check_read(const struct scratch *scratch, const char *name, enum rpc_code code,
		       const char *expected)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *path = scratch_path(scratch, name);
	struct toml_value *root;
	struct err err = { 0 };

	assert_int_equal(toml_read(path, arena, &root, &err), -1);
	if (expected)
		assert_string_equal(scratch_cut(scratch, err.text), expected);
	assert_int_equal(err.code, code);
}

static void test_files(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	CLEANUP(freep) char *open_file = scratch_path(&scratch, "open.toml");
	CLEANUP(freep) char *link_path = scratch_path(&scratch, "link.toml");
	CLEANUP(freep) char *fifo = scratch_path(&scratch, "fifo.toml");
	CLEANUP(freep) char *huge = scratch_path(&scratch, "huge.toml");
	struct toml_value *root;
	struct err err = { 0 };

	scratch_write(&scratch, "good.toml", "a = 1\n");
	scratch_write(&scratch, "bad.toml", "a = 1\nb\n");
	scratch_write(&scratch, "open.toml", "a = 1\n");
	scratch_write(&scratch, "huge.toml", "a = 1\n");
	assert_int_equal(chmod(open_file, 0664), 0);
	assert_int_equal(symlink("good.toml", link_path), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(truncate(huge, TOML_SIZE_MAX + 1), 0);
	scratch_dir(&scratch, "dir.toml");

	check_read(&scratch, "none.toml", RPC_NOT_FOUND, "none.toml does not exist");
	check_read(&scratch, "bad.toml", RPC_INVALID_ARGUMENT,
		   "bad.toml:2: '=' after a key expected, the line ends here");
	check_read(&scratch, "open.toml", RPC_INVALID_ARGUMENT,
		   "open.toml:1: writable by others (mode 0664): chmod go-w");
	check_read(&scratch, "huge.toml", RPC_INVALID_ARGUMENT, "huge.toml:1: larger than 1048576 bytes");
	check_read(&scratch, "fifo.toml", RPC_INVALID_ARGUMENT, "fifo.toml:1: not a regular file");
	check_read(&scratch, "dir.toml", RPC_INVALID_ARGUMENT, "dir.toml:1: not a regular file");
	assert_int_equal(toml_read(link_path, arena, &root, &err), 0);
	assert_string_equal(root->file, link_path);
}

static void test_dropins(void **state UNUSED)
{
	CLEANUP(scratch_done) struct scratch scratch = scratch_new();
	CLEANUP(freep) char *missing = scratch_path(&scratch, "missing");
	CLEANUP(strv_done) struct strv paths = STRV_INIT;
	struct err err = { 0 };

	assert_int_equal(toml_dropins(missing, ".toml", &paths, &err), 0);
	assert_int_equal(paths.len, 0);
	scratch_write(&scratch, "20-b.toml", "");
	scratch_write(&scratch, "10-z.toml", "");
	scratch_write(&scratch, ".hidden.toml", "");
	scratch_write(&scratch, "30-c.toml~", "");
	assert_int_equal(toml_dropins(scratch.path, ".toml", &paths, &err), 0);
	assert_int_equal(paths.len, 2);
	assert_string_equal(scratch_cut(&scratch, paths.items[0]), "10-z.toml");
	assert_string_equal(scratch_cut(&scratch, paths.items[1]), "20-b.toml");
	for (int i = 0; i < TOML_DROPINS_MAX; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%d.toml", 1000 + i);
		scratch_write(&scratch, name, "");
	}
	assert_int_equal(toml_dropins(scratch.path, ".toml", &paths, &err), -1);
	assert_int_equal(err.code, RPC_RESOURCE_EXHAUSTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_nul_bytes_in_the_source),
		cmocka_unit_test(test_values_know_their_place),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_quoting),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_dropins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
