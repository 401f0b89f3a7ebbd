/* SPDX-License-Identifier: Apache-2.0
 * The agent's side of SPOP, over real sockets and a real thread: spec/spop.md 15 and 18. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sallyport/base64.h"
#include "sallyport/check_request.h"
#include "spoa/jwks.h"
#include "spoa/thread.h"

#define FRAME_MAX	70000

static const char policies[] =
	"apiVersion: security.istio.io/v1\n"
	"kind: AuthorizationPolicy\n"
	"metadata: {name: open, namespace: shop}\n"
	"spec: {action: ALLOW, rules: [{to: [{operation: {paths: [\"/open*\"]}}]}]}\n"
	"---\n"
	"apiVersion: networking.istio.io/v1\n"
	"kind: WorkloadEntry\n"
	"metadata: {name: till, namespace: shop, labels: {app: till}}\n"
	"spec: {address: 192.0.2.9}\n"
	"---\n"
	"apiVersion: security.istio.io/v1\n"
	"kind: AuthorizationPolicy\n"
	"metadata: {name: shut, namespace: shop}\n"
	"spec:\n"
	"  selector: {matchLabels: {app: till}}\n"
	"  action: DENY\n"
	"  rules: [{to: [{operation: {paths: [\"/open/till\"]}}]}]\n";

struct desk {
	struct jwks_store *keys;
	struct rules *rules;
	struct spoa_thread *thread;
	struct spoa_options options;
	atomic_ulong loads_begun;
	atomic_uint unknown_revisions;
	char file[64];
};

static void on_unknown_revision(void *arg)
{
	atomic_fetch_add(&((struct desk *)arg)->unknown_revisions, 1);
}

static void desk_write(struct desk *d, const char *documents)
{
	FILE *f = fopen(d->file, "w");

	assert_non_null(f);
	fputs(documents, f);
	fclose(f);
}

static struct rules *desk_load(struct desk *d)
{
	const char *file = d->file;
	struct resource_set *set;
	struct problems ps;

	problems_init(&ps);
	set = resource_set_load(&file, 1, &ps);
	problems_print(&ps, SEVERITY_ERROR, stderr);
	assert_int_equal(ps.errors, 0);
	problems_fini(&ps);
	return rules_create(set, d->keys, d->rules);
}

static struct desk *desk_open_with(const char *documents, const struct spoa_options *like)
{
	struct jwks_config config = JWKS_CONFIG_DEFAULT;
	struct desk *d = calloc(1, sizeof(*d));

	evthread_use_pthreads();
	if (like != NULL)
		d->options = *like;
	d->options.connections_max = SPOA_CONNECTIONS_MAX;
	d->options.outstanding_max = d->options.outstanding_max > 0 ? d->options.outstanding_max
								     : SPOA_OUTSTANDING_MAX;
	d->options.frame_size = SPOA_FRAME_SIZE;
	d->options.loads_begun = &d->loads_begun;
	d->options.on_unknown_revision = on_unknown_revision;
	d->options.arg = d;
	snprintf(d->file, sizeof(d->file), "/tmp/agent_test.%d.yaml", (int)getpid());
	desk_write(d, documents);
	d->keys = jwks_store_create(&config);
	d->rules = desk_load(d);
	assert_non_null(d->rules);
	d->thread = spoa_thread_start(0, &d->options, d->rules);
	return d;
}

static struct desk *desk_open(const struct spoa_options *like)
{
	return desk_open_with(policies, like);
}

static void desk_close(struct desk *d)
{
	if (d->thread != NULL) {
		spoa_thread_drain(d->thread);
		spoa_thread_join(&d->thread);
	}
	rules_unref(&d->rules);
	jwks_store_free(&d->keys);
	unlink(d->file);
	free(d);
}

/* ---- the client's end ---- */

