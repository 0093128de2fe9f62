/*
 * What programs print before they fail: whether it tells that something has run out (memory, processes,
 * descriptors, disk). For the code of an error whose text is that message; the text says the rest.
 */
#ifndef BASE_COMPLAINT_H
#define BASE_COMPLAINT_H

#include "base/err.h"

/* RPC_RESOURCE_EXHAUSTED, or RPC_INTERNAL. NULL is fine. */
enum rpc_code complaint_code(const char *text);

#endif
