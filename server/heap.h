/*
 * Keeps the daemon small between bursts of work: how malloc is set up at start, and how it gives memory back.
 */
#ifndef SERVER_HEAP_H
#define SERVER_HEAP_H

#include <stddef.h>

/* Before any thread is started. */
void heap_tune(void);
/* Returns free memory to the kernel; takes up to some milliseconds. Any thread. */
void heap_trim(void);
/* Bytes that malloc keeps for nobody: what heap_trim() would return, about. Any thread. */
size_t heap_spare(void);

#endif
