/* SPDX-License-Identifier: Apache-2.0
 * Workers, timers, buffers and transports over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/listener.h"
#include "proxy/net/socket.h"
#include "proxy/net/timer_priv.h"
#include "proxy/net/worker.h"
#include "sallyport/clock.h"

/* timers */

struct alarm {
	struct timer timer;
	int fired;
};

static void ring(struct timer *t)
{
	container_of(t, struct alarm, timer)->fired++;
}

static void timers_fire_late_but_never_early(void **state)
{
	struct worker *w = worker_create(0);
	struct alarm soon = { 0 }, later = { 0 }, far = { 0 }, never = { 0 };
	int64_t now = worker_now_ms(w);

	(void)state;
	timer_set(w, &soon.timer, now + 25, ring);
	timer_set(w, &later.timer, now + 500, ring);
	timer_set(w, &far.timer, now + 60000, ring);
	timer_set(w, &never.timer, now + 25, ring);
	timer_cancel(w, &never.timer);
	timers_run(w, now + 24);
	assert_int_equal(soon.fired, 0);
	timers_run(w, now + 25 + 2 * TIMER_TICK_MS);
	assert_int_equal(soon.fired, 1);
	assert_false(timer_is_set(&soon.timer));
	timers_run(w, now + 499);
	assert_int_equal(later.fired, 0);
	for (int64_t at = now + 500; at <= now + 59999; at += 997)
		timers_run(w, at);
	assert_int_equal(later.fired, 1);
	assert_int_equal(far.fired, 0);
	timers_run(w, now + 60000 + 2 * TIMER_TICK_MS);
	assert_int_equal(far.fired, 1);
	assert_int_equal(never.fired, 0);
	assert_int_equal(w->timers.filed, 0);
	worker_free(&w);
}

static void a_deadline_moves_both_ways(void **state)
{
	struct worker *w = worker_create(0);
	struct alarm a = { 0 };
	int64_t now = worker_now_ms(w);

	(void)state;
	timer_set(w, &a.timer, now + 100, ring);
	timer_set(w, &a.timer, now + 300, ring);	/* later: a store */
	timers_run(w, now + 200);
	assert_int_equal(a.fired, 0);
	timer_set(w, &a.timer, now + 220, ring);	/* earlier: filed anew */
	timers_run(w, now + 220 + 2 * TIMER_TICK_MS);
	assert_int_equal(a.fired, 1);
	worker_free(&w);
}

static struct alarm second;
static struct worker *ringing;

static void cancel_the_other(struct timer *t)
{
	ring(t);
	timer_cancel(ringing, &second.timer);
}

static void what_fires_may_cancel_its_neighbour(void **state)
{
	struct alarm first = { 0 };
	int64_t now;

	(void)state;
	ringing = worker_create(0);
	second = (struct alarm){ 0 };
	now = worker_now_ms(ringing);
	timer_set(ringing, &second.timer, now + 30, ring);
	timer_set(ringing, &first.timer, now + 30, cancel_the_other);	/* hangs before it */
	timers_run(ringing, now + 60);
	assert_int_equal(first.fired, 1);
	assert_int_equal(second.fired, 0);
	worker_free(&ringing);
}

/* buffers */

static void a_buffer_grows_moves_and_gives_back(void **state)
{
	struct worker *w = worker_create(0);
	struct buffer b = { 0 };
	char piece[1000];

	(void)state;
	memset(piece, 'x', sizeof(piece));
	for (int i = 0; i < 100; i++)
		buffer_append(w, &b, slice_make(piece, sizeof(piece)));
	assert_int_equal(buffer_len(&b), 100000);
	assert_true(b.capacity >= 100000);
	buffer_consume(w, &b, 99999);
	buffer_reserve(w, &b, 100000);
	assert_int_equal(buffer_len(&b), 1);
	assert_int_equal(buffer_slice(&b).at[0], 'x');
	buffer_consume(w, &b, 1);
	assert_null(b.base);
	worker_free(&w);
}

/* messages */

static atomic_int met;

static void meet(struct worker *w, void *arg)
{
	(void)w;
	atomic_fetch_add(&met, *(int *)arg);
}

static void all_quiet(void *arg)
{
	event_base_loopbreak(arg);
}

static void messages_reach_running_workers_in_order(void **state)
{
	struct worker *workers[3];
	struct event_base *base;
	int one = 1;

	(void)state;
	evthread_use_pthreads();
	base = event_base_new();
	atomic_store(&met, 0);
	for (unsigned i = 0; i < 3; i++) {
		workers[i] = worker_create(i);
		worker_start(workers[i]);
		for (int n = 0; n < 100; n++)
			worker_post(workers[i], meet, &one);
	}
	workers_quiesce(workers, 3, base, all_quiet, base);
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
	assert_int_equal(atomic_load(&met), 300);
	for (unsigned i = 0; i < 3; i++) {
		worker_stop(workers[i]);
		worker_join(workers[i]);
		worker_free(&workers[i]);
	}
	event_base_free(base);
}

