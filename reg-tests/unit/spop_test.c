/* SPDX-License-Identifier: Apache-2.0
 * The SPOP codec: vectors of spec/spop.md 3, 4, 6.4, 7, 8, 9, 10, 12.4 and the layout of 13. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "sallyport/check_request.h"
#include "sallyport/object.h"

/* "f0 01 'abc'" -> bytes: hex pairs, and text between quotes. Returns how many. */
static size_t bytes_of(const char *text, unsigned char *out)
{
	size_t n = 0;
	unsigned byte;

	while (*text != '\0') {
		if (*text == ' ') {
			text++;
		} else if (*text == '\'') {
			for (text++; *text != '\''; text++)
				out[n++] = (unsigned char)*text;
			text++;
		} else {
			assert_int_equal(sscanf(text, "%2x", &byte), 1);
			out[n++] = (unsigned char)byte;
			text += 2;
		}
	}
	return n;
}

#define assert_written(w, text) \
	do { \
		unsigned char expected_[4096]; \
		size_t n_ = bytes_of(text, expected_); \
		assert_false((w).full); \
		assert_int_equal(spop_writer_used(&(w)), n_); \
		assert_memory_equal((w).start, expected_, n_); \
	} while (0)

static const struct { uint64_t value; const char *bytes; } varints[] = {
	{ 0, "00" }, { 1, "01" }, { 127, "7f" }, { 128, "80" }, { 239, "ef" },
	{ 240, "f0 00" }, { 241, "f1 00" }, { 255, "ff 00" }, { 256, "f0 01" }, { 401, "f1 0a" },
	{ 403, "f3 0a" }, { 443, "fb 0c" }, { 1000, "f8 2f" }, { 1024, "f0 31" },
	{ 2287, "ff 7f" }, { 2288, "f0 80 00" }, { 4096, "f0 f1 00" }, { 8080, "f0 ea 02" },
	{ 16380, "fc f0 06" }, { 16384, "f0 f1 06" }, { 65535, "ff f0 1e" }, { 65536, "f0 f1 1e" },
	{ 264431, "ff ff 7f" }, { 264432, "f0 80 80 00" }, { 1000000, "f0 95 e7 02" },
	{ 33818863, "ff ff ff 7f" }, { 33818864, "f0 80 80 80 00" },
	{ 2147483647, "ff f0 fe fe 3e" }, { 4294967295, "ff f0 fe fe 7e" },
	{ INT64_MAX, "ff f0 fe fe fe fe fe fe fe 06" },
	{ UINT64_MAX, "ff f0 fe fe fe fe fe fe fe 0e" },
};

static void varints_are_encoded_and_decoded(void **state)
{
	unsigned char bytes[16];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(varints); i++) {
		size_t n = bytes_of(varints[i].bytes, bytes);
		struct spop_reader r = spop_reader_of(slice_make(bytes, n));
		unsigned char out[16];
		struct spop_writer w = spop_writer_of(out, sizeof(out));

		assert_true(spop_read_varint(&r) == varints[i].value && !r.broken && r.at == r.end);
		spop_write_varint(&w, varints[i].value);
		assert_written(w, varints[i].bytes);
		assert_int_equal(spop_varint_size(varints[i].value), n);
		for (size_t cut = 0; cut < n; cut++) {
			r = spop_reader_of(slice_make(bytes, cut));
			spop_read_varint(&r);
			assert_true(r.broken);
			w = spop_writer_of(out, cut);
			spop_write_varint(&w, varints[i].value);
			assert_true(w.full && spop_writer_used(&w) == 0);
		}
	}
}

static void varints_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "f0", "ff ff", "f0 80 80 80 80 80 80 80 80 80 00",	/* eleven bytes */
		"ff f0 fe fe fe fe fe fe fe 0f",			/* 2^64 and more */
		"ff ff ff ff ff ff ff ff ff 7f",
	};
	unsigned char bytes[16];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct spop_reader r = spop_reader_of(slice_make(bytes, bytes_of(bad[i], bytes)));

		assert_int_equal(spop_read_varint(&r), 0);
		assert_true(r.broken);
		assert_int_equal(spop_read_byte(&r), 0);
	}
}

static struct spop_value value_of(const char *text, bool *broken)
{
	static unsigned char bytes[64];
	struct spop_reader r = spop_reader_of(slice_make(bytes, bytes_of(text, bytes)));
	struct spop_value v = spop_read_value(&r);

	*broken = r.broken || r.at != r.end;
	return v;
}

