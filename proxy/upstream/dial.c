/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/upstream/dial.h"

#include <stdio.h>

#include "proxy/net/proxy_protocol.h"

#define DETAIL_MAX	160

static void end(struct dial *d, bool abort)
{
	if (d->state == DIAL_CLOSED)
		return;
	d->state = DIAL_CLOSED;
	timer_cancel(d->worker, &d->timer);
	atomic_fetch_sub_explicit(&d->endpoint->active, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&d->counters->relayed, 1, memory_order_relaxed);
	if (abort)
		transport_abort(&d->transport);
	else
		transport_close(&d->transport);
}

void dial_close(struct dial *d)
{
	end(d, false);
}

void dial_abort(struct dial *d)
{
	end(d, true);
}

void dial_release(struct dial *d)
{
	end(d, false);
	endpoint_unref(&d->endpoint);
}

static void fail(struct dial *d, enum reset_reason why, const char *detail)
{
	atomic_fetch_add_explicit(&d->endpoint->connect_failures, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->endpoint->failures, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(why == RESET_CONNECTION_TIMEOUT ? &d->counters->connect_timeouts :
								    &d->counters->connect_failures,
				  1, memory_order_relaxed);
	dial_close(d);
	d->on_failed(d->owner, why, detail);
}

static void on_dial_timeout(struct timer *t)
{
	fail(container_of(t, struct dial, timer), RESET_CONNECTION_TIMEOUT, NULL);
}

/* Sent at once: what follows may take another way than the transport's buffer. */
static void tell_client(struct dial *d)
{
	char header[PROXY_PROTOCOL_WRITTEN_MAX];
	size_t len = proxy_protocol_write(d->proxy_protocol, d->client, d->edge, header);

	transport_queue(&d->transport, slice_make(header, len));
	transport_flush(&d->transport);
}

static void on_dial_connected(void *owner, enum outcome how)
{
	struct dial *d = owner;
	char detail[DETAIL_MAX];

	if (how == OK) {
		timer_cancel(d->worker, &d->timer);
		d->state = DIAL_OPEN;
		if (d->proxy_protocol != 0)
			tell_client(d);
		d->on_connected(d->owner);
		return;
	}
	snprintf(detail, sizeof(detail), "delayed connect error: %s", transport_error(&d->transport));
	if (d->transport.local_failure)
		fail(d, RESET_LOCAL_CONNECTION_FAILURE, NULL);
	else
		fail(d, RESET_REMOTE_CONNECTION_FAILURE, detail);
}

/* Nothing else happens before it is connected. */
static void on_dial_event(void *owner)
{
	(void)owner;
}

static const struct transport_events dial_events = {
	.on_readable = on_dial_event,
	.on_writable = on_dial_event,
	.on_connected = on_dial_connected,
	.on_closed = on_dial_event,
};

/* Counts first: workers that come at once must not all find room for one. */
static bool take_place(const struct cluster *c)
{
	atomic_ulong *relayed = &cluster_counters(c)->relayed;

	if (atomic_fetch_add_explicit(relayed, 1, memory_order_relaxed) < c->max_connections ||
	    c->max_connections == 0)
		return true;
	atomic_fetch_sub_explicit(relayed, 1, memory_order_relaxed);
	return false;
}

enum dial_start dial_start(struct dial *d, struct worker *w, const struct cluster *c)
{
	struct endpoint *e = cluster_pick(c, w, NULL, 0);

	if (e == NULL)
		return DIAL_NO_ENDPOINT;
	if (!take_place(c)) {
		endpoint_unref(&e);
		return DIAL_OVERFLOW;
	}
	d->worker = w;
	d->endpoint = e;
	d->counters = cluster_counters(c);
	d->proxy_protocol = c->proxy_protocol;
	d->state = DIAL_CONNECTING;
	atomic_fetch_add_explicit(&e->active, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&e->requests, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&e->connects, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->counters->connections, 1, memory_order_relaxed);
	timer_set(w, &d->timer, worker_now_ms(w) + c->connect_timeout_ms, on_dial_timeout);
	transport_connect(&d->transport, w, (const struct sockaddr *)&e->sockaddr, e->sockaddr_len,
			  &dial_events, d);
	socket_keep_alive(d->transport.fd, &c->keepalive);
	return DIAL_STARTED;
}
