/*
 * Linux capabilities of a container (capabilities(7)), as sets of one bit per capability number.
 *
 * Names are accepted with and without "CAP_", in any case, and "ALL" stands for every capability that this
 * host can give: those the kernel knows (/proc/sys/kernel/cap_last_cap) and that are in crispd's own bounding
 * and permitted set, so that a daemon in a reduced environment still starts containers that ask for
 * everything. A name that no kernel knows is INVALID_ARGUMENT. All functions are thread-safe.
 */
#ifndef SANDBOX_CAPABILITIES_H
#define SANDBOX_CAPABILITIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "config/config.h"
#include "proto/cri.pb-c.h"

struct capabilities {
	uint64_t bounding; /* also effective and permitted */
	uint64_t ambient;  /* a subset of bounding; also inheritable, since the kernel grants ambient only so.
			      Else both are empty */
};

struct capabilities_request {
	const Cri__Capability *asked;          /* CRI add, drop and ambient lists; may be NULL */
	const struct config_strings *defaults; /* what a container has when nothing is asked */
	bool privileged;                       /* everything available */
	uint64_t available;                    /* what the host can give: capabilities_available() */
};

/*
 * Defaults, then "drop ALL" and "add ALL", then the single names, drops winning over adds of the same name
 * (as the CRI words it: drop of ALL with single adds leaves just these). What is not available is left out
 * silently of defaults and ALL; asked for by name it is FAILED_PRECONDITION. An ambient capability outside
 * the resulting set is INVALID_ARGUMENT.
 */
int capabilities_resolve(const struct capabilities_request *request, struct capabilities *ret,
			 struct err *err) MUST_CHECK;

/* What this process may hand on: kernel's last capability, own bounding and own permitted set. */
uint64_t capabilities_available(void);

/* -1 for an unknown name. */
int capability_number(const char *name);
/* "CAP_CHOWN"; NULL for a number nobody knows. */
const char *capability_name(int number);

#endif
