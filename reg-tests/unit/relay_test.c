/* SPDX-License-Identifier: Apache-2.0
 * The byte relay: what it passes on, what it holds, and how it ends. The peers are sockets that the
 * test reads and writes itself, on the thread that turns the worker. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/x509.h>

#include "proxy/tcp/relay.h"
#include "sallyport/clock.h"

#define PATIENCE_MS	20000	/* for what must happen; far more than it takes, also under sanitizers */
#define PATTERN_BYTES	65521	/* a prime: no buffer's size divides it */

enum { PLAIN, TLS_DOWN };

struct rig {
	struct worker *w;
	struct event *pulse;		/* a turn never waits for long */
	struct transport down, up;
	struct relay relay;
	int client, server;		/* the peers' ends */
	SSL *ssl;			/* of the client; NULL: plain */
	SSL_CTX *ctx;
	int ends;			/* calls of on_end() */
	enum relay_end how;
	bool accepted;
};

static char pattern[2 * PATTERN_BYTES];

static int make_pattern(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < PATTERN_BYTES; i++) {
		x = x * 1664525 + 1013904223;
		pattern[i] = pattern[i + PATTERN_BYTES] = (char)(x >> 24);
	}
	return 0;
}

static void on_pulse(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

static void not_block(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

/* Two ends of one TCP connection over loopback: these can be reset, unlike those of a socketpair. */
static void tcp_pair(int *a, int *b)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(at);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	*a = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(*a, (struct sockaddr *)&at, len), 0);
	*b = accept(listener, NULL, NULL);
	assert_true(*b >= 0);
	close(listener);
	not_block(*a);
	not_block(*b);
}

static void on_relay_end(void *owner, enum relay_end how)
{
	struct rig *r = owner;

	r->ends++;
	r->how = how;
	transport_close(&r->down);
	transport_close(&r->up);
}

static void on_early(void *owner)
{
	(void)owner;
}

static void on_accepted(void *owner, enum outcome how)
{
	assert_int_equal(how, OK);
	((struct rig *)owner)->accepted = true;
}

static const struct transport_events early_events = {
	.on_readable = on_early, .on_writable = on_early, .on_connected = on_accepted, .on_closed = on_early,
};

static SSL_CTX *server_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();

	X509_set_version(x, 2);
	X509_set_pubkey(x, key);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return ctx;
}

static void start_tls(struct rig *r)
{
	r->ctx = server_context();
	transport_accept_tls(&r->down, r->ctx);
	r->ssl = SSL_new(r->ctx);
	SSL_set_fd(r->ssl, r->client);
	SSL_set_connect_state(r->ssl);
	while (SSL_do_handshake(r->ssl) != 1 || !r->accepted)
		worker_turn(r->w);
}

static void rig_init(struct rig *r, int kind)
{
	static const struct timeval ms = { .tv_usec = 1000 };
	int down, up;

	*r = (struct rig){ .w = worker_create(0) };
	r->pulse = event_new(r->w->base, -1, EV_PERSIST, on_pulse, NULL);
	event_add(r->pulse, &ms);
	tcp_pair(&r->client, &down);
	tcp_pair(&r->server, &up);
	transport_init(&r->down, r->w, down, &early_events, r);
	transport_init(&r->up, r->w, up, &early_events, r);
	if (kind == TLS_DOWN)
		start_tls(r);
	r->relay = (struct relay){ .worker = r->w, .owner = r, .on_end = on_relay_end };
}

static void rig_start(struct rig *r, int kind)
{
	rig_init(r, kind);
	relay_start(&r->relay, &r->down, &r->up);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void rig_fini(struct rig *r)
{
	relay_stop(&r->relay);
	transport_close(&r->down);
	transport_close(&r->up);
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	close_fd(&r->client);
	close_fd(&r->server);
	worker_turn(r->w);
	assert_int_equal(r->w->pipes.open, r->w->pipes.kept);
	event_free(r->pulse);
	worker_free(&r->w);
}

static void turns(struct rig *r, int count)
{
	while (count-- > 0)
		worker_turn(r->w);
}

#define AWAIT(rig, what) do { \
	int64_t until_ = clock_monotonic_ms() + PATIENCE_MS; \
	while (!(what)) { \
		assert_true(clock_monotonic_ms() < until_); \
		worker_turn((rig)->w); \
	} \
} while (0)

