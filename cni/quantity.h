/*
 * Kubernetes quantities ("10M", "1.5Gi", "1e6"), as people write them into annotations
 * (k8s.io/apimachinery/pkg/api/resource, "Quantity"). A pure function.
 */
#ifndef CNI_QUANTITY_H
#define CNI_QUANTITY_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum { QUANTITY_TEXT_MAX = 64 };

/* The value rounded up to a whole number; beyond +-INT64_MAX it becomes that. INVALID_ARGUMENT when text is
 * no quantity. */
int quantity_parse(const char *text, int64_t *ret, struct err *err) MUST_CHECK;

#endif
