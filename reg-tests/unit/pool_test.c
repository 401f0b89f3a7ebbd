/* SPDX-License-Identifier: Apache-2.0
 *
 * pool_test.c - a worker's connections to an endpoint whose other end the test plays itself. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "proxy/upstream/connection_priv.h"
#include "upstream_rig.h"

#define PEERS_MAX	8

/* One request with everything that is heard of it. */
struct request {
	struct pool_request ask;
	struct upstream_connection *connection;
	struct codec_stream *stream;
	struct arena *arena;
	bool open_no_stream;
	bool uploads;		/* a body, of which a piece is sent when the response begins */
	unsigned ready, heads, ends, resets, failures, status;
	size_t body;
	enum reset_reason why;
	char detail[200];
};

static struct rig rig;
static struct pool *pool;
static struct cluster *cluster;
static struct endpoint *endpoint;
static int listener;
static struct codec_settings settings = {
	.head_bytes_max = 81920, .header_count_max = 100, .interim_max = 16, .connection_tokens_max = 9,
};

static const char upload[128 * 1024];

/* --- the client side ---------------------------------------------------------------------------- */

static void on_head(void *owner, struct message *m, bool end)
{
	struct request *r = owner;

	r->heads++;
	r->status = m->status;
	r->ends += end;
	if (r->uploads)
		codec_send_data(r->stream, slice_make(upload, sizeof(upload)));
}

static size_t on_data(void *owner, struct slice bytes)
{
	struct request *r = owner;

	r->body += bytes.len;
	return bytes.len;
}

static void on_end(void *owner, struct headers *trailers)
{
	struct request *r = owner;

	(void)trailers;
	r->ends++;
}

static void on_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct request *r = owner;

	(void)detail;
	r->resets++;
	r->why = why;
}

static void on_writable(void *owner)
{
	(void)owner;
}

static const struct stream_events stream_events = {
	.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_reset = on_reset,
	.on_writable = on_writable,
};

static void on_ready(void *owner, struct upstream_connection *u)
{
	struct request *r = owner;
	struct codec *c = upstream_codec(u);
	struct message m = { .method = SLICE("GET"), .scheme = SLICE("http"), .authority = SLICE("a.test"),
			     .path = SLICE("/"), .version = HTTP_1_1, .framing = FRAMING_NONE };

	r->ready++;
	r->connection = u;
	if (r->open_no_stream)
		return;
	headers_init(&m.headers, r->arena, 4);
	r->stream = c->ops->open(c, r, &stream_events, r->arena);
	assert_non_null(r->stream);
	if (r->uploads) {
		m.method = SLICE("POST");
		m.framing = FRAMING_CHUNKED;
	}
	codec_send_head(r->stream, &m, !r->uploads);
}

static void on_failed(void *owner, enum reset_reason why, const char *detail)
{
	struct request *r = owner;

	r->failures++;
	r->why = why;
	snprintf(r->detail, sizeof(r->detail), "%s", detail != NULL ? detail : "");
}

static struct request *request_in(enum upstream_protocol protocol)
{
	struct request *r = arena_new(rig.arena, struct request);

	r->arena = rig.arena;
	r->ask = (struct pool_request){
		.owner = r, .protocol = protocol, .on_ready = on_ready, .on_failed = on_failed };
	pool_ask(pool, cluster, endpoint, &r->ask);
	return r;
}

static struct request *request(void)
{
	return request_in(UPSTREAM_HTTP1);
}

static struct request *request2(void)
{
	return request_in(UPSTREAM_HTTP2);
}

/* --- turning ------------------------------------------------------------------------------------ */

static void nothing(struct worker *w, void *arg)
{
	(void)w, (void)arg;
}

/* One turn that cannot wait for ever. */
static void turn(void)
{
	worker_post(rig.worker, nothing, NULL);
	worker_turn(rig.worker);
	rig_turn_main(&rig);
}

