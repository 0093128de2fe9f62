/* Users out of hostile and friendly passwd and group files: rows 10-12 and 39 of the bad-input matrix. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "sandbox/users.h"

static char dir[] = "/tmp/crisp-users-test.XXXXXX";
static int rootfs = -1;

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment: 1:2\n"
			     "daemon:x:1:1::/usr/sbin:/sbin/nologin\n"
			     "default-user:x:1000:1000::/home/default-user:/bin/sh\n"
			     "\n"
			     "short:x\n"
			     "bad-id:x:12a:1::/:\n"
			     "negative:x:-1:1::/:\n"
			     "huge:x:4294967296:1::/:\n"
			     "4294967296:x:0:0::/root:/bin/sh\n"
			     "1234567:x:0:0::/root:/bin/sh\n"
			     "odd-home:x:7:7::relative:/bin/sh\n"
			     "no-shell:x:8:8::/eight\n"
			     "last:x:2147483647:2147483647::/last:/bin/sh";
static const char group[] = "root:x:0:\n"
			    "daemon:x:1:default-user,root\n"
			    "wheel:x:10:root,default-use,default-userx\n"
			    "group-defined-in-image:x:50000:default-user\n"
			    "staff:x:50:\n"
			    "twice:x:1000:default-user,default-user\n";

static void put(const char *name, const char *text)
{
	int fd = openat(rootfs, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static void fresh(void)
{
	(void)!tree_remove(rootfs, "etc", NULL);
	assert_int_equal(mkdirat(rootfs, "etc", 0755), 0);
	put("etc/passwd", passwd);
	put("etc/group", group);
}

struct ask {
	const int64_t *uid, *gid; /* NULL: not set */
	const char *username, *image_user;
	int64_t supplemental[3];
	size_t supplemental_len;
	bool strict;
};
#define ASK(...) ((struct ask){ __VA_ARGS__ })
#define ID(number) (&(const int64_t){ number })

static int ask(struct ask ask, struct user *ret, struct err *err)
{
	Cri__LinuxContainerSecurityContext security;
	Cri__Int64Value uid = CRI__INT64_VALUE__INIT, gid = CRI__INT64_VALUE__INIT;
	char name[8192];

	cri__linux_container_security_context__init(&security);
	uid.value = ask.uid ? *ask.uid : 0;
	gid.value = ask.gid ? *ask.gid : 0;
	snprintf(name, sizeof(name), "%s", ask.username ? ask.username : "");
	security.run_as_user = ask.uid ? &uid : NULL;
	security.run_as_group = ask.gid ? &gid : NULL;
	security.run_as_username = name;
	security.supplemental_groups = ask.supplemental;
	security.n_supplemental_groups = ask.supplemental_len;
	if (ask.strict)
		security.supplemental_groups_policy = CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict;
	struct user_request request = { .security = &security,
					.image_user = ask.image_user,
					.rootfs = rootfs };
	return user_resolve(&request, ret, err);
}

