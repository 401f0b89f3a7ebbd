/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as the response of an upstream: no crash, the same events however they were cut, and an
 * accepted head that goes downstream is read back as the same response. */
#include "http1_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct worker *worker;

/* The head as the server role writes it, read by the client role. */
static void check_round_trip(const struct message *m)
{
	struct peer down, again;
	struct codec_stream *cs;

	if (m->status < 200)
		return;
	peer_open(&down, worker, true);
	down.quiet = true;
	peer_feed(&down, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	cs = down.stream;
	codec_send_head(cs, m, false);
	peer_written(&down);
	must(down.codec->unsafe_fields == 0 && down.out.len > 0);
	peer_open(&again, worker, false);
	again.settings.head_bytes_max *= 2;
	again.settings.header_count_max += 4;	/* framing, date, connection: ours */
	peer_request(&again, "GET");
	peer_feed(&again, text_slice(&down.out));
	must(again.message != NULL && again.message->status == m->status);
	peer_close(&again);
	peer_close(&down);
}

static void run(struct peer *p, struct slice bytes, bool cut, uint8_t options)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "OPTIONS" };

	peer_open(p, worker, false);
	p->settings.keep_trailers = (options & 4) != 0;
	p->settings.head_bytes_max = (options & 8) != 0 ? 128 : 81920;
	peer_request(p, methods[options & 3]);
	if (cut)
		fuzz_feed_cut(p, bytes, fuzz_seed(bytes));
	else
		peer_feed(p, bytes);
	if (options & 16)
		peer_eof(p);
	peer_events(p);
}

/* Whether bytes behind a response were there when it ended depends on the cut, and so does
 * whether the connection was idle for a moment: both end in its close. */
static struct slice without_idle(struct peer *p)
{
	struct slice s = text_slice(&p->events);

	if (slice_ends(s, SLICE("idle\n")))
		s.len -= 5;
	else if (slice_ends(s, SLICE("idle\nclose\n")))
		s.len -= 11;
	else if (slice_ends(s, SLICE("close\n")))
		s.len -= 6;
	return s;
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
	fuzz_must_agree(without_idle(&whole), without_idle(&cut));
	if (whole.message != NULL)
		check_round_trip(whole.message);
	peer_close(&whole);
	peer_close(&cut);
	return 0;
}