#define AWAIT(condition) \
	do { \
		int64_t until_ = clock_monotonic_ms() + RIG_PATIENCE_MS; \
		while (!(condition)) { \
			turn(); \
			if (clock_monotonic_ms() > until_) \
				fail_msg("waited in vain for %s", #condition); \
			usleep(200); \
		} \
	} while (0)

static void turns(int count)
{
	while (count-- > 0)
		turn();
}

static unsigned long counted(const atomic_ulong *c)
{
	return atomic_load(c);
}

/* --- the endpoint's side ------------------------------------------------------------------------ */

static int peer_accept(void)
{
	int fd = -1;

	AWAIT((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* Reads one request head without a body. */
static void peer_read(int fd)
{
	char head[4096];
	size_t len = 0;

	while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
		ssize_t n = -1;

		AWAIT((n = read(fd, head + len, sizeof(head) - len)) != -1);
		assert_true(n > 0);
		len += (size_t)n;
	}
}

static void peer_write(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static bool peer_is_closed(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

#define OK_RESPONSE	"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

static void peer_answer(int fd, const char *response)
{
	peer_read(fd);
	peer_write(fd, response);
}

/* A whole exchange on a connection of its own or the one at hand. */
static void exchange(int fd)
{
	struct request *r = request();

	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	assert_int_equal(r->status, 200);
	assert_int_equal(r->body, 2);
}

static int set_up(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	(void)state;
	rig_init(&rig, NULL, NULL);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	cluster = rig_cluster(&rig, "pool");
	rig_endpoint(cluster, "127.0.0.1", ntohs(in.sin_port));
	rig_serve(&rig, cluster);
	endpoint = cluster_pick(cluster, rig.worker, NULL, 0);
	pool = pool_create(rig.worker, &settings, &settings, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	pool_free(&pool);
	turns(2);
	assert_int_equal(atomic_load(&endpoint->obj.refs), 2);	/* the set's and ours */
	endpoint_unref(&endpoint);
	clusters_release(&cluster, 1);
	close(listener);
	rig_fini(&rig);
	return 0;
}

/* --- tests -------------------------------------------------------------------------------------- */

static void test_a_connection_is_reused(void **state)
{
	struct request *first = request(), *second;
	char local[64];
	int fd;

	(void)state;
	assert_int_equal(first->ready, 0);		/* never from inside, when it has to connect */
	fd = peer_accept();
	peer_read(fd);
	assert_int_equal(first->ready, 1);
	assert_int_equal(counted(&pool_counters(pool)->active), 1);
	peer_write(fd, OK_RESPONSE);
	AWAIT(first->ends == 1);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
	assert_int_equal(counted(&pool_counters(pool)->idle), 1);

	second = request();
	assert_int_equal(second->ready, 1);		/* at once */
	snprintf(local, sizeof(local), "%.*s", SLICE_ARG(upstream_local_address(second->connection)));
	assert_memory_equal(local, "127.0.0.1:", 10);
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	peer_answer(fd, OK_RESPONSE);
	AWAIT(second->ends == 1);
	assert_int_equal(counted(&pool_counters(pool)->connects), 1);
	assert_int_equal(counted(&pool_counters(pool)->reused), 1);
	assert_int_equal(counted(&endpoint->connects), 1);
	assert_int_equal(counted(&cluster_counters(cluster)->connections), 1);
	close(fd);
}

static void test_the_last_used_is_taken_first(void **state)
{
	struct request *a = request(), *b = request(), *c;
	struct upstream_connection *last;
	int one = peer_accept(), two = peer_accept();

	(void)state;
	peer_read(one);
	peer_read(two);
	assert_int_equal(counted(&pool_counters(pool)->active), 2);
	peer_write(one, OK_RESPONSE);
	AWAIT(a->ends + b->ends == 1);
	peer_write(two, OK_RESPONSE);
	last = a->ends == 1 ? b->connection : a->connection;
	AWAIT(a->ends + b->ends == 2);
	assert_int_equal(counted(&pool_counters(pool)->idle), 2);
	c = request();
	assert_ptr_equal(c->connection, last);
	peer_answer(two, OK_RESPONSE);
	AWAIT(c->ends == 1);
	close(one);
	close(two);
}

static void test_refused(void **state)
{
	struct request *r;

	(void)state;
	close(listener);
	r = request();
	assert_int_equal(r->failures, 0);
	AWAIT(r->failures == 1);
	assert_int_equal(r->why, RESET_REMOTE_CONNECTION_FAILURE);
	assert_string_equal(r->detail, "delayed connect error: Connection refused");
	assert_null(r->ask.connecting);
	assert_int_equal(counted(&endpoint->connect_failures), 1);
	assert_int_equal(counted(&cluster_counters(cluster)->connect_failures), 1);
	listener = socket(AF_INET, SOCK_STREAM, 0);
}

static void test_no_such_socket(void **state)
{
	struct cluster *c = rig_cluster(&rig, "unix"), *tcp = cluster;
	struct endpoint_spec *e = rig_endpoint(c, "/nonexistent/app.sock", 0);
	struct sockaddr_un *u = (struct sockaddr_un *)&e->sockaddr;
	struct endpoint *tcp_endpoint = endpoint;
	struct request *r;

	(void)state;
	u->sun_family = AF_UNIX;
	strcpy(u->sun_path, "/nonexistent/app.sock");
	e->sockaddr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(u->sun_path) + 1);
	rig_serve(&rig, c);
	endpoint = cluster_pick(c, rig.worker, NULL, 0);
	assert_string_equal(rig_endpoints(&rig, c), "/nonexistent/app.sock");
	cluster = c;
	r = request();
	AWAIT(r->failures == 1);
	assert_int_equal(r->why, RESET_REMOTE_CONNECTION_FAILURE);
	assert_string_equal(r->detail, "delayed connect error: No such file or directory");
	turn();
	endpoint_unref(&endpoint);
	clusters_release(&c, 1);
	cluster = tcp;
	endpoint = tcp_endpoint;
	rig_settle(&rig);
	assert_int_equal(atomic_load(&endpoint->obj.refs), 2);
}

static void test_no_descriptor_is_a_local_failure(void **state)
{
	struct rlimit before, none;
	struct request *r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = request();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	AWAIT(r->failures == 1);
	assert_int_equal(r->why, RESET_LOCAL_CONNECTION_FAILURE);
	assert_string_equal(r->detail, "");
}

/* A listener that accepts nothing: once its queue is full, connects hang. */
static void test_connect_timeout(void **state)
{
	int full[PEERS_MAX], count = 0;
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	struct request *r;
	int64_t start;

	(void)state;
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
	while (count < PEERS_MAX) {
		struct pollfd p;

		full[count] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(full[count], (struct sockaddr *)&in, sizeof(in));
		p = (struct pollfd){ .fd = full[count++], .events = POLLOUT };
		if (poll(&p, 1, 50) == 0)
			break;
	}
	cluster->connect_timeout_ms = 80;
	start = clock_monotonic_ms();
	r = request();
	AWAIT(r->failures == 1);
	assert_int_equal(r->why, RESET_CONNECTION_TIMEOUT);
	assert_string_equal(r->detail, "");
	assert_in_range(clock_monotonic_ms() - start, 80, 1000);
	assert_int_equal(counted(&cluster_counters(cluster)->connect_timeouts), 1);
	while (count > 0)
		close(full[--count]);
}

static void test_the_peer_closes_an_idle_connection(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	close(fd);
	AWAIT(counted(&pool_counters(pool)->idle) == 0);
	assert_int_equal(counted(&pool_counters(pool)->closed_by_peer), 1);
	r = request();
	fd = peer_accept();
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	close(fd);
}

/* The FIN is there, but the loop has not told of it: the request must not be lost on it. */
static void test_a_dead_idle_connection_is_not_given_out(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	r->connection->transport.readable = true;	/* the edge came in this very turn */
	close(fd);
	r = request();
	assert_int_equal(r->ready, 0);
	fd = peer_accept();
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	close(fd);
}

static void test_bytes_that_nobody_asked_for(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	peer_write(fd, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
	AWAIT(counted(&pool_counters(pool)->idle) == 0);
	AWAIT(peer_is_closed(fd));
	close(fd);
}

static void test_bytes_behind_the_response(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_answer(fd, OK_RESPONSE "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
	AWAIT(r->ends == 1);
	AWAIT(peer_is_closed(fd));
	assert_int_equal(r->resets, 0);
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	close(fd);
}

static void test_idle_timeout(void **state)
{
	struct request *r;
	int fd;

	(void)state;
	cluster->idle_timeout_ms = 60;
	r = request();
	fd = peer_accept();
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	usleep(30000);
	turn();
	exchange(fd);			/* use moves the deadline */
	usleep(40000);
	turns(2);
	assert_int_equal(counted(&pool_counters(pool)->idle), 1);
	AWAIT(counted(&pool_counters(pool)->idle) == 0);
	assert_int_equal(counted(&pool_counters(pool)->idle_timeouts), 1);
	assert_true(peer_is_closed(fd));
	close(fd);
}

/* A request may well take longer than connections are kept idle. */
static void test_the_idle_timeout_spares_active_ones(void **state)
{
	struct request *r;
	int fd;

	(void)state;
	cluster->idle_timeout_ms = 30;
	r = request();
	fd = peer_accept();
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	r = request();
	peer_read(fd);
	for (int i = 0; i < 10; i++) {
		usleep(10000);
		turn();
	}
	assert_int_equal(r->resets, 0);
	peer_write(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	close(fd);
}

static void test_requests_per_connection(void **state)
{
	struct request *r;
	int fd;

	(void)state;
	cluster->max_requests_per_connection = 2;
	r = request();
	fd = peer_accept();
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	exchange(fd);
	AWAIT(peer_is_closed(fd));
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	close(fd);
}

static void test_connection_close(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_answer(fd, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
	AWAIT(r->ends == 1);
	AWAIT(peer_is_closed(fd));
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	close(fd);
}

/* By a reset instead of a FIN. */
static void test_the_peer_resets_before_the_response(void **state)
{
	const struct linger at_once = { .l_onoff = 1 };
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_read(fd);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	AWAIT(r->resets == 1);
	turns(3);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
}

static void test_the_peer_closes_before_the_response(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_read(fd);
	close(fd);
	AWAIT(r->resets == 1);
	assert_int_equal(r->why, RESET_CONNECTION_TERMINATION);
	assert_int_equal(r->ends, 0);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
}

/* The response comes, and behind it a reset, which only the next piece of the request meets. */
static void test_a_write_meets_the_reset_while_reading(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	r->uploads = true;
	AWAIT(r->ready == 1);
	turns(2);
	peer_write(fd, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
	close(fd);		/* the request was not read: a reset */
	AWAIT(r->heads == 1);
	assert_int_equal(r->resets, 1);
	assert_int_equal(r->why, RESET_CONNECTION_TERMINATION);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
}

static void test_a_request_that_is_given_up_while_connecting(void **state)
{
	struct request *gone = request(), *r;
	int fd;

	(void)state;
	pool_cancel(pool, &gone->ask);
	pool_cancel(pool, &gone->ask);
	assert_null(gone->ask.connecting);
	fd = peer_accept();
	AWAIT(counted(&pool_counters(pool)->idle) == 1);
	assert_int_equal(gone->ready + gone->failures, 0);
	r = request();
	assert_int_equal(r->ready, 1);
	peer_answer(fd, OK_RESPONSE);
	AWAIT(r->ends == 1);
	close(fd);
}

static void test_many_requests_that_are_given_up_while_connecting(void **state)
{
	(void)state;
	assert_int_equal(listen(listener, 2 * POOL_UNCLAIMED_MAX), 0);
	for (unsigned i = 0; i < POOL_UNCLAIMED_MAX + 10; i++)
		pool_cancel(pool, &request()->ask);
	AWAIT(counted(&pool_counters(pool)->idle) >= POOL_UNCLAIMED_MAX);
	for (unsigned i = 0; i < 10; i++)
		rig_settle(&rig);
	assert_int_equal(counted(&pool_counters(pool)->idle), POOL_UNCLAIMED_MAX);
	/* They are no longer on their way: the next ones may be. */
	pool_forget(pool, endpoint);
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	pool_cancel(pool, &request()->ask);
	AWAIT(counted(&pool_counters(pool)->idle) == 1);
}

static void test_a_request_that_is_given_up_on_the_wire(void **state)
{
	struct request *r = request();
	int fd = peer_accept();

	(void)state;
	peer_read(fd);
	codec_reset(r->stream, RESET_LOCAL_RESET);
	AWAIT(peer_is_closed(fd));
	assert_int_equal(r->resets + r->ends, 0);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
	close(fd);
}

static void test_an_asker_that_opens_no_stream(void **state)
{
	struct request *r = arena_new(rig.arena, struct request);
	int fd;

	(void)state;
	r->arena = rig.arena;
	r->open_no_stream = true;
	r->ask = (struct pool_request){ .owner = r, .on_ready = on_ready, .on_failed = on_failed };
	pool_ask(pool, cluster, endpoint, &r->ask);
	fd = peer_accept();
	AWAIT(r->ready == 1);
	assert_int_equal(counted(&pool_counters(pool)->idle), 1);
	assert_int_equal(counted(&pool_counters(pool)->active), 0);
	exchange(fd);
	close(fd);
}

static void test_an_endpoint_that_left(void **state)
{
	struct request *a = request(), *b = request();
	int one = peer_accept(), two = peer_accept();

	(void)state;
	peer_read(one);
	peer_read(two);
	peer_write(one, OK_RESPONSE);
	AWAIT(a->ends + b->ends == 1);
	pool_forget(pool, endpoint);
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	AWAIT(peer_is_closed(one));
	assert_false(peer_is_closed(two));
	peer_write(two, OK_RESPONSE);
	AWAIT(a->ends + b->ends == 2);
	AWAIT(peer_is_closed(two));
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	close(one);
	close(two);
}

static void test_the_end_of_the_pool(void **state)
{
	struct request *live = request(), *waiting;
	int fd = peer_accept();

	(void)state;
	peer_read(fd);
	waiting = request();
	pool_free(&pool);
	assert_int_equal(live->resets, 1);
	assert_int_equal(waiting->failures, 1);
	pool = pool_create(rig.worker, &settings, &settings, NULL);
	close(fd);
}

/* More than a turn's worth: reading gives way, and goes on by itself. */
static void test_a_large_body(void **state)
{
	enum { BODY = 8 << 20 };
	struct request *r = request(), *other;
	int fd = peer_accept(), other_fd;
	bool gave_way = false;
	size_t sent = 0;
	char head[100];
	static char zeros[256 << 10];

	(void)state;
	peer_read(fd);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", BODY);
	peer_write(fd, head);
	other = request();
	other_fd = peer_accept();
	peer_answer(other_fd, OK_RESPONSE);
	while (sent < BODY) {
		size_t rest = BODY - sent < sizeof(zeros) ? BODY - sent : sizeof(zeros);
		ssize_t n = write(fd, zeros, rest);

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		gave_way |= !LIST_EMPTY(&rig.worker->to_resume);
		turn();
	}
	assert_true(gave_way);
	AWAIT(r->ends == 1);
	AWAIT(other->ends == 1);
	assert_int_equal(r->body, BODY);
	close(fd);
	close(other_fd);
}

/* --- HTTP/2 ------------------------------------------------------------------------------------- */

/* SETTINGS: so many streams at a time. */
static void peer_settings(int fd, unsigned streams)
{
	const char frame[] = { 0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, (char)streams };

	assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
}

/* 200 without a body. */
static void peer_respond(int fd, unsigned stream)
{
	const char frame[] = { 0, 0, 1, 1, 5, 0, 0, 0, (char)stream, (char)0x88 };

	assert_int_equal(write(fd, frame, sizeof(frame)), sizeof(frame));
}

static bool nobody_connects(void)
{
	turns(3);
	return accept4(listener, NULL, NULL, SOCK_NONBLOCK) < 0 && errno == EAGAIN;
}

static void test_requests_share_a_connection(void **state)
{
	struct request *a = request2(), *b = request2(), *c = request2(), *d;
	int fd = peer_accept();

	(void)state;
	AWAIT(a->ready == 1);			/* along with the preface */
	turns(3);
	assert_int_equal(b->ready + c->ready, 0);
	peer_settings(fd, 100);
	AWAIT(b->ready + c->ready == 2);
	assert_ptr_equal(a->connection, c->connection);
	assert_int_equal(counted(&pool_counters(pool)->active), 1);
	for (unsigned i = 0; i < 3; i++)
		peer_respond(fd, 2 * i + 1);
	AWAIT(a->ends + b->ends + c->ends == 3);
	AWAIT(counted(&pool_counters(pool)->idle) == 1);
	d = request2();
	assert_int_equal(d->ready, 1);		/* at once */
	peer_respond(fd, 7);
	AWAIT(d->ends == 1);
	assert_int_equal(counted(&pool_counters(pool)->connects), 1);
	close(fd);
	AWAIT(counted(&pool_counters(pool)->idle) == 0);	/* noticed without a request */
}

static void test_another_connection_when_full(void **state)
{
	struct request *a = request2(), *b = request2();
	int one = peer_accept(), two;

	(void)state;
	peer_settings(one, 1);
	two = peer_accept();
	peer_settings(two, 1);
	AWAIT(a->ready + b->ready == 2);
	assert_ptr_not_equal(a->connection, b->connection);
	struct request *c = request2();
	int three = peer_accept();	/* meanwhile there is room again */
	peer_respond(one, 1);
	AWAIT(c->ready == 1);
	peer_respond(two, 1);
	AWAIT(a->ends + b->ends == 2);
	pool_cancel(pool, &c->ask);	/* it waits no more: nothing happens */
	codec_reset(c->stream, RESET_LOCAL_RESET);
	close(one);
	close(two);
	close(three);
	AWAIT(counted(&pool_counters(pool)->active) == 0);
}

/* What was sent before its FIN is read away. */
static bool peer_is_closed_after_all(int fd)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		continue;
	return n == 0 || errno != EAGAIN;
}

static void test_requests_per_shared_connection(void **state)
{
	struct request *a, *b, *c;
	int one, two;

	(void)state;
	cluster->max_requests_per_connection = 2;
	a = request2();
	one = peer_accept();
	peer_settings(one, 100);
	AWAIT(a->ready == 1);
	turns(3);
	b = request2();
	assert_int_equal(b->ready, 1);
	c = request2();
	assert_int_equal(c->ready, 0);
	two = peer_accept();
	AWAIT(c->ready == 1);
	peer_respond(one, 1);
	peer_respond(one, 3);
	AWAIT(a->ends + b->ends == 2);
	AWAIT(peer_is_closed_after_all(one));
	peer_settings(two, 100);
	peer_respond(two, 1);
	AWAIT(c->ends == 1);
	close(one);
	close(two);
}

static void test_refused_by_all_who_wait(void **state)
{
	struct request *a, *b, *c;

	(void)state;
	close(listener);
	a = request2();
	b = request2();
	c = request2();
	pool_cancel(pool, &b->ask);
	AWAIT(a->failures + c->failures == 2);
	assert_int_equal(b->failures, 0);
	assert_int_equal(a->why, RESET_REMOTE_CONNECTION_FAILURE);
	assert_string_equal(c->detail, "delayed connect error: Connection refused");
	assert_int_equal(counted(&endpoint->connect_failures), 1);
	assert_int_equal(counted(&cluster_counters(cluster)->connect_failures), 2);
	listener = socket(AF_INET, SOCK_STREAM, 0);
}

/* Who waits for SETTINGS waits no longer than for a connect; who has left already is not touched. */
static void test_settings_that_never_come(void **state)
{
	struct request *a, *b;
	int fd;

	(void)state;
	cluster->connect_timeout_ms = 50;
	a = request2();
	b = request2();
	fd = peer_accept();
	AWAIT(a->ready == 1);
	AWAIT(b->failures == 1);
	assert_int_equal(b->why, RESET_CONNECTION_TIMEOUT);
	assert_int_equal(a->resets, 0);
	peer_settings(fd, 100);
	peer_respond(fd, 1);
	AWAIT(a->ends == 1);
	close(fd);
}

/* Each connection that is lost takes a request along: there is an end to it. */
static void test_a_peer_that_only_accepts(void **state)
{
	struct request *a = request2(), *b = request2();
	int fd = peer_accept();

	(void)state;
	AWAIT(a->ready == 1);
	close(fd);
	AWAIT(a->resets == 1);
	assert_int_equal(b->resets, 0);
	fd = peer_accept();
	AWAIT(b->ready == 1);
	close(fd);
	AWAIT(b->resets == 1);
	assert_true(nobody_connects());
}

static void test_nobody_waits_for_it(void **state)
{
	struct request *a = request2(), *b;
	int fd;

	(void)state;
	pool_cancel(pool, &a->ask);
	assert_int_equal(pool->unclaimed, 1);
	b = request2();			/* takes it over */
	assert_int_equal(pool->unclaimed, 0);
	fd = peer_accept();
	AWAIT(b->ready == 1);
	assert_int_equal(a->ready, 0);
	peer_settings(fd, 1);
	peer_respond(fd, 1);
	AWAIT(b->ends == 1);
	assert_true(nobody_connects());
	pool_forget(pool, endpoint);
	assert_int_equal(counted(&pool_counters(pool)->idle), 0);
	close(fd);
}

static void test_no_protocol_takes_the_others(void **state)
{
	struct request *a = request(), *b;
	int one = peer_accept(), two;

	(void)state;
	peer_answer(one, OK_RESPONSE);
	AWAIT(a->ends == 1);
	b = request2();
	two = peer_accept();
	peer_settings(two, 100);
	peer_respond(two, 1);
	AWAIT(b->ends == 1);
	assert_ptr_not_equal(a->connection, b->connection);
	a = request();
	peer_answer(one, OK_RESPONSE);
	AWAIT(a->ends == 1);
	close(one);
	close(two);
}

#define POOL_TEST(f)	cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(test_a_connection_is_reused),
		POOL_TEST(test_the_last_used_is_taken_first),
		POOL_TEST(test_refused),
		POOL_TEST(test_no_such_socket),
		POOL_TEST(test_no_descriptor_is_a_local_failure),
		POOL_TEST(test_connect_timeout),
		POOL_TEST(test_the_peer_closes_an_idle_connection),
		POOL_TEST(test_a_dead_idle_connection_is_not_given_out),
		POOL_TEST(test_bytes_that_nobody_asked_for),
		POOL_TEST(test_bytes_behind_the_response),
		POOL_TEST(test_idle_timeout),
		POOL_TEST(test_the_idle_timeout_spares_active_ones),
		POOL_TEST(test_requests_per_connection),
		POOL_TEST(test_connection_close),
		POOL_TEST(test_the_peer_closes_before_the_response),
		POOL_TEST(test_the_peer_resets_before_the_response),
		POOL_TEST(test_a_write_meets_the_reset_while_reading),
		POOL_TEST(test_a_request_that_is_given_up_while_connecting),
		POOL_TEST(test_many_requests_that_are_given_up_while_connecting),
		POOL_TEST(test_a_request_that_is_given_up_on_the_wire),
		POOL_TEST(test_an_asker_that_opens_no_stream),
		POOL_TEST(test_an_endpoint_that_left),
		POOL_TEST(test_the_end_of_the_pool),
		POOL_TEST(test_a_large_body),
		POOL_TEST(test_requests_share_a_connection),
		POOL_TEST(test_another_connection_when_full),
		POOL_TEST(test_requests_per_shared_connection),
		POOL_TEST(test_refused_by_all_who_wait),
		POOL_TEST(test_settings_that_never_come),
		POOL_TEST(test_a_peer_that_only_accepts),
		POOL_TEST(test_nobody_waits_for_it),
		POOL_TEST(test_no_protocol_takes_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
