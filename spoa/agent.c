/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/agent_priv.h"

#include <errno.h>
#include <event2/thread.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "sallyport/cidr.h"
#include "sallyport/log.h"
#include "sallyport/resource/proxy_settings.h"
#include "spoa/commands.h"
#include "spoa/jwks.h"

#define LISTEN_BACKLOG		1024
#define ACCEPTS_PER_TURN	64
#define SOCKET_UMASK		0117	/* owner and group may connect */

/* ---- documents ---- */

static void tell_problems(struct spoa_agent *a, const struct problems *ps, bool asked_by_person)
{
	struct text all;
	char line[1024];

	text_init(&all);
	for (size_t i = 0; i < ps->count; i++) {
		problem_format(&ps->items[i], line, sizeof(line));
		text_printf(&all, "%s\n", line);
	}
	if (asked_by_person || !slice_eq(text_slice(&all), text_slice(&a->last_problems)))
		for (size_t i = 0; i < ps->count; i++) {
			problem_format(&ps->items[i], line, sizeof(line));
			if (ps->items[i].severity != SEVERITY_NOTE)
				log_line(ps->items[i].severity == SEVERITY_ERROR ? LOG_ERROR
									      : LOG_WARN,
					 "config", "%s", line);
		}
	text_fini(&a->last_problems);
	a->last_problems = all;
}

static bool is_fed_by_parent(const struct spoa_agent *a)
{
	return a->config->file_count == 0;
}

static struct resource_set *read_documents(struct spoa_agent *a, struct problems *ps)
{
	struct resource_set *set;

	if (!is_fed_by_parent(a))
		return resource_set_load(a->config->files, a->config->file_count, ps);
	set = resource_set_load_copy(a->documents, ps);
	close(a->documents);
	a->documents = -1;
	return set;
}

/* NULL: there are errors, which the log has. Problems name files that the set holds. */
static struct rules *load(struct spoa_agent *a, bool asked_by_person)
{
	int64_t begun_ms = clock_monotonic_ms();
	struct rules *r = NULL;
	struct resource_set *set;
	struct problems ps;

	problems_init(&ps);
	set = read_documents(a, &ps);
	problems_sort(&ps);
	if (!is_fed_by_parent(a) || ps.errors > 0)	/* the parent has told what it warns of */
		tell_problems(a, &ps, asked_by_person);
	if (ps.errors > 0)
		resource_set_free(&set);
	else
		r = rules_create(set, a->keys, a->rules);
	problems_fini(&ps);
	a->loaded_ms = clock_monotonic_ms();
	a->load_took_ms = a->loaded_ms - begun_ms;
	return r;
}

/* Threads hear of every good load, also when it brought nothing new: somebody may wait for it.
 * `number` 0: it says nothing to those who wait. */
static void use(struct spoa_agent *a, struct rules *r, unsigned long number)
{
	for (unsigned i = 0; i < a->config->threads; i++)
		spoa_thread_use(a->threads[i], r, number);
	rules_unref(&a->rules);
	a->rules = r;
}

static unsigned long begin_load(struct spoa_agent *a)
{
	return atomic_fetch_add(&a->loads_begun, 1) + 1;
}

static void reload(struct spoa_agent *a, bool asked_by_person, unsigned long number)
{
	struct rules *r = load(a, asked_by_person);

	a->behind = r == NULL;
	if (r == NULL) {
		log_error("agent", "reload failed: revision %.*s stays in force",
			  SLICE_ARG(a->rules->rev));
		return;
	}
	if (r != a->rules)
		log_info("agent", "reloaded: revision %.*s, %zu documents", SLICE_ARG(r->rev),
			 r->set->documents);
	else if (asked_by_person)
		log_info("agent", "nothing to reload: revision %.*s", SLICE_ARG(r->rev));
	use(a, r, number);
}

/* ---- from the parent ---- */

