/*
 * A connection to a running container's stdio, by its monitor's attach socket and control FIFO.
 *
 * conmon sends one message per piece of output, which begins with a byte for the stream (2: stdout, 3:
 * stderr); what it is sent is stdin. It writes to its clients and to the log in turn: whoever does not read
 * holds up the container. With stdin_once it ends the container's stdin with the first client that ends its
 * own; otherwise stdin stays open. Single-threaded.
 */
#ifndef CONMON_ATTACH_H
#define CONMON_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "conmon/monitor.h"

enum { ATTACH_WRITE_MAX = 8 * 1024 }; /* bytes of one message of stdin */

/* A connected, non-blocking SOCK_SEQPACKET; the caller's. FAILED_PRECONDITION when the monitor is gone. */
int attach_connect(const struct monitor_spec *spec, struct err *err) MUST_CHECK;
/* As read(2), without the first byte: *ret_is_err. 0: the container has ended. */
ssize_t attach_read(int fd, uint8_t *buf, size_t size, bool *ret_is_err);
/* The terminal's size. */
int attach_resize(const struct monitor_spec *spec, uint16_t width, uint16_t height,
		  struct err *err) MUST_CHECK;

#endif
