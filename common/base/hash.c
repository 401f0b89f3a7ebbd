/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/hash.h"

#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sallyport/log.h"

/* XXH3 keyed with a secret of random bytes: without the secret, collisions cannot be computed. */
static unsigned char secret[XXH3_SECRET_SIZE_MIN];

__attribute__((constructor)) static void draw_secret(void)
{
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
		fatal("getrandom: no random bytes for the hash key");
}

uint64_t hash_bytes(const void *at, size_t len)
{
	return XXH3_64bits_withSecret(at, len, secret, sizeof(secret));
}
