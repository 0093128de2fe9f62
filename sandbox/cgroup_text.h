/*
 * What cgroup files say: numbers, "key number" lines, pressure stall information and I/O per device (kernel
 * Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/ and accounting/psi.rst).
 *
 * Pure functions over NUL-terminated text; any thread. What is not understood is passed over: a newer
 * kernel's file has more lines, never other ones. Numbers that do not fit are UINT64_MAX.
 */
#ifndef SANDBOX_CGROUP_TEXT_H
#define SANDBOX_CGROUP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CGROUP_DEVICES_MAX = 64 };

/* "123\n"; "max" is UINT64_MAX. False: no number. */
bool cgroup_text_number(const char *text, uint64_t *ret);

struct cgroup_text_key {
	const char *name;
	size_t offset; /* of a uint64_t in ret */
};
/* "name number" lines; keys without a line leave their field as it is. Returns how many were found. */
size_t cgroup_text_keys(const char *text, const struct cgroup_text_key *keys, size_t count, void *ret);
/* The same for one key. */
bool cgroup_text_key(const char *text, const char *name, uint64_t *ret);

/* How many lines there are: processes in cgroup.procs. */
size_t cgroup_text_lines(const char *text);

struct cgroup_stall {
	double avg10, avg60, avg300; /* per cent */
	uint64_t total_us;
};
struct cgroup_pressure {
	struct cgroup_stall some, full; /* a kernel without one of them: zeros */
};
/* False: no line was understood. */
bool cgroup_text_pressure(const char *text, struct cgroup_pressure *ret);

struct cgroup_device {
	uint32_t major, minor;
	uint64_t read_bytes, write_bytes, reads, writes;
};
struct cgroup_devices {
	struct cgroup_device items[CGROUP_DEVICES_MAX]; /* more are left out */
	size_t len;
};
/* v2's io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." */
void cgroup_text_io(const char *text, struct cgroup_devices *ret);
/* v1's blkio.throttle.*_recursive: "8:0 Read 1". bytes: of io_service_bytes, else operations. Adds to what
 * ret has. */
void cgroup_text_blkio(const char *text, bool bytes, struct cgroup_devices *ret);

#endif
