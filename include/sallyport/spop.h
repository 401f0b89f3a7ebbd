/* SPDX-License-Identifier: Apache-2.0
 *
 * spop.h - the wire between the proxy and the agent: frames, typed values, lists (spec/spop.md).
 *
 *   +--------+------+-------+-----------+----------+---------+
 *   | LENGTH | TYPE | FLAGS | STREAM-ID | FRAME-ID | PAYLOAD |   LENGTH counts all behind itself
 *   |  4 BE  |  1   |  4 BE |  varint   |  varint  |  rest   |
 *   +--------+------+-------+-----------+----------+---------+
 *
 * Owner    nothing is allocated: what is decoded are slices into the caller's bytes, what is
 *          encoded goes into the caller's buffer.
 * Thread   any; no state.
 * Fails    readers and writers are sticky: after the first bad length (or full buffer) every
 *          further call does nothing, so a caller checks `broken` (`full`) once at the end. */
#ifndef SALLYPORT_SPOP_H
#define SALLYPORT_SPOP_H

#include "sallyport/problem.h"
#include "sallyport/slice.h"

#define SPOP_VERSION		"2.0"
#define SPOP_LENGTH_BYTES	4
#define SPOP_FRAME_MIN		7	/* least LENGTH: type, flags and two ids of one byte */
#define SPOP_FRAME_SIZE_MIN	256	/* least max-frame-size of either side */
#define SPOP_FRAME_SIZE_DEFAULT	16380	/* what HAProxy asks for by default */
#define SPOP_FRAME_SIZE_OURS	(128 << 10)	/* ours to ours: a head of 60 KiB, and of a body 32 KiB */
#define SPOP_FRAME_SIZE_MAX	(1 << 20)	/* more is never agreed to by us */
#define SPOP_HELLO_SIZE_MAX	16384	/* longest frame before a size is agreed */
#define SPOP_VARINT_MAX		10
#define SPOP_HEADER_MAX		(SPOP_LENGTH_BYTES + 1 + 4 + 2 * SPOP_VARINT_MAX)

enum spop_frame_type {
	SPOP_UNSET = 0,			/* continuation of a fragmented NOTIFY */
	SPOP_HAPROXY_HELLO = 1,
	SPOP_HAPROXY_DISCONNECT = 2,
	SPOP_NOTIFY = 3,
	SPOP_AGENT_HELLO = 101,
	SPOP_AGENT_DISCONNECT = 102,
	SPOP_ACK = 103,
};

#define SPOP_FIN	0x1u
#define SPOP_ABORT	0x2u

/* status-code of DISCONNECT. */
enum spop_status {
	SPOP_NORMAL = 0,
	SPOP_IO_ERROR = 1,
	SPOP_TIMED_OUT = 2,
	SPOP_TOO_BIG = 3,
	SPOP_INVALID = 4,
	SPOP_NO_VERSION = 5,
	SPOP_NO_FRAME_SIZE = 6,
	SPOP_NO_CAPABILITIES = 7,
	SPOP_BAD_VERSION = 8,
	SPOP_BAD_FRAME_SIZE = 9,
	SPOP_NO_FRAGMENTATION = 10,
	SPOP_INTERLACED = 11,
	SPOP_UNKNOWN_ID = 12,
	SPOP_RESOURCES = 13,
	SPOP_UNKNOWN = 99,
};

/* What the protocol says for a code: "frame is too big". */
const char *spop_status_text(enum spop_status status);

enum spop_type {
	SPOP_NULL, SPOP_BOOL, SPOP_INT32, SPOP_UINT32, SPOP_INT64, SPOP_UINT64,
	SPOP_IPV4, SPOP_IPV6, SPOP_STRING, SPOP_BINARY,
	SPOP_TYPE_COUNT,
};

struct spop_value {
	enum spop_type type;
	bool boolean;		/* SPOP_BOOL */
	uint64_t number;	/* the four integer types; negative ones in two's complement */
	struct slice bytes;	/* addresses (4 or 16 bytes), STRING, BINARY */
};

/* ---- reading ---- */

struct spop_reader {
	const unsigned char *at, *end;
	bool broken;		/* a length or type was wrong; `at` stands still from then on */
};

struct spop_reader spop_reader_of(struct slice bytes);
static inline bool spop_reader_has_more(const struct spop_reader *r)
{
	return !r->broken && r->at < r->end;
}

uint8_t spop_read_byte(struct spop_reader *r);
uint64_t spop_read_varint(struct spop_reader *r);
struct slice spop_read_bytes(struct spop_reader *r);	/* varint length, then so many bytes */
struct spop_value spop_read_value(struct spop_reader *r);

static inline bool spop_value_is_number(const struct spop_value *v)
{
	return v->type >= SPOP_INT32 && v->type <= SPOP_UINT64;
}

/* The next name and value of a KV list; false at its end or when broken. */
bool spop_read_kv(struct spop_reader *r, struct slice *name, struct spop_value *value);

struct spop_message {
	struct slice name;
	unsigned args;		/* so many name and value pairs follow in the reader */
};

/* The next message of a NOTIFY; false at the end or when broken. The caller reads exactly `args`
 * pairs before the next message. */
bool spop_read_message(struct spop_reader *r, struct spop_message *m);

