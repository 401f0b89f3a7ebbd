/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/proxy.h"

#include <errno.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "proxy/admin/access_log.h"
#include "proxy/admin/commands.h"
#include "proxy/admin/privileges.h"
#include "proxy/admin/proxy_priv.h"
#include "proxy/authz/supervisor.h"
#include "proxy/net/socket.h"
#include "proxy/tls/tls_set.h"
#include "sallyport/clock.h"

#define FDS_RESERVED		1024	/* for everything but connections (spec/hardening.md T-37); at most half */
#define CONNECTIONS_MAX		50000
#define AGENT_LISTEN_MS		1000	/* for its socket to appear, before workers connect */
#define AGENT_WAIT_MS		5000	/* at start, before "ready" */

unsigned long proxy_sum(const struct proxy *p, size_t offset)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < p->worker_count; i++)
		sum += atomic_load_explicit((atomic_ulong *)((char *)&p->servers[i]->counters + offset),
					    memory_order_relaxed);
	return sum;
}

/* Descriptors for connections, both sides together. */
static unsigned long connection_files(void)
{
	struct rlimit files;
	unsigned long reserved = FDS_RESERVED;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return 2 * CONNECTIONS_MAX;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur / 2 < reserved)
		reserved = files.rlim_cur / 2;
	return files.rlim_cur - reserved;
}

/* Unless the document says how many downstream connections there may be, each finds a descriptor for
 * one upstream. Who expects idle ones may ask for more, as far as descriptors go. */
static unsigned long connection_limit(const struct proxy_settings *settings)
{
	unsigned long files = connection_files(), asked = (unsigned long)settings->limits.max_connections;

	if (asked == 0)
		return files / 2 < CONNECTIONS_MAX ? files / 2 : CONNECTIONS_MAX;
	if (asked > files)
		log_warn("proxy", "maxConnections %lu needs more open files than this process may have: %lu",
			 asked, files);
	return asked < files ? asked : files;
}

/* The first address that is not loopback: what x-forwarded-for says of clients on this host. */
static void find_own_address(char *out)
{
	struct ifaddrs *list, *i;

	out[0] = '\0';
	if (getifaddrs(&list) != 0)
		return;
	for (i = list; i != NULL && out[0] == '\0'; i = i->ifa_next)
		if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
		    !(i->ifa_flags & IFF_LOOPBACK))
			address_ip_text(i->ifa_addr, out);
	freeifaddrs(list);
}

/* documents */

static void close_copy(int *copy)
{
	if (*copy >= 0)
		close(*copy);
	*copy = -1;
}

struct snapshot *proxy_load(struct proxy *p, int copy, struct problems *ps)
{
	struct resource_set *set = resource_set_load_and_copy(p->paths, p->path_count, copy, ps);
	struct snapshot *s = ps->errors == 0 ? snapshot_build(set, p->serial + 1, ps) : NULL;

	if (s == NULL || ps->errors > 0) {
		if (s == NULL)
			resource_set_free(&set);
		snapshot_unref(&s);
		return NULL;
	}
	return s;
}

/* Also leaves a copy of the documents in memory, for the agent. NULL: there is none. */
static struct snapshot *load_and_copy(struct proxy *p, int *copy, struct problems *ps)
{
	struct snapshot *s;

	*copy = memfd_create("sallyport documents", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*copy < 0)
		problem_add(ps, SEVERITY_ERROR, (struct where){ p->paths[0], 0, 0 },
			    "no memory for a copy of the documents: %s", strerror(errno));
	s = proxy_load(p, *copy, ps);
	if (s != NULL)
		fcntl(*copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	else
		close_copy(copy);
	return s;
}

/* listeners */

static struct bound *find_bound(struct proxy *p, const char *key)
{
	struct bound *b;

	TAILQ_FOREACH(b, &p->bound, link)
		if (strcmp(b->bind.key, key) == 0)
			return b;
	return NULL;
}

static void close_bound(struct proxy *p, struct bound *b, bool close_sockets)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&b->bind.address;

