/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.h - hashing for tables, keyed once per process so that peers cannot choose collisions
 * (spec/hardening.md T-57). Values differ from run to run: never store or send them. Balancers
 * that must agree between processes use XXH64 with seed 0 themselves. */
#ifndef SALLYPORT_HASH_H
#define SALLYPORT_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "sallyport/slice.h"

uint64_t hash_bytes(const void *at, size_t len);

static inline uint64_t hash_slice(struct slice s)
{
	return hash_bytes(s.at, s.len);
}

#endif