static void typed_values_are_read(void **state)
{
	struct spop_value v;
	bool broken;

	(void)state;
	v = value_of("00", &broken);
	assert_true(v.type == SPOP_NULL && !broken);
	v = value_of("11", &broken);
	assert_true(v.type == SPOP_BOOL && v.boolean && !broken);
	v = value_of("01", &broken);
	assert_true(v.type == SPOP_BOOL && !v.boolean && !broken);
	v = value_of("21", &broken);	/* other flags say nothing */
	assert_true(v.type == SPOP_BOOL && !v.boolean && !broken);
	v = value_of("03 fc f0 06", &broken);
	assert_true(v.type == SPOP_UINT32 && v.number == 16380 && !broken);
	v = value_of("04 fb 0c", &broken);
	assert_true(v.type == SPOP_INT64 && v.number == 443 && !broken);
	v = value_of("04 ff f0 fe fe fe fe fe fe fe 0e", &broken);
	assert_true((int64_t)v.number == -1 && !broken);
	v = value_of("02 ff f0 fe fe fe fe fe fe fe 0e", &broken);
	assert_true(v.type == SPOP_INT32 && (int64_t)v.number == -1 && !broken);
	v = value_of("06 7f 00 00 01", &broken);
	assert_true(v.type == SPOP_IPV4 && v.bytes.len == 4 && v.bytes.at[0] == 0x7f && !broken);
	v = value_of("07 00000000000000000000000000000001", &broken);
	assert_true(v.type == SPOP_IPV6 && v.bytes.len == 16 && v.bytes.at[15] == 1 && !broken);
	v = value_of("08 03 'GET'", &broken);
	assert_true(v.type == SPOP_STRING && slice_eq(v.bytes, SLICE("GET")) && !broken);
	v = value_of("08 00", &broken);
	assert_true(v.bytes.at != NULL && v.bytes.len == 0 && !broken);
}

static void values_beyond_their_bytes_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "0a", "0b 00", "0f", "03", "06 7f 00 00", "07 00", "08", "08 04 'GET'",
		"09 ff f0 fe fe fe fe fe fe fe 0e 00",
	};
	bool broken;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(value_of(bad[i], &broken).type, SPOP_NULL);
		assert_true(broken);
	}
}

static void typed_values_are_written(void **state)
{
	static const uint8_t home6[16] = { [15] = 1 }, home4[4] = { 127, 0, 0, 1 };
	unsigned char out[128];
	struct spop_writer w = spop_writer_of(out, sizeof(out));

	(void)state;
	spop_write_bool(&w, true);
	spop_write_bool(&w, false);
	spop_write_uint32(&w, 16380);
	spop_write_int64(&w, -1);
	spop_write_ip(&w, home4, false);
	spop_write_ip(&w, home6, true);
	spop_write_string(&w, SLICE("GET"));
	spop_write_string(&w, NO_SLICE);
	spop_write_binary(&w, SLICE(""));
	assert_written(w, "11 01 03fcf006 04fff0fefefefefefefe0e 06 7f000001 "
			  "07 00000000000000000000000000000001 0803'GET' 00 0900");
}

static void hello_frames_are_bit_exact(void **state)
{
	unsigned char out[256];
	struct spop_writer w = spop_writer_of(out, sizeof(out));
	struct spop_hello hello = { .max_frame_size = 16380, .capabilities = SLICE(""),
				    .healthcheck = true };

	(void)state;
	spop_write_client_hello(&w, &hello);
	assert_written(w, "0000004e 01 00000001 00 00 12'supported-versions' 0803'2.0' "
			  "0e'max-frame-size' 03fcf006 0c'capabilities' 0800 0b'healthcheck' 11");
	w = spop_writer_of(out, sizeof(out));
	hello = (struct spop_hello){ .max_frame_size = 16380, .capabilities = SLICE("pipelining"),
				     .engine_id = SLICE("0123456789abcdef0123456789abcdef0123") };
	spop_write_client_hello(&w, &hello);
	assert_written(w, "0000007b 01 00000001 00 00 12'supported-versions' 0803'2.0' "
			  "0e'max-frame-size' 03fcf006 0c'capabilities' 080a'pipelining' "
			  "09'engine-id' 0824'0123456789abcdef0123456789abcdef0123'");
	w = spop_writer_of(out, sizeof(out));
	spop_write_agent_hello(&w, 16380, SLICE("pipelining"));
	assert_written(w, "00000040650000000100000776657273696f6e0803322e300e6d61782d6672616d652d"
			  "73697a6503fcf0060c6361706162696c6974696573080a706970656c696e696e67");
}

