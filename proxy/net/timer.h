/* SPDX-License-Identifier: Apache-2.0
 *
 * timer.h - deadlines of a worker: a coarse wheel, no system call and no allocation to set one.
 *
 * A deadline that moves to a later time costs a store: the timer is looked at when its old slot
 * comes up and filed again. Precision is TIMER_TICK_MS, always late, never early.
 *
 * Owner    timers are embedded; cancel before the memory goes. Thread: the worker's. */
#ifndef SALLYPORT_PROXY_TIMER_H
#define SALLYPORT_PROXY_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define TIMER_TICK_MS	10
#define TIMER_SLOTS	1024	/* a turn of the wheel: 10 s */

struct worker;

struct timer {
	LIST_ENTRY(timer) link;
	int64_t at_ms;		/* monotonic; 0: not set */
	int64_t filed_ms;	/* the time of the slot it hangs in; 0: in none */
	void (*fire)(struct timer *t);	/* it is no longer set then */
};

LIST_HEAD(timer_slot, timer);

struct timer_wheel {
	struct timer_slot slots[TIMER_SLOTS];
	int64_t ticked_ms;	/* slots up to here were looked at */
	uint32_t filed;		/* timers that hang somewhere */
};

void timer_set(struct worker *w, struct timer *t, int64_t at_ms, void (*fire)(struct timer *t));
void timer_cancel(struct worker *w, struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
	return t->at_ms != 0;
}

#define container_of(pointer, type, member)	((type *)((char *)(pointer) - offsetof(type, member)))

#endif
