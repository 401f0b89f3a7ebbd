/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - points and spans of time. Deadlines are milliseconds on the monotonic clock. */
#ifndef SALLYPORT_CLOCK_H
#define SALLYPORT_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline int64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

/* Microseconds since 1970, for what people read. */
static inline int64_t clock_wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

#endif