	TAILQ_REMOVE(&p->bound, b, link);
	for (unsigned i = 0; close_sockets && i < p->worker_count; i++)
		close(b->fds[i]);
	if (un->sun_family == AF_UNIX && un->sun_path[0] != '\0')
		unlink(un->sun_path);
	free(b);
}

static void undo_binds(struct proxy *p)
{
	struct bound *b, *next;

	for (b = TAILQ_FIRST(&p->bound); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		if (b->fresh)
			close_bound(p, b, true);
	}
}

/* Opens what the snapshot listens on and is not open yet. On failure everything new is closed. */
static bool bind_listeners(struct proxy *p, const struct snapshot *s, struct problems *ps)
{
	char why[300];
	struct bound *b;

	TAILQ_FOREACH(b, &p->bound, link)
		b->wanted = false;
	for (size_t i = 0; i < s->listeners.count; i++) {
		const struct listener_plan *l = s->listeners.items[i];

		b = find_bound(p, l->bind.key);
		if (b != NULL) {
			b->wanted = true;
			continue;
		}
		b = calloc(1, sizeof(*b));
		must(b != NULL);
		b->bind = l->bind;
		b->fresh = b->wanted = true;
		if (!listener_bind((const struct sockaddr *)&l->bind.address, l->bind.address_len,
				   (int)s->settings->limits.listen_backlog, p->worker_count, b->fds, why,
				   sizeof(why))) {
			problem_add(ps, SEVERITY_ERROR, l->where, "listener %.*s: %s", SLICE_ARG(l->name), why);
			free(b);
			undo_binds(p);
			return false;
		}
		TAILQ_INSERT_TAIL(&p->bound, b, link);
	}
	return true;
}

/* messages to workers */

struct switch_message {
	struct snapshot *snapshot;
	struct tls_set *tls;
	char own_agent[AUTHZ_NAME_BYTES];
};

static void switch_worker(struct worker *w, void *arg)
{
	struct switch_message *m = arg;

	server_switch(w->proxy, m->snapshot, m->tls, m->own_agent);
	free(m);
}

struct listen_message {
	int fd;
	char key[128];
};

static void listen_on_worker(struct worker *w, void *arg)
{
	struct listen_message *m = arg;

	server_listen(w->proxy, m->fd, m->key);
	free(m);
}

static void unlisten_on_worker(struct worker *w, void *arg)
{
	struct listen_message *m = arg;

	server_unlisten(w->proxy, m->key);
	free(m);
}

static struct listen_message *listen_message(const char *key, int fd)
{
	struct listen_message *m = calloc(1, sizeof(*m));

	must(m != NULL);
	m->fd = fd;
	snprintf(m->key, sizeof(m->key), "%s", key);
	return m;
}

/* Every worker serves the snapshot and listens where it says, from its next turn on. */
static void switch_workers(struct proxy *p, struct snapshot *s, struct tls_set *tls)
{
	struct bound *b, *next;

	for (unsigned i = 0; i < p->worker_count; i++) {
		struct switch_message *m = calloc(1, sizeof(*m));

		must(m != NULL);
		*m = (struct switch_message){ .snapshot = snapshot_ref(s), .tls = tls_set_ref(tls) };
		snprintf(m->own_agent, sizeof(m->own_agent), "%s", p->agent_address);
		worker_post(p->workers[i], switch_worker, m);
	}
	for (b = TAILQ_FIRST(&p->bound); b != NULL; b = next) {
		next = TAILQ_NEXT(b, link);
		for (unsigned i = 0; i < p->worker_count; i++) {
			if (b->fresh)
				worker_post(p->workers[i], listen_on_worker, listen_message(b->bind.key, b->fds[i]));
			else if (!b->wanted)
				worker_post(p->workers[i], unlisten_on_worker, listen_message(b->bind.key, -1));
		}
		b->fresh = false;
		if (!b->wanted)
			close_bound(p, b, false);
	}
}