/* OK: a->documents is the next copy. CLOSED: the parent has gone, or says what nobody understands. */
static enum outcome receive_documents(struct spoa_agent *a, int flags)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char what;
	struct iovec text = { &what, 1 };
	struct msghdr m = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	do
		n = recvmsg(a->config->parent_fd, &m, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return AGAIN;
	if (n <= 0 || m.msg_controllen < sizeof(control.head) ||
	    control.head.cmsg_type != SCM_RIGHTS)
		return CLOSED;
	memcpy(&a->documents, CMSG_DATA(&control.head), sizeof(int));
	return OK;
}

/* All copies that have come, each in its turn. The parent sends a copy before anybody asks by it: what
 * is not known when nothing more is there, nobody who has asked before will bring. */
static enum outcome take_documents(struct spoa_agent *a)
{
	unsigned long number = begin_load(a);
	enum outcome o = receive_documents(a, MSG_DONTWAIT);

	while (o == OK) {
		reload(a, true, 0);
		number = begin_load(a);
		o = receive_documents(a, MSG_DONTWAIT);
	}
	if (o == AGAIN && !a->behind)
		use(a, rules_ref(a->rules), number);
	return o;
}

/* ---- when to load ---- */

/* Any thread. */
static void on_unknown_revision(void *arg)
{
	struct spoa_agent *a = arg;

	if (!atomic_exchange(&a->revision_wanted, true))
		event_active(&a->wanted, 0, 0);
}

/* Files are read again no more often than the gap, and never for most of the time. */
static int64_t files_wait_ms(const struct spoa_agent *a)
{
	int64_t gap_ms = SPOA_RELOAD_GAP_MS > 4 * a->load_took_ms ? SPOA_RELOAD_GAP_MS
								  : 4 * a->load_took_ms;

	return is_fed_by_parent(a) ? 0 : a->loaded_ms + gap_ms - clock_monotonic_ms();
}

static void on_wanted(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_agent *a = arg;
	int64_t wait_ms = files_wait_ms(a);
	struct timeval tv = { .tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000 };

	(void)fd;
	(void)what;
	if (wait_ms > 0) {
		event_add(&a->reload_timer, &tv);
		return;
	}
	atomic_store(&a->revision_wanted, false);
	if (is_fed_by_parent(a))
		take_documents(a);
	else
		reload(a, false, begin_load(a));
}

static void on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_agent *a = arg;

	(void)fd;
	(void)what;
	if (is_fed_by_parent(a))
		log_info("agent", "SIGHUP: documents come from the proxy, reload that");
	else
		reload(a, true, begin_load(a));
}

/* ---- connections ---- */

static unsigned long connections_now(const struct spoa_agent *a)
{
	unsigned long closed = 0;

	for (unsigned i = 0; i < a->config->threads; i++) {
		const struct spoa_counters *c = &a->threads[i]->counters;

		closed += atomic_load_explicit(&c->connections, memory_order_relaxed) -
			  atomic_load_explicit(&c->connections_now, memory_order_relaxed);
	}
	return a->accepted - closed;
}

static void refuse(int fd, const char *peer)
{
	unsigned char bytes[SPOP_FRAME_SIZE_MIN];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));

	spop_write_disconnect(&w, SPOP_AGENT_DISCONNECT, SPOP_RESOURCES, "too many connections");
	if (send(fd, bytes, spop_writer_used(&w), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		log_warn("agent", "%s: DISCONNECT 13 sent: too many connections", peer);
	close(fd);
}

static void describe_peer(const struct listener *l, const struct sockaddr *from, int fd, char *out,
			  size_t bytes)
{
	char text[IP_TEXT_BYTES];
	struct ip ip;

	if (!ip_from_sockaddr(from, &ip)) {
		snprintf(out, bytes, "%.60s#%d", l->name, fd);
		return;
	}
	snprintf(out, bytes, ip.v4 ? "%s:%u" : "[%s]:%u", ip_format(&ip, text),
		 ntohs(from->sa_family == AF_INET
		       ? ((const struct sockaddr_in *)from)->sin_port
		       : ((const struct sockaddr_in6 *)from)->sin6_port));
}

static bool accept_one(struct listener *l)
{
	struct spoa_agent *a = l->agent;
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int one = 1;
	char peer[80];

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_error("agent", "%s: accept: %s", l->name, strerror(errno));
		return false;
	}
	if (l->address.at.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	describe_peer(l, (struct sockaddr *)&from, fd, peer, sizeof(peer));
	if (connections_now(a) >= a->options.connections_max) {
		refuse(fd, peer);
		return true;
	}
	a->accepted++;
	spoa_thread_adopt(a->threads[a->next_thread], fd, peer);
	a->next_thread = (a->next_thread + 1) % a->config->threads;
	return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN && accept_one(arg); i++)
		;
}