/* As recv() and send(), by way of TLS where the client speaks it: -1 with EAGAIN, 0 at the end. */
static ssize_t peer_read(struct rig *r, int fd, void *into, size_t room)
{
	int n;

	if (r->ssl == NULL || fd != r->client)
		return recv(fd, into, room, 0);
	n = SSL_read(r->ssl, into, (int)room);
	if (n > 0)
		return n;
	errno = EAGAIN;
	return SSL_get_error(r->ssl, n) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static ssize_t peer_write(struct rig *r, int fd, const void *from, size_t len)
{
	int n;

	if (r->ssl == NULL || fd != r->client)
		return send(fd, from, len, MSG_NOSIGNAL);
	SSL_set_mode(r->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
	n = SSL_write(r->ssl, from, (int)len);
	errno = EAGAIN;
	return n > 0 ? n : -1;
}

static void peer_fin(struct rig *r, int fd)
{
	if (r->ssl != NULL && fd == r->client)
		SSL_shutdown(r->ssl);
	shutdown(fd, SHUT_WR);
}

static void peer_reset(int *fd)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close_fd(fd);
}

/* Exactly this text comes, and no more with it. */
static void expect_text(struct rig *r, int fd, const char *text)
{
	char got[256];
	size_t len = 0;
	ssize_t n = -1;

	AWAIT(r, (n = peer_read(r, fd, got + len, sizeof(got) - len)) == 0 ||
		 (len += n > 0 ? (size_t)n : 0) >= strlen(text));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(got, text, len);
}

static void expect_fin(struct rig *r, int fd)
{
	char byte;
	ssize_t n = -1;

	AWAIT(r, (n = peer_read(r, fd, &byte, 1)) >= 0 || errno != EAGAIN);
	assert_int_equal(n, 0);
}

static void expect_reset(struct rig *r, int fd)
{
	char bytes[65536];
	ssize_t n = -1;

	AWAIT(r, ((n = recv(fd, bytes, sizeof(bytes), 0)) < 0 && errno != EAGAIN) || n == 0);
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
}

static void expect_end(struct rig *r, enum relay_end how)
{
	AWAIT(r, r->ends > 0);
	turns(r, 3);
	assert_int_equal(r->ends, 1);
	assert_int_equal(r->how, how);
}

/* `total` bytes of the pattern from one peer to the other; FIN behind them. */
struct flow {
	int from, to;
	size_t total, sent, got;
	bool done;
};

static void flow_step(struct rig *r, struct flow *f)
{
	char bytes[100000];
	ssize_t n;

	while (f->sent < f->total) {
		size_t at = f->sent % PATTERN_BYTES, len = PATTERN_BYTES;

		if (len > f->total - f->sent)
			len = f->total - f->sent;
		n = peer_write(r, f->from, pattern + at, len);
		if (n < 0)
			break;
		f->sent += (size_t)n;
		if (f->sent == f->total)
			peer_fin(r, f->from);
	}
	while (!f->done && (n = peer_read(r, f->to, bytes, PATTERN_BYTES)) >= 0) {
		assert_memory_equal(bytes, pattern + f->got % PATTERN_BYTES, (size_t)n);
		f->got += (size_t)n;
		f->done = n == 0;
	}
}

static void expect_flows(struct rig *r, size_t up_bytes, size_t down_bytes)
{
	struct flow up = { .from = r->client, .to = r->server, .total = up_bytes };
	struct flow down = { .from = r->server, .to = r->client, .total = down_bytes };

	while (!up.done || !down.done) {
		flow_step(r, &up);
		flow_step(r, &down);
		worker_turn(r->w);
	}
	assert_int_equal(up.got, up_bytes);
	assert_int_equal(down.got, down_bytes);
	expect_end(r, RELAY_DONE);
	assert_int_equal(r->relay.ways[RELAY_UP].bytes, up_bytes);
	assert_int_equal(r->relay.ways[RELAY_DOWN].bytes, down_bytes);
}

/* ---- the tests ---- */

static void a_fin_goes_through_and_the_other_way_goes_on(void **state)
{
	struct rig r;

	(void)state;
	for (int kind = PLAIN; kind <= TLS_DOWN; kind++) {
		rig_start(&r, kind);
		assert_int_equal(peer_write(&r, r.client, "ask", 3), 3);
		peer_fin(&r, r.client);
		expect_text(&r, r.server, "ask");
		expect_fin(&r, r.server);
		turns(&r, 5);
		assert_int_equal(r.ends, 0);
		assert_int_equal(peer_write(&r, r.server, "answer", 6), 6);
		expect_text(&r, r.client, "answer");
		peer_fin(&r, r.server);
		expect_fin(&r, r.client);
		expect_end(&r, RELAY_DONE);
		rig_fini(&r);
	}
}

static void the_upstream_may_fall_silent_first(void **state)
{
	struct rig r;

	(void)state;
	for (int kind = PLAIN; kind <= TLS_DOWN; kind++) {
		rig_start(&r, kind);
		assert_int_equal(peer_write(&r, r.server, "220 hello", 9), 9);
		peer_fin(&r, r.server);
		expect_text(&r, r.client, "220 hello");
		expect_fin(&r, r.client);
		assert_int_equal(peer_write(&r, r.client, "still here", 10), 10);
		expect_text(&r, r.server, "still here");
		peer_fin(&r, r.client);
		expect_fin(&r, r.server);
		expect_end(&r, RELAY_DONE);
		rig_fini(&r);
	}
}

static void what_was_read_ahead_goes_first(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, PLAIN);
	buffer_append(r.w, &r.down.in, SLICE("read ahead, "));
	assert_int_equal(peer_write(&r, r.client, "then this", 9), 9);
	relay_start(&r.relay, &r.down, &r.up);
	expect_text(&r, r.server, "read ahead, then this");
	rig_fini(&r);
}