static const struct { const char *payload; int status; uint32_t size; } client_hellos[] = {
	{ "12'supported-versions'0803'2.0' 0e'max-frame-size'03fcf006 0c'capabilities'0800", 0, 16380 },
	{ "0c'capabilities'0800 0e'max-frame-size'05fcf006 12'supported-versions'0808'1.0, 2.0'",
	  0, 16380 },
	{ "12'supported-versions'0803'2.0' 0e'max-frame-size'03f001 0c'capabilities'0800", 0, 256 },
	{ "12'supported-versions'0803'2.0' 0e'max-frame-size'03ff00 0c'capabilities'0800", 9, 0 },
	{ "12'supported-versions'0803'1.0' 0e'max-frame-size'03fcf006 0c'capabilities'0800", 8, 0 },
	{ "12'supported-versions'0804'2.01' 0e'max-frame-size'03fcf006 0c'capabilities'0800", 8, 0 },
	{ "12'supported-versions'0803'2.0' 0e'max-frame-size'03fcf006", 7, 0 },
	{ "12'supported-versions'0803'2.0' 0c'capabilities'0800", 6, 0 },
	{ "0e'max-frame-size'03fcf006 0c'capabilities'0800", 5, 0 },
	{ "", 5, 0 },
	{ "12'supported-versions'0a", 4, 0 },
	{ "12'supported-versions'0803'2.0' 0e'max-frame-size'03fcf006 0c'capabilities'0801", 4, 0 },
	/* A later key of the same name wins; unknown ones don't count. */
	{ "12'supported-versions'0803'1.0' 03'new'11 12'supported-versions'0803'2.0' "
	  "0e'max-frame-size'03fcf006 0c'capabilities'0800", 0, 16380 },
};

static void client_hellos_are_judged(void **state)
{
	unsigned char bytes[256];
	struct spop_hello hello;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(client_hellos); i++) {
		struct slice payload = slice_make(bytes, bytes_of(client_hellos[i].payload, bytes));

		assert_int_equal(spop_decode_client_hello(payload, &hello), client_hellos[i].status);
		if (client_hellos[i].status == 0)
			assert_int_equal(hello.max_frame_size, client_hellos[i].size);
	}
}

static const struct { const char *payload; int status; } agent_hellos[] = {
	{ "07'version'0803'2.0' 0e'max-frame-size'03fcf006 0c'capabilities'080a'pipelining'", 0 },
	{ "0e'max-frame-size'02fcf006 07'version'0803'2.0'", 0 },
	{ "0e'max-frame-size'02fcf006 07'version'0803'2.1'", 8 },
	{ "0e'max-frame-size'02fcf006", 5 },
	{ "07'version'0803'2.0'", 6 },
	{ "07'version'0803'2.0' 0e'max-frame-size'03ff00", 9 },
	{ "07'version'0803'2.0' 0e'max-frame-size'03fdf006", 9 },	/* more than we said */
	{ "07'version'0803 32", 4 },		/* cut within a value */
};

static void agent_hellos_are_judged(void **state)
{
	unsigned char bytes[256];
	struct spop_hello hello;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(agent_hellos); i++) {
		size_t n = bytes_of(agent_hellos[i].payload, bytes);

		assert_int_equal(spop_decode_agent_hello(slice_make(bytes, n), 16380, &hello),
				 agent_hellos[i].status);
	}
	assert_true(spop_list_has(SLICE("async, pipelining "), SLICE("pipelining")));
	assert_false(spop_list_has(SLICE("pipelining2,pipe"), SLICE("pipelining")));
	assert_false(spop_list_has(SLICE(""), SLICE("pipelining")));
}

