/* SPDX-License-Identifier: Apache-2.0
 *
 * gRPC-Web and gRPC, into each other: spec/http.md 29. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "proxy/http/grpc_web.h"
#include "sallyport/object.h"

static void add(struct message *m, const char *name, const char *value)
{
	headers_append(&m->headers, header_id_of(slice_of(name)), slice_of(name), slice_of(value));
}

static void expect(const struct message *m, const char *name, const char *value)
{
	struct header *f = headers_find(&m->headers, slice_of(name));

	if (value == NULL) {
		if (f != NULL)
			fail_msg("%s: %.*s", name, SLICE_ARG(f->value));
		return;
	}
	if (f == NULL || !slice_eq(f->value, slice_of(value)))
		fail_msg("%s: %.*s, expected %s", name, f != NULL ? (int)f->value.len : 0,
			 f != NULL ? f->value.at : "", value);
}

/* ---- heads ---- */

static const struct { const char *type, *accept; bool is, text_in, text_out; } kinds[] = {
	{ "application/grpc-web", NULL, true, false, false },
	{ "application/grpc-web+proto", "*/*", true, false, false },
	{ "application/grpc-web-text", "application/grpc-web-text", true, true, true },
	{ "application/grpc-web-text+proto", "application/grpc-web-text+proto", true, true, true },
	{ "application/grpc-web-text", "application/grpc-web+proto", true, true, false },
	{ "application/grpc-web+proto", "application/grpc-web-text", true, false, true },
	{ "application/grpc-web-text", "application/grpc-web-text, */*", true, true, false },
	{ "application/grpc", NULL, false, false, false },
	{ "application/grpc-web+json", NULL, false, false, false },
	{ "application/grpc-web-text+json", NULL, false, false, false },
	{ "application/grpc-web+proto; charset=utf-8", NULL, false, false, false },
	{ "application/grpc-webx", NULL, false, false, false },
	{ "Application/grpc-web", NULL, false, false, false },
	{ "", "application/grpc-web-text", false, false, false },
};

static void requests_are_recognised(void **state)
{
	struct arena *a = arena_create(0);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct message m = { .path = SLICE("/pkg.Service/Method") };
		struct grpc_web how = { .text_in = false };

		headers_init(&m.headers, a, 4);
		add(&m, "content-type", kinds[i].type);
		if (kinds[i].accept != NULL)
			add(&m, "accept", kinds[i].accept);
		if (grpc_web_of(&m, &how) != kinds[i].is || how.text_in != kinds[i].text_in ||
		    how.text_out != kinds[i].text_out)
			fail_msg("%s, %s", kinds[i].type, kinds[i].accept);
	}
	arena_free(&a);
}

static void requests_turn_into_grpc(void **state)
{
	struct arena *a = arena_create(0);
	struct message m = { .framing = FRAMING_LENGTH, .content_length = 12 };

	(void)state;
	headers_init(&m.headers, a, 4);
	add(&m, "content-type", "application/grpc-web-text");
	add(&m, "content-length", "12");
	add(&m, "x-grpc-web", "1");
	grpc_web_translate_request(&m, true);
	expect(&m, "content-type", "application/grpc");
	expect(&m, "te", "trailers");
	expect(&m, "grpc-accept-encoding", "identity");
	expect(&m, "content-length", NULL);
	expect(&m, "x-grpc-web", "1");
	assert_int_equal(m.framing, FRAMING_CHUNKED);

	headers_init(&m.headers, a, 4);
	add(&m, "content-type", "application/grpc-web");
	add(&m, "grpc-accept-encoding", "gzip,identity");
	grpc_web_translate_request(&m, false);
	expect(&m, "grpc-accept-encoding", "gzip,identity");
	assert_int_equal(m.framing, FRAMING_NONE);
	arena_free(&a);
}

static void responses_turn_into_grpc_web(void **state)
{
	const struct grpc_web binary = { .text_out = false }, text = { .text_out = true };
	struct arena *a = arena_create(0);
	struct message m = { .status = 200, .framing = FRAMING_LENGTH, .content_length = 5 };

	(void)state;
	headers_init(&m.headers, a, 4);
	add(&m, "content-type", "application/grpc+proto");
	add(&m, "content-length", "5");
	assert_true(grpc_web_is_grpc(&m, false));
	grpc_web_translate_response(&m, &binary, false);
	expect(&m, "content-type", "application/grpc-web+proto");
	expect(&m, "content-length", NULL);
	assert_int_equal(m.framing, FRAMING_CHUNKED);
	grpc_web_translate_response(&m, &text, true);
	expect(&m, "content-type", "application/grpc-web-text+proto");
	assert_int_equal(m.framing, FRAMING_NONE);

	/* A status in a head that is all there is. */
	headers_init(&m.headers, a, 4);
	add(&m, "grpc-status", "5");
	assert_true(grpc_web_is_grpc(&m, true));
	assert_false(grpc_web_is_grpc(&m, false));
	arena_free(&a);
}