enum spop_action_type { SPOP_SET_VAR = 1, SPOP_UNSET_VAR = 2 };
enum spop_scope { SPOP_PROC, SPOP_SESS, SPOP_TXN, SPOP_REQ, SPOP_RES, SPOP_SCOPE_COUNT };

struct spop_action {
	enum spop_action_type type;
	enum spop_scope scope;
	struct slice name;
	struct spop_value value;	/* SPOP_NULL for unset-var */
};

/* The next action of an ACK; false at the end or when broken. */
bool spop_read_action(struct spop_reader *r, struct spop_action *a);

/* hdrs_bin: names and values, closed by two empty ones. OK: one header. CLOSED: the end mark,
 * and nothing behind it. FAILED: anything else (no mark, bytes behind it, a bad length). */
enum outcome spop_read_header(struct spop_reader *r, struct slice *name, struct slice *value);
/* As above for a list of names alone, closed by an empty one or two. */
enum outcome spop_read_name(struct spop_reader *r, struct slice *name);

/* ---- frames in ---- */

struct spop_frame {
	uint8_t type;		/* perhaps none of the enum: unknown frames are skipped */
	uint32_t flags;
	uint64_t stream_id, frame_id;
	struct slice payload;
};

/* Cuts the first frame off `bytes`. OK: `f` is set and `bytes` begins behind it. AGAIN: not all
 * of it is there. FAILED: `why` is the code to disconnect with. `max_size`: what was agreed on. */
enum outcome spop_cut_frame(struct slice *bytes, size_t max_size, struct spop_frame *f,
			    enum spop_status *why);

/* ---- writing ---- */

struct spop_writer {
	unsigned char *start, *at, *end;
	bool full;		/* something did not fit; nothing is written from then on */
};

struct spop_writer spop_writer_of(void *start, size_t bytes);
static inline size_t spop_writer_used(const struct spop_writer *w)
{
	return (size_t)(w->at - w->start);
}

size_t spop_varint_size(uint64_t v);
void spop_write_byte(struct spop_writer *w, uint8_t byte);
void spop_write_raw(struct spop_writer *w, const void *bytes, size_t len);
void spop_write_varint(struct spop_writer *w, uint64_t v);
void spop_write_bytes(struct spop_writer *w, struct slice s);	/* a name: no type byte */

/* Typed values. An absent slice is written as NULL. */
void spop_write_null(struct spop_writer *w);
void spop_write_bool(struct spop_writer *w, bool v);
void spop_write_uint32(struct spop_writer *w, uint32_t v);
void spop_write_int64(struct spop_writer *w, int64_t v);
void spop_write_string(struct spop_writer *w, struct slice s);
void spop_write_binary(struct spop_writer *w, struct slice s);
void spop_write_ip(struct spop_writer *w, const uint8_t *address, bool is_v6);

void spop_write_message(struct spop_writer *w, struct slice name, uint8_t args);
void spop_write_set_var(struct spop_writer *w, enum spop_scope scope, struct slice name);
void spop_write_unset_var(struct spop_writer *w, enum spop_scope scope, struct slice name);
void spop_write_header(struct spop_writer *w, struct slice name, struct slice value);
void spop_write_headers_end(struct spop_writer *w);

/* Writes the head of a frame; the payload follows; spop_end_frame() fills in LENGTH. */
size_t spop_begin_frame(struct spop_writer *w, enum spop_frame_type type, uint32_t flags,
			uint64_t stream_id, uint64_t frame_id);
void spop_end_frame(struct spop_writer *w, size_t begun);

/* The head alone, for a payload of known size that is copied behind it. Returns its bytes;
 * `out` has room for SPOP_HEADER_MAX. */
size_t spop_put_head(unsigned char *out, enum spop_frame_type type, uint32_t flags,
		     uint64_t stream_id, uint64_t frame_id, size_t payload_bytes);

/* ---- HELLO and DISCONNECT: hello.c ---- */

struct spop_hello {
	struct slice versions;		/* the client's list, or the one that the agent picked */
	uint32_t max_frame_size;
	struct slice capabilities;
	struct slice engine_id;		/* absent on health checks */
	bool healthcheck;
};

/* Of HAPROXY-HELLO. SPOP_NORMAL, or the code of the refusal: missing keys in the order 5, 6, 7,
 * then the version (8) and the size (9). */
enum spop_status spop_decode_client_hello(struct slice payload, struct spop_hello *out);
/* Of AGENT-HELLO, answering `own_size`. Absent capabilities are none. */
enum spop_status spop_decode_agent_hello(struct slice payload, size_t own_size,
					 struct spop_hello *out);
void spop_write_client_hello(struct spop_writer *w, const struct spop_hello *hello);
void spop_write_agent_hello(struct spop_writer *w, uint32_t max_frame_size,
			    struct slice capabilities);

/* True if `word` is an element of the comma list; blanks around elements don't count. */
bool spop_list_has(struct slice list, struct slice word);

/* `type`: SPOP_HAPROXY_DISCONNECT or SPOP_AGENT_DISCONNECT. `text` NULL: the usual message. */
void spop_write_disconnect(struct spop_writer *w, enum spop_frame_type type,
			   enum spop_status status, const char *text);
/* Best effort: an unreadable payload is SPOP_UNKNOWN without a message. */
void spop_decode_disconnect(struct slice payload, enum spop_status *status, struct slice *text);

#endif