/* transports */

struct peer {
	struct transport t;
	struct worker *w;
	size_t read_bytes, to_send, sent;
	int writables;
	bool connected, failed, eof, closed;
	char last;
};

static void on_readable(void *owner)
{
	struct peer *p = owner;
	enum outcome got;

	while ((got = transport_fill(&p->t, 0)) == OK) {
		p->read_bytes += buffer_len(&p->t.in);
		p->last = p->t.in.base[p->t.in.end - 1];
		buffer_consume(p->w, &p->t.in, buffer_len(&p->t.in));
	}
	p->eof |= got == CLOSED;
	p->failed |= got == FAILED;
}

/* Sends until the transport takes no more. */
static void push(struct peer *p)
{
	static const char block[50000] = "";

	while (p->sent < p->to_send) {
		size_t want = p->to_send - p->sent < sizeof(block) ? p->to_send - p->sent : sizeof(block);
		size_t n = transport_send(&p->t, slice_make(block, want));

		p->sent += n;
		if (n < want)
			return;
	}
	transport_shutdown(&p->t);
}

static void on_writable(void *owner)
{
	struct peer *p = owner;

	p->writables++;
	push(p);
}

static void on_connected(void *owner, enum outcome how)
{
	struct peer *p = owner;

	p->connected = how == OK;
	p->failed = how != OK;
}

static void on_closed(void *owner)
{
	((struct peer *)owner)->closed = true;
}

static const struct transport_events events = {
	.on_readable = on_readable, .on_writable = on_writable, .on_connected = on_connected, .on_closed = on_closed,
};

static void pair(struct worker *w, struct peer *a, struct peer *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*a = *b = (struct peer){ .w = w };
	transport_init(&a->t, w, fds[0], &events, a);
	transport_init(&b->t, w, fds[1], &events, b);
}

static void a_large_body_flows_through_small_buffers(void **state)
{
	struct worker *w = worker_create(0);
	struct peer a, b;

	(void)state;
	pair(w, &a, &b);
	a.to_send = 20 << 20;
	push(&a);
	assert_true(a.sent < a.to_send);
	for (int turns = 0; !b.eof && turns < 100000; turns++) {
		worker_turn(w);
		assert_true(a.t.out.capacity <= BUFFER_BYTES_LARGE);
	}
	assert_true(b.eof);
	assert_int_equal(b.read_bytes, a.to_send);
	assert_true(a.writables > 0);
	transport_close(&a.t);
	transport_close(&b.t);
	transport_close(&b.t);		/* harmless */
	worker_free(&w);
}

static void small_pieces_of_one_turn_are_one_write(void **state)
{
	struct worker *w = worker_create(0);
	struct peer a, b;
	char got[64];

	(void)state;
	pair(w, &a, &b);
	transport_queue(&a.t, SLICE("head "));
	assert_int_equal(transport_send(&a.t, SLICE("body")), 4);
	assert_int_equal(recv(b.t.fd, got, sizeof(got), 0), -1);	/* nothing yet */
	assert_int_equal(errno, EAGAIN);
	worker_turn(w);
	assert_int_equal(b.read_bytes + (size_t)(b.read_bytes == 0 ? recv(b.t.fd, got, sizeof(got), 0) : 0), 9);
	transport_close(&a.t);
	transport_close(&b.t);
	worker_free(&w);
}

static void ignore_message(struct worker *w, void *arg)
{
	(void)w, (void)arg;
}

struct errand_run {
	struct errand errand;
	struct grave grave;
	struct peer *from, *to;
	ssize_t seen;		/* of the bytes of this turn, when it ran */
	bool buried;
};

static void bury_run(struct worker *w, struct grave *g)
{
	(void)w;
	container_of(g, struct errand_run, grave)->buried = true;
}

static void run_errand(struct errand *e)
{
	struct errand_run *r = container_of(e, struct errand_run, errand);
	char got[8];

	assert_false(r->buried);
	r->seen = recv(r->to->t.fd, got, sizeof(got), MSG_PEEK);
	transport_queue(&r->from->t, SLICE("late"));
}

