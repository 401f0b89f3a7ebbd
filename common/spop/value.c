/* SPDX-License-Identifier: Apache-2.0
 *
 * value.c - variable-length integers, typed values and the lists made of them. */
#include "sallyport/spop.h"

#define FLAG_TRUE	0x10u	/* of the type byte of a BOOL */
#define ONE_BYTE_MAX	240u	/* smaller numbers are their own encoding */

struct spop_reader spop_reader_of(struct slice bytes)
{
	const unsigned char *at = (const unsigned char *)bytes.at;

	return (struct spop_reader){ .at = at, .end = at != NULL ? at + bytes.len : NULL };
}

uint8_t spop_read_byte(struct spop_reader *r)
{
	if (r->broken || r->at == r->end) {
		r->broken = true;
		return 0;
	}
	return *r->at++;
}

/* Everything behind the first byte: seven bits each, added (not or-ed), lowest first. */
static uint64_t read_long_varint(struct spop_reader *r, uint64_t value)
{
	unsigned shift = 4, bytes = 1;
	uint64_t part;

	do {
		if (r->at == r->end || ++bytes > SPOP_VARINT_MAX)
			goto broken;
		part = *r->at++;
		if (part > UINT64_MAX >> shift ||
		    __builtin_add_overflow(value, part << shift, &value))
			goto broken;
		shift += 7;
	} while (part >= 128);
	return value;
broken:
	r->broken = true;
	return 0;
}

uint64_t spop_read_varint(struct spop_reader *r)
{
	uint64_t first;

	if (r->broken || r->at == r->end) {
		r->broken = true;
		return 0;
	}
	first = *r->at++;
	return first < ONE_BYTE_MAX ? first : read_long_varint(r, first);
}

static struct slice read_fixed(struct spop_reader *r, uint64_t len)
{
	struct slice s;

	if (r->broken || len > (size_t)(r->end - r->at)) {
		r->broken = true;
		return NO_SLICE;
	}
	s = slice_make(r->at, (size_t)len);
	r->at += len;
	return s;
}

struct slice spop_read_bytes(struct spop_reader *r)
{
	uint64_t len = spop_read_varint(r);

	return read_fixed(r, len);
}

struct spop_value spop_read_value(struct spop_reader *r)
{
	uint8_t head = spop_read_byte(r);
	struct spop_value v = { .type = (enum spop_type)(head & 0x0f) };

	switch (v.type) {
	case SPOP_NULL:
		break;
	case SPOP_BOOL:
		v.boolean = (head & FLAG_TRUE) != 0;
		break;
	case SPOP_INT32:
	case SPOP_UINT32:
	case SPOP_INT64:
	case SPOP_UINT64:
		v.number = spop_read_varint(r);
		break;
	case SPOP_IPV4:
		v.bytes = read_fixed(r, 4);
		break;
	case SPOP_IPV6:
		v.bytes = read_fixed(r, 16);
		break;
	case SPOP_STRING:
	case SPOP_BINARY:
		v.bytes = spop_read_bytes(r);
		break;
	default:
		r->broken = true;
	}
	if (r->broken)
		v = (struct spop_value){ .type = SPOP_NULL };
	return v;
}

bool spop_read_kv(struct spop_reader *r, struct slice *name, struct spop_value *value)
{
	if (!spop_reader_has_more(r))
		return false;
	*name = spop_read_bytes(r);
	*value = spop_read_value(r);
	return !r->broken;
}

bool spop_read_message(struct spop_reader *r, struct spop_message *m)
{
	if (!spop_reader_has_more(r))
		return false;
	m->name = spop_read_bytes(r);
	m->args = spop_read_byte(r);
	return !r->broken;
}

bool spop_read_action(struct spop_reader *r, struct spop_action *a)
{
	uint8_t type, args, scope;

	if (!spop_reader_has_more(r))
		return false;
	type = spop_read_byte(r);
	args = spop_read_byte(r);
	scope = spop_read_byte(r);
	*a = (struct spop_action){ .type = (enum spop_action_type)type,
				   .scope = (enum spop_scope)scope };
	a->name = spop_read_bytes(r);
	if (type == SPOP_SET_VAR && args == 3)
		a->value = spop_read_value(r);
	else if (type != SPOP_UNSET_VAR || args != 2)
		r->broken = true;
	if (scope >= SPOP_SCOPE_COUNT)
		r->broken = true;
	return !r->broken;
}

enum outcome spop_read_header(struct spop_reader *r, struct slice *name, struct slice *value)
{
	*name = spop_read_bytes(r);
	*value = spop_read_bytes(r);
	if (r->broken)
		return FAILED;
	if (name->len > 0)
		return OK;
	if (value->len == 0 && r->at == r->end)
		return CLOSED;
	r->broken = true;
	return FAILED;
}

