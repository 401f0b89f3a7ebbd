/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/grpc_web.h"

#include "proxy/http/grpc.h"

#define PREFIX_BYTES	5u	/* of a frame: flags, length of four bytes */
#define TRAILERS_FLAG	0x80

/* ---- heads ---- */

static const struct slice types[] = {
#define TYPE(s) { s, sizeof(s) - 1 }
	TYPE("application/grpc-web"), TYPE("application/grpc-web+proto"),
	TYPE("application/grpc-web-text"), TYPE("application/grpc-web-text+proto"),
};
#define FIRST_TEXT_TYPE	2
#define TYPE_COUNT	4

/* Index of a type of gRPC-Web, to the letter; TYPE_COUNT: another. */
static unsigned type_index(struct slice type)
{
	unsigned i = 0;

	while (i < TYPE_COUNT && !slice_eq(type, types[i]))
		i++;
	return i;
}

static bool is_text(struct slice type)
{
	unsigned i = type_index(type);

	return i >= FIRST_TEXT_TYPE && i < TYPE_COUNT;
}

bool grpc_web_of(const struct message *request, struct grpc_web *out)
{
	struct slice type = headers_value(&request->headers, HEADER_CONTENT_TYPE);

	if (type_index(type) == TYPE_COUNT || request->path.len == 0)
		return false;
	*out = (struct grpc_web){
		.text_in = is_text(type),
		.text_out = is_text(headers_value(&request->headers, HEADER_ACCEPT)) };
	return true;
}

void grpc_web_translate_request(struct message *m, bool has_body)
{
	struct headers *h = &m->headers;

	headers_remove_id(h, HEADER_CONTENT_LENGTH);
	m->content_length = 0;
	m->framing = has_body ? FRAMING_CHUNKED : FRAMING_NONE;
	headers_set_id(h, HEADER_CONTENT_TYPE, SLICE("application/grpc"));
	headers_set_id(h, HEADER_TE, SLICE("trailers"));
	if (headers_find(h, SLICE("grpc-accept-encoding")) == NULL)
		headers_add(h, SLICE("grpc-accept-encoding"), SLICE("identity"));
}

bool grpc_web_is_grpc(const struct message *m, bool end)
{
	return grpc_is_type(headers_value(&m->headers, HEADER_CONTENT_TYPE)) ||
	       (end && headers_get(&m->headers, HEADER_GRPC_STATUS) != NULL);
}

static void set_type(struct message *m, const struct grpc_web *web)
{
	headers_set_id(&m->headers, HEADER_CONTENT_TYPE,
		       web->text_out ? SLICE("application/grpc-web-text+proto") :
				       SLICE("application/grpc-web+proto"));
}

void grpc_web_translate_response(struct message *m, const struct grpc_web *web, bool end)
{
	set_type(m, web);
	headers_remove_id(&m->headers, HEADER_CONTENT_LENGTH);
	m->content_length = 0;
	m->framing = end ? FRAMING_NONE : FRAMING_CHUNKED;
}

void grpc_web_translate_failure(struct message *m, const struct grpc_web *web, struct slice body)
{
	struct headers *h = &m->headers;
	struct header *status = headers_get(h, HEADER_GRPC_STATUS);
	uint64_t number = 0;

	if (status == NULL || !slice_to_u64(status->value, &number) || number > UINT32_MAX)
		number = grpc_status_of(m->status);
	grpc_set_status(m, (unsigned)number, body);
	set_type(m, web);
	headers_set_id(h, HEADER_CONTENT_LENGTH, SLICE("0"));
	m->framing = FRAMING_LENGTH;
	m->content_length = 0;
}

struct slice grpc_web_trailers(const struct headers *trailers, struct arena *a)
{
	size_t len = 0, n = PREFIX_BYTES;
	char *frame;

	if (trailers == NULL)
		return NO_SLICE;
	for (struct header *f = headers_begin(trailers); f != NULL; f = headers_next(trailers, f))
		if (header_is_safe(f->name, f->value))
			len += f->name.len + f->value.len + 3;
	if (len == 0)
		return NO_SLICE;
	frame = arena_alloc(a, PREFIX_BYTES + len);
	frame[0] = (char)TRAILERS_FLAG;
	for (unsigned i = 1; i < PREFIX_BYTES; i++)
		frame[i] = (char)(len >> (8 * (PREFIX_BYTES - 1 - i)));
	for (struct header *f = headers_begin(trailers); f != NULL; f = headers_next(trailers, f)) {
		if (!header_is_safe(f->name, f->value))
			continue;
		memcpy(frame + n, f->name.at, f->name.len);
		n += f->name.len;
		frame[n++] = ':';
		memcpy(frame + n, f->value.at, f->value.len);
		n += f->value.len;
		frame[n++] = '\r';
		frame[n++] = '\n';
	}
	return slice_make(frame, n);
}

/* ---- base64 ---- */

