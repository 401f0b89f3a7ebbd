/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/net/worker.h"
#include "proxy/route/route.h"
#include "sallyport/object.h"
#include "sallyport/text.h"

#define DEFAULT_TEXT \
	"[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% " \
	"%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% " \
	"\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% " \
	"%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" " \
	"\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% " \
	"%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% " \
	"%REQUESTED_SERVER_NAME% %ROUTE_NAME%"

/* Keys of the JSON form, in print order (spec/observability.md 3). X(key, operator, is a number) */
#define JSON_KEYS(X) \
	X("start_time", "%START_TIME%", false) X("route_name", "%ROUTE_NAME%", false) \
	X("method", "%REQ(:METHOD)%", false) X("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", false) \
	X("protocol", "%PROTOCOL%", false) X("response_code", "%RESPONSE_CODE%", true) \
	X("response_flags", "%RESPONSE_FLAGS%", false) \
	X("response_code_details", "%RESPONSE_CODE_DETAILS%", false) \
	X("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%", false) \
	X("bytes_received", "%BYTES_RECEIVED%", true) X("bytes_sent", "%BYTES_SENT%", true) \
	X("duration", "%DURATION%", true) \
	X("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", false) \
	X("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%", false) X("user_agent", "%REQ(USER-AGENT)%", false) \
	X("request_id", "%REQ(X-REQUEST-ID)%", false) X("authority", "%REQ(:AUTHORITY)%", false) \
	X("upstream_host", "%UPSTREAM_HOST%", false) X("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%", false) \
	X("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%", false) \
	X("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%", false) \
	X("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%", false) \
	X("requested_server_name", "%REQUESTED_SERVER_NAME%", false) \
	X("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%", false)

static const struct {
	const char *key, *format;
	bool number;
} json_keys[] = {
#define X(key, format, number) { key, format, number },
	JSON_KEYS(X)
#undef X
};

/* Lines on their way to the writer. */
struct batch {
	STAILQ_ENTRY(batch) link;
	struct text lines;
};

struct worker_log {
	struct access_log *log;		/* borrowed */
	struct worker *worker;		/* borrowed; set by the first line */
	struct text lines;
	struct arena *arena;		/* of the line being formatted */
	struct timer flush;
};

struct access_log {
	char *path;
	int fd;
	enum access_log_format format;
	struct arena *arena;		/* of the formats */
	struct format text, json[COUNT_OF(json_keys)];
	unsigned worker_count;
	struct worker_log *workers;
	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t more;
	STAILQ_HEAD(, batch) queue;	/* under `lock`, like the next three */
	size_t queued_bytes;
	bool closing, reopen;
	atomic_ulong lines, dropped, bytes, write_failures;
};

static struct format compile(struct arena *a, const char *text)
{
	struct format_error why;
	struct format f;

	if (!format_parse(a, slice_of(text), &f, &why))
		fatal("access log: %s: %s", text, why.text);
	return f;
}

