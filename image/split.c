/*
 * The blob is cut into parts of one size. `next` is where the unclaimed begins: helpers (tasks of the pool)
 * claim parts from there on, the reader claims one when it gets there before any helper. `parts` are those of
 * the helpers, in order; a helper that has nothing to claim ends instead of waiting, and the reader starts
 * new ones whenever it is done with a part.
 *
 * The shell is shared with helpers that the pool has not started yet and lives until the last of them has let
 * go; a helper that comes after `finished` touches nothing else.
 */
#include "image/split.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/lock.h"

struct part {
	struct list node;
	struct blob_part at;
	uint8_t *data;
	int64_t filled; /* under the split's lock */
	bool ended;     /* under it: nobody fills it any more, be it full or not */
};

struct split {
	struct split_job job;
	const struct ctx *ctx;
	struct ctx helpers_ctx; /* has an fd of its own: helpers end with the split, not only with its pull */
	size_t helpers_max;
	int64_t part_size;
	/* the reader's */
	int64_t at;
	bool own;        /* reads from job.conn */
	int64_t own_end; /* what was asked for */
	/* shared */
	struct lock lock;
	struct cond changed;
	int wake;                                    /* eventfd, for the reader */
	unsigned int users;                          /* under lock: the reader and accepted helpers */
	unsigned int helpers;                        /* under lock: accepted and not ended */
	unsigned int running;                        /* under lock */
	bool finished;                               /* under lock */
	bool single;                                 /* under lock: nothing is claimed ahead any more */
	int64_t next;                                /* under lock */
	struct list parts;                           /* under lock */
	size_t parts_len;                            /* under lock */
	struct registry_conn *idle[SPLIT_PARTS_MAX]; /* under lock: connections between two helpers */
	size_t idle_len;                             /* under lock */
};

struct piece {
	const uint8_t *data;
	size_t len;
	struct blob_part gap;
};

bool split_is_wanted(const struct split_options *options, const struct descriptor *descriptor)
{
	return options->above > 0 && descriptor->size > options->above;
}

static size_t helpers_of(const struct split_options *options)
{
	if (options->parts < SPLIT_PARTS_MIN)
		return SPLIT_PARTS_MIN;
	return options->parts < SPLIT_PARTS_MAX ? options->parts : SPLIT_PARTS_MAX;
}

static struct split *split_new(const struct split_job *job, const struct ctx *ctx)
{
	struct split *split = xnew(struct split);

	split->job = *job;
	split->ctx = ctx;
	split->helpers_max = helpers_of(job->options);
	split->part_size = SPLIT_AHEAD / (int64_t)split->helpers_max;
	split->users = 1;
	split->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lock_init(&split->lock, "split", LOCK_PULL);
	cond_init(&split->changed);
	list_init(&split->parts);
	ctx_init(&split->helpers_ctx, ctx_deadline(ctx));
	return split;
}

static void unref(struct split *split)
{
	bool last;

	lock_take(&split->lock);
	last = --split->users == 0;
	lock_drop(&split->lock);
	if (!last)
		return;
	fd_closep(&split->wake);
	cond_done(&split->changed);
	lock_done(&split->lock);
	free(split);
}

static bool take_budget(struct split_budget *budget, size_t bytes)
{
	size_t used = atomic_load(&budget->used);

	do {
		if (used + bytes > SPLIT_BUDGET)
			return false;
	} while (!atomic_compare_exchange_weak(&budget->used, &used, used + bytes));
	return true;
}

static void part_free(struct split *split, struct part *part)
{
	atomic_fetch_sub(&split->job.options->budget->used, (size_t)(part->at.end - part->at.start));
	free(part->data);
	free(part);
}

/* The part that begins at `next`. */
static struct blob_part next_locked(const struct split *split)
{
	int64_t left = split->job.descriptor->size - split->next;

	return (struct blob_part){ split->next,
				   split->next + (left < split->part_size ? left : split->part_size) };
}

/* Half as many parts as helpers may wait for the reader, so that no helper does while one of them is slow. */
static bool may_claim_locked(const struct split *split)
{
	return !split->finished && !split->single && split->next < split->job.descriptor->size &&
	       split->parts_len < split->helpers_max + split->helpers_max / 2;
}

/* NULL: there is nothing to do for a helper now, which ends then. */
static struct part *claim(struct split *split)
{
	struct part *part = NULL;

	lock_take(&split->lock);
	if (may_claim_locked(split)) {
		const struct blob_part at = next_locked(split);

		if (take_budget(split->job.options->budget, (size_t)(at.end - at.start))) {
			part = xnew(struct part);
			part->at = at;
			list_add_tail(&split->parts, &part->node);
			split->parts_len++;
			split->next = at.end;
		}
	}
	if (!part)
		split->helpers--;
	lock_drop(&split->lock);
	return part;
}

