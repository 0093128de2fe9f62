/*
 * The dictionary that SPDY/3's header compression starts with (SPDY draft 3.1, section 2.6.10.1).
 */
#ifndef SERVER_STREAMING_SPDY_DICTIONARY_H
#define SERVER_STREAMING_SPDY_DICTIONARY_H

#include <stdint.h>

enum { SPDY_DICTIONARY_SIZE = 1423 };

void spdy_dictionary(uint8_t ret[SPDY_DICTIONARY_SIZE]);

#endif
