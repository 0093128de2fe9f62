/*
 * What happens to pods and containers, told to the listener (sandboxes.h) in the order in which it happened:
 * created, started, stopped, deleted, each once for each object and none left out. Private to sandbox/.
 *
 * Whoever changes an object announces it afterwards; what has not been told yet follows from the object's
 * state. So two who change it at once cannot tell it in the wrong order or twice, and whoever comes first
 * tells for both.
 *
 * Locks: none may be held but LOCK_SERVER's and LOCK_CONFIG's. Without a listener that wants events it costs
 * a lock.
 */
#ifndef SANDBOX_ANNOUNCE_H
#define SANDBOX_ANNOUNCE_H

#include "base/lock.h"
#include "base/metric.h"

struct container;
struct pod;
struct sandboxes;

extern struct metric metric_events;

/* The last thing that was told of an object. */
enum told { TOLD_NOTHING, TOLD_CREATED, TOLD_STARTED, TOLD_STOPPED, TOLD_DELETED };

struct announcer {
	struct lock lock;
	int64_t last; /* under lock: time of the last event, which times never go behind */
};

void announcer_init(struct announcer *announcer);
void announcer_done(struct announcer *announcer);

/* An object that has just got into the maps; until then nothing is told of it. */
void announce_new_pod(struct pod *pod);
void announce_new_container(struct container *container);
/* One that was there before crispd was started: what has happened to it so far is no news. */
void announce_old_pod(struct pod *pod);
void announce_old_container(struct container *container);
void announce_pod(struct pod *pod);
void announce_container(struct container *container);

#endif
