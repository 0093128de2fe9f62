/* config.json: what is mounted, and the devices. */
#include "spec_fixture.h"

static struct fixture f;

static int setup(void **state)
{
	(void)state;
	fixture_open(&f);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static void test_mounts(void **state)
{
	CLEANUP(freep) char *real = xasprintf("%s/real", f.dir);
	CLEANUP(freep) char *link = xasprintf("%s/link", f.dir);
	CLEANUP(freep) char *absent = xasprintf("%s/not/yet", f.dir);
	static char data[] = "/data//", deep[] = "/data/deep", hosts[] = "/etc/hosts";
	Cri__Mount mounts[3] = { CRI__MOUNT__INIT, CRI__MOUNT__INIT, CRI__MOUNT__INIT };
	Cri__Mount *list[] = { &mounts[0], &mounts[1], &mounts[2] };
	static char noexec[] = "noexec";
	char *options[] = { noexec };
	struct stat st;

	(void)state;
	assert_int_equal(mkdir(real, 0755), 0);
	assert_int_equal(symlink(real, link), 0);
	mounts[0].container_path = deep;
	mounts[0].host_path = absent;
	mounts[0].mount_options = options;
	mounts[0].n_mount_options = 1;
	mounts[1].container_path = data;
	mounts[1].host_path = link;
	mounts[1].readonly = true;
	mounts[2].container_path = hosts;
	mounts[2].host_path = real;
	mounts[2].readonly = mounts[2].recursive_read_only = true;
	f.config.mounts = list;
	f.config.n_mounts = 3;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep)
	char *at_data = xasprintf("{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"%s\","
				  "\"options\":[\"rbind\",\"rprivate\",\"ro\"]}",
				  real);
	CLEANUP(freep)
	char *at_deep = xasprintf("{\"destination\":\"/data/deep\",\"type\":\"bind\",\"source\":\"%s\","
				  "\"options\":[\"rbind\",\"rprivate\",\"rw\",\"noexec\"]}",
				  absent);
	CLEANUP(freep)
	char *at_hosts = xasprintf("{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":\"%s\","
				   "\"options\":[\"rbind\",\"rprivate\",\"rro\"]}",
				   real);
	assert_mount(spec, "/data", at_data);
	assert_mount(spec, "/data/deep", at_deep);
	assert_mount(spec, "/etc/hosts", at_hosts); /* in place of the pod's */
	assert_int_equal(stat(absent, &st), 0);
	/* Parents come before what is mounted inside them. */
	CLEANUP(freep) char *all = fixture_at(spec, "mounts");
	assert_true(strstr(all, "\"/data\"") < strstr(all, "\"/data/deep\""));
	assert_true(strstr(all, "\"/sys\"") < strstr(all, "\"/sys/fs/cgroup\""));
	assert_true(strstr(all, "\"/dev\"") < strstr(all, "\"/dev/shm\""));
}

static void refuse_mount(Cri__Mount mount, enum rpc_code code, const char *part)
{
	Cri__Mount *list[] = { &mount };

	f.config.mounts = list;
	f.config.n_mounts = 1;
	fixture_refused(&f, code, part);
	f.config.n_mounts = 0;
}

static Cri__Mount mount_of(const char *container, const char *host)
{
	Cri__Mount mount = CRI__MOUNT__INIT;

	mount.container_path = (char *)(uintptr_t)container;
	mount.host_path = (char *)(uintptr_t)host;
	return mount;
}

