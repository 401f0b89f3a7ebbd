/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of one character of either alphabet, or -1. */
static int value_of(char c, bool is_url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (is_url ? '-' : '+'))
		return 62;
	if (c == (is_url ? '_' : '/'))
		return 63;
	return -1;
}

static ptrdiff_t decode(struct slice s, unsigned char *out, bool is_url)
{
	size_t padding = 0, n = 0;
	uint32_t bits = 0;
	unsigned held = 0;

	while (padding < 2 && s.len > padding && s.at[s.len - 1 - padding] == '=')
		padding++;
	if ((!is_url || padding > 0) && s.len % 4 != 0)
		return -1;
	s.len -= padding;
	if (s.len % 4 == 1)
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		int v = value_of(s.at[i], is_url);

		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[n++] = (unsigned char)(bits >> held);
		}
	}
	return (bits & ((1u << held) - 1)) == 0 ? (ptrdiff_t)n : -1;
}

ptrdiff_t base64_decode(struct slice s, unsigned char *out)
{
	return decode(s, out, false);
}

ptrdiff_t base64url_decode(struct slice s, unsigned char *out)
{
	return decode(s, out, true);
}

static size_t encode(struct slice s, char *out, const char *alphabet, bool padded)
{
	const unsigned char *in = (const unsigned char *)s.at;
	size_t n = 0, i = 0;

	for (; i + 2 < s.len; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			out[n++] = alphabet[bits >> shift & 63];
	}
	if (i < s.len) {
		uint32_t bits = (uint32_t)in[i] << 16 | (i + 1 < s.len ? (uint32_t)in[i + 1] << 8 : 0);

		out[n++] = alphabet[bits >> 18 & 63];
		out[n++] = alphabet[bits >> 12 & 63];
		if (i + 1 < s.len)
			out[n++] = alphabet[bits >> 6 & 63];
		while (padded && n % 4 != 0)
			out[n++] = '=';
	}
	return n;
}

size_t base64_encode(struct slice s, char *out)
{
	return encode(s, out, standard, true);
}

size_t base64url_encode(struct slice s, char *out)
{
	return encode(s, out, url, false);
}
