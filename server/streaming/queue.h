/*
 * Bytes on their way: put in behind, taken out in front, contiguous in memory. Whoever fills one bounds it by
 * looking at `len`. Zero-initialised storage is an empty queue; what was large gives its memory back when it
 * is empty. Not thread-safe.
 */
#ifndef SERVER_STREAMING_QUEUE_H
#define SERVER_STREAMING_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue {
	uint8_t *data;
	size_t start, len, size;
};

void queue_done(struct queue *queue); /* also for CLEANUP */
void queue_add(struct queue *queue, const void *data, size_t len);
/* Room for len more bytes behind; say with queue_grown() how many were written. */
uint8_t *queue_room(struct queue *queue, size_t len);
void queue_grown(struct queue *queue, size_t len);
const uint8_t *queue_front(const struct queue *queue); /* len bytes; NULL when there never were any */
void queue_drop(struct queue *queue, size_t len);
void queue_clear(struct queue *queue);
/* For when nothing has moved for a while: an empty queue gives more of its memory back. */
void queue_rest(struct queue *queue);
bool queue_holds(const struct queue *queue); /* whether it has more than that */

#endif