/* A socket file that nobody listens on any more is in the way. */
static void remove_stale_socket(const struct spop_address *address)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)&address->at;
	struct stat st;
	int fd;

	if (address->at.ss_family != AF_UNIX || lstat(un->sun_path, &st) != 0 ||
	    !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)un, address->len) != 0 &&
	    errno == ECONNREFUSED)
		unlink(un->sun_path);
	if (fd >= 0)
		close(fd);
}

static bool listen_on(struct spoa_agent *a, const char *name)
{
	struct listener *l = &a->listeners[a->listener_count];
	const char *why;
	mode_t mask;
	int one = 1, bound;

	*l = (struct listener){ .agent = a, .name = name };
	if (!spop_address_parse(name, &l->address, &why)) {
		log_error("agent", "--listen %s: %s", name, why);
		return false;
	}
	remove_stale_socket(&l->address);
	l->fd = socket(l->address.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0) {
		log_error("agent", "%s: socket: %s", name, strerror(errno));
		return false;
	}
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	mask = umask(SOCKET_UMASK);
	bound = bind(l->fd, (struct sockaddr *)&l->address.at, l->address.len);
	umask(mask);
	if (bound != 0 || listen(l->fd, LISTEN_BACKLOG) != 0) {
		log_error("agent", "%s: cannot listen: %s", name, strerror(errno));
		close(l->fd);
		return false;
	}
	a->listener_count++;
	if (event_assign(&l->acceptable, a->base, l->fd, EV_READ | EV_PERSIST, on_acceptable,
			 l) != 0)
		fatal("spoa: cannot make events");
	return true;
}

static void close_listeners(struct spoa_agent *a)
{
	for (size_t i = 0; i < a->listener_count; i++) {
		struct listener *l = &a->listeners[i];

		event_del(&l->acceptable);
		close(l->fd);
		if (l->address.at.ss_family == AF_UNIX)
			unlink(((struct sockaddr_un *)&l->address.at)->sun_path);
	}
	a->listener_count = 0;
}

/* ---- life ---- */

