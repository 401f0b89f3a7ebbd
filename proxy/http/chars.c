/* SPDX-License-Identifier: Apache-2.0
 * The table of byte classes; its rows are the grammar of RFC 9110 and spec/http.md 2-5. */
#include "proxy/http/chars_priv.h"

#define VISIBLE		(CHAR_TARGET | CHAR_VALUE)
#define ALPHA		(VISIBLE | CHAR_TOKEN | CHAR_AUTHORITY | CHAR_UNRESERVED)

const uint8_t char_classes[256] = {
	['\t'] = CHAR_VALUE,
	[' '] = CHAR_VALUE,
	['!'] = VISIBLE | CHAR_TOKEN | CHAR_AUTHORITY,
	['"'] = VISIBLE,
	['#'] = VISIBLE | CHAR_TOKEN,
	['$' ... '\''] = VISIBLE | CHAR_TOKEN | CHAR_AUTHORITY,
	['(' ... ')'] = VISIBLE | CHAR_AUTHORITY,
	['*' ... '+'] = VISIBLE | CHAR_TOKEN | CHAR_AUTHORITY,
	[','] = VISIBLE | CHAR_AUTHORITY,
	['-' ... '.'] = ALPHA,
	['/'] = VISIBLE,
	['0' ... '9'] = ALPHA | CHAR_DIGIT,
	[':' ... ';'] = VISIBLE | CHAR_AUTHORITY,
	['<'] = VISIBLE,
	['='] = VISIBLE | CHAR_AUTHORITY,
	['>' ... '@'] = VISIBLE,
	['A' ... 'Z'] = ALPHA | CHAR_UPPER,
	['['] = VISIBLE | CHAR_AUTHORITY,
	['\\'] = VISIBLE,
	[']'] = VISIBLE | CHAR_AUTHORITY,
	['^'] = VISIBLE | CHAR_TOKEN,
	['_'] = ALPHA,
	['`'] = VISIBLE | CHAR_TOKEN,
	['a' ... 'z'] = ALPHA,
	['{'] = VISIBLE,
	['|'] = VISIBLE | CHAR_TOKEN,
	['}'] = VISIBLE,
	['~'] = ALPHA,
	[0x80 ... 0xff] = CHAR_VALUE,
};

const int8_t hex_values[256] = {
	[0 ... '0' - 1] = -1,
	['0'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
	['9' + 1 ... 'A' - 1] = -1,
	['A'] = 10, 11, 12, 13, 14, 15,
	['F' + 1 ... 'a' - 1] = -1,
	['a'] = 10, 11, 12, 13, 14, 15,
	['f' + 1 ... 255] = -1,
};
