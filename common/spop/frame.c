/* SPDX-License-Identifier: Apache-2.0
 *
 * frame.c - cutting frames off a stream of bytes, and putting their heads before payloads. */
#include "sallyport/spop.h"

static uint32_t read_be32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_be32(unsigned char *at, uint32_t v)
{
	at[0] = (unsigned char)(v >> 24);
	at[1] = (unsigned char)(v >> 16);
	at[2] = (unsigned char)(v >> 8);
	at[3] = (unsigned char)v;
}

enum outcome spop_cut_frame(struct slice *bytes, size_t max_size, struct spop_frame *f,
			    enum spop_status *why)
{
	struct spop_reader r;
	size_t length;

	if (bytes->len < SPOP_LENGTH_BYTES)
		return AGAIN;
	length = read_be32((const unsigned char *)bytes->at);
	if (length > max_size || length < SPOP_FRAME_MIN) {
		*why = length > max_size ? SPOP_TOO_BIG : SPOP_INVALID;
		return FAILED;
	}
	if (bytes->len - SPOP_LENGTH_BYTES < length)
		return AGAIN;
	r = spop_reader_of(slice_make(bytes->at + SPOP_LENGTH_BYTES, length));
	f->type = spop_read_byte(&r);
	f->flags = read_be32(r.at);	/* SPOP_FRAME_MIN has room for it */
	r.at += 4;
	f->stream_id = spop_read_varint(&r);
	f->frame_id = spop_read_varint(&r);
	if (r.broken) {
		*why = SPOP_INVALID;
		return FAILED;
	}
	f->payload = slice_make(r.at, (size_t)(r.end - r.at));
	*bytes = slice_from(*bytes, SPOP_LENGTH_BYTES + length);
	return OK;
}

size_t spop_begin_frame(struct spop_writer *w, enum spop_frame_type type, uint32_t flags,
			uint64_t stream_id, uint64_t frame_id)
{
	static const unsigned char unknown_length[SPOP_LENGTH_BYTES];
	size_t begun = spop_writer_used(w);
	unsigned char be_flags[4];

	put_be32(be_flags, flags);
	spop_write_raw(w, unknown_length, sizeof(unknown_length));
	spop_write_byte(w, (uint8_t)type);
	spop_write_raw(w, be_flags, sizeof(be_flags));
	spop_write_varint(w, stream_id);
	spop_write_varint(w, frame_id);
	return begun;
}

void spop_end_frame(struct spop_writer *w, size_t begun)
{
	if (!w->full)
		put_be32(w->start + begun,
			 (uint32_t)(spop_writer_used(w) - begun - SPOP_LENGTH_BYTES));
}

size_t spop_put_head(unsigned char *out, enum spop_frame_type type, uint32_t flags,
		     uint64_t stream_id, uint64_t frame_id, size_t payload_bytes)
{
	struct spop_writer w = spop_writer_of(out, SPOP_HEADER_MAX);

	spop_begin_frame(&w, type, flags, stream_id, frame_id);
	put_be32(out, (uint32_t)(spop_writer_used(&w) - SPOP_LENGTH_BYTES + payload_bytes));
	return spop_writer_used(&w);
}