static void stop(struct spoa_agent *a, const char *why)
{
	log_info("agent", "stopping: %s", why);
	event_base_loopbreak(a->base);
}

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
	(void)what;
	stop(arg, signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static void on_parent(evutil_socket_t fd, short what, void *arg)
{
	struct spoa_agent *a = arg;
	bool gone;
	char byte;

	(void)what;
	if (is_fed_by_parent(a))
		gone = take_documents(a) == CLOSED;
	else
		gone = read(fd, &byte, 1) == 0 || (errno != EAGAIN && errno != EINTR);
	if (gone)
		stop(a, "the parent has gone");
}

static void make_events(struct spoa_agent *a)
{
	int parent_fd = a->config->parent_fd;

	if (evsignal_assign(&a->on_term, a->base, SIGTERM, on_signal, a) != 0 ||
	    evsignal_assign(&a->on_int, a->base, SIGINT, on_signal, a) != 0 ||
	    evsignal_assign(&a->on_hup, a->base, SIGHUP, on_hangup, a) != 0 ||
	    event_assign(&a->wanted, a->base, -1, 0, on_wanted, a) != 0 ||
	    event_assign(&a->reload_timer, a->base, -1, 0, on_wanted, a) != 0 ||
	    event_add(&a->on_term, NULL) != 0 || event_add(&a->on_int, NULL) != 0 ||
	    event_add(&a->on_hup, NULL) != 0)
		fatal("spoa: cannot make events");
	if (parent_fd >= 0 &&
	    (event_assign(&a->parent, a->base, parent_fd, EV_READ | EV_PERSIST, on_parent, a) != 0 ||
	     event_add(&a->parent, NULL) != 0))
		fatal("spoa: cannot watch --parent-fd %d", parent_fd);
}

static bool open_admin(struct spoa_agent *a)
{
	char why[256];

	if (a->config->admin == NULL)
		return true;
	a->admin = commands_open(a, a->config->admin, why, sizeof(why));
	if (a->admin == NULL)
		log_error("agent", "--admin: %s", why);
	return a->admin != NULL;
}

static bool set_up(struct spoa_agent *a)
{
	struct jwks_config keys = JWKS_CONFIG_DEFAULT;

	evthread_use_pthreads();
	signal(SIGPIPE, SIG_IGN);
	a->base = event_base_new();
	if (a->base == NULL)
		fatal("cannot make an event loop");
	make_events(a);
	keys.ca_file = a->config->ca_file;
	keys.folder = a->config->state_dir != NULL ? a->config->state_dir : getenv("STATE_DIRECTORY");
	a->keys = jwks_store_create(&keys);
	a->options = a->config->options;
	a->options.on_unknown_revision = on_unknown_revision;
	a->options.arg = a;
	a->options.loads_begun = &a->loads_begun;
	a->options.same_files = a->config->parent_fd >= 0;
	if (is_fed_by_parent(a) && receive_documents(a, 0) != OK) {
		log_error("agent", "--parent-fd %d brings no documents: name some with -f",
			  a->config->parent_fd);
		return false;
	}
	begin_load(a);
	a->rules = load(a, true);
	if (a->rules == NULL)
		return false;
	if (a->options.token_cache_entries == 0)
		a->options.token_cache_entries =
			(size_t)a->rules->set->proxy->limits.token_cache_entries;
	for (size_t i = 0; i < a->config->listen_count; i++)
		if (!listen_on(a, a->config->listen[i]))
			return false;
	return open_admin(a);
}

static void serve(struct spoa_agent *a)
{
	for (unsigned i = 0; i < a->config->threads; i++)
		a->threads[i] = spoa_thread_start(i, &a->options, a->rules);
	for (size_t i = 0; i < a->listener_count; i++)
		event_add(&a->listeners[i].acceptable, NULL);
	for (size_t i = 0; i < a->listener_count; i++)
		log_info("agent", "listening on %s", a->listeners[i].name);
	log_info("agent", "ready: revision %.*s, %zu documents, %u threads",
		 SLICE_ARG(a->rules->rev), a->rules->set->documents, a->config->threads);
	if (a->config->parent_fd < 0)
		sd_notify(0, "READY=1");
	event_base_dispatch(a->base);
	close_listeners(a);
	for (unsigned i = 0; i < a->config->threads; i++)
		spoa_thread_drain(a->threads[i]);
	for (unsigned i = 0; i < a->config->threads; i++)
		spoa_thread_join(&a->threads[i]);
}

int spoa_agent_run(const struct spoa_agent_config *config)
{
	struct spoa_agent *a = calloc(1, sizeof(*a));
	int status = EXIT_FAILURE;

	if (a == NULL)
		fatal("out of memory: agent");
	a->config = config;
	a->documents = -1;
	a->started_ms = clock_monotonic_ms();
	text_init(&a->last_problems);
	if (set_up(a)) {
		serve(a);
		status = EXIT_SUCCESS;
	}
	close_listeners(a);
	admin_socket_close(&a->admin);
	rules_unref(&a->rules);
	jwks_store_free(&a->keys);
	text_fini(&a->last_problems);
	event_del(&a->on_term);
	event_del(&a->on_int);
	event_del(&a->on_hup);
	event_del(&a->wanted);
	event_del(&a->reload_timer);
	if (config->parent_fd >= 0)
		event_del(&a->parent);
	event_base_free(a->base);
	free(a);
	return status;
}

int spoa_agent_check(const struct spoa_agent_config *config)
{
	struct resource_set *set;
	struct problems ps;
	int status;

	problems_init(&ps);
	set = resource_set_load(config->files, config->file_count, &ps);
	problems_sort(&ps);
	problems_print(&ps, SEVERITY_NOTE, stderr);
	status = ps.errors > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	resource_set_free(&set);
	problems_fini(&ps);
	return status;
}