static void disconnects_are_bit_exact_and_read_back(void **state)
{
	unsigned char out[256], text[400];
	struct spop_writer w = spop_writer_of(out, sizeof(out));
	struct slice bytes, message;
	enum spop_status status, why;
	struct spop_frame f;

	(void)state;
	spop_write_disconnect(&w, SPOP_HAPROXY_DISCONNECT, SPOP_NORMAL, NULL);
	assert_written(w, "00000025 02 00000001 00 00 0b'status-code' 0300 07'message' 0806'normal'");
	w = spop_writer_of(out, sizeof(out));
	spop_write_disconnect(&w, SPOP_AGENT_DISCONNECT, SPOP_BAD_VERSION, NULL);
	assert_written(w, "00000032 66 00000001 00 00 0b'status-code' 0308 07'message' "
			  "0813'unsupported version'");
	bytes = slice_make(out, spop_writer_used(&w));
	assert_int_equal(spop_cut_frame(&bytes, 256, &f, &why), OK);
	spop_decode_disconnect(f.payload, &status, &message);
	assert_int_equal(status, SPOP_BAD_VERSION);
	assert_true(slice_eq(message, SLICE("unsupported version")));
	spop_decode_disconnect(slice_make(text, bytes_of("0b'status-code'0a", text)), &status, &message);
	assert_int_equal(status, SPOP_UNKNOWN);
	assert_string_equal(spop_status_text(SPOP_UNKNOWN), "an unknown error occurred");
	assert_string_equal(spop_status_text((enum spop_status)50), "an unknown error occurred");
}

static const char notify_of_7[] = "00000037 03 00000001 01 01 0d'check-request' 03 "
	"06'method' 0803'GET' 03'src' 067f000001 08'dst-port' 04fb0c";

static void a_notify_is_read(void **state)
{
	unsigned char bytes[256];
	struct slice in = slice_make(bytes, bytes_of(notify_of_7, bytes)), name;
	struct spop_message m;
	enum spop_status why;
	struct spop_reader r;
	struct spop_value v;
	struct spop_frame f;

	(void)state;
	for (size_t cut = 0; cut < in.len; cut++) {
		struct slice part = slice_first(in, cut);

		assert_int_equal(spop_cut_frame(&part, 16380, &f, &why), AGAIN);
		assert_int_equal(part.len, cut);
	}
	assert_int_equal(spop_cut_frame(&in, 16380, &f, &why), OK);
	assert_int_equal(in.len, 0);
	assert_true(f.type == SPOP_NOTIFY && f.flags == SPOP_FIN && f.stream_id == 1 &&
		    f.frame_id == 1);
	r = spop_reader_of(f.payload);
	assert_true(spop_read_message(&r, &m));
	assert_true(slice_eq(m.name, SLICE("check-request")) && m.args == 3);
	assert_true(spop_read_kv(&r, &name, &v) && slice_eq(v.bytes, SLICE("GET")));
	assert_true(spop_read_kv(&r, &name, &v) && v.type == SPOP_IPV4);
	assert_true(spop_read_kv(&r, &name, &v) && v.number == 443 &&
		    slice_eq(name, SLICE("dst-port")));
	assert_false(spop_read_message(&r, &m));
	assert_false(r.broken);
}

static void frames_of_bad_length_are_refused(void **state)
{
	static const struct { const char *bytes; int status; } bad[] = {
		{ "ffffffff", SPOP_TOO_BIG }, { "00003ffd", SPOP_TOO_BIG },
		{ "00000006", SPOP_INVALID }, { "00000000", SPOP_INVALID },
		{ "00000007 03 00000001 f0 80", SPOP_INVALID },	/* an id that does not end */
	};
	unsigned char bytes[64];
	enum spop_status why;
	struct spop_frame f;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct slice in = slice_make(bytes, bytes_of(bad[i].bytes, bytes));

		assert_int_equal(spop_cut_frame(&in, 16380, &f, &why), FAILED);
		assert_int_equal(why, bad[i].status);
	}
}

static void heads_of_fragments_are_read(void **state)
{
	unsigned char bytes[64];
	struct slice in = slice_make(bytes, bytes_of("00000007 00 00000003 01 01", bytes));
	enum spop_status why;
	struct spop_frame f;

	(void)state;
	assert_int_equal(spop_cut_frame(&in, 16380, &f, &why), OK);
	assert_true(f.type == SPOP_UNSET && f.flags == (SPOP_FIN | SPOP_ABORT));
	assert_true(f.stream_id == 1 && f.frame_id == 1 && f.payload.len == 0);
	assert_int_equal(spop_put_head(bytes, SPOP_NOTIFY, 0, 1, 1, 30), 11);
	in = slice_make(bytes, 11);
	assert_memory_equal(bytes, "\0\0\0\x25\x03\0\0\0\0\1\1", 11);
}

