/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - the operational log: `<RFC 3339 time>Z\t<level>\t<component>\t<message>` on stderr
 * (spec/observability.md 13). Access logs are another thing: proxy/admin/access_log.h.
 *
 * Thread   any; a line is one write.
 * Blocks   on stderr only. An identical message is printed at most 10 times in 10 s.
 * Secrets  callers never log header values, bodies, keys or tokens at info or above. */
#ifndef SALLYPORT_LOG_H
#define SALLYPORT_LOG_H

#include <stdbool.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL };

/* Least level that is printed; LOG_INFO at start. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* `name` as in the line: trace debug info warning error critical. False: no such level. */
bool log_level_parse(const char *name, enum log_level *out);

void log_line(enum log_level level, const char *component, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_info(component, ...)	log_line(LOG_INFO, component, __VA_ARGS__)
#define log_warn(component, ...)	log_line(LOG_WARN, component, __VA_ARGS__)
#define log_error(component, ...)	log_line(LOG_ERROR, component, __VA_ARGS__)
#define log_debug(component, ...) \
	do { if (log_enabled(LOG_DEBUG)) log_line(LOG_DEBUG, component, __VA_ARGS__); } while (0)

/* An invariant is broken, or memory is gone: says so and aborts. */
_Noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define must(condition) \
	((condition) ? (void)0 : fatal("%s:%d: %s", __FILE__, __LINE__, #condition))

#endif
