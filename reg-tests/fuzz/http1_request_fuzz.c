/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the requests of a connection: no crash, and the same events and answers however they
 * were cut. What was accepted and is forwarded must come back as the same request. */
#include "http1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct worker *worker;

/* Serialises the head by the client role and reads it back by the server role. */
static void check_round_trip(struct peer *p)
{
	struct message *m = p->message;
	struct peer up, again;

	if (m->upgrade || slice_eq(m->method, SLICE("CONNECT")) || slice_eq(m->path, SLICE("*")))
		return;
	peer_open(&up, worker, false);
	up.stream = up.codec->ops->open(up.codec, &up, &peer_stream_events, up.arena);
	codec_send_head(up.stream, m, m->framing == FRAMING_NONE);
	peer_written(&up);
	must(up.codec->unsafe_fields == 0 && up.out.len > 0);
	peer_open(&again, worker, true);
	again.quiet = true;
	again.settings.head_bytes_max *= 2;
	peer_feed(&again, text_slice(&up.out));
	must(again.message != NULL && strncmp(peer_events(&again), "head ", 5) == 0);
	must(slice_eq(again.message->method, m->method) && slice_eq(again.message->path, m->path));
	must(slice_eq(again.message->authority, m->authority));
	must(again.message->headers.count <= m->headers.count + 1);
	peer_close(&again);
	peer_close(&up);
}

static void answer(struct peer *p)
{
	check_round_trip(p);
	peer_answer(p, 200);
}

static void run(struct peer *p, struct slice bytes, bool cut, uint8_t options)
{
	peer_open(p, worker, true);
	p->settings.accept_http10 = (options & 1) != 0;
	p->settings.keep_trailers = (options & 2) != 0;
	p->settings.underscores = (options & 4) != 0 ? UNDERSCORES_DROP : UNDERSCORES_ALLOW;
	p->settings.tls = (options & 8) != 0;
	p->settings.uri_bytes_max = (options & 16) != 0 ? 32 : 0;
	p->settings.head_bytes_max = (options & 32) != 0 ? 128 : 61440;
	p->on_message = answer;
	if (cut)
		fuzz_feed_cut(p, bytes, fuzz_seed(bytes));
	else
		peer_feed(p, bytes);
	peer_eof(p);
	peer_events(p);
	peer_written(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer whole, cut;
	struct slice bytes;

	if (worker == NULL)
		worker = worker_create(0);
	if (size < 1 || size > FUZZ_BYTES_MAX)
		return 0;
	bytes = slice_make(data + 1, size - 1);
	run(&whole, bytes, false, data[0]);
	run(&cut, bytes, true, data[0]);
	fuzz_must_agree(text_slice(&whole.events), text_slice(&cut.events));
	fuzz_must_agree(text_slice(&whole.out), text_slice(&cut.out));
	peer_close(&whole);
	peer_close(&cut);
	return 0;
}
