/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/timer.h"

#include "proxy/net/timer_priv.h"
#include "proxy/net/worker.h"

static struct timer_slot *slot_of(struct timer_wheel *wheel, int64_t ms)
{
	return &wheel->slots[ms / TIMER_TICK_MS % TIMER_SLOTS];
}

/* Hangs the timer into the slot of its time, or the farthest one ahead. */
static void file_timer(struct timer_wheel *wheel, struct timer *t)
{
	int64_t first = wheel->ticked_ms + TIMER_TICK_MS;
	int64_t last = wheel->ticked_ms + (int64_t)(TIMER_SLOTS - 1) * TIMER_TICK_MS;
	int64_t at = (t->at_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS * TIMER_TICK_MS;

	t->filed_ms = at < first ? first : at > last ? last : at;
	LIST_INSERT_HEAD(slot_of(wheel, t->filed_ms), t, link);
	wheel->filed++;
}

static void unfile(struct timer_wheel *wheel, struct timer *t)
{
	if (t->filed_ms == 0)
		return;
	LIST_REMOVE(t, link);
	t->filed_ms = 0;
	wheel->filed--;
}

void timer_set(struct worker *w, struct timer *t, int64_t at_ms, void (*fire)(struct timer *t))
{
	struct timer_wheel *wheel = &w->timers;

	t->at_ms = at_ms > 0 ? at_ms : 1;
	t->fire = fire;
	if (t->filed_ms != 0 && t->filed_ms <= at_ms)
		return;		/* looked at before it is due: filed again then */
	unfile(wheel, t);
	if (wheel->filed == 0) {
		int64_t now = worker_now_ms(w);

		wheel->ticked_ms = now / TIMER_TICK_MS * TIMER_TICK_MS;
	}
	file_timer(wheel, t);
}

void timer_cancel(struct worker *w, struct timer *t)
{
	unfile(&w->timers, t);
	t->at_ms = 0;
}

/* Looks at one slot; what is not due yet is filed again, what is fires. */
static void visit_slot(struct timer_wheel *wheel, struct timer_slot *slot, int64_t now_ms)
{
	struct timer_slot due = *slot;
	struct timer *t = LIST_FIRST(&due);

	/* The chain hangs from `due` now: what fires may file into this slot again. */
	LIST_INIT(slot);
	if (t != NULL)
		t->link.le_prev = &due.lh_first;
	while ((t = LIST_FIRST(&due)) != NULL) {
		unfile(wheel, t);
		if (t->at_ms > now_ms) {
			file_timer(wheel, t);
			continue;
		}
		t->at_ms = 0;
		t->fire(t);
	}
}

void timers_run(struct worker *w, int64_t now_ms)
{
	struct timer_wheel *wheel = &w->timers;

	/* After a long stop one round looks at every slot; more would look twice. */
	if (now_ms - wheel->ticked_ms > (int64_t)TIMER_SLOTS * TIMER_TICK_MS)
		wheel->ticked_ms = now_ms / TIMER_TICK_MS * TIMER_TICK_MS -
				   (int64_t)TIMER_SLOTS * TIMER_TICK_MS;
	while (wheel->ticked_ms + TIMER_TICK_MS <= now_ms && wheel->filed > 0) {
		wheel->ticked_ms += TIMER_TICK_MS;
		visit_slot(wheel, slot_of(wheel, wheel->ticked_ms), now_ms);
	}
}
