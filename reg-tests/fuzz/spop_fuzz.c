/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames, messages, actions, HELLOs and header lists out of arbitrary bytes. Whatever is read
 * must lie within the input, and what was understood must survive being written again. */
#include <stdint.h>
#include <stdlib.h>

#include "sallyport/check_request.h"

#define FRAME_SIZE	4096

static const unsigned char *begin, *end;

static void check_within(struct slice s)
{
	const unsigned char *at = (const unsigned char *)s.at;

	if (s.at != NULL && (at < begin || at > end || s.len > (size_t)(end - at)))
		abort();
}

static void walk_headers(struct slice list)
{
	struct spop_reader r = spop_reader_of(list);
	struct slice name, value;

	while (spop_read_header(&r, &name, &value) == OK) {
		check_within(name);
		check_within(value);
	}
	check_headers_are_clean(list);
	check_names_are_clean(list);
}

/* A question that was understood is written and must be understood again. */
static void write_again(const struct check_request *q)
{
	static unsigned char again[2 * FRAME_SIZE];
	struct spop_writer w = spop_writer_of(again, sizeof(again));
	struct check_request back;
	struct spop_message m;
	struct spop_reader r;
	const char *missing;

	check_request_write(&w, q);
	if (w.full)
		return;
	r = spop_reader_of(slice_make(again, spop_writer_used(&w)));
	if (!spop_read_message(&r, &m) || check_request_read(&r, &m, &back, &missing) != OK ||
	    r.at != r.end || !slice_eq(back.path, q->path) || !slice_eq(back.headers, q->headers))
		abort();
}

static void walk_messages(struct slice payload)
{
	struct spop_reader r = spop_reader_of(payload);
	struct check_request q;
	struct spop_message m;
	const char *missing;

	while (spop_read_message(&r, &m)) {
		check_within(m.name);
		if (check_request_read(&r, &m, &q, &missing) == OK)
			write_again(&q);
		check_within(q.path);
		if (q.headers.at != NULL)
			walk_headers(q.headers);
	}
}

static void walk_frame(const struct spop_frame *f)
{
	struct check_reply reply;
	struct spop_hello hello;
	enum spop_status status;
	struct slice text;

	check_within(f->payload);
	walk_messages(f->payload);
	if (check_reply_read(f->payload, &reply) == OK)
		check_within(reply.reason);
	spop_decode_client_hello(f->payload, &hello);
	spop_decode_agent_hello(f->payload, FRAME_SIZE, &hello);
	spop_decode_disconnect(f->payload, &status, &text);
	if (text.len > 0)
		check_within(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make(data, size);
	struct spop_frame f = { .payload = in };
	enum spop_status why;

	begin = data;
	end = data + size;
	walk_frame(&f);		/* the input as a payload */
	walk_headers(in);
	while (spop_cut_frame(&in, FRAME_SIZE, &f, &why) == OK)
		walk_frame(&f);
	return 0;
}