static void actions_are_bit_exact_and_read_back(void **state)
{
	unsigned char out[128];
	struct spop_writer w = spop_writer_of(out, sizeof(out));
	size_t begun = spop_begin_frame(&w, SPOP_ACK, SPOP_FIN, 1, 1);
	struct spop_action a;
	enum spop_status why;
	struct spop_reader r;
	struct spop_frame f;
	struct slice in;

	(void)state;
	spop_write_set_var(&w, SPOP_TXN, SLICE("status"));
	spop_write_uint32(&w, 403);
	spop_write_set_var(&w, SPOP_TXN, SLICE("allow"));
	spop_write_bool(&w, false);
	spop_end_frame(&w, begun);
	assert_written(w, "0000001e 67 00000001 01 01 010302 06'status' 03f30a 010302 05'allow' 01");
	in = slice_make(out, spop_writer_used(&w));
	assert_int_equal(spop_cut_frame(&in, 256, &f, &why), OK);
	r = spop_reader_of(f.payload);
	assert_true(spop_read_action(&r, &a) && a.type == SPOP_SET_VAR && a.scope == SPOP_TXN);
	assert_true(slice_eq(a.name, SLICE("status")) && a.value.number == 403);
	assert_true(spop_read_action(&r, &a) && slice_eq(a.name, SLICE("allow")));
	assert_true(!spop_read_action(&r, &a) && !r.broken);

	w = spop_writer_of(out, sizeof(out));
	begun = spop_begin_frame(&w, SPOP_ACK, SPOP_FIN, 300, 1);
	spop_write_unset_var(&w, SPOP_TXN, SLICE("principal"));
	spop_end_frame(&w, begun);
	assert_written(w, "00000015 67 00000001 fc03 01 020202 09'principal'");
}

static void malformed_actions_are_refused(void **state)
{
	static const char *const bad[] = {
		"03 03 02 01'a' 11",		/* no such action */
		"01 02 02 01'a' 11",		/* wrong number of arguments */
		"02 03 02 01'a' 11",
		"01 03 05 01'a' 11",		/* no such scope */
		"01 03 02 01'a'",		/* no value */
		"01 03 02 05'a' 11",
		"01 03", "01",
	};
	unsigned char bytes[64];
	struct spop_action a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct spop_reader r = spop_reader_of(slice_make(bytes, bytes_of(bad[i], bytes)));

		assert_false(spop_read_action(&r, &a));
		assert_true(r.broken);
	}
}

static void hdrs_bin_is_walked(void **state)
{
	unsigned char bytes[64];
	size_t n = bytes_of("04'host' 03'a.b' 05'x-foo' 03'bar' 05'x-foo' 00 0000", bytes);
	struct spop_reader r = spop_reader_of(slice_make(bytes, n));
	struct slice name, value;

	(void)state;
	assert_int_equal(n, 28);
	assert_int_equal(spop_read_header(&r, &name, &value), OK);
	assert_true(slice_eq(name, SLICE("host")) && slice_eq(value, SLICE("a.b")));
	assert_int_equal(spop_read_header(&r, &name, &value), OK);
	assert_int_equal(spop_read_header(&r, &name, &value), OK);
	assert_true(slice_eq(name, SLICE("x-foo")) && value.len == 0);
	assert_int_equal(spop_read_header(&r, &name, &value), CLOSED);
}

static const struct { const char *bytes; bool headers, names; } header_lists[] = {
	{ "0000", true, true },
	{ "00", false, true },
	{ "01'a' 01'b' 0000", true, true },	/* as names: two of them */
	{ "01'a' 01'b'", false, false },	/* no end mark */
	{ "01'a' 01'b' 0000 00", false, false },	/* bytes behind it */
	{ "01'a' 01'b' 00 01'x'", false, false },
	{ "01'a' 05'b'", false, false },
	{ "01'a' 03'x' 0d 0a 0000", false, false },
	{ "01'a' 01 00 0000", false, false },
	{ "03'a b' 01'x' 0000", false, false },
	{ "02'a:' 01'x' 0000", false, false },
	{ "", false, false },
};

static void header_lists_that_could_smuggle_are_refused(void **state)
{
	unsigned char bytes[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(header_lists); i++) {
		struct slice s = slice_make(bytes, bytes_of(header_lists[i].bytes, bytes));

		assert_int_equal(check_headers_are_clean(s), header_lists[i].headers);
		assert_int_equal(check_names_are_clean(s), header_lists[i].names);
	}
	assert_true(check_headers_are_clean(NO_SLICE) && check_names_are_clean(NO_SLICE));
}

static const struct check_header question_headers[] = {
	{ { "host", 4 }, { "shop.example", 12 } }, { { "x-empty", 7 }, { "", 0 } },
};

