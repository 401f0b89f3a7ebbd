/* SPDX-License-Identifier: Apache-2.0
 *
 * chars_priv.h - what each byte may be in HTTP, as one table of class bits, and searches that look
 * at eight bytes at a time. Private to http/. */
#ifndef SALLYPORT_PROXY_CHARS_PRIV_H
#define SALLYPORT_PROXY_CHARS_PRIV_H

#include <assert.h>

#include "sallyport/slice.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest of a word");

enum char_class {
	CHAR_TOKEN = 1,		/* tchar of RFC 9110 5.6.2 */
	CHAR_TARGET = 2,	/* 0x21-0x7e: a request target */
	CHAR_AUTHORITY = 4,	/* spec/http.md 5 */
	CHAR_VALUE = 8,		/* field values: VCHAR, SP, HTAB, obs-text */
	CHAR_DIGIT = 16,
	CHAR_UNRESERVED = 32,	/* RFC 3986 2.3 */
	CHAR_UPPER = 64,
};

extern const uint8_t char_classes[256];
/* Value of a hex digit, or -1. */
extern const int8_t hex_values[256];

static inline bool char_is(char c, enum char_class class)
{
	return (char_classes[(uint8_t)c] & class) != 0;
}

/* Are all bytes of that class? True for nothing at all. */
static inline bool chars_are(struct slice s, enum char_class class)
{
	for (size_t i = 0; i < s.len; i++)
		if (!char_is(s.at[i], class))
			return false;
	return true;
}

#define BYTES_OF(c)	(0x0101010101010101ull * (uint8_t)(c))

static inline uint64_t load_word(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Marks bytes of zero, the first one exactly (see word_controls()). */
static inline uint64_t word_zeros(uint64_t word)
{
	return (word - BYTES_OF(1)) & ~word & BYTES_OF(0x80);
}

/* Nonzero where one of the eight bytes is below 0x20 or is 0x7f. Borrows may mark a byte above a
 * marked one too: an answer of zero is exact, the first mark (lowest address) as well. */
static inline uint64_t word_controls(uint64_t word)
{
	return ((word - BYTES_OF(0x20)) & ~word & BYTES_OF(0x80)) | word_zeros(word ^ BYTES_OF(0x7f));
}

/* Are all eight bytes letters or `-`, as in most field names? */
static inline bool word_is_plain(uint64_t word)
{
	uint64_t lower = word | BYTES_OF(0x20), dash = word ^ BYTES_OF('-');
	uint64_t letters = (lower + BYTES_OF(0x80 - 'a')) & ~(lower + BYTES_OF(0x7f - 'z'));
	uint64_t dashes = ~((dash & BYTES_OF(0x7f)) + BYTES_OF(0x7f));

	/* sums of bytes below 0x80 do not carry */
	return (word & BYTES_OF(0x80)) == 0 &&
	       ((letters | dashes) & BYTES_OF(0x80)) == BYTES_OF(0x80);
}

/* Sixteen bytes at once; the compiler knows how on every machine. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint64_t words2 __attribute__((vector_size(16)));

static inline bytes16 load_bytes16(const char *p)
{
	bytes16 bytes;

	memcpy(&bytes, p, sizeof(bytes));
	return bytes;
}

/* 0xff for each byte below 0x20 or equal to 0x7f. */
static inline words2 bytes16_controls(bytes16 bytes)
{
	return (words2)((bytes < 0x20) | (bytes == 0x7f));
}

/* Equal bytes, without a call: names are short. */
static inline bool bytes_eq(const char *a, const char *b, size_t len)
{
	if (len >= 8) {
		for (size_t i = 0; i + 8 < len; i += 8)
			if (load_word(a + i) != load_word(b + i))
				return false;
		return load_word(a + len - 8) == load_word(b + len - 8);
	}
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

#endif