static void a_hundred_megabytes_arrive_as_they_were(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	expect_flows(&r, 100u << 20, 100u << 20);
	assert_true(r.w->pipes.open > 0);
	assert_false(r.relay.lacked_pipe);
	rig_fini(&r);
}

static void a_flow_through_tls_arrives_as_it_was(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, TLS_DOWN);
	expect_flows(&r, 20u << 20, 20u << 20);
	assert_int_equal(r.w->pipes.open, 0);
	rig_fini(&r);
}

static void without_a_pipe_it_flows_through_buffers(void **state)
{
	struct pipe *taken[PIPES_MAX];
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	for (unsigned i = 0; i < PIPES_MAX; i++)
		assert_non_null(taken[i] = pipe_take(r.w));
	assert_null(pipe_take(r.w));
	expect_flows(&r, 10u << 20, 10u << 20);
	assert_true(r.relay.lacked_pipe);
	for (unsigned i = 0; i < PIPES_MAX; i++)
		pipe_give(r.w, &taken[i], true);
	assert_int_equal(r.w->pipes.open, PIPES_KEPT);
	rig_fini(&r);
}

/* Fills the way until nothing moves any more. */
static size_t stuff(struct rig *r, int fd)
{
	size_t sent = 0;
	int quiet = 0;

	while (quiet < 20) {
		ssize_t n = peer_write(r, fd, pattern + sent % PATTERN_BYTES, PATTERN_BYTES);

		quiet = n > 0 ? 0 : quiet + 1;
		sent += n > 0 ? (size_t)n : 0;
		worker_turn(r->w);
	}
	return sent;
}

static void a_reader_that_does_not_read_fills_no_more_than_its_share(void **state)
{
	struct rig r;
	struct flow rest;

	(void)state;
	for (int kind = PLAIN; kind <= TLS_DOWN; kind++) {
		const struct relay_way *way = &r.relay.ways[RELAY_DOWN];

		rig_start(&r, kind);
		rest = (struct flow){ .from = r.server, .to = r.client };
		rest.sent = rest.total = stuff(&r, r.server);
		assert_true(rest.total > way->bytes);
		assert_true(way->piped <= RELAY_PIPE_BYTES && buffer_len(&r.up.in) <= RELAY_PIECE_BYTES);
		assert_true(r.up.in.capacity <= RELAY_PIECE_BYTES);
		assert_true(r.down.out.capacity <= BUFFER_BYTES_LARGE);
		assert_true(r.down.raw_out.capacity <= BUFFER_BYTES_LARGE);
		/* What comes the other way is not held up. */
		assert_int_equal(peer_write(&r, r.client, "stop", 4), 4);
		expect_text(&r, r.server, "stop");
		peer_fin(&r, r.server);
		AWAIT(&r, (flow_step(&r, &rest), rest.done));
		assert_int_equal(rest.got, rest.total);
		peer_fin(&r, r.client);
		expect_end(&r, RELAY_DONE);
		rig_fini(&r);
	}
}