static struct check_request a_question(void)
{
	return (struct check_request){
		.method = SLICE("GET"), .scheme = SLICE("https"), .authority = SLICE("shop.example"),
		.path = SLICE("/a?b=c"), .normalized = true,
		.header_list = question_headers, .header_count = COUNT_OF(question_headers),
		.remote = { .family = 4, .bytes = { 192, 0, 2, 1 }, .port = 4711 },
		.source = { .family = 6, .bytes = { 0x20, 1 }, .port = 65535 },
		.destination = { .family = 4, .bytes = { 127, 0, 0, 1 }, .port = 8443 },
		.tls = true, .sni = SLICE("shop.example"), .workload = SLICE("istio-system/edge"),
		.labels = SLICE("istio=ingressgateway"), .deadline_ms = 180, .rev = SLICE("r7"),
		.dest_workload = SLICE("shop/cart"), .dest_labels = SLICE("app=cart;app=cart,v=2"),
		.dest_path = SLICE("/cart"), .dest_port = 9080, .claims_of = SLICE("\2\1x"),
	};
}

static size_t write_question(unsigned char *out, size_t bytes, const struct check_request *q)
{
	struct spop_writer w = spop_writer_of(out, bytes);

	check_request_write(&w, q);
	return w.full ? 0 : spop_writer_used(&w);
}

static enum outcome read_question(const unsigned char *bytes, size_t len, struct check_request *out,
				  const char **missing)
{
	struct spop_reader r = spop_reader_of(slice_make(bytes, len));
	struct spop_message m;

	assert_true(spop_read_message(&r, &m));
	return check_request_read(&r, &m, out, missing);
}

static void a_question_survives_the_wire(void **state)
{
	struct check_request q = a_question(), back;
	unsigned char bytes[2048];
	const char *missing;
	size_t n = write_question(bytes, sizeof(bytes), &q);
	struct slice name, value;
	struct spop_reader r;

	(void)state;
	assert_true(n > 0);
	assert_int_equal(read_question(bytes, n, &back, &missing), OK);
	assert_true(slice_eq(back.path, q.path) && slice_eq(back.rev, q.rev) && back.normalized);
	assert_true(back.tls && !back.peer_verified && !back.tcp && back.deadline_ms == 180);
	assert_memory_equal(&back.remote, &q.remote, sizeof(q.remote));
	assert_memory_equal(&back.source, &q.source, sizeof(q.source));
	assert_memory_equal(&back.destination, &q.destination, sizeof(q.destination));
	assert_true(slice_eq(back.claims_of, q.claims_of));
	assert_true(slice_eq(back.dest_labels, q.dest_labels) && back.dest_port == 9080);
	assert_true(slice_eq(back.dest_path, q.dest_path) && back.dest_authority.at == NULL);
	assert_null(back.peer_cert.at);
	assert_true(check_headers_are_clean(back.headers));
	r = spop_reader_of(back.headers);
	assert_int_equal(spop_read_header(&r, &name, &value), OK);
	assert_true(slice_eq(name, SLICE("host")) && slice_eq(value, SLICE("shop.example")));
	for (size_t room = 0; room < n; room++)
		assert_int_equal(write_question(bytes, room, &q), 0);
}

/* Ours say that there is a body; of others that say nothing there may be one. */
static void a_body_that_nobody_speaks_of_may_be_there(void **state)
{
	struct check_request q = a_question(), back;
	unsigned char bytes[2048];
	const char *missing;
	struct spop_writer w;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		q.brief = i & 1;
		q.has_body = i & 2;
		n = write_question(bytes, sizeof(bytes), &q);
		assert_int_equal(read_question(bytes, n, &back, &missing), OK);
		assert_int_equal(back.has_body, q.has_body || !q.brief);
	}
	q.brief = q.has_body = false;
	n = write_question(bytes, sizeof(bytes), &q);
	w = spop_writer_of(bytes + n, sizeof(bytes) - n);
	spop_write_bytes(&w, SLICE("has-body"));
	spop_write_bool(&w, false);
	bytes[1 + strlen(CHECK_REQUEST_MESSAGE)]++;	/* arguments */
	assert_int_equal(read_question(bytes, n + spop_writer_used(&w), &back, &missing), OK);
	assert_false(back.has_body);
	q.tcp = true;
	n = write_question(bytes, sizeof(bytes), &q);
	assert_int_equal(read_question(bytes, n, &back, &missing), OK);
	assert_false(back.has_body);
}