static void log_problems(const struct problems *ps, enum severity least)
{
	char line[2048];

	for (size_t i = 0; i < ps->count; i++) {
		if (ps->items[i].severity < least)
			continue;
		problem_format(&ps->items[i], line, sizeof(line));
		log_line(ps->items[i].severity == SEVERITY_ERROR ? LOG_ERROR :
			 ps->items[i].severity == SEVERITY_WARNING ? LOG_WARN : LOG_INFO, "config", "%s", line);
	}
}

/* The snapshot serves from here on; the one before lives until its last stream has ended. */
static void activate(struct proxy *p, struct snapshot *s, struct tls_set *tls)
{
	struct snapshot *before = p->snapshot;

	p->snapshot = s;
	p->serial = s->serial;
	cluster_registry_activate(p->clusters, s->clusters.items, s->clusters.count);
	tls_store_activate(p->secrets, tls);
	switch_workers(p, s, tls);
	tls_set_unref(&tls);
	snapshot_unref(&before);
}

static bool names_agents(const struct snapshot *s)
{
	return s->settings->authz.addresses.count > 0;
}

/* Where documents need an agent and the settings name none, one of our own: it gets the copy of them,
 * before any worker asks by them. */
static bool provide_agent(struct proxy *p, const struct snapshot *s, int *copy)
{
	int documents = *copy;

	if (names_agents(s) || (p->agent == NULL && !s->has_policies))
		return true;
	*copy = -1;
	if (p->agent != NULL) {
		supervisor_use(p->agent, documents);
		return true;
	}
	p->agent = supervisor_start(p->base, s->settings->authz.agent.at, s->settings->authz.state_directory.at,
				    documents, p->agent_address, sizeof(p->agent_address));
	if (p->agent != NULL)
		supervisor_await(p->agent, AGENT_LISTEN_MS);
	return p->agent != NULL;
}

/* No worker asks our own agent any more, where others are named: it answers what it was asked, and
 * ends. */
static void dismiss_agent(struct proxy *p)
{
	if (p->agent == NULL || !names_agents(p->snapshot))
		return;
	log_info("authz", "agent %d is needed no more: others are named", (int)supervisor_pid(p->agent));
	supervisor_stop(&p->agent);
	p->agent_address[0] = '\0';
}

static void note_change(struct problems *ps, const struct proxy_settings *now, const char *field, bool changed)
{
	if (changed)
		problem_add(ps, SEVERITY_WARNING, now->meta->where,
			    "Proxy %.*s/%.*s: spec.%s: changed, but it is read at start alone: restart for it",
			    SLICE_ARG(now->meta->ns), SLICE_ARG(now->meta->name), field);
}

/* Settings that a running process keeps: that they changed is said, not passed over. */
static void note_start_settings(const struct proxy_settings *was, const struct proxy_settings *now,
				struct problems *ps)
{
	note_change(ps, now, "workers", was->workers != now->workers);
	note_change(ps, now, "user", !slice_eq(was->user, now->user));
	note_change(ps, now, "group", !slice_eq(was->group, now->group));
	note_change(ps, now, "admin.socket", !slice_eq(was->admin.socket, now->admin.socket));
	note_change(ps, now, "accessLog", !slice_eq(was->access_log.path, now->access_log.path) ||
					  was->access_log.format != now->access_log.format);
	note_change(ps, now, "authz.agent", !slice_eq(was->authz.agent, now->authz.agent));
	note_change(ps, now, "authz.stateDirectory",
		    !slice_eq(was->authz.state_directory, now->authz.state_directory));
	note_change(ps, now, "limits.maxConnections",
		    was->limits.max_connections != now->limits.max_connections);
}

struct switched {
	struct proxy *proxy;
	void (*done)(void *arg);
	void *arg;
};

