/* SPDX-License-Identifier: Apache-2.0
 *
 * access_log.h - one line for each request, when it ended (spec/observability.md 1-3).
 *
 * Each worker formats into a buffer of its own and hands it over whole; one thread writes, so that a
 * slow disk never stops traffic: what does not fit is dropped and counted. Lines are never split.
 *
 * Owner    the main thread. Thread: access_log_write() on any worker, the rest on the main thread. */
#ifndef SALLYPORT_PROXY_ACCESS_LOG_H
#define SALLYPORT_PROXY_ACCESS_LOG_H

#include <sys/types.h>

#include "proxy/http/exchange.h"
#include "sallyport/problem.h"
#include "sallyport/resource/proxy_settings.h"

#define ACCESS_LOG_FLUSH_MS	1000
#define ACCESS_LOG_FLUSH_BYTES	(64u * 1024)
#define ACCESS_LOG_LINE_MAX	(64u * 1024)
#define ACCESS_LOG_FIELD_MAX	(8u * 1024)
#define ACCESS_LOG_QUEUE_MAX	(8u << 20)	/* bytes waiting for the writer; beyond: dropped */

struct access_log;
struct worker;

/* NULL where `settings` asks for none, or with a problem logged where the file cannot be opened. */
struct access_log *access_log_open(const struct proxy_settings *settings, unsigned worker_count);
/* After the workers have ended: writes what is left. */
void access_log_close(struct access_log **lp);
/* SIGUSR1: a file that was renamed is opened anew; on failure the old one stays. */
void access_log_reopen(struct access_log *l);

/* The file becomes that user's, who has to be able to reopen it, if it is root's. NULL is fine. */
void access_log_give(struct access_log *l, uid_t uid);
/* On the worker; what it gathered is handed over within ACCESS_LOG_FLUSH_MS. */
void access_log_write(struct access_log *l, struct worker *w, const struct exchange *x);

struct access_log_counters {
	unsigned long lines, dropped, bytes, write_failures;
};
struct access_log_counters access_log_counters(const struct access_log *l);

#endif