static void a_question_cut_anywhere_is_refused(void **state)
{
	struct check_request q = a_question(), back;
	unsigned char bytes[2048];
	const char *missing;
	size_t n = write_question(bytes, sizeof(bytes), &q);

	(void)state;
	for (size_t cut = 15; cut < n; cut++)
		assert_int_equal(read_question(bytes, cut, &back, &missing), FAILED);
}

static void a_connection_question_has_no_http_arguments(void **state)
{
	struct check_request q = a_question(), back;
	unsigned char bytes[2048];
	const char *missing;
	size_t n;

	(void)state;
	q.tcp = true;
	q.remote.family = q.source.family = 0;	/* a UNIX socket */
	n = write_question(bytes, sizeof(bytes), &q);
	assert_int_equal(read_question(bytes, n, &back, &missing), OK);
	assert_true(back.tcp && back.method.at == NULL && back.headers.at == NULL);
	assert_int_equal(back.source.family, 0);
	assert_true(slice_eq(back.workload, q.workload));
}

static const struct { const char *args; unsigned count; const char *missing; } questions[] = {
	{ "06'method'0803'GET'", 1, "v" },
	{ "01'v'0302", 1, "v" },
	{ "01'v'0301", 1, "method" },
	{ "01'v'0301 06'method'00", 2, "method" },
	{ "01'v'0301 06'method'0301", 2, "method" },
	{ "01'v'0401 06'method'0801'G' 06'scheme'0801'h' 09'authority'0801'a' 04'path'0801'/' "
	  "09'remote-ip'08 03'::1' 03'src'08 05'1.2.3'", 7, "src" },
	{ "01'v'0401 06'method'0801'G' 06'scheme'0801'h' 09'authority'0801'a' 04'path'0801'/' "
	  "09'remote-ip'08 03'::1' 03'src'0607070707 03'dst'0607070707 08'dst-port'02fff01e "
	  "03'tls'11 08'workload'0803'a/b' 07'unknown'0a00", 11, "headers" },
	{ "01'v'0401 08'dst-port'03f0f11e", 2, "dst-port" },	/* 65536 */
};

static void what_is_missing_is_named(void **state)
{
	struct check_request q;
	const char *missing;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(questions); i++) {
		unsigned char bytes[512];
		size_t n = bytes_of("0d'check-request'", bytes);

		bytes[n++] = (unsigned char)questions[i].count;
		n += bytes_of(questions[i].args, bytes + n);
		assert_int_equal(read_question(bytes, n, &q, &missing), FAILED);
		assert_string_equal(missing, questions[i].missing);
	}
}

static void every_integer_type_is_a_port(void **state)
{
	static const char *const ports[] = { "02fb0c", "03fb0c", "04fb0c", "05fb0c" };
	struct check_request q;
	const char *missing;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ports); i++) {
		unsigned char bytes[128];
		size_t n = bytes_of("0d'check-request' 01 08'dst-port'", bytes);

		n += bytes_of(ports[i], bytes + n);
		read_question(bytes, n, &q, &missing);
		assert_int_equal(q.destination.port, 443);
	}
}

static void a_reply_survives_the_wire(void **state)
{
	struct check_reply reply = {
		.allow = true, .status = 200, .reason = SLICE("ok"), .principal = SLICE("iss/sub"),
		.headers_remove = SLICE("\x0d" "authorization\0\0"),
		.headers_set = SLICE("\x01" "a\x01" "b\0\0"), .claims = SLICE("{}"),
		.claim_values = SLICE("\2\1v"), .strip_authorization = true,
	}, back;
	unsigned char bytes[512];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));
	size_t n;

	(void)state;
	check_reply_write_header_variable(&w, SLICE("X-Jwt-Payload"), SLICE("p"));
	check_reply_write(&w, &reply);
	n = spop_writer_used(&w);
	assert_memory_equal(bytes, "\1\3\2\x0fh_x_jwt_payload\x08\1p", 22);
	assert_memory_equal(bytes + n - 7, "\5allow\x11", 7);
	assert_int_equal(check_reply_read(slice_make(bytes, n), &back), OK);
	assert_true(back.allow && back.status == 200 && back.strip_authorization);
	assert_true(slice_eq(back.headers_remove, reply.headers_remove));
	assert_true(slice_eq(back.claim_values, reply.claim_values));
	assert_true(slice_eq(back.claims, SLICE("{}")) && back.body.at == NULL);
	for (size_t cut = 0; cut < n; cut++)	/* allow is last: less of it is no permission */
		assert_int_equal(check_reply_read(slice_make(bytes, cut), &back), FAILED);
}