static void other_answers_turn_into_statuses(void **state)
{
	const struct grpc_web web = { .text_out = false };
	struct arena *a = arena_create(0);
	struct message m = { .status = 503, .framing = FRAMING_LENGTH, .content_length = 8 };

	(void)state;
	headers_init(&m.headers, a, 4);
	add(&m, "content-type", "text/html");
	assert_false(grpc_web_is_grpc(&m, false));
	grpc_web_translate_failure(&m, &web, SLICE("100% out"));
	assert_int_equal(m.status, 503);
	expect(&m, "content-type", "application/grpc-web+proto");
	expect(&m, "content-length", "0");
	expect(&m, "grpc-status", "14");
	expect(&m, "grpc-message", "100%25 out");
	assert_int_equal(m.framing, FRAMING_LENGTH);
	assert_int_equal(m.content_length, 0);

	/* One that says more than its status. */
	m.status = 504;
	headers_init(&m.headers, a, 4);
	add(&m, "grpc-status", "4");
	grpc_web_translate_failure(&m, &web, NO_SLICE);
	expect(&m, "grpc-status", "4");
	expect(&m, "grpc-message", NULL);

	/* And one that says nothing. */
	headers_init(&m.headers, a, 4);
	add(&m, "grpc-status", "all is well");
	grpc_web_translate_failure(&m, &web, NO_SLICE);
	expect(&m, "grpc-status", "14");
	arena_free(&a);
}

static void trailers_become_a_frame(void **state)
{
	static const char fields[] = "grpc-status:5\r\ngrpc-message:not there\r\n";
	struct arena *a = arena_create(0);
	struct headers h;
	struct slice found;

	(void)state;
	assert_int_equal(grpc_web_trailers(NULL, a).len, 0);
	headers_init(&h, a, 4);
	assert_int_equal(grpc_web_trailers(&h, a).len, 0);
	headers_add(&h, SLICE("grpc-status"), SLICE("5"));
	headers_add(&h, SLICE("gone"), SLICE("gone"));
	headers_add(&h, SLICE("grpc-message"), SLICE("not there"));
	headers_add(&h, SLICE("x-split"), SLICE("a\r\ngrpc-status:0"));
	headers_remove(&h, SLICE("gone"));
	found = grpc_web_trailers(&h, a);
	/* 15 + 24 bytes: what is no field does not get in. */
	assert_int_equal(found.len, 5 + sizeof(fields) - 1);
	assert_memory_equal(found.at, "\x80\0\0\0\x27", 5);
	assert_memory_equal(found.at + 5, fields, sizeof(fields) - 1);
	arena_free(&a);
}

/* ---- base64 ---- */

static const struct { const char *text, *bytes; bool ok; } groups[] = {
	{ "", "", true }, { "Zm9v", "foo", true }, { "Zm8=", "fo", true }, { "Zg==", "f", true },
	{ "+/+/", "\xfb\xff\xbf", true },
	/* Each piece that a client encoded may end in padding. */
	{ "Zg==Zg==", "ff", true }, { "Zm8=Zm9v", "fofoo", true }, { "Zg==Zm8=Zm9v", "ffofoo", true },
	{ "Zm9", "", false }, { "Z", "", false }, { "Zm9vZ", "foo", false }, { "Zm9vZg", "foo", false },
	{ "Zm9vZg=", "foo", false },
	{ "=m9v", "", false }, { "Z=9v", "", false }, { "Zm=v", "", false }, { "Z===", "", false },
	{ "====", "", false },
	{ "Zm9-", "", false }, { "Zm9_", "", false }, { "Zm 9v", "", false }, { "Zm9v\n", "foo", false },
	{ "Zm9v\r\nZm9v", "foo", false }, { "Zm9vZm9\x80", "foo", false },
	/* Bits that stand for nothing are not a second spelling. */
	{ "Zh==", "", false }, { "Zm9=", "", false },
};