static void test_bad_mounts(void **state)
{
	Cri__Mount mount;
	static char odd[] = "upperdir=/x";
	char *options[] = { odd };

	(void)state;
	refuse_mount(mount_of("", "/tmp"), RPC_INVALID_ARGUMENT, "container_path");
	refuse_mount(mount_of("x/y", "/tmp"), RPC_INVALID_ARGUMENT, "container_path");
	refuse_mount(mount_of("/x/../y", "/tmp"), RPC_INVALID_ARGUMENT, "..");
	refuse_mount(mount_of("/", "/tmp"), RPC_INVALID_ARGUMENT, "root");
	refuse_mount(mount_of("//.", "/tmp"), RPC_INVALID_ARGUMENT, "root");
	refuse_mount(mount_of("/a\nb", "/tmp"), RPC_INVALID_ARGUMENT, "control");
	refuse_mount(mount_of("/x", ""), RPC_INVALID_ARGUMENT, "host_path");
	refuse_mount(mount_of("/x", "tmp"), RPC_INVALID_ARGUMENT, "host_path");
	refuse_mount(mount_of("/x", "/tmp/../etc"), RPC_INVALID_ARGUMENT, "..");
	mount = mount_of("/x", "/tmp");
	mount.recursive_read_only = true;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "without readonly");
	mount.readonly = true;
	mount.propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "private propagation");
	mount.propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_PRIVATE;
	f.handler.recursive_read_only_mounts = false;
	refuse_mount(mount, RPC_FAILED_PRECONDITION, "not supported");
	mount = mount_of("/x", "/tmp");
	mount.propagation = (Cri__MountPropagation)7;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "propagation");
	mount = mount_of("/x", "/tmp");
	mount.mount_options = options;
	mount.n_mount_options = 1;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "mount option");
}

/* Volumes of a pod with a user namespace come with mappings of their own. */
static void test_mapped_mounts(void **state)
{
	Cri__IDMapping uid = CRI__IDMAPPING__INIT, gid = CRI__IDMAPPING__INIT;
	Cri__IDMapping *uids[] = { &uid }, *gids[] = { &gid };
	Cri__Mount mount = mount_of("/data", f.dir), *list[] = { &mount };

	(void)state;
	uid.host_id = gid.host_id = 65536;
	uid.length = 1000;
	gid.length = 2000;
	mount.uidmappings = uids;
	mount.gidmappings = gids;
	mount.n_uidmappings = mount.n_gidmappings = 1;
	f.handler.idmap_mounts = true;
	f.config.mounts = list;
	f.config.n_mounts = 1;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep)
	char *expected = xasprintf("{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"%s\","
				   "\"options\":[\"rbind\",\"rprivate\",\"rw\"],\"uidMappings\":"
				   "[{\"containerID\":0,\"hostID\":65536,\"size\":1000}],\"gidMappings\":"
				   "[{\"containerID\":0,\"hostID\":65536,\"size\":2000}]}",
				   f.dir);
	assert_mount(spec, "/data", expected);
	gid.length = 0;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "gidMappings 0:65536 of length 0");
	gid.length = 1;
	uid.container_id = UINT32_MAX;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "uidMappings 4294967295:65536");
	mount.n_uidmappings = 0;
	refuse_mount(mount, RPC_INVALID_ARGUMENT, "uidMappings has 0 ranges");
	f.handler.idmap_mounts = false;
	refuse_mount(mount, RPC_FAILED_PRECONDITION, "not supported by the runtime");
}

static void test_image_mounts(void **state)
{
	static char name[] = "sha256:1", sub[] = "a/b";
	static const char *const bad[] = { "/a", "..", "a/../b", "a\n" };
	Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
	Cri__Mount mounts[2] = { mount_of("/data", ""), mount_of("/host", f.dir) };
	Cri__Mount *list[] = { &mounts[0], &mounts[1] };
	CLEANUP(strv_done) struct strv sources = STRV_INIT;

	(void)state;
	image.image = name;
	mounts[0].image = &image;
	mounts[0].image_sub_path = sub;
	f.config.mounts = list;
	f.config.n_mounts = 2;
	strv_add(&sources, "/crisp/image-mounts/0/a/b");
	strv_add(&sources, "");
	f.input.image_mounts = &sources;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_mount(spec, "/data",
		     "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":\"/crisp/image-mounts/0/a/b\","
		     "\"options\":[\"bind\",\"rprivate\",\"ro\",\"noexec\",\"nosuid\",\"nodev\"]}");
	CLEANUP(freep) char *host = fixture_mount(spec, "/host");
	assert_non_null(strstr(host, f.dir));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		mounts[0].image_sub_path = (char *)(uintptr_t)bad[i];
		refuse_mount(mounts[0], RPC_INVALID_ARGUMENT,
			     "ImageVolumeMountFailed: mounts[0]: image_sub_path");
	}
	mounts[0].image_sub_path = sub;
	mounts[0].host_path = sub;
	refuse_mount(mounts[0], RPC_INVALID_ARGUMENT,
		     "ImageVolumeMountFailed: mounts[0]: an image and a host_path");
}

