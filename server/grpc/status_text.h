/*
 * The text of a gRPC status (grpc-message). Clients decode it as UTF-8 and show it to people, so bytes that
 * are not UTF-8 are replaced and control characters become spaces; gRPC itself percent-encodes the rest.
 * Bounded by ERR_TEXT_MAX, which even encoded stays below every client's limit for metadata. Pure; any
 * thread.
 */
#ifndef SERVER_GRPC_STATUS_TEXT_H
#define SERVER_GRPC_STATUS_TEXT_H

#include <grpc/slice.h>

/* A new slice, owned by the caller. */
grpc_slice status_text(const char *text);

#endif