static void on_switched(void *arg)
{
	struct switched *w = arg;

	dismiss_agent(w->proxy);
	if (w->done != NULL)
		w->done(w->arg);
	free(w);
}

static void tell_when_switched(struct proxy *p, void (*done)(void *arg), void *arg)
{
	struct switched *w;

	if (done == NULL && (p->agent == NULL || !names_agents(p->snapshot)))
		return;
	w = calloc(1, sizeof(*w));
	must(w != NULL);
	*w = (struct switched){ p, done, arg };
	workers_quiesce(p->workers, p->worker_count, p->base, on_switched, w);
}

enum outcome proxy_reload(struct proxy *p, struct problems *ps, void (*done)(void *arg), void *arg)
{
	int copy;
	struct snapshot *s = load_and_copy(p, &copy, ps);
	bool sound = s != NULL && bind_listeners(p, s, ps);

	if (sound)
		note_start_settings(p->snapshot->settings, s->settings, ps);
	log_problems(ps, SEVERITY_WARNING);
	if (!sound) {
		close_copy(&copy);
		snapshot_unref(&s);
		p->reloads_failed++;
		log_error("config", "not loaded, nothing has changed: %zu errors", ps->errors);
		return FAILED;
	}
	cluster_registry_prepare(p->clusters, s->clusters.items, s->clusters.count);
	provide_agent(p, s, &copy);
	close_copy(&copy);
	activate(p, s, tls_set_create(p->secrets, s));
	log_info("config", "loaded: revision %s, load %llu, %zu listeners, %zu clusters", s->rev,
		 (unsigned long long)s->serial, s->listeners.count, s->clusters.count);
	tell_when_switched(p, done, arg);
	return OK;
}

/* start */

/* On a worker: no cluster names this endpoint any more. */
static void on_endpoint_left(struct worker *w, struct endpoint *e)
{
	struct server *s = w->proxy;

	pool_forget(s->pool, e);
}

static void on_stream_end(struct server *s, const struct exchange *x)
{
	access_log_write(s->log, s->worker, x);
}

static void create_workers(struct proxy *p, const struct snapshot *s)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned long connections = connection_limit(s->settings);
	char own[ADDRESS_TEXT_MAX];

	find_own_address(own);
	p->worker_count = s->settings->workers > 0 ? (unsigned)s->settings->workers : cores > 0 ? (unsigned)cores : 1;
	if (p->worker_count > WORKERS_MAX)
		p->worker_count = WORKERS_MAX;
	p->log = access_log_open(s->settings, p->worker_count);
	for (unsigned i = 0; i < p->worker_count; i++) {
		struct server *server;

		p->workers[i] = worker_create(i);
		server = p->servers[i] = server_create(p->workers[i]);
		server->worker_count = p->worker_count;
		server->connections_max = (connections + p->worker_count - 1) / p->worker_count;
		server->log = p->log;
		server->on_stream_end = p->log != NULL ? on_stream_end : NULL;
		snprintf(server->local_ip, sizeof(server->local_ip), "%s", own);
	}
}

static void open_admin(struct proxy *p)
{
	struct slice path = p->snapshot->settings->admin.socket;
	char why[300];

	if (path.len == 0)
		return;
	p->admin = commands_open(p, path.at, why, sizeof(why));
	if (p->admin == NULL)
		log_line(p->snapshot->settings->admin.socket_set ? LOG_WARN : LOG_INFO, "admin",
			 "no admin socket: %s", why);
}

static void free_all(struct proxy *p)
{
	struct bound *b;

	admin_socket_close(&p->admin);
	authz_client_free(&p->asker);
	for (unsigned i = 0; i < p->worker_count; i++)
		server_free(&p->servers[i]);
	supervisor_stop(&p->agent);
	tls_store_free(&p->secrets);
	snapshot_unref(&p->snapshot);
	cluster_registry_free(&p->clusters);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_free(&p->workers[i]);
	access_log_close(&p->log);
	while ((b = TAILQ_FIRST(&p->bound)) != NULL)
		close_bound(p, b, false);
	if (p->base != NULL)
		event_base_free(p->base);
}