static void check(struct ask asked, uint32_t uid, uint32_t gid, const char *groups, const char *home)
{
	struct user user CLEANUP(user_done) = { 0 };
	struct str list CLEANUP(str_done) = STR_INIT;
	struct err err = { 0 };

	if (ask(asked, &user, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < user.groups_len; i++)
		str_addf(&list, "%s%u", i ? " " : "", user.groups[i]);
	assert_int_equal(user.uid, uid);
	assert_int_equal(user.gid, gid);
	assert_string_equal(str_get(&list), groups);
	assert_string_equal(user.home, home);
}

static void refuse(struct ask asked, const char *part)
{
	struct user user = { 0 };
	struct err err = { 0 };

	assert_int_equal(ask(asked, &user, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	if (!strstr(err.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, err.text);
	assert_null(user.groups);
}

static void test_good(void **state)
{
	(void)state;
	fresh();
	check(ASK(), 0, 0, "0 1 10", "/root");
	check(ASK(.image_user = "default-user"), 1000, 1000, "1 1000 50000", "/home/default-user");
	check(ASK(.image_user = "1000"), 1000, 1000, "1 1000 50000", "/home/default-user");
	check(ASK(.image_user = "1000:staff"), 1000, 50, "1 50 1000 50000", "/home/default-user");
	check(ASK(.image_user = "default-user:77"), 1000, 77, "1 77 1000 50000", "/home/default-user");
	check(ASK(.image_user = "4242"), 4242, 0, "0", "/");
	check(ASK(.uid = ID(1001)), 1001, 0, "0", "/");
	check(ASK(.uid = ID(1001), .gid = ID(1002)), 1001, 1002, "1002", "/");
	check(ASK(.uid = ID(0), .image_user = "default-user"), 0, 0, "0 1 10", "/root");
	check(ASK(.username = "daemon"), 1, 1, "1", "/usr/sbin");
	check(ASK(.username = "daemon", .gid = ID(5)), 1, 5, "5", "/usr/sbin");
	check(ASK(.username = "odd-home"), 7, 7, "7", "/");
	check(ASK(.username = "no-shell"), 8, 8, "8", "/eight");
	check(ASK(.username = "last"), 2147483647, 2147483647, "2147483647", "/last");
	check(ASK(.uid = ID(2147483647)), 2147483647, 2147483647, "2147483647", "/last");
}

/* CVE-2022-2995, CVE-2023-25173; the CRI's Merge and Strict. */
static void test_supplemental_groups(void **state)
{
	(void)state;
	fresh();
	check(ASK(.uid = ID(1000), .supplemental = { 1234 }, .supplemental_len = 1), 1000, 1000,
	      "1 1000 1234 50000", "/home/default-user");
	check(ASK(.uid = ID(1000), .supplemental = { 1234 }, .supplemental_len = 1, .strict = true), 1000,
	      1000, "1000 1234", "/home/default-user");
	check(ASK(.uid = ID(1000), .gid = ID(9), .supplemental = { 9, 9, 5 }, .supplemental_len = 3,
		  .strict = true),
	      1000, 9, "5 9", "/home/default-user");
	refuse(ASK(.uid = ID(1), .supplemental = { -1 }, .supplemental_len = 1), "supplemental group");
	refuse(ASK(.uid = ID(1), .supplemental = { INT64_C(1) << 31 }, .supplemental_len = 1),
	       "supplemental group");
}

static void test_ids_out_of_range(void **state)
{
	(void)state;
	fresh();
	refuse(ASK(.uid = ID(-2)), "run_as_user");
	refuse(ASK(.uid = ID(INT64_C(1) << 31)), "run_as_user");
	refuse(ASK(.uid = ID(INT64_C(1) << 32)), "run_as_user");
	refuse(ASK(.uid = ID(INT64_MAX)), "run_as_user");
	refuse(ASK(.uid = ID(1), .gid = ID(INT64_C(1) << 31)), "run_as_group");
	refuse(ASK(.gid = ID(1)), "run_as_group is set without");
	refuse(ASK(.gid = ID(1), .image_user = "1000"), "run_as_group is set without");
	refuse(ASK(.uid = ID(1), .username = "root"), "both set");
}

/* CVE-2026-46680: a number is never looked up as a name, even when passwd has such a name. */
static void test_numbers_are_no_names(void **state)
{
	(void)state;
	fresh();
	check(ASK(.image_user = "1234567"), 1234567, 0, "0", "/");
	check(ASK(.username = "1234567"), 1234567, 0, "0", "/");
	refuse(ASK(.image_user = "4294967296"), "not in the range");
	refuse(ASK(.username = "4294967296"), "not in the range");
	refuse(ASK(.image_user = "99999999999999999999999999"), "not in the range");
	refuse(ASK(.image_user = "0:9999999999"), "not in the range");
	refuse(ASK(.image_user = "+0"), "malformed");
	refuse(ASK(.image_user = "-1"), "malformed");
	refuse(ASK(.image_user = "0x0"), "malformed");
	refuse(ASK(.image_user = ":"), "malformed");
	refuse(ASK(.image_user = ":0"), "malformed");
	refuse(ASK(.image_user = "root:"), "malformed");
	refuse(ASK(.image_user = "a:9e9"), "malformed group name");
	refuse(ASK(.image_user = "root:9e9"), "malformed group name");
	refuse(ASK(.image_user = "1_000"), "malformed");
	refuse(ASK(.image_user = "9e9"), "malformed");
	refuse(ASK(.image_user = "9lives"), "unable to find user 9lives");
}

static void test_bad_names(void **state)
{
	CLEANUP(freep) char *longer = xmalloc(5000);

	(void)state;
	fresh();
	memset(longer, 'a', 4999);
	longer[4999] = '\0';
	refuse(ASK(.username = "nobody-there"),
	       "unable to find user nobody-there: no matching entries in passwd file");
	refuse(ASK(.username = "ro\not"), "malformed");
	refuse(ASK(.username = "root:0"), "malformed");
	refuse(ASK(.username = "root\r"), "malformed");
	refuse(ASK(.username = longer), "malformed");
	refuse(ASK(.image_user = longer), "too long");
	refuse(ASK(.username = "short"), "unable to find user");
	refuse(ASK(.username = "bad-id"), "unable to find user");
	refuse(ASK(.username = "negative"), "unable to find user");
	refuse(ASK(.username = "huge"), "unable to find user");
	refuse(ASK(.username = "# a comment"), "malformed");
}

static void test_missing_files(void **state)
{
	(void)state;
	fresh();
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	check(ASK(), 0, 0, "0", "/");
	check(ASK(.image_user = "1000"), 1000, 0, "0", "/");
	check(ASK(.image_user = "1000:staff"), 1000, 50, "50", "/");
	refuse(ASK(.username = "root"), "unable to find user");
	assert_int_equal(unlinkat(rootfs, "etc/group", 0), 0);
	refuse(ASK(.image_user = "1000:staff"), "unable to find group");
	assert_int_equal(tree_remove(rootfs, "etc", NULL), 0);
	check(ASK(), 0, 0, "0", "/");
	put("etc", "a file where a folder should be");
	check(ASK(.uid = ID(5)), 5, 0, "0", "/");
	assert_int_equal(unlinkat(rootfs, "etc", 0), 0);
}

/* Links are resolved inside the root filesystem; what is no regular file is an error, soon. */
static void test_irregular_files(void **state)
{
	struct user user = { 0 };
	struct err err = { 0 };
	int64_t before = clock_mono();

	(void)state;
	fresh();
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(symlinkat("/etc/../../../../etc/group", rootfs, "etc/passwd"), 0);
	refuse(ASK(.username = "daemon"),
	       "unable to find user"); /* the image's own group file, not the host's passwd */
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(symlinkat("/proc/kcore", rootfs, "etc/passwd"), 0);
	check(ASK(.uid = ID(5)), 5, 0, "0", "/"); /* the image has no /proc/kcore */
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(symlinkat("passwd", rootfs, "etc/passwd"), 0);
	refuse(ASK(.uid = ID(5)), "passwd");
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(mkfifoat(rootfs, "etc/passwd", 0644), 0);
	refuse(ASK(.uid = ID(5)), "not a regular file");
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(mkdirat(rootfs, "etc/passwd", 0755), 0);
	assert_int_equal(ask(ASK(.uid = ID(5)), &user, &err), -1);
	assert_int_equal(err.code, RPC_INVALID_ARGUMENT);
	assert_true(clock_mono() - before < 5 * NS_PER_SEC);
}

/* CVE-2025-4437, CVE-2026-47262. */
static void test_oversized_files(void **state)
{
	CLEANUP(freep) char *line = xmalloc(1024 * 1024);
	int fd;

	(void)state;
	fresh();
	fd = openat(rootfs, "etc/passwd", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, INT64_C(1) << 30), 0);
	refuse(ASK(.uid = ID(5)), "larger than");
	assert_int_equal(ftruncate(fd, 0), 0);
	/* A line of a megabyte is skipped, what follows counts; so does a NUL in a line. */
	memset(line, 'x', 1024 * 1024);
	line[1024 * 1024 - 1] = '\n';
	assert_int_equal(write_all(fd, line, 1024 * 1024), 0);
	assert_int_equal(write_all(fd, "nul\0:x:0:0::/:\nafter:x:9:9::/nine:/bin/sh\n", 42), 0);
	close(fd);
	check(ASK(.username = "after"), 9, 9, "9", "/nine");
	/* Exactly at the limit: read to the end. */
	fd = openat(rootfs, "etc/passwd", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, USERS_FILE_MAX), 0);
	assert_int_equal(pwrite(fd, "\nend:x:3:3::/:", 14, USERS_FILE_MAX - 14), 14);
	close(fd);
	check(ASK(.username = "end"), 3, 3, "3", "/");
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	rootfs = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return rootfs < 0;
}

static int teardown(void **state)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = tree_remove(tmp, strrchr(dir, '/') + 1, NULL);

	(void)state;
	close(tmp);
	close(rootfs);
	return failed;
}

/* What passwd is after a user of these ids was given an entry. */
static void after_entry(const char *before, uint32_t uid, const char *wanted)
{
	struct user user CLEANUP(user_done) = { 0 };
	CLEANUP(freep) char *text = NULL;
	Cri__LinuxContainerSecurityContext security;
	Cri__Int64Value value = CRI__INT64_VALUE__INIT;
	struct err err = { 0 };

	cri__linux_container_security_context__init(&security);
	value.value = uid;
	security.run_as_user = &value;
	const struct user_request request = { .security = &security, .image_user = "", .rootfs = rootfs };
	fresh();
	put("etc/passwd", before);
	assert_int_equal(user_resolve(&request, &user, &err), 0);
	assert_int_equal(user_add_entry(rootfs, &user, &err), 0);
	assert_int_equal(file_read(rootfs, "etc/passwd", 4096, &text, NULL, &err), 0);
	assert_string_equal(text, wanted);
}

static void test_entry(void **state)
{
	struct user unknown = { .uid = 9, .gid = 9 };
	struct err err = { 0 };

	(void)state;
	after_entry("root:x:0:0::/:\n", 77, "root:x:0:0::/:\n77:x:77:0:77 user:/:/sbin/nologin\n");
	after_entry("root:x:0:0::/:", 77, "root:x:0:0::/:\n77:x:77:0:77 user:/:/sbin/nologin\n");
	after_entry("", 0, "0:x:0:0:0 user:/:/sbin/nologin\n");
	after_entry("root:x:0:0::/:", 0, "root:x:0:0::/:");
	after_entry("a\tb:x:5:5::/:", 5, "a\tb:x:5:5::/:"); /* has one, if not a good one */
	/* nothing there, a FIFO, a link that leads out: left alone, and nothing is waited for */
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(user_add_entry(rootfs, &unknown, &err), 0);
	assert_int_not_equal(faccessat(rootfs, "etc/passwd", F_OK, 0), 0);
	assert_int_equal(mkfifoat(rootfs, "etc/passwd", 0644), 0);
	assert_int_equal(user_add_entry(rootfs, &unknown, &err), 0);
	assert_int_equal(unlinkat(rootfs, "etc/passwd", 0), 0);
	assert_int_equal(symlinkat("../../../../../../../../dev/null", rootfs, "etc/passwd"), 0);
	assert_int_equal(user_add_entry(rootfs, &unknown, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_supplemental_groups),
		cmocka_unit_test(test_ids_out_of_range),
		cmocka_unit_test(test_numbers_are_no_names),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_missing_files),
		cmocka_unit_test(test_irregular_files),
		cmocka_unit_test(test_oversized_files),
		cmocka_unit_test(test_entry),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