#define PADDING	64
#define NO	0xff

static uint8_t digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint8_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint8_t)(c - '0' + 52);
	return c == '+' ? 62 : c == '/' ? 63 : c == '=' ? PADDING : NO;
}

/* Padding ends its group and stands for no bits; those it leaves over are zero. */
static bool take_digit(struct grpc_web_decoder *d, uint8_t digit)
{
	if (digit == NO || (digit == PADDING && d->have < 2) || (digit != PADDING && d->padding > 0))
		return false;
	d->bits = d->bits << 6 | (digit & 63);
	d->have++;
	if (digit == PADDING)
		d->padding++;
	return d->have < 4 || (d->bits & ((1u << (8 * d->padding)) - 1)) == 0;
}

static char *put_group(struct grpc_web_decoder *d, char *to)
{
	*to++ = (char)(d->bits >> 16);
	if (d->padding < 2)
		*to++ = (char)(d->bits >> 8);
	if (d->padding < 1)
		*to++ = (char)d->bits;
	*d = (struct grpc_web_decoder){ 0 };
	return to;
}

size_t grpc_web_decode(struct grpc_web_decoder *d, struct slice in, char *out, size_t room, size_t *used)
{
	char *to = out;
	size_t n = 0;

	while (n < in.len && (size_t)(to - out) + 3 <= room && !d->failed) {
		if (!take_digit(d, digit_of(in.at[n])))
			d->failed = true;
		else if (n++, d->have == 4)
			to = put_group(d, to);
	}
	*used = n;
	return (size_t)(to - out);
}

bool grpc_web_is_complete(const struct grpc_web_decoder *d)
{
	return !d->failed && d->have == 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *put_digits(char *to, uint8_t a, uint8_t b, uint8_t c)
{
	uint32_t bits = (uint32_t)a << 16 | (uint32_t)b << 8 | c;

	*to++ = digits[bits >> 18];
	*to++ = digits[bits >> 12 & 63];
	*to++ = digits[bits >> 6 & 63];
	*to++ = digits[bits & 63];
	return to;
}

static char *put_rest(struct grpc_web_encoder *e, char *to)
{
	if (e->rest_have == 0)
		return to;
	to = put_digits(to, e->rest[0], e->rest_have > 1 ? e->rest[1] : 0, 0);
	to[-1] = '=';
	if (e->rest_have == 1)
		to[-2] = '=';
	e->rest_have = 0;
	return to;
}

static char *put_byte(struct grpc_web_encoder *e, char *to, uint8_t byte)
{
	if (e->rest_have < 2) {
		e->rest[e->rest_have++] = byte;
		return to;
	}
	e->rest_have = 0;
	return put_digits(to, e->rest[0], e->rest[1], byte);
}

/* The next byte of a frame. True: it was its last. */
static bool pass_byte(struct grpc_web_encoder *e, uint8_t byte)
{
	if (e->prefix_have == PREFIX_BYTES)
		return --e->payload_left == 0;
	e->prefix[e->prefix_have++] = byte;
	if (e->prefix_have < PREFIX_BYTES)
		return false;
	e->payload_left = (uint32_t)e->prefix[1] << 24 | (uint32_t)e->prefix[2] << 16 |
			  (uint32_t)e->prefix[3] << 8 | e->prefix[4];
	return e->payload_left == 0;
}

/* Whole groups of a payload that goes on behind them. */
static char *put_groups(struct grpc_web_encoder *e, char *to, struct slice in, size_t room, size_t *used)
{
	const uint8_t *from = (const uint8_t *)in.at;
	size_t most = in.len;

	if (e->prefix_have < PREFIX_BYTES || e->rest_have > 0)
		return to;
	if (most >= e->payload_left)
		most = e->payload_left - 1;
	if (most / 3 > room / 4)
		most = room / 4 * 3;
	for (size_t i = 0; i + 3 <= most; i += 3, *used += 3) {
		to = put_digits(to, from[i], from[i + 1], from[i + 2]);
		e->payload_left -= 3;
	}
	return to;
}

size_t grpc_web_encode(struct grpc_web_encoder *e, struct slice in, char *out, size_t room, size_t *used)
{
	char *to = out;
	size_t n = 0;

	while (n < in.len && (size_t)(to - out) + 4 <= room) {
		uint8_t byte = (uint8_t)in.at[n];

		n++;
		to = put_byte(e, to, byte);
		if (!pass_byte(e, byte)) {
			size_t more = 0;

			to = put_groups(e, to, slice_from(in, n), room - (size_t)(to - out), &more);
			n += more;
			continue;
		}
		/* A full group leaves no rest: there is room for one of both. */
		to = put_rest(e, to);
		e->prefix_have = 0;
	}
	*used = n;
	return (size_t)(to - out);
}

bool grpc_web_is_between_frames(const struct grpc_web_encoder *e)
{
	return e->prefix_have == 0;
}
