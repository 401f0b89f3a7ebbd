/* SPDX-License-Identifier: Apache-2.0
 * Which streams a client opened lately, and which of them it has ended itself: HEADERS or DATA after that
 * are its error, whatever it knows of our side (RFC 9113 5.1, 5.1.1). The library forgets a stream when it
 * ends, and lets all frames for it pass. */
#include "proxy/http/http2_priv.h"

/* Ids of clients are odd: the age in streams. */
static uint32_t age_of(const struct http2_past *p, uint32_t id)
{
	return (p->newest - id) / 2;
}

static void open_stream(struct http2_past *p, uint32_t id)
{
	uint32_t gap = p->newest == 0 ? HTTP2_PAST_STREAMS : (id - p->newest) / 2;

	p->used = gap < HTTP2_PAST_STREAMS ? p->used << gap : 0;
	p->ended = gap < HTTP2_PAST_STREAMS ? p->ended << gap : 0;
	p->used |= 1;
	p->newest = id;
}

uint32_t http2_past_take(struct http2_past *p, uint8_t type, uint32_t id, bool end)
{
	http2_past_bits bit;

	if (id % 2 == 0 || (id > p->newest && type != NGHTTP2_HEADERS))
		return NGHTTP2_NO_ERROR;	/* the library knows those */
	if (id > p->newest)
		open_stream(p, id);
	if (age_of(p, id) >= HTTP2_PAST_STREAMS)
		return NGHTTP2_NO_ERROR;
	bit = (http2_past_bits)1 << age_of(p, id);
	if (type != NGHTTP2_RST_STREAM && !(p->used & bit))
		return NGHTTP2_PROTOCOL_ERROR;
	if (type != NGHTTP2_RST_STREAM && (p->ended & bit))
		return NGHTTP2_STREAM_CLOSED;
	if (end || type == NGHTTP2_RST_STREAM)
		p->ended |= bit;
	return NGHTTP2_NO_ERROR;
}
