/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/route/format_time_priv.h"

#include <stdio.h>
#include <time.h>

#define LAYOUT_MAX	512u	/* bytes of a layout once fractions are filled in */
#define SECONDS_LEN	19u	/* "2026-03-01T12:00:00" */

static void put_decimals(char *out, uint32_t n, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; n /= 10)
		out[i] = (char)('0' + n % 10);
}

/* What every log line begins with: the part up to the second is kept for the next line. */
static size_t default_time(int64_t seconds, uint32_t nanoseconds, char *out)
{
	static _Thread_local int64_t known = INT64_MIN;
	static _Thread_local char text[32];
	struct tm tm;
	time_t t = (time_t)seconds;

	if (known != seconds) {
		gmtime_r(&t, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
		known = seconds;
	}
	memcpy(out, text, SECONDS_LEN);
	out[SECONDS_LEN] = '.';
	put_decimals(out + SECONDS_LEN + 1, nanoseconds / 1000000, 3);
	out[SECONDS_LEN + 4] = 'Z';
	return SECONDS_LEN + 5;
}

/* Fractions and epoch seconds become digits, which strftime() leaves alone. False: too long. */
static bool fill_in(struct slice layout, int64_t seconds, uint32_t nanoseconds, char *out)
{
	char digits[16], *at = out, *end = out + LAYOUT_MAX - 32;

	for (size_t i = 0; i < layout.len; i++) {
		char next = i + 1 < layout.len ? layout.at[i + 1] : '\0';
		char after = i + 2 < layout.len ? layout.at[i + 2] : '\0';

		if (at >= end)
			return false;
		if (layout.at[i] != '%') {
			*at++ = layout.at[i];
			continue;
		}
		put_decimals(digits, nanoseconds, 9);
		if (next == 'f') {
			at = mempcpy(at, digits, 9);
			i++;
		} else if (next >= '1' && next <= '9' && after == 'f') {
			at = mempcpy(at, digits, (size_t)(next - '0'));
			i += 2;
		} else if (next == 's') {
			at += sprintf(at, "%lld", (long long)seconds);
			i++;
		} else {
			*at++ = '%';
			if (next != '\0') {
				*at++ = next;
				i++;
			} else {
				*at++ = '%';
			}
		}
	}
	*at = '\0';
	return true;
}

size_t format_time(int64_t wall_us, struct slice layout, char *out)
{
	int64_t seconds = wall_us / 1000000;
	uint32_t nanoseconds = (uint32_t)(wall_us % 1000000) * 1000;
	char text[LAYOUT_MAX];
	time_t t = (time_t)seconds;
	struct tm tm;

	if (layout.len == 0)
		return default_time(seconds, nanoseconds, out);
	if (!fill_in(layout, seconds, nanoseconds, text))
		return 0;
	gmtime_r(&t, &tm);
	return strftime(out, FORMAT_TIME_MAX, text, &tm);
}