static void tell_reader(struct split *split)
{
	eventfd_write(split->wake, 1);
}

/* Takes the bytes; false when they are not what was asked for. */
static bool fill(struct split *split, struct part *part, const uint8_t *data, size_t len)
{
	int64_t size = part->at.end - part->at.start;

	/* Only this thread changes part->filled. */
	if ((int64_t)len > size - part->filled)
		return false;
	memcpy(part->data + part->filled, data, len);
	lock_take(&split->lock);
	part->filled += (int64_t)len;
	lock_drop(&split->lock);
	tell_reader(split);
	return true;
}

/* True when the whole part is there. */
static bool fetch_part(struct split *split, struct registry_conn *conn, struct part *part)
{
	const struct ctx *ctx = &split->helpers_ctx;
	const uint8_t *data;
	struct err ignored;
	size_t len;

	part->data = xmalloc((size_t)(part->at.end - part->at.start));
	if (registry_open_part(conn, ctx, split->job.descriptor, &part->at, &ignored) < 0)
		return false;
	do {
		if (registry_part_end(conn) != part->at.end ||
		    registry_read_blob(conn, ctx, &data, &len, &ignored) < 0 || !fill(split, part, data, len))
			return false;
	} while (len > 0);
	return true;
}

static void end_part(struct split *split, struct part *part, bool whole)
{
	lock_take(&split->lock);
	part->ended = true;
	split->single = split->single || !whole;
	lock_drop(&split->lock);
	tell_reader(split);
}

static struct registry_conn *take_conn(struct split *split)
{
	struct registry_conn *conn = NULL;

	lock_take(&split->lock);
	if (split->idle_len > 0)
		conn = split->idle[--split->idle_len];
	lock_drop(&split->lock);
	return conn ? conn : registry_conn_another(split->job.conn);
}

static void put_conn(struct split *split, struct registry_conn *conn)
{
	lock_take(&split->lock);
	if (split->idle_len < SPLIT_PARTS_MAX)
		split->idle[split->idle_len++] = TAKE(conn);
	lock_drop(&split->lock);
	registry_conn_free(conn);
}

static void help(struct split *split)
{
	struct part *part = claim(split);
	struct registry_conn *conn;

	if (!part)
		return;
	conn = take_conn(split);
	for (; part; part = claim(split))
		end_part(split, part, fetch_part(split, conn, part));
	put_conn(split, conn);
}

static bool helper_enter(struct split *split)
{
	bool entered;

	lock_take(&split->lock);
	entered = !split->finished;
	if (entered)
		split->running++;
	lock_drop(&split->lock);
	return entered;
}

static void helper_leave(struct split *split)
{
	lock_take(&split->lock);
	split->running--;
	cond_broadcast(&split->changed);
	lock_drop(&split->lock);
}

static void run_helper(void *data)
{
	struct split *split = data;

	if (helper_enter(split)) {
		help(split);
		helper_leave(split);
	}
	unref(split);
}

/* Counts a new helper in, if there is something for it. The reader's own request is one of those at once. */
static bool helper_is_due(struct split *split)
{
	bool due;

	lock_take(&split->lock);
	due = may_claim_locked(split) && split->helpers + split->own < split->helpers_max &&
	      atomic_load(&split->job.options->budget->used) + (size_t)split->part_size <= SPLIT_BUDGET;
	if (due) {
		split->helpers++;
		split->users++;
	}
	lock_drop(&split->lock);
	return due;
}

static void start_helpers(struct split *split)
{
	struct err ignored;

	while (helper_is_due(split))
		if (pool_run(split->job.options->pool, run_helper, split, &ignored) < 0) {
			lock_take(&split->lock);
			split->helpers--;
			lock_drop(&split->lock);
			unref(split); /* the pool is full: the reader does it, and asks again later */
			return;
		}
}

/* The registry gives all when asked for a part: so be it. */
static void take_all(struct split *split)
{
	lock_take(&split->lock);
	split->single = true;
	split->next = split->job.descriptor->size;
	lock_drop(&split->lock);
	split->own_end = split->job.descriptor->size;
	ctx_cancel(&split->helpers_ctx);
}

static int open_own(struct split *split, const struct blob_part *part, struct err *err)
{
	struct registry_conn *conn = split->job.conn;

	if (registry_open_part(conn, split->ctx, split->job.descriptor, part, err) < 0)
		return -1;
	split->own = true;
	split->own_end = part->end;
	if (registry_part_end(conn) != part->end)
		take_all(split);
	return 0;
}