static int dial(struct desk *d)
{
	struct timeval patience = { .tv_sec = 3 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	evutil_make_socket_nonblocking(ends[1]);
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	spoa_thread_adopt(d->thread, ends[1], "test");
	return ends[0];
}

static void say(int fd, const void *bytes, size_t n)
{
	assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

static void say_hex(int fd, const char *hex)
{
	unsigned char bytes[512];
	size_t n = 0;
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		bytes[n++] = (unsigned char)byte;
	say(fd, bytes, n);
}

/* One frame; its payload points into `bytes`. */
static struct spop_frame hear(int fd, unsigned char *bytes)
{
	struct slice whole;
	enum spop_status why;
	struct spop_frame f;
	size_t length;

	assert_int_equal(recv(fd, bytes, 4, MSG_WAITALL), 4);
	length = (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
	assert_true(length < FRAME_MAX - 4);
	assert_int_equal(recv(fd, bytes + 4, length, MSG_WAITALL), length);
	whole = slice_make(bytes, length + 4);
	assert_int_equal(spop_cut_frame(&whole, FRAME_MAX, &f, &why), OK);
	assert_int_equal(f.flags, SPOP_FIN);
	return f;
}

static bool is_silent(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

static void hear_end(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void hear_disconnect(int fd, enum spop_status expected)
{
	unsigned char bytes[FRAME_MAX];
	struct spop_frame f = hear(fd, bytes);
	enum spop_status status;
	struct slice text;

	assert_int_equal(f.type, SPOP_AGENT_DISCONNECT);
	spop_decode_disconnect(f.payload, &status, &text);
	assert_int_equal(status, expected);
	assert_true(slice_eq(text, slice_of(spop_status_text(expected))));
	hear_end(fd);
}

static size_t put_hello(unsigned char *out, const char *versions, uint32_t size)
{
	struct spop_writer w = spop_writer_of(out, 512);
	size_t begun = spop_begin_frame(&w, SPOP_HAPROXY_HELLO, SPOP_FIN, 0, 0);

	spop_write_bytes(&w, SLICE("supported-versions"));
	spop_write_string(&w, slice_of(versions));
	if (size > 0) {
		spop_write_bytes(&w, SLICE("max-frame-size"));
		spop_write_uint32(&w, size);
	}
	spop_write_bytes(&w, SLICE("capabilities"));
	spop_write_string(&w, SLICE("pipelining"));
	spop_end_frame(&w, begun);
	return spop_writer_used(&w);
}

/* A connection with HELLO behind it; `size` is agreed on. */
static int greet(struct desk *d, uint32_t size)
{
	unsigned char bytes[FRAME_MAX];
	int fd = dial(d);
	struct spop_hello hello;
	struct spop_frame f;

	say(fd, bytes, put_hello(bytes, "2.0", size));
	f = hear(fd, bytes);
	assert_int_equal(f.type, SPOP_AGENT_HELLO);
	assert_int_equal(spop_decode_agent_hello(f.payload, size, &hello), SPOP_NORMAL);
	assert_int_equal(hello.max_frame_size, size < SPOA_FRAME_SIZE ? size : SPOA_FRAME_SIZE);
	return fd;
}

static struct check_request question(const char *path)
{
	static const struct check_header headers[] = { { { "host", 4 }, { "a.b", 3 } } };

	return (struct check_request){
		.method = SLICE("GET"), .scheme = SLICE("http"), .authority = SLICE("a.b"),
		.path = slice_of(path), .header_list = headers, .header_count = 1,
		.remote = { .family = 4, .bytes = { 127, 0, 0, 1 } },
		.source = { .family = 4, .bytes = { 127, 0, 0, 1 } },
		.destination = { .family = 4, .bytes = { 127, 0, 0, 1 }, .port = 80 },
		.workload = SLICE("shop/cart"),
	};
}

static size_t put_question(unsigned char *out, uint64_t stream, uint64_t frame,
			   const struct check_request *q)
{
	struct spop_writer w = spop_writer_of(out, FRAME_MAX);
	size_t begun = spop_begin_frame(&w, SPOP_NOTIFY, SPOP_FIN, stream, frame);

	check_request_write(&w, q);
	spop_end_frame(&w, begun);
	assert_false(w.full);
	return spop_writer_used(&w);
}

static void ask(int fd, uint64_t stream, const struct check_request *q)
{
	unsigned char bytes[FRAME_MAX];

	say(fd, bytes, put_question(bytes, stream, 1, q));
}

static void ask_path(int fd, uint64_t stream, const char *path)
{
	struct check_request q = question(path);

	ask(fd, stream, &q);
}

struct ack {
	unsigned char bytes[FRAME_MAX];
	struct check_reply reply;
	uint64_t stream, frame;
	enum outcome outcome;	/* of reading the reply */
};

static void hear_ack(int fd, struct ack *a)
{
	struct spop_frame f = hear(fd, a->bytes);

	assert_int_equal(f.type, SPOP_ACK);
	a->stream = f.stream_id;
	a->frame = f.frame_id;
	a->outcome = check_reply_read(f.payload, &a->reply);
}

static void expect_ack(int fd, uint64_t stream, bool allow)
{
	struct ack a;

	hear_ack(fd, &a);
	assert_int_equal(a.stream, stream);
	assert_int_equal(a.frame, 1);
	assert_int_equal(a.outcome, OK);
	assert_int_equal(a.reply.allow, allow);
}

/* ---- the tests ---- */

static void a_health_check_gets_its_hello_and_the_end(void **state)
{
	struct desk *d = desk_open(NULL);
	unsigned char bytes[FRAME_MAX];
	int fd = dial(d);

	(void)state;
	say_hex(fd, "0000004e01000000010000" "12737570706f727465642d76657273696f6e73" "0803322e30"
		    "0e6d61782d6672616d652d73697a65" "03fcf006" "0c6361706162696c6974696573" "0800"
		    "0b6865616c7468636865636b" "11");
	hear(fd, bytes);
	assert_memory_equal(bytes, "\0\0\0\x40\x65\0\0\0\1\0\0\7version\x08\3" "2.0\x0emax-frame-size"
			    "\3\xfc\xf0\6\x0c" "capabilities\x08\x0apipelining", 0x44);
	hear_end(fd);
	desk_close(d);
}

static void hellos_are_negotiated_or_refused(void **state)
{
	static const struct { const char *versions; uint32_t size; int status; } rows[] = {
		{ "1.0", 16380, SPOP_BAD_VERSION }, { "2.0", 0, SPOP_NO_FRAME_SIZE },
		{ "2.0", 255, SPOP_BAD_FRAME_SIZE },
	};
	struct desk *d = desk_open(NULL);
	unsigned char bytes[512];
	int fd;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		fd = dial(d);
		say(fd, bytes, put_hello(bytes, rows[i].versions, rows[i].size));
		hear_disconnect(fd, rows[i].status);
	}
	close(greet(d, 256));
	close(greet(d, 1 << 20));
	fd = dial(d);
	say(fd, bytes, put_hello(bytes, "1.0, 2.0", 16380));
	assert_int_equal(recv(fd, bytes, 4, MSG_WAITALL | MSG_PEEK), 4);
	assert_int_equal(bytes[3], 0x40);
	close(fd);
	desk_close(d);
}

static const char hello_hex[] =
	"0000003f01000000010000" "12737570706f727465642d76657273696f6e73" "0803322e30"
	"0e6d61782d6672616d652d73697a65" "03fcf006" "0c6361706162696c6974696573" "0800";

static void frames_that_break_the_rules_end_the_connection(void **state)
{
	static const struct { bool greeted; const char *hex; int status; } rows[] = {
		{ false, "0000000703000000010101", SPOP_INVALID },	/* NOTIFY first */
		{ false, "ffffffff", SPOP_TOO_BIG },
		{ false, "00004001", SPOP_TOO_BIG },
		{ false, "00000006", SPOP_INVALID },
		{ true, "ffffffff", SPOP_TOO_BIG },
		{ true, "00003ffd", SPOP_TOO_BIG },
		{ true, hello_hex, SPOP_INVALID },			/* a second HELLO */
		{ true, "0000000c03000000010101" "0161" "01" "0162" "0a", SPOP_INVALID },	/* type 10 */
		{ true, "0000000c03000000010101" "0161" "ff" "0162" "11", SPOP_INVALID },	/* 255 arguments */
		{ true, "0000000803000000010101" "05", SPOP_INVALID },
		{ true, "0000000700000000010101", SPOP_INTERLACED },	/* UNSET, nothing open */
		{ true, "0000000703000000000101", SPOP_NO_FRAGMENTATION },
	};
	struct desk *d = desk_open(NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int fd = rows[i].greeted ? greet(d, 16380) : dial(d);

		say_hex(fd, rows[i].hex);
		hear_disconnect(fd, rows[i].status);
	}
	desk_close(d);
}

static void questions_are_judged_and_ids_come_back(void **state)
{
	static const uint64_t streams[] = { 0, 1, 300, UINT64_MAX };
	struct desk *d = desk_open(NULL);
	int fd = greet(d, 16380);
	struct ack a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(streams); i++) {
		ask_path(fd, streams[i], "/open/door");
		expect_ack(fd, streams[i], true);
	}
	ask_path(fd, 7, "/closed");
	hear_ack(fd, &a);
	assert_int_equal(a.outcome, OK);
	assert_true(!a.reply.allow && a.reply.status == 403);
	assert_true(slice_eq(a.reply.body, SLICE("RBAC: access denied")));
	assert_true(slice_eq(a.reply.reason, SLICE("rbac")));
	close(fd);
	desk_close(d);
}

static void a_workload_without_labels_is_looked_up(void **state)
{
	struct desk *d = desk_open(NULL);
	struct check_request q = question("/open/till");
	int fd = greet(d, 16380);

	(void)state;
	ask(fd, 1, &q);
	expect_ack(fd, 1, true);
	q.workload = SLICE("shop/till");
	ask(fd, 3, &q);
	expect_ack(fd, 3, false);
	q.workload = SLICE("istio-system/edge");	/* the gateway; what lies behind it is asked too */
	q.dest_workload = SLICE("shop/");
	q.dest_labels = SLICE("app=cart;app=till");
	ask(fd, 5, &q);
	expect_ack(fd, 5, false);
	q.dest_labels = SLICE("app=cart");
	ask(fd, 7, &q);
	expect_ack(fd, 7, true);
	close(fd);
	desk_close(d);
}

static void two_questions_in_one_write_get_two_answers(void **state)
{
	struct desk *d = desk_open(NULL);
	unsigned char bytes[FRAME_MAX];
	struct check_request q = question("/open");
	int fd = greet(d, 16380);
	size_t n;

	(void)state;
	n = put_question(bytes, 1, 1, &q);
	n += put_question(bytes + n, 3, 1, &q);
	say(fd, bytes, n);
	expect_ack(fd, 1, true);
	expect_ack(fd, 3, true);
	assert_int_equal(atomic_load(&d->thread->counters.writes), 2);	/* HELLO, both ACKs */
	close(fd);
	desk_close(d);
}

static void a_question_may_come_byte_by_byte(void **state)
{
	struct desk *d = desk_open(NULL);
	unsigned char bytes[FRAME_MAX];
	struct check_request q = question("/open");
	int fd = dial(d);
	size_t n = put_hello(bytes, "2.0", 16380);

	(void)state;
	n += put_question(bytes + n, 1, 1, &q);
	for (size_t i = 0; i < n; i++) {
		say(fd, bytes + i, 1);
		usleep(100);
	}
	hear(fd, bytes);
	expect_ack(fd, 1, true);
	assert_true(is_silent(fd, 20));
	close(fd);
	desk_close(d);
}

static void unknown_frames_and_messages_are_skipped(void **state)
{
	struct desk *d = desk_open(NULL);
	int fd = greet(d, 16380);
	struct ack a;

	(void)state;
	say_hex(fd, "0000000932000000010101abcd");		/* frame type 50 */
	say_hex(fd, "0000000e03000000012a02" "0161" "01" "0162" "0161");	/* cut: invalid below */
	hear_disconnect(fd, SPOP_INVALID);
	fd = greet(d, 16380);
	say_hex(fd, "0000000932000000010101abcd");
	say_hex(fd, "0000000d03000000012a02" "0161" "01" "0162" "11");	/* message `a`: b=true */
	hear_ack(fd, &a);
	assert_true(a.stream == 42 && a.frame == 2);
	assert_int_equal(a.outcome, FAILED);			/* an empty ACK permits nothing */
	ask_path(fd, 1, "/open");
	expect_ack(fd, 1, true);
	close(fd);
	desk_close(d);
}

static void questions_that_lack_something_are_refused_not_dropped(void **state)
{
	struct desk *d = desk_open(NULL);
	struct check_request q;
	int fd = greet(d, 16380);
	struct ack a;

	(void)state;
	q = question("/open");
	q.method = NO_SLICE;
	ask(fd, 1, &q);
	hear_ack(fd, &a);
	assert_true(!a.reply.allow && a.reply.status == 500);
	assert_true(slice_eq(a.reply.reason, SLICE("bad-request:method")));
	q = question("/open");
	q.headers = SLICE("\1a\1b");				/* no end mark */
	ask(fd, 3, &q);
	hear_ack(fd, &a);
	assert_true(!a.reply.allow);
	assert_true(slice_eq(a.reply.reason, SLICE("bad-request:headers")));
	q = question("/open");
	q.workload = SLICE("no-namespace");
	ask(fd, 5, &q);
	hear_ack(fd, &a);
	assert_true(!a.reply.allow);
	assert_true(slice_eq(a.reply.reason, SLICE("bad-request:workload")));
	close(fd);
	desk_close(d);
}

static void fragments_are_put_together_when_announced(void **state)
{
	struct desk *d = desk_open(&(struct spoa_options){ .fragmentation = true });
	struct check_request q = question("/open");
	unsigned char bytes[FRAME_MAX], frame[FRAME_MAX];
	int fd = greet(d, 16380);
	size_t head, n, half;

	(void)state;
	n = put_question(bytes, 1, 1, &q);
	half = (n - 11) / 2;
	for (int abort_first = 1; abort_first >= 0; abort_first--) {
		head = spop_put_head(frame, SPOP_NOTIFY, 0, 1, 1, half);
		memcpy(frame + head, bytes + 11, half);
		say(fd, frame, head + half);
		if (abort_first) {
			say_hex(fd, "0000000700000000030101");
			assert_true(is_silent(fd, 20));
		}
	}
	head = spop_put_head(frame, SPOP_UNSET, 0, 1, 1, 1);
	frame[head] = bytes[11 + half];
	say(fd, frame, head + 1);
	assert_true(is_silent(fd, 20));
	head = spop_put_head(frame, SPOP_UNSET, SPOP_FIN, 1, 1, n - 12 - half);
	memcpy(frame + head, bytes + 12 + half, n - 12 - half);
	say(fd, frame, head + n - 12 - half);
	expect_ack(fd, 1, true);
	say_hex(fd, "0000000703000000000101");			/* open, then a whole one */
	ask_path(fd, 3, "/open");
	hear_disconnect(fd, SPOP_INTERLACED);
	desk_close(d);
}

static void fragments_are_bounded(void **state)
{
	struct desk *d = desk_open(&(struct spoa_options){ .fragmentation = true });
	static unsigned char frame[FRAME_MAX];
	size_t head, part = 60000, sent = 0;
	int fd = greet(d, 1 << 20);

	(void)state;
	while (sent <= SPOA_FRAGMENTS_BYTES) {
		head = spop_put_head(frame, sent == 0 ? SPOP_NOTIFY : SPOP_UNSET, 0, 1, 1, part);
		say(fd, frame, head + part);
		sent += part;
	}
	hear_disconnect(fd, SPOP_TOO_BIG);
	desk_close(d);
}

static void a_disconnect_is_answered(void **state)
{
	struct desk *d = desk_open(NULL);
	unsigned char bytes[256];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));
	int fd = greet(d, 16380);

	(void)state;
	spop_write_disconnect(&w, SPOP_HAPROXY_DISCONNECT, SPOP_NORMAL, NULL);
	say(fd, bytes, spop_writer_used(&w));
	hear_disconnect(fd, SPOP_NORMAL);
	desk_close(d);
}

/* Sends until the agent takes no more; returns the bytes of the last question that it did not. */
static size_t flood(int fd, unsigned char *bytes, int *asked)
{
	struct check_request q = question("/closed");
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	size_t left = 0;
	ssize_t n;

	evutil_make_socket_nonblocking(fd);
	while (poll(&p, 1, 300) > 0) {
		if (left == 0)
			left = put_question(bytes, (uint64_t)(*asked)++, 1, &q);
		n = send(fd, bytes, left, MSG_NOSIGNAL);
		if (n > 0) {
			memmove(bytes, bytes + n, left - (size_t)n);
			left -= (size_t)n;
		}
		assert_true(*asked < 1000000);
	}
	fcntl(fd, F_SETFL, 0);
	return left;
}

static void who_does_not_read_answers_is_not_read_either(void **state)
{
	struct desk *d = desk_open(NULL);
	unsigned char bytes[FRAME_MAX];
	int fd = greet(d, 16380), asked = 0;
	struct ack a;
	size_t left;

	(void)state;
	left = flood(fd, bytes, &asked);
	for (int i = 0; i < asked; i++) {
		if (i == asked / 2 && left > 0)
			say(fd, bytes, left);
		hear_ack(fd, &a);
		assert_int_equal(a.stream, i);
	}
	assert_true(is_silent(fd, 20));
	assert_int_equal(atomic_load(&d->thread->counters.acks), asked);
	close(fd);
	desk_close(d);
}

static void a_graceful_stop_says_goodbye(void **state)
{
	struct desk *d = desk_open(NULL);
	int fd = greet(d, 16380);

	(void)state;
	ask_path(fd, 1, "/open");
	expect_ack(fd, 1, true);
	spoa_thread_drain(d->thread);
	hear_disconnect(fd, SPOP_NORMAL);
	spoa_thread_join(&d->thread);
	desk_close(d);
}

#define NOTHING \
	"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n" \
	"metadata: {name: nothing, namespace: shop}\nspec: {}\n"

/* What the main thread does when documents are read: they are used, as that load. */
static struct rules *desk_reload(struct desk *d, const char *documents)
{
	unsigned long load = atomic_fetch_add(&d->loads_begun, 1) + 1;
	struct rules *next;

	desk_write(d, documents);
	next = desk_load(d);
	assert_non_null(next);
	spoa_thread_use(d->thread, next, load);
	rules_unref(&d->rules);
	d->rules = next;
	return next;
}

static struct slice revision(const struct rules *r, char *out, size_t bytes, const char *behind)
{
	snprintf(out, bytes, "%s%s", r->set->rev, behind);
	return slice_of(out);
}

static void a_new_revision_is_waited_for(void **state)
{
	struct desk *d = desk_open(NULL);
	struct check_request q = question("/open");
	struct rules *next;
	char first[40], second[40];
	int fd = greet(d, 16380);
	struct ack a;

	(void)state;
	q.rev = revision(d->rules, first, sizeof(first), "");
	ask(fd, 1, &q);
	expect_ack(fd, 1, true);
	q.rev = revision(d->rules, first, sizeof(first), ".12");
	ask(fd, 3, &q);
	expect_ack(fd, 3, true);
	assert_int_equal(atomic_load(&d->unknown_revisions), 0);

	desk_write(d, NOTHING);
	next = desk_load(d);
	assert_string_not_equal(d->rules->set->rev, next->set->rev);
	q.rev = revision(next, second, sizeof(second), ".13");
	q.deadline_ms = 2000;
	ask(fd, 5, &q);
	ask_path(fd, 7, "/open");			/* others don't wait */
	expect_ack(fd, 7, true);
	assert_true(is_silent(fd, 50));
	assert_true(atomic_load(&d->unknown_revisions) > 0);
	desk_reload(d, NOTHING);
	expect_ack(fd, 5, false);			/* by the new policies */

	q.rev = SLICE("never-seen");
	q.deadline_ms = 100;
	ask(fd, 9, &q);
	hear_ack(fd, &a);
	assert_int_equal(a.stream, 9);
	assert_true(!a.reply.allow && slice_eq(a.reply.reason, SLICE("error")));
	close(fd);
	rules_unref(&next);
	desk_close(d);
}

/* Who asks by the rules just replaced is a moment behind, and gets what they say. Later it is known
 * to lag, once a load has shown that what it asks by is not what the files say now. */
static void the_last_revision_has_its_own_rules_for_a_moment(void **state)
{
	struct desk *d = desk_open(NULL);
	struct check_request q = question("/open");
	char first[40], again[40];
	int fd = greet(d, 16380);
	struct ack a;

	(void)state;
	q.rev = revision(d->rules, first, sizeof(first), ".1");
	revision(d->rules, again, sizeof(again), ".3");
	q.deadline_ms = 2000;
	desk_reload(d, NOTHING);
	ask(fd, 1, &q);
	expect_ack(fd, 1, true);
	ask_path(fd, 3, "/open");
	expect_ack(fd, 3, false);
	assert_int_equal(atomic_load(&d->unknown_revisions), 0);

	assert_true(is_silent(fd, SPOA_LAST_RULES_MS + 100));
	ask(fd, 5, &q);
	assert_true(is_silent(fd, 50));
	assert_true(atomic_load(&d->unknown_revisions) > 0);
	desk_reload(d, NOTHING);			/* the same again */
	expect_ack(fd, 5, false);
	ask(fd, 7, &q);					/* remembered: at once */
	expect_ack(fd, 7, false);

	/* The same documents, loaded by the asker once more: it may be ahead of us now. */
	q.rev = slice_of(again);
	ask(fd, 9, &q);
	assert_true(is_silent(fd, 50));
	desk_reload(d, policies);
	expect_ack(fd, 9, true);

	/* So it is refused when a load brings what we have had all along, though its documents were ours once. */
	desk_reload(d, NOTHING);
	assert_true(is_silent(fd, SPOA_LAST_RULES_MS + 100));
	again[strlen(again) - 1] = '4';
	q.rev = slice_of(again);
	q.deadline_ms = 200;
	ask(fd, 11, &q);
	assert_true(is_silent(fd, 50));
	desk_reload(d, NOTHING);
	hear_ack(fd, &a);
	assert_int_equal(a.stream, 11);
	assert_true(!a.reply.allow && slice_eq(a.reply.reason, SLICE("error")));
	close(fd);
	desk_close(d);
}

static void a_good_load_settles_every_revision_of_the_same_files(void **state)
{
	struct desk *d = desk_open(&(struct spoa_options){ .same_files = true });
	struct check_request q = question("/open");
	int fd = greet(d, 16380);

	(void)state;
	q.rev = SLICE("0123456789abcdef.2");
	q.deadline_ms = 2000;
	atomic_store(&d->loads_begun, 4);
	ask(fd, 1, &q);
	assert_true(is_silent(fd, 60));
	spoa_thread_use(d->thread, d->rules, 4);	/* begun before the question: proves nothing */
	assert_true(is_silent(fd, 60));
	atomic_store(&d->loads_begun, 5);
	spoa_thread_use(d->thread, d->rules, 5);
	expect_ack(fd, 1, true);
	ask(fd, 3, &q);					/* remembered */
	expect_ack(fd, 3, true);
	q.rev = SLICE("0123456789abcdef.3");		/* another one is not */
	ask(fd, 5, &q);
	assert_true(is_silent(fd, 60));
	atomic_store(&d->loads_begun, 6);
	spoa_thread_use(d->thread, d->rules, 6);
	expect_ack(fd, 5, true);
	close(fd);
	desk_close(d);
}

/* An issuer that accepts and never answers. */
static int open_hanging_issuer(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static void put_token(char *out, size_t bytes)
{
	char head[128], claims[128], signature[64];
	int h = (int)base64url_encode(SLICE("{\"alg\":\"RS256\",\"kid\":\"k\"}"), head);
	int c = (int)base64url_encode(SLICE("{\"iss\":\"https://issuer.example\",\"sub\":\"me\"}"),
				      claims);
	int s = (int)base64url_encode(SLICE("0123456789abcdef0123456789abcdef"), signature);

	snprintf(out, bytes, "Bearer %.*s.%.*s.%.*s", h, head, c, claims, s, signature);
}

static void a_hanging_issuer_delays_nobody_else(void **state)
{
	char documents[1024], token[512];
	struct check_header headers[] = { { { "authorization", 13 }, { NULL, 0 } } };
	struct check_request q = question("/any");
	struct desk *d;
	struct ack a;
	uint16_t port;
	int issuer = open_hanging_issuer(&port), fd;

	(void)state;
	snprintf(documents, sizeof(documents),
		 "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
		 "metadata: {name: jwt, namespace: shop}\nspec:\n  jwtRules:\n"
		 "  - {issuer: \"https://issuer.example\", jwksUri: \"http://127.0.0.1:%u/jwks\"}\n",
		 port);
	put_token(token, sizeof(token));
	headers[0].value = slice_of(token);
	d = desk_open_with(documents, &(struct spoa_options){ .outstanding_max = 2 });
	fd = greet(d, 16380);
	q.header_list = headers;
	q.deadline_ms = 500;
	ask(fd, 1, &q);
	ask_path(fd, 3, "/any");			/* no token: overtakes */
	expect_ack(fd, 3, true);
	hear_ack(fd, &a);				/* within 80 % of the deadline */
	assert_int_equal(a.stream, 1);
	assert_true(!a.reply.allow && a.reply.status == 401);
	assert_true(slice_eq(a.reply.body, SLICE("Jwks remote fetch is failed")));
	assert_int_equal(atomic_load(&d->thread->counters.waited), 1);

	q.deadline_ms = 3000;				/* one more than may be outstanding */
	for (uint64_t i = 5; i <= 9; i += 2)
		ask(fd, i, &q);
	hear_disconnect(fd, SPOP_RESOURCES);

	fd = greet(d, 16380);				/* cancelled with its connection */
	ask(fd, 1, &q);
	usleep(20000);
	close(fd);
	usleep(20000);
	desk_close(d);
	close(issuer);
}

static void an_answer_larger_than_the_frame_becomes_a_refusal(void **state)
{
	char documents[1024], name[251];
	struct check_request q = question("/open");
	struct desk *d;
	struct ack a;
	int fd;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(documents, sizeof(documents),
		 "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
		 "metadata: {name: %s, namespace: shop}\nspec: {rules: [{}]}\n", name);
	d = desk_open_with(documents, NULL);
	fd = greet(d, 512);
	ask(fd, 1, &q);
	expect_ack(fd, 1, true);
	close(fd);
	fd = greet(d, 256);				/* the policy's name alone is too long */
	ask(fd, 1, &q);
	hear_ack(fd, &a);
	assert_int_equal(a.outcome, OK);
	assert_true(!a.reply.allow && a.reply.status == 500);
	assert_true(slice_eq(a.reply.reason, SLICE("error")));
	close(fd);
	desk_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_health_check_gets_its_hello_and_the_end),
		cmocka_unit_test(hellos_are_negotiated_or_refused),
		cmocka_unit_test(frames_that_break_the_rules_end_the_connection),
		cmocka_unit_test(questions_are_judged_and_ids_come_back),
		cmocka_unit_test(a_workload_without_labels_is_looked_up),
		cmocka_unit_test(two_questions_in_one_write_get_two_answers),
		cmocka_unit_test(a_question_may_come_byte_by_byte),
		cmocka_unit_test(unknown_frames_and_messages_are_skipped),
		cmocka_unit_test(questions_that_lack_something_are_refused_not_dropped),
		cmocka_unit_test(fragments_are_put_together_when_announced),
		cmocka_unit_test(fragments_are_bounded),
		cmocka_unit_test(a_disconnect_is_answered),
		cmocka_unit_test(who_does_not_read_answers_is_not_read_either),
		cmocka_unit_test(a_graceful_stop_says_goodbye),
		cmocka_unit_test(a_new_revision_is_waited_for),
		cmocka_unit_test(the_last_revision_has_its_own_rules_for_a_moment),
		cmocka_unit_test(a_good_load_settles_every_revision_of_the_same_files),
		cmocka_unit_test(a_hanging_issuer_delays_nobody_else),
		cmocka_unit_test(an_answer_larger_than_the_frame_becomes_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
