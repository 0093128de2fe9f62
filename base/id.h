/*
 * Object ids: 32 random bytes as 64 lower-case hex digits, as every CRI server writes them. An id that came
 * from a client is checked with id_plausible() before it goes near a map or a path.
 */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

enum { ID_LEN = 64, ID_SIZE = ID_LEN + 1 };

void id_new(char id[ID_SIZE]);
bool id_valid(const char *id);     /* exactly 64 lower-case hex digits */
bool id_plausible(const char *id); /* 1 to 64 lower-case hex digits: an id or a prefix of one */
/* Writes 2 * len hex digits and a NUL. */
void hex_encode(const void *data, size_t len, char *text);
/* Fills len bytes with randomness from the kernel; ends the process if there is none. */
void random_bytes(void *data, size_t len);

#endif