static void claims_that_do_not_fit_are_left_out(void **state)
{
	static char long_claims[4096];
	struct check_reply reply = { .allow = true, .reason = SLICE("ok"),
				     .claims = { long_claims, sizeof(long_claims) } }, back;
	unsigned char bytes[256];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));

	(void)state;
	check_reply_write(&w, &reply);
	assert_false(w.full);
	assert_int_equal(check_reply_read(slice_make(bytes, spop_writer_used(&w)), &back), OK);
	assert_true(slice_eq(back.reason, SLICE("ok,claims-omitted")) && back.claims.at == NULL);
	reply.claim_values = reply.claims;
	reply.claims = NO_SLICE;
	w = spop_writer_of(bytes, sizeof(bytes));
	check_reply_write(&w, &reply);
	assert_int_equal(check_reply_read(slice_make(bytes, spop_writer_used(&w)), &back), OK);
	assert_true(slice_eq(back.reason, SLICE("ok,claims-omitted")) && back.claim_values.at == NULL);
	w = spop_writer_of(bytes, 16);
	check_reply_write(&w, &reply);
	assert_true(w.full);
}

static const struct { const char *actions; int outcome; bool allow; } replies[] = {
	{ "010302 05'allow' 11", OK, true },
	{ "010302 05'allow' 01", OK, false },
	{ "010302 05'allow' 11 010302 05'allow' 01", OK, false },	/* the last one wins */
	{ "010302 05'allow' 00", FAILED, false },			/* NULL unsets */
	{ "010302 05'allow' 11 020202 05'allow'", FAILED, false },
	{ "010302 05'allow' 0301", FAILED, false },			/* no boolean */
	{ "010302 06'status' 11 010302 05'allow' 11", FAILED, false },
	{ "010302 06'status' 03f8 2f 010302 05'allow' 11", FAILED, false },	/* 1000 */
	{ "010303 07'unheard' 0a", FAILED, false },
	{ "010303 07'unheard' 11 010304 05'allow' 11", OK, true },
	{ "010302 05'allow' 11 0103", FAILED, false },			/* cut second action */
	{ "010302 05'allow' 11 010302 07'hdr_set' 0904 01'a'01'b'", FAILED, false },
	{ "010302 05'allow' 01 010302 10'www_authenticate' 0803 'a'0a'b'", FAILED, false },
	{ "", FAILED, false },
};

static void replies_fail_closed(void **state)
{
	unsigned char bytes[128];
	struct check_reply back;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(replies); i++) {
		struct slice s = slice_make(bytes, bytes_of(replies[i].actions, bytes));

		assert_int_equal(check_reply_read(s, &back), replies[i].outcome);
		if (replies[i].outcome == OK)
			assert_int_equal(back.allow, replies[i].allow);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_are_encoded_and_decoded),
		cmocka_unit_test(varints_that_cannot_be_are_refused),
		cmocka_unit_test(typed_values_are_read),
		cmocka_unit_test(values_beyond_their_bytes_are_refused),
		cmocka_unit_test(typed_values_are_written),
		cmocka_unit_test(hello_frames_are_bit_exact),
		cmocka_unit_test(client_hellos_are_judged),
		cmocka_unit_test(agent_hellos_are_judged),
		cmocka_unit_test(disconnects_are_bit_exact_and_read_back),
		cmocka_unit_test(a_notify_is_read),
		cmocka_unit_test(frames_of_bad_length_are_refused),
		cmocka_unit_test(heads_of_fragments_are_read),
		cmocka_unit_test(actions_are_bit_exact_and_read_back),
		cmocka_unit_test(malformed_actions_are_refused),
		cmocka_unit_test(hdrs_bin_is_walked),
		cmocka_unit_test(header_lists_that_could_smuggle_are_refused),
		cmocka_unit_test(a_question_survives_the_wire),
		cmocka_unit_test(a_body_that_nobody_speaks_of_may_be_there),
		cmocka_unit_test(a_question_cut_anywhere_is_refused),
		cmocka_unit_test(a_connection_question_has_no_http_arguments),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(every_integer_type_is_a_port),
		cmocka_unit_test(a_reply_survives_the_wire),
		cmocka_unit_test(claims_that_do_not_fit_are_left_out),
		cmocka_unit_test(replies_fail_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
