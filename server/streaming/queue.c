/*
 * One block; the bytes move to its start when there is no room behind them. As all queues are bounded by
 * those who fill them, that costs little.
 */
#include "server/streaming/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { KEEP = 1024 * 1024, KEEP_AT_REST = 64 * 1024 };

void queue_done(struct queue *queue)
{
	free(queue->data);
	*queue = (struct queue){ 0 };
}

uint8_t *queue_room(struct queue *queue, size_t len)
{
	if (queue->size - queue->start - queue->len >= len && queue->data)
		return queue->data + queue->start + queue->len;
	if (queue->start) {
		memmove(queue->data, queue->data + queue->start, queue->len);
		queue->start = 0;
	}
	if (queue->size - queue->len < len || !queue->data) {
		size_t size = queue->size ? queue->size : 1024;

		while (size - queue->len < len)
			size *= 2;
		queue->data = xrealloc(queue->data, size, 1);
		queue->size = size;
	}
	return queue->data + queue->len;
}

void queue_grown(struct queue *queue, size_t len)
{
	assert(queue->size - queue->start - queue->len >= len);
	queue->len += len;
}

void queue_add(struct queue *queue, const void *data, size_t len)
{
	if (!len)
		return;
	memcpy(queue_room(queue, len), data, len);
	queue->len += len;
}

const uint8_t *queue_front(const struct queue *queue)
{
	return queue->data ? queue->data + queue->start : NULL;
}

void queue_drop(struct queue *queue, size_t len)
{
	assert(len <= queue->len);
	queue->len -= len;
	queue->start += len;
	if (!queue->len)
		queue_clear(queue);
}

bool queue_holds(const struct queue *queue)
{
	return queue->size > KEEP_AT_REST;
}

void queue_rest(struct queue *queue)
{
	if (!queue->len && queue_holds(queue))
		queue_done(queue);
}

void queue_clear(struct queue *queue)
{
	queue->start = queue->len = 0;
	if (queue->size > KEEP)
		queue_done(queue);
}