/* What root's process opened, that user reopens. */
static bool become_user(struct proxy *p, const struct snapshot *s, char *why, size_t why_bytes)
{
	struct identity as;

	if (!privileges_find(s->settings->user, s->settings->group, &as, why, why_bytes))
		return false;
	if (as.named)
		access_log_give(p->log, as.uid);
	return privileges_drop(&as, why, why_bytes);
}

/* Outside the loop, before it and after it, these mean nothing: the default would end the process. */
static void ignore_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
}

enum outcome proxy_start(struct proxy *p, const char *const *paths, size_t count, struct problems *ps)
{
	struct snapshot *s;
	char why[300];
	int copy;

	*p = (struct proxy){ .paths = paths, .path_count = count };
	TAILQ_INIT(&p->bound);
	ignore_signals();
	p->started_wall_us = clock_wall_us();
	s = load_and_copy(p, &copy, ps);
	log_problems(ps, SEVERITY_WARNING);
	if (s == NULL)
		return FAILED;
	evthread_use_pthreads();
	p->base = event_base_new();
	must(p->base != NULL);
	create_workers(p, s);
	if (!bind_listeners(p, s, ps))
		goto failed;
	if (!become_user(p, s, why, sizeof(why))) {
		problem_add(ps, SEVERITY_ERROR, s->settings->meta->where, "%s", why);
		goto failed;
	}
	p->clusters = cluster_registry_create(p->base, p->workers, p->worker_count, on_endpoint_left);
	p->secrets = tls_store_create(p->base, p->workers, p->worker_count);
	cluster_registry_prepare(p->clusters, s->clusters.items, s->clusters.count);
	if (!provide_agent(p, s, &copy))
		goto failed;
	close_copy(&copy);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_start(p->workers[i]);
	activate(p, s, tls_set_create(p->secrets, s));
	open_admin(p);
	return OK;
failed:
	close_copy(&copy);
	snapshot_unref(&s);
	free_all(p);
	return FAILED;
}

/* run and stop */

static void on_hangup(evutil_socket_t number, short what, void *arg)
{
	struct proxy *p = arg;
	struct problems ps;

	(void)number, (void)what;
	problems_init(&ps);
	sd_notify(0, "RELOADING=1");
	proxy_reload(p, &ps, NULL, NULL);
	sd_notify(0, "READY=1");
	problems_fini(&ps);
}

static void on_reopen(evutil_socket_t number, short what, void *arg)
{
	struct proxy *p = arg;

	(void)number, (void)what;
	access_log_reopen(p->log);
}

/* A worker has no connections left. */
static void on_worker_drained(evutil_socket_t fd, short what, void *arg)
{
	struct proxy *p = arg;

	(void)fd, (void)what;
	if (++p->drained == p->worker_count)
		event_base_loopbreak(p->base);
}

struct drain_message {
	struct proxy *proxy;
	int64_t grace_ms;
};

static void report_drained(struct server *s)
{
	static const struct timeval now = { 0 };

	event_base_once(((struct drain_message *)s->drain_context)->proxy->base, -1, EV_TIMEOUT,
			on_worker_drained, ((struct drain_message *)s->drain_context)->proxy, &now);
	free(s->drain_context);
	s->drain_context = NULL;
}

static void drain_worker(struct worker *w, void *arg)
{
	struct drain_message *m = arg;
	struct server *s = w->proxy;

	s->drain_context = m;
	s->on_drained = report_drained;
	server_drain(s, m->grace_ms);
}

