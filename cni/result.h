/*
 * What an ADD answered (CNI spec section 5 "Result types"), in every version of the format: 0.1.0 and 0.2.0
 * (ip4, ip6), 0.3.0 to 0.4.0 (ips with a version), 1.0.0 and 1.1.0. Pure functions. result.c reads,
 * result_convert.c converts.
 */
#ifndef CNI_RESULT_H
#define CNI_RESULT_H

#include <jansson.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { RESULT_IPS_MAX = 64 };

/* *ret is the document, a new reference, with "cniVersion" filled in when the plugin left it out (version:
 * the list's). INTERNAL when it is not an object of a result. */
int result_parse(const char *text, size_t len, const char *version, json_t **ret, struct err *err) MUST_CHECK;
/*
 * The same result in the format of another known version (libcni's pkg/types): ip4 and ip6 with their routes
 * become lists and back, where only the first address of each family has a place; the "version" of an address
 * comes and goes. Keys that both formats have, and unknown ones, stay. Takes result, returns a new reference.
 */
json_t *result_convert_take(json_t *result, const char *version);
/* The pod's addresses without prefix length, IPv4 before IPv6, otherwise in the result's order. Those of
 * interfaces on the host's side are left out. INTERNAL when one is malformed or there are more than
 * RESULT_IPS_MAX. */
int result_ips(const json_t *result, struct strv *ret, struct err *err) MUST_CHECK;

#endif
