/* SPDX-License-Identifier: Apache-2.0
 * The reader of chunked framing (spec/http.md 7), resumable at every byte. Extensions are checked,
 * counted and dropped. */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"

enum chunk_state {
	CHUNK_STATE_SIZE, CHUNK_STATE_EXTENSION, CHUNK_STATE_SIZE_LF,
	CHUNK_STATE_DATA, CHUNK_STATE_DATA_CR, CHUNK_STATE_DATA_LF
};

/* One byte of the size itself. */
static bool size_byte(struct chunk_scan *s, char c)
{
	int digit = hex_values[(uint8_t)c];

	if (digit >= 0) {
		if (s->digits++ == CHUNK_DIGITS_MAX || s->left >> 59 != 0)	/* 2^63 or more */
			return false;
		s->left = s->left << 4 | (unsigned)digit;
		return true;
	}
	if (s->digits == 0)
		return false;
	s->state = c == ';' ? CHUNK_STATE_EXTENSION : CHUNK_STATE_SIZE_LF;
	return c == ';' || c == '\r';
}

static bool extension_byte(struct chunk_scan *s, char c)
{
	if (c == '\r') {
		s->state = CHUNK_STATE_SIZE_LF;
		return true;
	}
	return char_is(c, CHAR_VALUE);
}

/* A byte of framing costs; so many small chunks or long extensions end the message. */
static bool may_cost(struct chunk_scan *s)
{
	s->overhead_bytes++;
	return ++s->line_bytes <= CHUNK_LINE_BYTES_MAX &&
	       s->overhead_bytes <= CHUNK_OVERHEAD_BYTES + s->body_bytes / 10;
}

static bool framing_byte(struct chunk_scan *s, char c)
{
	switch (s->state) {
	case CHUNK_STATE_SIZE:
		return may_cost(s) && size_byte(s, c);
	case CHUNK_STATE_EXTENSION:
		return may_cost(s) && extension_byte(s, c);
	case CHUNK_STATE_SIZE_LF:
		s->state = CHUNK_STATE_DATA;
		return may_cost(s) && c == '\n';
	case CHUNK_STATE_DATA_CR:
		s->state = CHUNK_STATE_DATA_LF;
		return c == '\r';
	default:	/* CHUNK_STATE_DATA_LF */
		s->state = CHUNK_STATE_SIZE;
		s->digits = 0;
		s->line_bytes = 0;
		return c == '\n';
	}
}

enum chunk_result chunk_scan_run(struct chunk_scan *s, struct slice in, size_t *used)
{
	size_t i = 0;

	for (; i < in.len && s->state != CHUNK_STATE_DATA; i++)
		if (!framing_byte(s, in.at[i]))
			return CHUNK_BAD;
	*used = i;
	if (s->state != CHUNK_STATE_DATA)
		return CHUNK_MORE;
	return s->left > 0 ? CHUNK_DATA : CHUNK_LAST;
}

void chunk_took(struct chunk_scan *s, size_t bytes)
{
	s->left -= bytes;
	s->body_bytes += bytes;
	if (s->left == 0)
		s->state = CHUNK_STATE_DATA_CR;
}
