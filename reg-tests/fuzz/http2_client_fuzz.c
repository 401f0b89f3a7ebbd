/* SPDX-License-Identifier: Apache-2.0
 * Raw bytes of a server to the client of HTTP/2: nothing may be read or freed wrongly, every request hears
 * of its end once, and no message that is not whole passes for one. */
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define INPUT_BYTES_MAX	(96u * 1024)
#define REQUESTS_MAX	256u
#define UPLOAD_BYTES	100000u

struct request {
	struct codec_stream *cs;	/* NULL: over */
	struct arena *arena;
	struct message *head;
	uint64_t taken;
	size_t unsent;
	bool uploads, upgrades;
	bool tunnel, sent_end, got_end;
};

static struct worker *worker;
static struct request requests[REQUESTS_MAX];
static unsigned count;
static char upload[UPLOAD_BYTES];

static void over(struct request *q)
{
	must(q->cs != NULL);
	q->cs = NULL;
}

static void on_head(void *owner, struct message *m, bool end)
{
	struct request *q = owner;

	must(m->status >= 100 && m->status <= 999);
	must(q->head == NULL);
	q->tunnel = m->status == 101;
	must(!q->tunnel || (q->upgrades && !end));
	if (m->status < 200 && !q->tunnel) {
		must(!end);
		return;
	}
	q->head = m;
	if (end)
		over(q);
	else if (q->tunnel)
		q->unsent = UPLOAD_BYTES;
}

static size_t on_data(void *owner, struct slice bytes)
{
	struct request *q = owner;
	size_t take = bytes.len - bytes.len / 3;

	must(q->cs != NULL && q->head != NULL);
	q->taken += take;
	return take;
}

static void on_end(void *owner, struct headers *trailers)
{
	struct request *q = owner;

	(void)trailers;
	must(q->head != NULL);
	/* The first of four asks for HEAD. */
	must(q->head->framing != FRAMING_LENGTH || q->taken == q->head->content_length ||
	     (q - requests) % 4 == 0 || q->head->status == 304);
	must(!q->got_end);
	q->got_end = true;
	if (!q->tunnel || q->sent_end)
		over(q);
}

static void on_reset(void *owner, enum reset_reason why, const char *detail)
{
	(void)why, (void)detail;
	over(owner);
}

static void go_on(struct request *q)
{
	if (q->cs == NULL || q->unsent == 0)
		return;
	q->unsent -= codec_send_data(q->cs, slice_make(upload, q->unsent));
	if (q->unsent == 0 && q->cs != NULL) {
		struct codec_stream *cs = q->cs;

		q->sent_end = true;
		if (q->tunnel && q->got_end)
			over(q);
		codec_send_end(cs, NULL);
	}
}

static void on_writable(void *owner)
{
	go_on(owner);
}

static const struct stream_events stream_events = {
	.on_head = on_head, .on_data = on_data, .on_end = on_end, .on_reset = on_reset, .on_writable = on_writable,
};

static void open_request(struct codec *c)
{
	struct request *q = &requests[count];
	struct message m = { .method = count % 4 == 0 ? SLICE("HEAD") : SLICE("POST"), .scheme = SLICE("http"),
			     .authority = SLICE("a.test"), .path = SLICE("/"), .version = HTTP_1_1 };

	*q = (struct request){ .arena = arena_create(1024), .uploads = count % 4 == 1,
				.upgrades = count % 4 == 2 };
	q->unsent = q->uploads ? UPLOAD_BYTES : 0;
	count++;
	headers_init(&m.headers, q->arena, 2);
	m.upgrade = q->upgrades;
	if (q->upgrades)
		headers_add_id(&m.headers, HEADER_UPGRADE, SLICE("websocket"));
	m.framing = q->uploads ? FRAMING_CHUNKED : FRAMING_NONE;
	q->cs = c->ops->open(c, q, &stream_events, q->arena);
	must(q->cs != NULL);
	codec_send_head(q->cs, &m, !q->uploads && !q->upgrades);
	go_on(q);
}

static void on_room(void *connection)
{
	(void)connection;
}

static void ignore(void *owner)
{
	(void)owner;
}

static void on_close(void *connection, bool lingering)
{
	(void)connection, (void)lingering;
}

static const struct codec_events codec_events = { .on_idle = ignore, .on_close = on_close, .on_room = on_room };

static void ignore_connected(void *owner, enum outcome how)
{
	(void)owner, (void)how;
}

static const struct transport_events transport_events = {
	.on_readable = ignore, .on_writable = ignore, .on_connected = ignore_connected, .on_closed = ignore,
};

static void feed(struct transport *t, struct codec *c, struct slice bytes)
{
	buffer_append(worker, &t->in, bytes);
	for (unsigned turn = 0; turn < 64 && buffer_len(&t->in) > 0; turn++) {
		codec_feed(c);
		worker->now_us++;	/* another turn of the loop */
	}
	for (unsigned i = 0; i < count; i++)
		if (requests[i].cs != NULL)
			codec_resume(requests[i].cs);
	while (count < REQUESTS_MAX && count < 8 && c->ops->can_open(c))
		open_request(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct codec_settings settings = {
		.head_bytes_max = 61440, .header_count_max = 100, .connection_tokens_max = 9, .interim_max = 16,
	};
	struct slice rest = slice_make((const char *)data, size < INPUT_BYTES_MAX ? size : INPUT_BYTES_MAX);
	static struct transport t;
	struct codec *c;
	int fds[2];

	if (worker == NULL)
		worker = worker_create(0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	transport_init(&t, worker, fds[0], &transport_events, NULL);
	count = 0;
	c = http2_client(&t, &settings, &codec_events, NULL, 100);
	open_request(c);
	/* SETTINGS, with extended CONNECT, and the ACK of ours */
	feed(&t, c, slice_make("\0\0\6\4\0\0\0\0\0\0\10\0\0\0\1\0\0\0\4\1\0\0\0\0", 24));
	while (rest.len > 0) {		/* pieces of 1 to 255 bytes, their length out of the input */
		size_t piece = 1 + (uint8_t)rest.at[0] % 255;

		if (rest.at[0] == 'R' && count > 2 && requests[2].cs != NULL) {
			struct codec_stream *cs = requests[2].cs;

			requests[2].cs = NULL;
			codec_reset(cs, RESET_LOCAL_RESET);
		}
		feed(&t, c, slice_first(rest, piece));
		rest = slice_from(rest, piece < rest.len ? piece : rest.len);
	}
	if (size % 2 == 0)
		c->ops->eof(c);
	c->ops->failed(c, RESET_CONNECTION_TERMINATION);
	for (unsigned i = 0; i < count; i++) {
		must(requests[i].cs == NULL);
		arena_free(&requests[i].arena);
	}
	c->ops->destroy(c);
	transport_close(&t);
	close(fds[1]);
	return 0;
}