static int open_file(const char *path)
{
	/* Streams that a service manager or shell gave us are used as they are. */
	if (strcmp(path, "/dev/stdout") == 0)
		return dup(STDOUT_FILENO);
	if (strcmp(path, "/dev/stderr") == 0)
		return dup(STDERR_FILENO);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

/* the writer */

static void write_all(struct access_log *l, struct slice s)
{
	while (s.len > 0) {
		ssize_t n = write(l->fd, s.at, s.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			atomic_fetch_add(&l->write_failures, 1);
			log_warn("access-log", "%s: %s; lines are lost", l->path, strerror(errno));
			return;
		}
		atomic_fetch_add(&l->bytes, (unsigned long)n);
		s = slice_from(s, (size_t)n);
	}
}

static void reopen_now(struct access_log *l)
{
	int fd = open_file(l->path);

	if (fd < 0) {
		atomic_fetch_add(&l->write_failures, 1);
		log_warn("access-log", "%s: not reopened: %s", l->path, strerror(errno));
		return;
	}
	close(l->fd);
	l->fd = fd;
}

static void *run_writer(void *arg)
{
	struct access_log *l = arg;
	struct batch *b;

	pthread_setname_np(pthread_self(), "access log");
	pthread_mutex_lock(&l->lock);
	for (;;) {
		while (STAILQ_EMPTY(&l->queue) && !l->closing && !l->reopen)
			pthread_cond_wait(&l->more, &l->lock);
		b = STAILQ_FIRST(&l->queue);
		if (b == NULL && l->reopen) {
			l->reopen = false;
			pthread_mutex_unlock(&l->lock);
			reopen_now(l);
			pthread_mutex_lock(&l->lock);
			continue;
		}
		if (b == NULL)
			break;
		STAILQ_REMOVE_HEAD(&l->queue, link);
		l->queued_bytes -= b->lines.len;
		pthread_mutex_unlock(&l->lock);
		write_all(l, text_slice(&b->lines));
		text_fini(&b->lines);
		free(b);
		pthread_mutex_lock(&l->lock);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* Hands the worker's lines over whole; they are dropped when too much waits already. */
static void hand_over(struct worker_log *wl)
{
	struct access_log *l = wl->log;
	struct batch *b;

	if (wl->lines.len == 0)
		return;
	b = calloc(1, sizeof(*b));
	must(b != NULL);
	b->lines = wl->lines;
	text_init(&wl->lines);
	pthread_mutex_lock(&l->lock);
	if (l->queued_bytes + b->lines.len <= ACCESS_LOG_QUEUE_MAX) {
		l->queued_bytes += b->lines.len;
		STAILQ_INSERT_TAIL(&l->queue, b, link);
		pthread_cond_signal(&l->more);
		b = NULL;
	}
	pthread_mutex_unlock(&l->lock);
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->lines.len; i++)
		if (b->lines.at[i] == '\n')
			atomic_fetch_add(&l->dropped, 1);
	text_fini(&b->lines);
	free(b);
}

/* lines */

/* What a peer wrote cannot end the line, leave its quotes or move a terminal's cursor. */
static void add_escaped(struct text *out, struct slice s)
{
	s = slice_first(s, ACCESS_LOG_FIELD_MAX);
	for (size_t i = 0, from = 0; i <= s.len; i++) {
		unsigned char c = i < s.len ? (unsigned char)s.at[i] : 0;
		size_t utf8 = i < s.len && c >= 0x80 ? text_utf8_length(slice_from(s, i)) : 1;

		if (i < s.len && c >= 0x20 && c != 0x7f && c != '"' && c != '\\' && utf8 > 0) {
			i += utf8 - 1;
			continue;
		}
		text_add(out, slice_make(s.at + from, i - from));
		if (i < s.len)
			text_printf(out, "\\x%02x", c);
		from = i + 1;
	}
}

static struct slice value_of(const struct format_piece *piece, const struct exchange *x, struct slice absent,
			     struct arena *a)
{
	const struct format one = { (struct format_piece *)piece, 1 };

	return format_run(&one, x, absent, a);
}

static void add_text_line(struct access_log *l, struct worker_log *wl, const struct exchange *x)
{
	for (size_t i = 0; i < l->text.count; i++) {
		const struct format_piece *piece = &l->text.items[i];

		if (piece->op == FORMAT_LITERAL)
			text_add(&wl->lines, piece->text);
		else
			add_escaped(&wl->lines, value_of(piece, x, SLICE("-"), wl->arena));
	}
}

/* Beyond Istio's keys, and only where the agent was asked. */
static void add_json_extra(struct worker_log *wl, const char *key, struct slice value)
{
	if (value.len == 0)
		return;
	text_add(&wl->lines, slice_of(key));
	text_add_json(&wl->lines, slice_first(value, ACCESS_LOG_FIELD_MAX));
}

static void add_json_line(struct access_log *l, struct worker_log *wl, const struct exchange *x)
{
	for (size_t i = 0; i < COUNT_OF(json_keys); i++) {
		struct slice value = value_of(&l->json[i].items[0], x, SLICE(""), wl->arena);

		text_printf(&wl->lines, "%c\"%s\":", i == 0 ? '{' : ',', json_keys[i].key);
		if (value.len == 0)
			text_add(&wl->lines, SLICE("null"));
		else if (json_keys[i].number)
			text_add(&wl->lines, value);
		else
			text_add_json(&wl->lines, slice_first(value, ACCESS_LOG_FIELD_MAX));
	}
	add_json_extra(wl, ",\"authz_reason\":", x->authz_reason);
	add_json_extra(wl, ",\"authz_dry_run\":", x->authz_dry_run);
	text_add_char(&wl->lines, '}');
}

static void on_flush_due(struct timer *t)
{
	hand_over(container_of(t, struct worker_log, flush));
}

void access_log_write(struct access_log *l, struct worker *w, const struct exchange *x)
{
	struct worker_log *wl = &l->workers[w->id];
	size_t before = wl->lines.len;

	wl->worker = w;
	arena_reset(wl->arena);
	if (l->format == ACCESS_LOG_JSON)
		add_json_line(l, wl, x);
	else
		add_text_line(l, wl, x);
	if (wl->lines.len - before > ACCESS_LOG_LINE_MAX) {
		wl->lines.len = before + ACCESS_LOG_LINE_MAX;
		wl->lines.at[wl->lines.len] = '\0';
	}
	text_add_char(&wl->lines, '\n');
	atomic_fetch_add_explicit(&l->lines, 1, memory_order_relaxed);
	if (wl->lines.len >= ACCESS_LOG_FLUSH_BYTES)
		hand_over(wl);
	else if (before == 0)
		timer_set(w, &wl->flush, worker_now_ms(w) + ACCESS_LOG_FLUSH_MS, on_flush_due);
}

/* open and close */

struct access_log *access_log_open(const struct proxy_settings *settings, unsigned worker_count)
{
	struct access_log *l;
	int fd;

	if (settings->access_log.path.len == 0)
		return NULL;
	fd = open_file(settings->access_log.path.at);
	if (fd < 0) {
		log_error("access-log", "%s: %s; there will be no access log", settings->access_log.path.at,
			  strerror(errno));
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	must(l != NULL);
	l->path = strdup(settings->access_log.path.at);
	l->fd = fd;
	l->format = (enum access_log_format)settings->access_log.format;
	l->arena = arena_create(0);
	l->text = compile(l->arena, DEFAULT_TEXT);
	for (size_t i = 0; i < COUNT_OF(json_keys); i++)
		l->json[i] = compile(l->arena, json_keys[i].format);
	l->worker_count = worker_count;
	l->workers = calloc(worker_count, sizeof(*l->workers));
	must(l->path != NULL && l->workers != NULL);
	for (unsigned i = 0; i < worker_count; i++) {
		l->workers[i].log = l;
		l->workers[i].arena = arena_create(ACCESS_LOG_FIELD_MAX);
	}
	STAILQ_INIT(&l->queue);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->more, NULL);
	if (pthread_create(&l->writer, NULL, run_writer, l) != 0)
		fatal("cannot start the writer of the access log");
	return l;
}

void access_log_close(struct access_log **lp)
{
	struct access_log *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->worker_count; i++)
		hand_over(&l->workers[i]);
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_cond_signal(&l->more);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->writer, NULL);
	for (unsigned i = 0; i < l->worker_count; i++)
		arena_free(&l->workers[i].arena);
	free(l->workers);
	arena_free(&l->arena);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->more);
	close(l->fd);
	free(l->path);
	free(l);
}

void access_log_reopen(struct access_log *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->reopen = true;
	pthread_cond_signal(&l->more);
	pthread_mutex_unlock(&l->lock);
}

void access_log_give(struct access_log *l, uid_t uid)
{
	struct stat st;

	if (l == NULL || fstat(l->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != 0)
		return;
	if (fchown(l->fd, uid, (gid_t)-1) != 0)
		log_warn("access-log", "%s: stays root's and cannot be reopened: %s", l->path, strerror(errno));
}

struct access_log_counters access_log_counters(const struct access_log *l)
{
	if (l == NULL)
		return (struct access_log_counters){ 0 };
	return (struct access_log_counters){
		.lines = atomic_load(&l->lines), .dropped = atomic_load(&l->dropped),
		.bytes = atomic_load(&l->bytes), .write_failures = atomic_load(&l->write_failures) };
}