static void an_idle_relay_holds_nothing(void **state)
{
	struct rig r;

	(void)state;
	for (int kind = PLAIN; kind <= TLS_DOWN; kind++) {
		rig_start(&r, kind);
		assert_int_equal(peer_write(&r, r.client, "ping", 4), 4);
		expect_text(&r, r.server, "ping");
		assert_int_equal(peer_write(&r, r.server, "pong", 4), 4);
		expect_text(&r, r.client, "pong");
		turns(&r, 3);
		assert_null(r.down.in.base);
		assert_null(r.down.out.base);
		assert_null(r.down.raw_in.base);
		assert_null(r.down.raw_out.base);
		assert_null(r.up.in.base);
		assert_null(r.up.out.base);
		assert_null(r.relay.ways[RELAY_UP].pipe);
		assert_null(r.relay.ways[RELAY_DOWN].pipe);
		rig_fini(&r);
	}
}

static void a_reset_of_one_side_is_told(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	assert_int_equal(peer_write(&r, r.client, "half a que", 10), 10);
	expect_text(&r, r.server, "half a que");
	peer_reset(&r.client);
	expect_end(&r, RELAY_DOWN_FAILED);
	rig_fini(&r);

	rig_start(&r, PLAIN);
	peer_reset(&r.server);
	expect_end(&r, RELAY_UP_FAILED);
	rig_fini(&r);
}

static void a_reset_is_noticed_while_nothing_is_read(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	stuff(&r, r.server);
	peer_reset(&r.server);
	expect_end(&r, RELAY_UP_FAILED);
	rig_fini(&r);

	rig_start(&r, PLAIN);
	stuff(&r, r.client);
	peer_reset(&r.client);
	expect_end(&r, RELAY_DOWN_FAILED);
	rig_fini(&r);
}

/* The receiver of a stuffed way goes away: the write that waits fails. */
static void a_reset_of_the_receiver_ends_it(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	stuff(&r, r.server);
	peer_reset(&r.client);
	expect_end(&r, RELAY_DOWN_FAILED);
	expect_reset(&r, r.server);
	rig_fini(&r);
}

/* Nothing is read any more from who has sent its FIN; yet the relay must not outlive it. */
static void a_reset_behind_a_fin_is_noticed(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, PLAIN);
	peer_fin(&r, r.client);
	expect_fin(&r, r.server);
	peer_reset(&r.client);
	expect_end(&r, RELAY_DOWN_FAILED);
	rig_fini(&r);

	rig_start(&r, PLAIN);
	peer_fin(&r, r.server);
	expect_fin(&r, r.client);
	peer_reset(&r.server);
	expect_end(&r, RELAY_UP_FAILED);
	rig_fini(&r);
}

/* More than the kernel takes for a client that does not read; returns how much in all. */
static size_t block_client(struct rig *r)
{
	size_t total = 0;

	while (transport_pending(&r->down) == 0) {
		transport_queue(&r->down, slice_make(pattern + total % PATTERN_BYTES, 4096));
		transport_flush(&r->down);
		total += 4096;
	}
	return total;
}

/* What was said before a FIN arrives whole, though the connection that it came on is reset meanwhile. */
static void last_words_survive_a_reset(void **state)
{
	const struct relay_way *way;
	struct flow rest;
	struct rig r;

	(void)state;
	rig_init(&r, PLAIN);
	way = &r.relay.ways[RELAY_DOWN];
	rest = (struct flow){ .from = r.server, .to = r.client };
	rest.sent = block_client(&r);
	relay_start(&r.relay, &r.down, &r.up);
	assert_int_equal(peer_write(&r, r.server, pattern + rest.sent % PATTERN_BYTES, 100), 100);
	rest.sent = rest.total = rest.sent + 100;
	peer_fin(&r, r.server);
	AWAIT(&r, way->ended);
	assert_true(transport_pending(&r.down) > 0);
	peer_reset(&r.server);
	assert_int_equal(peer_write(&r, r.client, "more", 4), 4);
	turns(&r, 5);
	AWAIT(&r, (flow_step(&r, &rest), rest.done));
	assert_int_equal(rest.got, rest.total);
	expect_end(&r, RELAY_DONE);
	rig_fini(&r);
}

