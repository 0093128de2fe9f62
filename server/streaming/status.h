/*
 * How a remote command has ended, as clients are told on the error stream: from version 4 of the protocol on
 * a kubernetes Status as JSON, before that a text for failures only.
 */
#ifndef SERVER_STREAMING_STATUS_H
#define SERVER_STREAMING_STATUS_H

#include "base/err.h"
#include "base/str.h"

struct status {
	bool failed; /* otherwise exit_code tells */
	int exit_code;
	struct err err; /* with failed */
};

/* Appends nothing where success is told by silence. */
void status_write(const struct status *status, int version, struct str *ret);

#endif
