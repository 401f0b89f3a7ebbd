/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "sallyport/hash.h"

#define LINE_BYTES	4096
#define REPEAT_SLOTS	64	/* messages whose repetition is watched at a time */
#define REPEAT_SECONDS	10
#define REPEAT_LIMIT	10

static const char *const level_name[] = { "trace", "debug", "info", "warning", "error", "critical" };
static atomic_int least_level = LOG_INFO;

/* One slot a message hash: how often it was seen since `since`. */
static struct repeat {
	uint64_t hash;
	time_t since;
	unsigned count;
} repeats[REPEAT_SLOTS];
static pthread_mutex_t repeats_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (int i = LOG_TRACE; i <= LOG_CRITICAL; i++) {
		if (strcasecmp(name, level_name[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* Writes one whole line; `suppressed` lines of the same text went unprinted before it. */
static void emit(enum log_level level, const char *component, const char *text, unsigned suppressed)
{
	char line[LINE_BYTES + 160];
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(line + n, sizeof(line) - n, ".%06ldZ\t%s\t%s\t%s",
			      now.tv_nsec / 1000, level_name[level], component, text);
	if (suppressed > 0)
		n += (size_t)snprintf(line + n, sizeof(line) - n, " (%u more of these not shown)",
				      suppressed);
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return;	/* nowhere left to complain */
}

/* Counts this message; false when it was shown often enough lately. */
static bool may_show(const char *component, const char *text, unsigned *suppressed)
{
	uint64_t hash = hash_bytes(text, strlen(text)) ^ hash_bytes(component, strlen(component));
	struct repeat *r = &repeats[hash % REPEAT_SLOTS];
	time_t now = time(NULL);
	bool show;

	*suppressed = 0;
	pthread_mutex_lock(&repeats_lock);
	if (r->hash != hash || now - r->since >= REPEAT_SECONDS) {
		if (r->hash == hash && r->count > REPEAT_LIMIT)
			*suppressed = r->count - REPEAT_LIMIT;
		*r = (struct repeat){ .hash = hash, .since = now };
	}
	show = ++r->count <= REPEAT_LIMIT;
	pthread_mutex_unlock(&repeats_lock);
	return show;
}

void log_line(enum log_level level, const char *component, const char *fmt, ...)
{
	char text[LINE_BYTES];
	unsigned suppressed;
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	if (may_show(component, text, &suppressed))
		emit(level, component, text, suppressed);
}

void fatal(const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	emit(LOG_CRITICAL, "fatal", text, 0);
	abort();
}