/* In pieces of `step`, with room for so many bytes at a time. */
static size_t decode(const char *text, size_t step, size_t room, char *out, bool *complete)
{
	struct grpc_web_decoder d = { .have = 0 };
	struct slice rest = slice_of(text);
	size_t len = 0;

	while (rest.len > 0 && !d.failed) {
		size_t used;

		len += grpc_web_decode(&d, slice_first(rest, step), out + len, room, &used);
		rest = slice_from(rest, used);
	}
	*complete = grpc_web_is_complete(&d);
	return len;
}

static void base64_is_decoded_in_any_pieces(void **state)
{
	char out[64];
	bool complete;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		for (size_t step = 1; step <= 13; step++)
			for (size_t room = 3; room <= 6; room++) {
				size_t len = decode(groups[i].text, step, room, out, &complete);

				if (complete != groups[i].ok || len != strlen(groups[i].bytes) ||
				    memcmp(out, groups[i].bytes, len) != 0)
					fail_msg("%s in pieces of %zu", groups[i].text, step);
			}
}

static const struct { const char *bytes; size_t len; const char *text; bool between; } frames[] = {
	{ "", 0, "", true },
	{ "\0\0\0\0\0", 5, "AAAAAAA=", true },
	{ "\0\0\0\0\1x", 6, "AAAAAAF4", true },
	{ "\0\0\0\0\2xy", 7, "AAAAAAJ4eQ==", true },
	{ "\0\0\0\0\1x\0\0\0\0\1x", 12, "AAAAAAF4AAAAAAF4", true },
	{ "\0\0\0\0\2xy\0\0\0\0\0\x80\0\0\0\3a:b", 20, "AAAAAAJ4eQ==AAAAAAA=gAAAAANhOmI=", true },
	/* The beginning of a frame, as far as it makes groups. */
	{ "\0\0\0\0\4xy", 7, "AAAAAAR4", false },
	{ "\0\0\0", 3, "AAAA", false },
	{ "\1\xff\xff\xff\xff" "abcd", 9, "Af////9hYmNk", false },
};

static void frames_are_encoded_each_by_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(frames); i++)
		for (size_t step = 1; step <= 21; step++)
			for (size_t room = 4; room <= 9; room++) {
				struct grpc_web_encoder e = { .rest_have = 0 };
				struct slice rest = slice_make(frames[i].bytes, frames[i].len);
				char out[64];
				size_t len = 0, used;

				while (rest.len > 0) {
					len += grpc_web_encode(&e, slice_first(rest, step), out + len, room,
							       &used);
					rest = slice_from(rest, used);
				}
				if (!slice_eq(slice_make(out, len), slice_of(frames[i].text)) ||
				    grpc_web_is_between_frames(&e) != frames[i].between)
					fail_msg("%s in pieces of %zu: %.*s", frames[i].text, step, (int)len, out);
			}
}

/* A message of some size comes back as it was. */
static void large_frames_survive(void **state)
{
	const uint32_t sizes[] = { 1, 2, 3, 100, 4091, 4092, 4093, 65536, 1000001 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		size_t len = 5 + sizes[i], n = 0, made = 0, back = 0, used;
		char *bytes = malloc(len), *text = malloc(2 * len + 4), *again = malloc(len + 3);
		struct grpc_web_encoder e = { .rest_have = 0 };
		struct grpc_web_decoder d = { .have = 0 };

		for (size_t k = 0; k < len; k++)
			bytes[k] = (char)(k * 7 + k / 251);
		for (unsigned k = 0; k < 5; k++)
			bytes[k] = k == 0 ? 0 : (char)(sizes[i] >> (8 * (4 - k)));
		for (; n < len; n += used)
			made += grpc_web_encode(&e, slice_make(bytes + n, len - n < 1000 ? len - n : 1000),
						text + made, 512, &used);
		assert_true(grpc_web_is_between_frames(&e));
		assert_int_equal(made, (len + 2) / 3 * 4);
		for (n = 0; n < made; n += used)
			back += grpc_web_decode(&d, slice_make(text + n, made - n), again + back, len + 3 - back,
						&used);
		assert_true(grpc_web_is_complete(&d));
		assert_int_equal(back, len);
		assert_memory_equal(bytes, again, len);
		free(bytes), free(text), free(again);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_recognised),
		cmocka_unit_test(requests_turn_into_grpc),
		cmocka_unit_test(responses_turn_into_grpc_web),
		cmocka_unit_test(other_answers_turn_into_statuses),
		cmocka_unit_test(trailers_become_a_frame),
		cmocka_unit_test(base64_is_decoded_in_any_pieces),
		cmocka_unit_test(frames_are_encoded_each_by_itself),
		cmocka_unit_test(large_frames_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
