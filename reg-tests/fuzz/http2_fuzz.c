/* SPDX-License-Identifier: Apache-2.0
 * Raw bytes behind the preface of HTTP/2: nothing may be read or freed wrongly, every stream that was
 * opened must end, and memory must stay bounded by windows and limits. */
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/http/codec.h"
#include "proxy/net/worker.h"
#include "sallyport/log.h"

#define INPUT_BYTES_MAX	(96u * 1024)
#define STREAMS_MAX	4096u

struct owner {
	struct codec_stream *cs;
	struct arena *arena;
};

static struct worker *worker;
static struct owner owners[STREAMS_MAX];
static unsigned count;

static void answer(struct owner *o, unsigned status)
{
	struct codec_stream *cs = o->cs;
	struct message m = { .status = status, .version = HTTP_1_1 };

	if (cs == NULL)
		return;
	o->cs = NULL;
	headers_init(&m.headers, o->arena, 0);
	codec_send_head(cs, &m, true);
}

static void on_head(void *owner, struct message *m, bool end)
{
	must(m->method.len > 0 && m->authority.len > 0);
	if (end)
		answer(owner, 200);
}

static void on_refused(void *owner, const struct refusal *why, struct message *partial)
{
	must(partial != NULL);
	answer(owner, why->status);
}

static size_t on_data(void *owner, struct slice bytes)
{
	(void)owner;
	return bytes.len - bytes.len / 3;
}

static void on_end(void *owner, struct headers *trailers)
{
	(void)trailers;
	answer(owner, 200);
}

static void on_reset(void *owner, enum reset_reason why, const char *detail)
{
	struct owner *o = owner;

	(void)why, (void)detail;
	must(o->cs != NULL);
	o->cs = NULL;
}

static void ignore(void *owner)
{
	(void)owner;
}

static const struct stream_events stream_events = {
	.on_head = on_head, .on_refused = on_refused, .on_data = on_data, .on_end = on_end,
	.on_reset = on_reset, .on_writable = ignore,
};

static void *on_open(void *connection, struct codec_stream *cs, struct arena **arena,
		     const struct stream_events **events)
{
	struct owner *o = &owners[count++];

	(void)connection;
	must(count < STREAMS_MAX);
	*o = (struct owner){ .cs = cs, .arena = arena_create(1024) };
	*arena = o->arena;
	*events = &stream_events;
	return o;
}

static void on_close(void *connection, bool lingering)
{
	(void)connection, (void)lingering;
}

static const struct codec_events codec_events = { .on_open = on_open, .on_idle = ignore, .on_close = on_close };

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
		if (owners[i].cs != NULL)
			codec_resume(owners[i].cs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct codec_settings settings = {
		.head_bytes_max = 61440, .header_count_max = 100, .connection_tokens_max = 9,
		.concurrent_streams = 100, .connection_streams = 10000, .keep_trailers = true,
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
	c = http2_server(&t, &settings, &codec_events, NULL);
	feed(&t, c, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"));
	while (rest.len > 0) {		/* pieces of 1 to 255 bytes, their length out of the input */
		size_t piece = 1 + (uint8_t)rest.at[0] % 255;

		feed(&t, c, slice_first(rest, piece));
		rest = slice_from(rest, piece < rest.len ? piece : rest.len);
	}
	c->ops->failed(c, RESET_CONNECTION_TERMINATION);
	for (unsigned i = 0; i < count; i++) {
		must(owners[i].cs == NULL);
		arena_free(&owners[i].arena);
	}
	c->ops->destroy(c);
	transport_close(&t);
	close(fds[1]);
	return 0;
}
