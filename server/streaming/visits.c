/*
 * An array in order of age. shutdown(2) of a socket waits for nothing, and under the lock it is sure that the
 * descriptor is still that of the connection.
 */
#include "server/streaming/visits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "base/lock.h"
#include "base/mem.h"

struct visit {
	int fd;
	uint64_t number;
	int64_t until; /* NO_DEADLINE: it has been shut down */
};

struct visits {
	int64_t patience;
	struct lock lock;
	/* under lock */
	struct visit *items;
	size_t len, size;
	uint64_t last;
};

struct visits *visits_new(int64_t patience)
{
	struct visits *visits = xnew(struct visits);

	visits->patience = patience;
	lock_init(&visits->lock, "streaming visits", LOCK_STREAMING);
	return visits;
}

struct visits *visits_free(struct visits *visits)
{
	if (!visits)
		return NULL;
	lock_done(&visits->lock);
	free(visits->items);
	free(visits);
	return NULL;
}

static void remove_locked(struct visits *visits, size_t at) REQUIRES(visits->lock)
{
	memmove(&visits->items[at], &visits->items[at + 1], (visits->len - at - 1) * sizeof(*visits->items));
	visits->len--;
}

static void remove_fd_locked(struct visits *visits, int fd) REQUIRES(visits->lock)
{
	for (size_t i = 0; i < visits->len; i++)
		if (visits->items[i].fd == fd) {
			remove_locked(visits, i);
			return;
		}
}

uint64_t visits_add(struct visits *visits, int fd)
{
	uint64_t number;

	lock_take(&visits->lock);
	remove_fd_locked(visits, fd); /* one that has been closed, and is about to be forgotten */
	if (visits->len == visits->size) {
		visits->size = visits->size ? visits->size * 2 : 8;
		visits->items = xrealloc(visits->items, visits->size, sizeof(*visits->items));
	}
	number = ++visits->last;
	visits->items[visits->len++] = (struct visit){ fd, number, clock_deadline_in(visits->patience) };
	lock_drop(&visits->lock);
	return number;
}

void visits_remove(struct visits *visits, int fd)
{
	lock_take(&visits->lock);
	remove_fd_locked(visits, fd);
	lock_drop(&visits->lock);
}

void visits_forget(struct visits *visits, uint64_t number)
{
	lock_take(&visits->lock);
	for (size_t i = 0; i < visits->len; i++)
		if (visits->items[i].number == number) {
			remove_locked(visits, i);
			break;
		}
	lock_drop(&visits->lock);
}

int64_t visits_expire(struct visits *visits)
{
	int64_t now = clock_mono(), next = NO_DEADLINE;

	lock_take(&visits->lock);
	for (size_t i = 0; i < visits->len; i++) {
		struct visit *visit = &visits->items[i];

		if (visit->until <= now) {
			(void)shutdown(visit->fd, SHUT_RDWR);
			visit->until = NO_DEADLINE;
		} else if (visit->until < next) {
			next = visit->until;
		}
	}
	lock_drop(&visits->lock);
	return next;
}