static void tls_cut_off_counts_as_its_end(void **state)
{
	struct rig r;
	char ticket;

	(void)state;
	rig_start(&r, TLS_DOWN);
	assert_int_equal(peer_write(&r, r.client, "last words", 10), 10);
	expect_text(&r, r.server, "last words");
	assert_int_equal(peer_read(&r, r.client, &ticket, 1), -1);	/* what is unread would make it a reset */
	close_fd(&r.client);			/* no close_notify */
	expect_fin(&r, r.server);
	expect_end(&r, RELAY_DONE);
	rig_fini(&r);
}

static void broken_tls_is_a_failure(void **state)
{
	struct rig r;

	(void)state;
	rig_start(&r, TLS_DOWN);
	assert_int_equal(send(r.client, "\x17\x03\x03\x00\x20 this record was sealed by nobody", 38, 0), 38);
	expect_end(&r, RELAY_DOWN_FAILED);
	rig_fini(&r);
}

static void silence_ends_it_and_a_byte_puts_that_off(void **state)
{
	struct rig r;
	int64_t began;

	(void)state;
	rig_init(&r, PLAIN);
	r.relay.idle_ms = 200;
	began = clock_monotonic_ms();
	relay_start(&r.relay, &r.down, &r.up);
	while (clock_monotonic_ms() < began + 100)
		worker_turn(r.w);
	assert_int_equal(r.ends, 0);
	assert_int_equal(peer_write(&r, r.server, "x", 1), 1);
	expect_text(&r, r.client, "x");
	expect_end(&r, RELAY_IDLE);
	assert_true(clock_monotonic_ms() >= began + 300);
	rig_fini(&r);
}

static void both_ways_are_counted_as_they_go(void **state)
{
	atomic_ulong up = 0, down = 0;
	struct rig r;

	(void)state;
	rig_init(&r, PLAIN);
	r.relay.ways[RELAY_UP].counter = &up;
	r.relay.ways[RELAY_DOWN].counter = &down;
	relay_start(&r.relay, &r.down, &r.up);
	assert_int_equal(peer_write(&r, r.client, "12345", 5), 5);
	expect_text(&r, r.server, "12345");
	assert_int_equal(peer_write(&r, r.server, "123", 3), 3);
	expect_text(&r, r.client, "123");
	assert_int_equal(up, 5);
	assert_int_equal(down, 3);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fin_goes_through_and_the_other_way_goes_on),
		cmocka_unit_test(the_upstream_may_fall_silent_first),
		cmocka_unit_test(what_was_read_ahead_goes_first),
		cmocka_unit_test(a_hundred_megabytes_arrive_as_they_were),
		cmocka_unit_test(a_flow_through_tls_arrives_as_it_was),
		cmocka_unit_test(without_a_pipe_it_flows_through_buffers),
		cmocka_unit_test(a_reader_that_does_not_read_fills_no_more_than_its_share),
		cmocka_unit_test(an_idle_relay_holds_nothing),
		cmocka_unit_test(a_reset_of_one_side_is_told),
		cmocka_unit_test(a_reset_is_noticed_while_nothing_is_read),
		cmocka_unit_test(a_reset_of_the_receiver_ends_it),
		cmocka_unit_test(a_reset_behind_a_fin_is_noticed),
		cmocka_unit_test(last_words_survive_a_reset),
		cmocka_unit_test(tls_cut_off_counts_as_its_end),
		cmocka_unit_test(broken_tls_is_a_failure),
		cmocka_unit_test(silence_ends_it_and_a_byte_puts_that_off),
		cmocka_unit_test(both_ways_are_counted_as_they_go),
	};

	return cmocka_run_group_tests(tests, make_pattern, NULL);
}