/* Behind what others write, before anything is freed; and what it writes does not wait for another turn. */
static void errands_run_when_the_turn_is_written(void **state)
{
	struct worker *w = worker_create(0);
	struct peer a, b;
	struct errand_run r = { .from = &a, .to = &b };
	char got[16];

	(void)state;
	pair(w, &a, &b);
	worker_turn(w);			/* both are told that they are writable */
	transport_queue(&a.t, SLICE("early"));
	worker_run_last(w, &r.errand, run_errand);
	worker_bury(w, &r.grave, bury_run);
	b.t.events = &(const struct transport_events){ .on_readable = on_closed, .on_closed = on_closed,
							.on_writable = on_closed, .on_connected = on_connected };
	worker_post(w, ignore_message, NULL);
	worker_turn(w);
	assert_int_equal(r.seen, 5);
	assert_true(r.buried);
	assert_int_equal(recv(b.t.fd, got, sizeof(got), 0), 9);
	assert_memory_equal(got, "earlylate", 9);
	transport_close(&a.t);
	transport_close(&b.t);
	worker_free(&w);
}

static void data_and_fin_that_come_together_are_both_seen(void **state)
{
	struct worker *w = worker_create(0);
	struct peer a, b;

	(void)state;
	pair(w, &a, &b);
	transport_queue(&a.t, SLICE("bye"));
	transport_shutdown(&a.t);
	for (int turns = 0; !b.eof && turns < 20; turns++)
		worker_turn(w);
	assert_true(b.eof);
	assert_int_equal(b.read_bytes, 3);
	transport_close(&a.t);
	transport_close(&b.t);
	worker_free(&w);
}

static void a_dead_peer_is_told_once(void **state)
{
	struct worker *w = worker_create(0);
	struct peer a, b;

	(void)state;
	pair(w, &a, &b);
	worker_turn(w);
	transport_close(&b.t);
	transport_queue(&a.t, SLICE("anybody?"));
	for (int turns = 0; !a.closed && !a.eof && !a.failed && turns < 20; turns++)
		worker_turn(w);
	assert_true(a.closed || a.eof || a.failed);
	transport_close(&a.t);
	worker_free(&w);
}

static void connects_and_refusals_come_from_the_loop(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct worker *w = worker_create(0);
	struct peer a = { .w = w };
	socklen_t len = sizeof(to);
	char why[200];
	int fd;

	(void)state;
	assert_true(listener_bind((struct sockaddr *)&to, sizeof(to), 8, 1, &fd, why, sizeof(why)));
	getsockname(fd, (struct sockaddr *)&to, &len);
	transport_connect(&a.t, w, (struct sockaddr *)&to, sizeof(to), &events, &a);
	assert_false(a.connected);
	while (!a.connected && !a.failed)
		worker_turn(w);
	assert_true(a.connected);
	transport_close(&a.t);
	close(fd);
	a = (struct peer){ .w = w };
	transport_connect(&a.t, w, (struct sockaddr *)&to, sizeof(to), &events, &a);
	assert_false(a.failed);
	while (!a.connected && !a.failed)
		worker_turn(w);
	assert_true(a.failed);
	assert_string_equal(transport_error(&a.t), "Connection refused");
	transport_close(&a.t);
	worker_free(&w);
}

static void a_taken_address_says_so(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), more[2];
	socklen_t len = sizeof(to);
	char why[300];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&to, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&to, &len);
	assert_false(listener_bind((struct sockaddr *)&to, sizeof(to), 8, 2, more, why, sizeof(why)));
	assert_non_null(strstr(why, "Address already in use"));
	close(fd);
}

static void addresses_read_as_people_write_them(void **state)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(8443) };
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	v4.sin_addr.s_addr = htonl(0xc0000205);
	assert_int_equal(address_text((struct sockaddr *)&v4, text), strlen("192.0.2.5:80"));
	assert_string_equal(text, "192.0.2.5:80");
	v6.sin6_addr.s6_addr[15] = 1;
	address_text((struct sockaddr *)&v6, text);
	assert_string_equal(text, "[::1]:8443");
	assert_true(address_is_loopback((struct sockaddr *)&v6));
	memcpy(v6.sin6_addr.s6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x63", 16);
	address_text((struct sockaddr *)&v6, text);
	assert_string_equal(text, "10.0.0.99:8443");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_late_but_never_early),
		cmocka_unit_test(a_deadline_moves_both_ways),
		cmocka_unit_test(what_fires_may_cancel_its_neighbour),
		cmocka_unit_test(a_buffer_grows_moves_and_gives_back),
		cmocka_unit_test(messages_reach_running_workers_in_order),
		cmocka_unit_test(a_large_body_flows_through_small_buffers),
		cmocka_unit_test(small_pieces_of_one_turn_are_one_write),
		cmocka_unit_test(errands_run_when_the_turn_is_written),
		cmocka_unit_test(data_and_fin_that_come_together_are_both_seen),
		cmocka_unit_test(a_dead_peer_is_told_once),
		cmocka_unit_test(connects_and_refusals_come_from_the_loop),
		cmocka_unit_test(a_taken_address_says_so),
		cmocka_unit_test(addresses_read_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
