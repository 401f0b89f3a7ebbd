/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tcp/relay.h"

#define FLOW_BYTES	BUFFER_BYTES	/* pieces of this size are a flow */

static struct relay_way *other_way(struct relay_way *w)
{
	return &w->relay->ways[w == &w->relay->ways[RELAY_UP] ? RELAY_DOWN : RELAY_UP];
}

static void finish(struct relay *r, enum relay_end how)
{
	if (!r->running)
		return;
	relay_stop(r);
	r->on_end(r->owner, how);
}

static void on_idle(struct timer *t)
{
	finish(container_of(t, struct relay, idle), RELAY_IDLE);
}

static void touch(struct relay *r)
{
	if (r->idle_ms > 0)
		timer_set(r->worker, &r->idle, worker_now_ms(r->worker) + r->idle_ms, on_idle);
}

/* ---- one piece: OK: there may be more; AGAIN: an event goes on; CLOSED: all is passed on ---- */

static bool is_held(const struct relay_way *w)
{
	return w->piped > 0 || buffer_len(&w->from->in) > 0;
}

static enum outcome move_buffered(struct relay_way *w, size_t *moved)
{
	struct transport *from = w->from;
	struct slice piece;
	enum outcome got;
	size_t taken;

	if (buffer_len(&from->in) == 0) {
		got = transport_fill(from, w->flowing ? RELAY_PIECE_BYTES : 0);
		if (got != OK)
			return got;
		w->flowing = buffer_len(&from->in) >= FLOW_BYTES;
	}
	piece = buffer_slice(&from->in);
	taken = transport_send(w->to, piece);
	buffer_consume(w->relay->worker, &from->in, taken);
	*moved += taken;
	return taken < piece.len ? AGAIN : OK;
}

static enum outcome move_spliced(struct relay_way *w, size_t *moved)
{
	enum outcome got;
	size_t taken;

	if (w->piped == 0) {
		got = transport_splice_in(w->from, w->pipe->in, RELAY_PIPE_BYTES, &w->piped);
		if (got != OK)
			return got;
		w->flowing = w->piped >= FLOW_BYTES;
	}
	taken = transport_splice_out(w->to, w->pipe->out, w->piped);
	w->piped -= taken;
	*moved += taken;
	return w->piped > 0 ? AGAIN : OK;
}

/* Whether the next piece goes through a pipe: one that is at hand. */
static bool may_splice(struct relay_way *w)
{
	if (w->piped > 0)
		return true;
	if (!w->flowing || w->from->ssl != NULL || w->to->ssl != NULL || buffer_len(&w->from->in) > 0)
		return false;
	if (w->pipe == NULL)
		w->pipe = pipe_take(w->relay->worker);
	w->relay->lacked_pipe |= w->pipe == NULL;
	return w->pipe != NULL;
}

/* ---- ends ---- */

static bool is_over(const struct relay_way *w)
{
	return w->ended && (w->to->shut_sent || w->to->dead);
}

static void check_over(struct relay *r)
{
	if (is_over(&r->ways[RELAY_UP]) && is_over(&r->ways[RELAY_DOWN]))
		finish(r, RELAY_DONE);
}

static void pass_fin(struct relay_way *w)
{
	if (!w->ended) {
		w->ended = true;
		transport_shutdown(w->to);
		transport_flush(w->to);
		w->to->want_writable = !w->to->shut_sent;
	}
	check_over(w->relay);
}

static enum relay_end failure_of(const struct relay_way *from)
{
	return from == &from->relay->ways[RELAY_UP] ? RELAY_DOWN_FAILED : RELAY_UP_FAILED;
}

/* `from` is gone. What it said before its FIN still has to reach the other side. */
static void lose(struct relay_way *w)
{
	if (w->ended && !is_over(w))
		other_way(w)->ended = true;
	else
		finish(w->relay, failure_of(w));
}

static void fail(struct relay_way *w)
{
	if (!w->from->truncated) {
		lose(w);
		return;
	}
	other_way(w)->ended = true;
	pass_fin(w);
}

/* ---- the flow ---- */

/* Moves what can be moved, within this turn's share. */
static void pump(struct relay_way *w)
{
	struct relay *r = w->relay;
	enum outcome got = OK;
	size_t moved = 0;

	while (got == OK && moved < RELAY_TURN_BYTES)
		got = may_splice(w) ? move_spliced(w, &moved) : move_buffered(w, &moved);
	if (w->piped == 0)
		pipe_give(r->worker, &w->pipe, true);
	if (moved > 0) {
		w->bytes += moved;
		if (w->counter != NULL)
			atomic_store_explicit(w->counter, moved +
				atomic_load_explicit(w->counter, memory_order_relaxed), memory_order_relaxed);
		touch(r);
	}
	if (got == OK)
		worker_resume_later(r->worker, w->from);
	else if (got == CLOSED)
		pass_fin(w);
	else if (got == FAILED)
		fail(w);
}

static void on_relay_readable(void *owner)
{
	struct relay_way *w = owner;

	/* One that waits for its receiver, or has had its FIN, does not read, and so would not learn of its
	 * sender's end. */
	if ((w->ended || is_held(w)) && !w->from->dead && transport_was_reset(w->from))
		fail(w);
	else if (!w->ended)
		pump(w);
}

/* The way into this transport goes on. */
static void on_relay_writable(void *owner)
{
	struct relay_way *w = other_way(owner);

	if (w->ended)
		check_over(w->relay);
	else
		pump(w);
}

static void on_relay_closed(void *owner)
{
	lose(owner);
}

/* Both were connected before. */
static void on_relay_connected(void *owner, enum outcome how)
{
	(void)owner, (void)how;
}

static const struct transport_events relay_events = {
	.on_readable = on_relay_readable,
	.on_writable = on_relay_writable,
	.on_connected = on_relay_connected,
	.on_closed = on_relay_closed,
};

static void set_way(struct relay_way *w, struct relay *r, struct transport *from, struct transport *to)
{
	*w = (struct relay_way){ .relay = r, .from = from, .to = to, .counter = w->counter };
	from->events = &relay_events;
	from->owner = w;
}

void relay_start(struct relay *r, struct transport *down, struct transport *up)
{
	set_way(&r->ways[RELAY_UP], r, down, up);
	set_way(&r->ways[RELAY_DOWN], r, up, down);
	r->running = true;
	touch(r);
	pump(&r->ways[RELAY_UP]);
	if (r->running)
		pump(&r->ways[RELAY_DOWN]);
}

void relay_stop(struct relay *r)
{
	if (!r->running)
		return;
	r->running = false;
	timer_cancel(r->worker, &r->idle);
	for (unsigned i = 0; i < 2; i++)
		pipe_give(r->worker, &r->ways[i].pipe, r->ways[i].piped == 0);
}