static void on_terminate(evutil_socket_t number, short what, void *arg)
{
	struct proxy *p = arg;
	struct bound *b;

	(void)number, (void)what;
	if (p->stopping) {
		event_base_loopbreak(p->base);
		return;
	}
	p->stopping = true;
	sd_notify(0, "STOPPING=1");
	log_info("proxy", "draining for at most %lld ms",
		 (long long)p->snapshot->settings->limits.drain_ms);
	TAILQ_FOREACH(b, &p->bound, link)
		for (unsigned i = 0; i < p->worker_count; i++)
			worker_post(p->workers[i], unlisten_on_worker, listen_message(b->bind.key, -1));
	for (unsigned i = 0; i < p->worker_count; i++) {
		struct drain_message *m = calloc(1, sizeof(*m));

		must(m != NULL);
		*m = (struct drain_message){ p, p->snapshot->settings->limits.drain_ms };
		worker_post(p->workers[i], drain_worker, m);
	}
}

static void say_listeners(const struct proxy *p)
{
	for (size_t i = 0; i < p->snapshot->listeners.count; i++) {
		const struct listener_plan *l = p->snapshot->listeners.items[i];

		log_info("proxy", "listener %.*s on %s", SLICE_ARG(l->name), l->bind.key);
	}
	if (p->snapshot->listeners.count == 0)
		log_warn("proxy", "no Gateway server is served: nothing listens");
}

/* "ready" is said when names were resolved (or failed) once and the agent answers. */
struct readiness {
	struct proxy *proxy;
	struct event *poll;
	int64_t until_ms;
};

static bool agents_answer(const struct proxy *p)
{
	if (!p->snapshot->has_policies)
		return true;
	for (unsigned i = 0; i < p->worker_count; i++)
		if (!atomic_load_explicit(&p->servers[i]->agent_up, memory_order_relaxed))
			return false;
	return true;
}

static void ask_workers_for_agent(struct worker *w, void *arg)
{
	struct server *s = w->proxy;

	(void)arg;
	if (s->authz != NULL)
		atomic_store_explicit(&s->agent_up, atomic_load_explicit(
			&authz_client_counters(s->authz)->connections_ready, memory_order_relaxed) > 0,
			memory_order_relaxed);
}

static void on_readiness_poll(evutil_socket_t fd, short what, void *arg)
{
	struct readiness *r = arg;
	struct proxy *p = r->proxy;

	(void)fd, (void)what;
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_post(p->workers[i], ask_workers_for_agent, NULL);
	if ((!cluster_registry_resolved(p->clusters) || !agents_answer(p)) &&
	    clock_monotonic_ms() < r->until_ms)
		return;
	if (!agents_answer(p))
		log_warn("authz", "the agent does not answer yet: requests under policies are refused");
	event_free(r->poll);
	r->poll = NULL;
	log_info("proxy", "ready: revision %s, %u workers, pid %d", p->snapshot->rev, p->worker_count,
		 (int)getpid());
	sd_notify(0, "READY=1");
}

int proxy_run(struct proxy *p)
{
	static const struct timeval poll = { .tv_usec = 10000 };
	struct readiness r = { .proxy = p, .until_ms = clock_monotonic_ms() + AGENT_WAIT_MS };
	struct event *signals[] = {
		evsignal_new(p->base, SIGHUP, on_hangup, p), evsignal_new(p->base, SIGUSR1, on_reopen, p),
		evsignal_new(p->base, SIGTERM, on_terminate, p), evsignal_new(p->base, SIGINT, on_terminate, p),
	};

	for (size_t i = 0; i < COUNT_OF(signals); i++)
		evsignal_add(signals[i], NULL);
	say_listeners(p);
	r.poll = event_new(p->base, -1, EV_PERSIST, on_readiness_poll, &r);
	event_add(r.poll, &poll);
	event_base_dispatch(p->base);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_stop(p->workers[i]);
	for (unsigned i = 0; i < p->worker_count; i++)
		worker_join(p->workers[i]);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		event_free(signals[i]);
	if (r.poll != NULL)
		event_free(r.poll);
	free_all(p);
	log_info("proxy", "stopped");
	return 0;
}