enum outcome spop_read_name(struct spop_reader *r, struct slice *name)
{
	*name = spop_read_bytes(r);
	if (r->broken)
		return FAILED;
	if (name->len > 0)
		return OK;
	if (r->at < r->end && *r->at == 0)
		r->at++;
	if (r->at == r->end)
		return CLOSED;
	r->broken = true;
	return FAILED;
}

struct spop_writer spop_writer_of(void *start, size_t bytes)
{
	unsigned char *at = start;

	return (struct spop_writer){ .start = at, .at = at, .end = at + bytes };
}

static bool writer_has(struct spop_writer *w, size_t bytes)
{
	if (w->full || bytes > (size_t)(w->end - w->at)) {
		w->full = true;
		return false;
	}
	return true;
}

size_t spop_varint_size(uint64_t v)
{
	size_t n = 2;

	if (v < ONE_BYTE_MAX)
		return 1;
	for (v = (v - ONE_BYTE_MAX) >> 4; v >= 128; v = (v - 128) >> 7)
		n++;
	return n;
}

void spop_write_byte(struct spop_writer *w, uint8_t byte)
{
	if (writer_has(w, 1))
		*w->at++ = byte;
}

void spop_write_raw(struct spop_writer *w, const void *bytes, size_t len)
{
	if (len > 0 && writer_has(w, len)) {
		memcpy(w->at, bytes, len);
		w->at += len;
	}
}

void spop_write_varint(struct spop_writer *w, uint64_t v)
{
	if (v < ONE_BYTE_MAX) {
		spop_write_byte(w, (uint8_t)v);
		return;
	}
	if (!writer_has(w, spop_varint_size(v)))
		return;
	*w->at++ = (uint8_t)(v | 0xf0);
	for (v = (v - ONE_BYTE_MAX) >> 4; v >= 128; v = (v - 128) >> 7)
		*w->at++ = (uint8_t)(v | 0x80);
	*w->at++ = (uint8_t)v;
}

void spop_write_bytes(struct spop_writer *w, struct slice s)
{
	spop_write_varint(w, s.len);
	spop_write_raw(w, s.at, s.len);
}

void spop_write_null(struct spop_writer *w)
{
	spop_write_byte(w, SPOP_NULL);
}

void spop_write_bool(struct spop_writer *w, bool v)
{
	spop_write_byte(w, (uint8_t)(SPOP_BOOL | (v ? FLAG_TRUE : 0)));
}

void spop_write_uint32(struct spop_writer *w, uint32_t v)
{
	spop_write_byte(w, SPOP_UINT32);
	spop_write_varint(w, v);
}

void spop_write_int64(struct spop_writer *w, int64_t v)
{
	spop_write_byte(w, SPOP_INT64);
	spop_write_varint(w, (uint64_t)v);
}

static void write_typed(struct spop_writer *w, enum spop_type type, struct slice s)
{
	if (s.at == NULL) {
		spop_write_null(w);
		return;
	}
	spop_write_byte(w, (uint8_t)type);
	spop_write_bytes(w, s);
}

void spop_write_string(struct spop_writer *w, struct slice s)
{
	write_typed(w, SPOP_STRING, s);
}

void spop_write_binary(struct spop_writer *w, struct slice s)
{
	write_typed(w, SPOP_BINARY, s);
}

void spop_write_ip(struct spop_writer *w, const uint8_t *address, bool is_v6)
{
	spop_write_byte(w, is_v6 ? SPOP_IPV6 : SPOP_IPV4);
	spop_write_raw(w, address, is_v6 ? 16 : 4);
}

void spop_write_message(struct spop_writer *w, struct slice name, uint8_t args)
{
	spop_write_bytes(w, name);
	spop_write_byte(w, args);
}

void spop_write_set_var(struct spop_writer *w, enum spop_scope scope, struct slice name)
{
	spop_write_byte(w, SPOP_SET_VAR);
	spop_write_byte(w, 3);
	spop_write_byte(w, (uint8_t)scope);
	spop_write_bytes(w, name);
}

void spop_write_unset_var(struct spop_writer *w, enum spop_scope scope, struct slice name)
{
	spop_write_byte(w, SPOP_UNSET_VAR);
	spop_write_byte(w, 2);
	spop_write_byte(w, (uint8_t)scope);
	spop_write_bytes(w, name);
}

void spop_write_header(struct spop_writer *w, struct slice name, struct slice value)
{
	spop_write_bytes(w, name);
	spop_write_bytes(w, value);
}

void spop_write_headers_end(struct spop_writer *w)
{
	spop_write_byte(w, 0);
	spop_write_byte(w, 0);
}
