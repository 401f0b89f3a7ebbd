/* SPDX-License-Identifier: Apache-2.0
 *
 * http1_fuzz.h - what both fuzz targets of the HTTP/1.1 codec share: bytes fed whole and cut at
 * places that the input chooses must make the same events. */
#ifndef SALLYPORT_TEST_HTTP1_FUZZ_H
#define SALLYPORT_TEST_HTTP1_FUZZ_H

#include "../unit/http1_peer.h"

#define FUZZ_BYTES_MAX	(96u * 1024)

/* Feeds in pieces of 1 to 16 bytes, their lengths out of `seed`. */
static inline void fuzz_feed_cut(struct peer *p, struct slice bytes, uint64_t seed)
{
	while (bytes.len > 0) {
		size_t piece;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		piece = 1 + (seed >> 60);
		peer_feed(p, slice_first(bytes, piece));
		bytes = slice_from(bytes, piece < bytes.len ? piece : bytes.len);
	}
}

static inline uint64_t fuzz_seed(struct slice bytes)
{
	uint64_t seed = bytes.len;

	for (size_t i = 0; i < bytes.len && i < 16; i++)
		seed = seed * 31 + (uint8_t)bytes.at[i];
	return seed;
}

/* Text, for reading the difference when there is one. */
static inline void fuzz_must_agree(struct slice whole, struct slice cut)
{
	if (!slice_eq(whole, cut))
		fatal("whole:\n%.*s\ncut:\n%.*s", SLICE_ARG(whole), SLICE_ARG(cut));
}

#endif
