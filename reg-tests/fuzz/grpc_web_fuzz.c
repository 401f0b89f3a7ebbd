/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes, in pieces of any size, in and out of gRPC-Web's base64: the pieces change nothing, what was
 * encoded comes back, no buffer is overrun. And any value of grpc-timeout. */
#include <stdlib.h>

#include "proxy/http/grpc.h"
#include "proxy/http/grpc_web.h"
#include "sallyport/log.h"

struct piecewise { uint8_t step, room; };

/* Into memory of exactly the size it may need, so that a sanitizer sees one byte more. */
static struct slice decode(struct slice text, struct piecewise p, bool *complete)
{
	struct grpc_web_decoder d = { .have = 0 };
	size_t step = p.step > 0 ? p.step : text.len, room = 3u + p.room, len = 0;
	char *out = malloc(text.len + 3), *piece = malloc(room);

	must(out != NULL && piece != NULL);
	while (text.len > 0 && !d.failed) {
		size_t used, made = grpc_web_decode(&d, slice_first(text, step), piece, room, &used);

		must(made <= room && used <= text.len && (used > 0 || d.failed));
		memcpy(out + len, piece, made);
		len += made;
		text = slice_from(text, used);
	}
	*complete = grpc_web_is_complete(&d);
	free(piece);
	return slice_make(out, len);
}

static struct slice encode(struct slice bytes, struct piecewise p, bool *between)
{
	struct grpc_web_encoder e = { .rest_have = 0 };
	size_t step = p.step > 0 ? p.step : bytes.len, room = 4u + p.room, len = 0;
	/* The smallest frame has five bytes, and eight characters. */
	char *out = malloc(2 * bytes.len + 8), *piece = malloc(room);

	must(out != NULL && piece != NULL);
	while (bytes.len > 0) {
		size_t used, made = grpc_web_encode(&e, slice_first(bytes, step), piece, room, &used);

		must(made <= room && used > 0 && used <= bytes.len);
		memcpy(out + len, piece, made);
		len += made;
		bytes = slice_from(bytes, used);
	}
	*between = grpc_web_is_between_frames(&e);
	free(piece);
	return slice_make(out, len);
}

static void check_decoder(struct slice text, struct piecewise p)
{
	const struct piecewise whole = { 0, 255 };
	bool complete, complete_again;
	struct slice once = decode(text, whole, &complete), again = decode(text, p, &complete_again);

	must(slice_eq(once, again) && complete == complete_again);
	free((char *)once.at);
	free((char *)again.at);
}

static void check_encoder(struct slice bytes, struct piecewise p)
{
	const struct piecewise whole = { 0, 255 };
	bool between, between_again, complete;
	struct slice once = encode(bytes, whole, &between), again = encode(bytes, p, &between_again), back;

	must(slice_eq(once, again) && between == between_again);
	back = decode(once, p, &complete);
	/* Of a frame that goes on, two bytes may still wait for their third. */
	must(complete && back.len <= bytes.len && bytes.len - back.len <= (between ? 0 : 2));
	must(slice_eq(back, slice_first(bytes, back.len)));
	free((char *)once.at);
	free((char *)again.at);
	free((char *)back.at);
}

static void check_timeout(struct slice value)
{
	struct arena *a = arena_create(0);
	int64_t ms = grpc_timeout_ms(value), told;

	must(ms >= 0);
	if (ms > 0) {
		told = grpc_timeout_ms(grpc_timeout_text(ms, a));
		must(told > 0 && told <= ms);
	}
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest;

	if (size < 3)
		return 0;
	rest = slice_make(data + 2, size - 2);
	check_decoder(rest, (struct piecewise){ data[0], data[1] });
	check_encoder(rest, (struct piecewise){ data[0], data[1] });
	check_timeout(rest);
	return 0;
}