int split_open(const struct split_job *job, const struct ctx *ctx, struct split **ret, struct err *err)
{
	CLEANUP(split_freep) struct split *split = split_new(job, ctx);
	const struct blob_part whole = { 0, job->descriptor->size };
	struct blob_part first;

	if (split->wake < 0)
		return err_errno(err, "read a blob in parts");
	lock_take(&split->lock);
	first = next_locked(split);
	split->next = first.end;
	lock_drop(&split->lock);
	if (open_own(split, &first, err) < 0) {
		if (!registry_range_failed(job->conn) || open_own(split, &whole, err) < 0)
			return -1;
		take_all(split);
	}
	start_helpers(split);
	*ret = TAKE(split);
	return 0;
}

/* The reader has come to where no helper is: what it is to fetch. */
static int64_t claim_own_locked(struct split *split)
{
	int64_t left = split->job.descriptor->size - split->next;
	int64_t size = split->helpers > 0 ? split->part_size : SPLIT_AHEAD; /* fewer requests when alone */

	if (split->next == split->at)
		split->next += split->single || left < size ? left : size;
	return split->next;
}

/* What of the part is to be read at split->at. False when there is nothing more in it. */
static bool look_in_locked(const struct split *split, const struct part *part, struct piece *ret)
{
	int64_t used = split->at - part->at.start;

	ret->len = (size_t)(part->filled - used);
	if (ret->len > 0)
		ret->data = part->data + used;
	return ret->len > 0 || !part->ended;
}

/* What is to be read at split->at: bytes of a helper's part, or none of it yet; or ret->gap, for the reader
 * to fetch, where no helper is. False: look again. */
static bool look(struct split *split, struct piece *ret)
{
	struct part *part = NULL, *done = NULL;

	*ret = (struct piece){ .gap = { split->at, split->at } };
	lock_take(&split->lock);
	if (!list_empty(&split->parts))
		part = list_entry(split->parts.next, struct part, node);
	if (!part) {
		ret->gap.end = claim_own_locked(split);
	} else if (part->at.start > split->at) {
		ret->gap.end = part->at.start;
	} else if (!look_in_locked(split, part, ret)) {
		list_del(&part->node);
		split->parts_len--;
		done = part;
	}
	lock_drop(&split->lock);
	if (done) {
		part_free(split, done);
		start_helpers(split);
	}
	return !done;
}

/* True while the part at split->at is a helper's that may still bring something. */
static bool must_wait(struct split *split)
{
	bool wait = false;

	lock_take(&split->lock);
	if (!list_empty(&split->parts)) {
		const struct part *part = list_entry(split->parts.next, struct part, node);

		wait = part->at.start <= split->at && !part->ended &&
		       part->filled == split->at - part->at.start;
	}
	lock_drop(&split->lock);
	return wait;
}

static int wait_helper(struct split *split, struct err *err)
{
	eventfd_t ignored;

	while (must_wait(split)) {
		if (ctx_poll(split->ctx, split->wake, POLLIN, "waiting for a part of a blob", err) < 0)
			return -1;
		eventfd_read(split->wake, &ignored);
	}
	return 0;
}

/* *ret_len 0 at the end of what was asked for. */
static int read_own(struct split *split, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct registry_conn *conn = split->job.conn;

	if (registry_read_blob(conn, split->ctx, ret, ret_len, err) < 0)
		return -1;
	if (registry_part_end(conn) != split->own_end)
		take_all(split);
	split->at += (int64_t)*ret_len;
	split->own = *ret_len > 0;
	return 0;
}

int split_read(struct split *split, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct piece piece;

	for (;;) {
		if (split->own) {
			if (read_own(split, ret, ret_len, err) < 0)
				return -1;
			if (*ret_len > 0)
				return 0;
			start_helpers(split);
		}
		if (split->at == split->job.descriptor->size)
			break;
		if (!look(split, &piece))
			continue;
		if (piece.len > 0) {
			split->at += (int64_t)piece.len;
			*ret = piece.data;
			*ret_len = piece.len;
			return 0;
		}
		if (piece.gap.end > piece.gap.start ? open_own(split, &piece.gap, err) < 0
						    : wait_helper(split, err) < 0)
			return -1;
	}
	*ret_len = 0;
	return 0;
}

struct split *split_free(struct split *split)
{
	if (!split)
		return NULL;
	ctx_cancel(&split->helpers_ctx);
	lock_take(&split->lock);
	split->finished = true;
	while (split->running > 0)
		cond_wait(&split->changed, &split->lock);
	lock_drop(&split->lock);
	while (!list_empty(&split->parts)) {
		struct part *part = list_entry(split->parts.next, struct part, node);

		list_del(&part->node);
		part_free(split, part);
	}
	while (split->idle_len > 0)
		registry_conn_free(split->idle[--split->idle_len]);
	ctx_done(&split->helpers_ctx);
	unref(split);
	return NULL;
}

void split_freep(struct split **split)
{
	split_free(*split);
}