static void test_devices(void **state)
{
	Cri__Device device = CRI__DEVICE__INIT;
	Cri__Device *list[] = { &device };
	static char null[] = "/dev/null", inside[] = "/dev/nothing", rw[] = "rw", junk[] = "rx",
		    absent[] = "/dev/absent", relative[] = "dev/null";

	(void)state;
	f.config.devices = list;
	f.config.n_devices = 1;
	device.host_path = null;
	device.container_path = inside;
	device.permissions = rw;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *devices = fixture_at(spec, "linux.devices");
	assert_non_null(strstr(
		devices,
		"[{\"path\":\"/dev/nothing\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":438"));
	assert_at(
		spec, "linux.resources.devices",
		"[{\"allow\":false,\"access\":\"rwm\"},{\"allow\":true,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"rw\"}]");
	device.permissions = junk;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "permissions");
	device.permissions = rw;
	device.host_path = f.dir; /* a directory without devices */
	CLEANUP(json_decrefp) json_t *none = fixture_build(&f);
	assert_at(none, "linux.devices", "[]");
	CLEANUP(freep) char *file = xasprintf("%s/file", f.dir);
	close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	device.host_path = file;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "not a device");
	device.host_path = absent;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "absent");
	device.host_path = relative;
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "host_path");
}

/* Where the runtime cannot limit devices, containers cannot make them. */
static void test_devices_without_rules(void **state)
{
	static char mknod_name[] = "MKNOD";
	char *add[] = { mknod_name };
	Cri__Capability capability = CRI__CAPABILITY__INIT;

	(void)state;
	f.host.cgroup2 = f.handler.devices_need_memlock = true;
	CLEANUP(json_decrefp) json_t *limited = fixture_build(&f);
	assert_at(limited, "linux.resources.devices", "[{\"allow\":false,\"access\":\"rwm\"}]");
	f.host.can_raise_memlock = false;
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	CLEANUP(freep) char *caps = fixture_at(spec, "process.capabilities.bounding");
	assert_at(spec, "linux.resources.devices", "");
	assert_null(strstr(caps, "MKNOD"));
	capability.add_capabilities = add;
	capability.n_add_capabilities = 1;
	f.security.capabilities = &capability;
	fixture_refused(&f, RPC_FAILED_PRECONDITION, "CAP_MKNOD");
	f.handler.devices_need_memlock = false;
	CLEANUP(json_decrefp) json_t *other = fixture_build(&f);
	CLEANUP(freep) char *more = fixture_at(other, "process.capabilities.bounding");
	assert_non_null(strstr(more, "MKNOD"));
}

/* CVE-2022-23648. */
static void test_image_volumes(void **state)
{
	struct stat st;

	(void)state;
	strv_add(&f.image.volumes, "/data/");
	CLEANUP(json_decrefp) json_t *spec = fixture_build(&f);
	assert_int_equal(fstatat(f.rootfs_fd, "data", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_mount(spec, "/data", "");
	strv_add(&f.image.volumes, "/../../etc");
	fixture_refused(&f, RPC_INVALID_ARGUMENT, "..");
}

/* What the runtime takes from the host; what is in /proc is not mounted. */
static void test_sources(void **state)
{
	CLEANUP(strv_done) struct strv sources = STRV_INIT;
	Cri__Mount mount = mount_of("/data", f.dir);
	Cri__Mount *list[] = { &mount };

	(void)state;
	f.config.mounts = list;
	f.config.n_mounts = 1;
	f.input.uts_ns = "/proc/1/ns/uts";
	f.input.ret_sources = &sources;
	json_decref(fixture_build(&f));
	CLEANUP(freep) char *all = strv_join(&sources, " ");
	CLEANUP(freep)
	char *expected = xasprintf("%s %s /pod/shm /pod/hosts /pod/hostname /pod/resolv.conf /ns/net /ns/ipc",
				   f.rootfs, f.dir);
	assert_string_equal(all, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_mounts),        TEST(test_bad_mounts), TEST(test_mapped_mounts),
		TEST(test_image_mounts),  TEST(test_devices),    TEST(test_devices_without_rules),
		TEST(test_image_volumes), TEST(test_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
