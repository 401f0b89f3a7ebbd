/* SPDX-License-Identifier: Apache-2.0
 *
 * resolver.c - libevent's DNS client asks; here is when, and what an answer means. */
#include "proxy/upstream/resolver.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <uthash.h>

#include "proxy/upstream/dns_tcp.h"
#include "proxy/upstream/hosts_file.h"
#include "proxy/net/socket.h"
#include "sallyport/log.h"

/* A question on its way; outlives its name where the name was given up first. */
struct query {
	LIST_ENTRY(query) link;			/* of the resolver's */
	struct resolved_name *name;		/* borrowed; NULL: nobody waits for it any more */
	struct evdns_request *request;		/* borrowed */
	struct resolver *resolver;		/* borrowed; NULL: gone */
};

struct resolved_name {
	char *text;				/* owned; key */
	struct resolver *resolver;		/* borrowed */
	LIST_HEAD(, resolver_watch) watches;
	int64_t refresh_ms;			/* the shortest of its watches */
	struct event timer;
	struct query *query;			/* NULL: none in flight */
	struct dns_tcp_job *tcp;		/* the same over TCP */
	enum resolved outcome;
	struct sockaddr_storage *addresses;	/* owned */
	size_t count;
	bool failing;				/* was told of in the log */
	UT_hash_handle hh;
};

struct resolver_watch {
	LIST_ENTRY(resolver_watch) link;
	struct resolved_name *name;		/* borrowed */
	void (*on_answer)(void *arg);
	void *arg;
	bool due;				/* to be told of the answer at hand */
};

struct resolver {
	struct event_base *base;		/* borrowed */
	struct evdns_base *dns;			/* owned */
	struct resolved_name *names;		/* owned; by text */
	const char *hosts;			/* borrowed */
	struct sockaddr_in server;		/* in place of the system's, where its port is set */
	int timeout_ms;
	LIST_HEAD(, query) queries;		/* in flight; each is freed by its end */
	bool ipv6;
};

/* --- set-up ------------------------------------------------------------------------------------- */

/* Does an interface other than loopback have an address of the family? */
static bool has_address(int family)
{
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return false;
	for (i = all; i != NULL && !found; i = i->ifa_next) {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)i->ifa_addr;

		if (i->ifa_addr == NULL || (i->ifa_flags & IFF_LOOPBACK) ||
		    i->ifa_addr->sa_family != family)
			continue;
		found = family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
	}
	freeifaddrs(all);
	return found;
}

static void on_dns_log(int is_warning, const char *text)
{
	(void)is_warning;
	log_debug("dns", "%s", text);
}

static void set_number(struct evdns_base *dns, const char *option, int value)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", value);
	evdns_base_set_option(dns, option, text);
}

static void load_name_servers(struct resolver *r, const struct resolver_options *o)
{
	const char *file = o->resolv_conf != NULL ? o->resolv_conf : "/etc/resolv.conf";
	int tries = o->tries > 0 ? o->tries : RESOLVER_TRIES;
	char seconds[16];

	snprintf(seconds, sizeof(seconds), "%.3f", r->timeout_ms / 1000.0);
	evdns_base_set_option(r->dns, "timeout:", seconds);
	set_number(r->dns, "attempts:", tries);
	/* A query changes over to the next name server by itself, and where all of them fail any one is
	 * asked: probes with names that nobody asked for may be as rare as can be. */
	set_number(r->dns, "max-timeouts:", 255);
	set_number(r->dns, "initial-probe-timeout:", 3600);
	if (o->nameserver != NULL) {
		int len = sizeof(r->server);

		if (evutil_parse_sockaddr_port(o->nameserver, (struct sockaddr *)&r->server, &len) != 0 ||
		    evdns_base_nameserver_ip_add(r->dns, o->nameserver) != 0)
			log_error("dns", "name server %s: no usable address", o->nameserver);
		return;
	}
	if (evdns_base_resolv_conf_parse(r->dns, DNS_OPTIONS_ALL & ~DNS_OPTION_HOSTSFILE, file) != 0)
		log_warn("dns", "%s: no name server found there; asking 127.0.0.1", file);
}

struct resolver *resolver_create(struct event_base *base, const struct resolver_options *options)
{
	static const struct resolver_options system_options;
	const struct resolver_options *o = options != NULL ? options : &system_options;
	struct resolver *r = calloc(1, sizeof(*r));

	must(r != NULL);
	r->base = base;
	r->hosts = o->hosts != NULL ? o->hosts : "/etc/hosts";
	r->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : RESOLVER_TIMEOUT_MS;
	r->ipv6 = o->ipv6 || (!has_address(AF_INET) && has_address(AF_INET6));
	evdns_set_log_fn(on_dns_log);
	r->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	must(r->dns != NULL);
	load_name_servers(r, o);
	return r;
}

/* --- answers ------------------------------------------------------------------------------------ */

static void schedule(struct resolved_name *n, int64_t ms)
{
	const struct timeval in = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(&n->timer, &in);
}

/* A watcher may give up others, and itself be given up by another's call: after each call the list
 * is looked at from its beginning. */
static void tell_watchers(struct resolved_name *n)
{
	struct resolver_watch *w;

	LIST_FOREACH(w, &n->watches, link)
		w->due = true;
	do {
		LIST_FOREACH(w, &n->watches, link)
			if (w->due)
				break;
		if (w != NULL) {
			w->due = false;
			w->on_answer(w->arg);
		}
	} while (w != NULL);
}

static void take_addresses(struct resolved_name *n, const struct sockaddr_storage *addresses, size_t count)
{
	free(n->addresses);
	n->addresses = NULL;
	n->count = count;
	if (count == 0)
		return;
	n->addresses = malloc(count * sizeof(*n->addresses));
	must(n->addresses != NULL);
	memcpy(n->addresses, addresses, count * sizeof(*addresses));
}

/* `ttl_s` 0: the cluster's refresh rate. */
static void answered(struct resolved_name *n, enum resolved outcome,
		     const struct sockaddr_storage *addresses, size_t count, unsigned ttl_s)
{
	int64_t next_ms = n->refresh_ms;
	uint8_t jitter;

	if (outcome != RESOLVED_FAILED)
		take_addresses(n, addresses, count);
	if (outcome == RESOLVED_OK && ttl_s > 0) {
		evutil_secure_rng_get_bytes(&jitter, sizeof(jitter));
		next_ms = (int64_t)ttl_s * 1000 + jitter * RESOLVER_JITTER_MS / 255;
		if (next_ms < RESOLVER_TTL_MIN_MS)
			next_ms = RESOLVER_TTL_MIN_MS;
	}
	n->outcome = outcome;
	schedule(n, next_ms);
	tell_watchers(n);
}

static void tell_log(struct resolved_name *n, int result)
{
	if (result == DNS_ERR_NONE) {
		if (n->failing)
			log_info("dns", "%s: resolved again", n->text);
		n->failing = false;
		return;
	}
	if (!n->failing)
		log_warn("dns", "%s: %s%s", n->text, evdns_err_to_string(result),
			 result == DNS_ERR_NOTEXIST || result == DNS_ERR_NODATA || n->count == 0 ? "" :
			 "; the addresses known before stay in use");
	n->failing = true;
}

/* The packed addresses of an answer, each once. Returns how many. */
static size_t unpack(char type, int count, const void *packed, struct sockaddr_storage *out)
{
	size_t kept = 0;

	for (int i = 0; i < count && kept < RESOLVER_ADDRESSES_MAX; i++) {
		struct sockaddr_storage a = { 0 };

		if (type == DNS_IPv4_A) {
			a.ss_family = AF_INET;
			memcpy(&((struct sockaddr_in *)&a)->sin_addr,
			       (const char *)packed + (size_t)i * 4, 4);
		} else {
			a.ss_family = AF_INET6;
			memcpy(&((struct sockaddr_in6 *)&a)->sin6_addr,
			       (const char *)packed + (size_t)i * 16, 16);
		}
		if (!address_is_among(&a, out, kept))
			out[kept++] = a;
	}
	return kept;
}

static void on_tcp_answer(void *arg, enum resolved outcome, const struct sockaddr_storage *addresses,
			  size_t count, unsigned ttl_s)
{
	struct resolved_name *n = arg;

	n->tcp = NULL;
	tell_log(n, outcome == RESOLVED_OK ? DNS_ERR_NONE :
		    outcome == RESOLVED_NO_SUCH_NAME ? DNS_ERR_NODATA : DNS_ERR_SERVERFAILED);
	answered(n, outcome, addresses, count, ttl_s);
}

/* The answer did not fit into a datagram. */
static bool ask_by_tcp(struct resolved_name *n)
{
	struct resolver *r = n->resolver;

	n->tcp = dns_tcp_ask(r->base, n->text, r->ipv6 ? AF_INET6 : AF_INET,
			     r->server.sin_port != 0 ? &r->server : NULL, r->timeout_ms, on_tcp_answer, n);
	return n->tcp != NULL;
}

static void on_dns_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
	struct query *q = arg;
	struct resolved_name *n = q->name;
	struct sockaddr_storage *found;
	size_t kept;

	if (q->resolver != NULL)
		LIST_REMOVE(q, link);
	free(q);
	if (n == NULL)
		return;
	n->query = NULL;
	if (result == DNS_ERR_TRUNCATED && ask_by_tcp(n))
		return;
	if (result == DNS_ERR_NONE && count <= 0)
		result = DNS_ERR_NODATA;
	tell_log(n, result);
	if (result == DNS_ERR_NOTEXIST || result == DNS_ERR_NODATA) {
		answered(n, RESOLVED_NO_SUCH_NAME, NULL, 0, 0);
		return;
	}
	if (result != DNS_ERR_NONE || (type != DNS_IPv4_A && type != DNS_IPv6_AAAA)) {
		answered(n, RESOLVED_FAILED, NULL, 0, 0);
		return;
	}
	found = calloc(RESOLVER_ADDRESSES_MAX, sizeof(*found));
	must(found != NULL);
	kept = unpack(type, count, addresses, found);
	answered(n, RESOLVED_OK, found, kept, ttl > 0 ? (unsigned)ttl : 0);
	free(found);
}

/* --- questions ---------------------------------------------------------------------------------- */

static void ask(struct resolved_name *n)
{
	struct resolver *r = n->resolver;
	size_t len = strlen(n->text);
	bool absolute = len > 0 && n->text[len - 1] == '.';
	int flags = absolute ? DNS_QUERY_NO_SEARCH : 0;
	char name[RESOLVER_NAME_MAX + 1];
	struct query *q = calloc(1, sizeof(*q));

	must(q != NULL);
	snprintf(name, sizeof(name), "%.*s", (int)(absolute ? len - 1 : len), n->text);
	*q = (struct query){ .name = n, .resolver = r };
	n->query = q;
	LIST_INSERT_HEAD(&r->queries, q, link);
	q->request = r->ipv6 ? evdns_base_resolve_ipv6(r->dns, name, flags, on_dns_answer, q) :
			       evdns_base_resolve_ipv4(r->dns, name, flags, on_dns_answer, q);
	if (q->request != NULL)
		return;
	LIST_REMOVE(q, link);
	n->query = NULL;
	free(q);
	tell_log(n, DNS_ERR_UNKNOWN);
	answered(n, RESOLVED_FAILED, NULL, 0, 0);
}

static void on_name_due(evutil_socket_t fd, short what, void *arg)
{
	struct resolved_name *n = arg;
	struct sockaddr_storage found[HOSTS_ADDRESSES_MAX];
	size_t count;

	(void)fd, (void)what;
	if (n->query != NULL || n->tcp != NULL)
		return;
	count = hosts_file_find(n->resolver->hosts, n->text, n->resolver->ipv6 ? AF_INET6 : AF_INET, found,
				HOSTS_ADDRESSES_MAX);
	if (count > 0)
		answered(n, RESOLVED_OK, found, count, 0);
	else
		ask(n);
}

/* --- names and watches -------------------------------------------------------------------------- */

static void forget_query(struct resolved_name *n)
{
	struct query *q = n->query;

	n->query = NULL;
	if (q == NULL)
		return;
	/* Its end comes later, from the loop, and frees it. */
	q->name = NULL;
	evdns_cancel_request(n->resolver->dns, q->request);
}

static void name_free(struct resolved_name *n)
{
	forget_query(n);
	dns_tcp_cancel(&n->tcp);
	event_del(&n->timer);
	HASH_DEL(n->resolver->names, n);
	free(n->addresses);
	free(n->text);
	free(n);
}

static struct resolved_name *name_create(struct resolver *r, struct slice text, int64_t refresh_ms)
{
	struct resolved_name *n = calloc(1, sizeof(*n));

	must(n != NULL);
	n->text = strndup(text.at, text.len);
	must(n->text != NULL);
	n->resolver = r;
	n->refresh_ms = refresh_ms;
	LIST_INIT(&n->watches);
	event_assign(&n->timer, r->base, -1, 0, on_name_due, n);
	HASH_ADD_KEYPTR(hh, r->names, n->text, text.len, n);
	schedule(n, 0);
	return n;
}

struct resolver_watch *resolver_watch(struct resolver *r, struct slice name, int64_t refresh_ms,
				      void (*on_answer)(void *arg), void *arg)
{
	struct resolver_watch *w = calloc(1, sizeof(*w));
	struct resolved_name *n;

	must(w != NULL);
	name = slice_first(name, RESOLVER_NAME_MAX);
	if (refresh_ms < RESOLVER_TTL_MIN_MS)
		refresh_ms = RESOLVER_TTL_MIN_MS;
	HASH_FIND(hh, r->names, name.at, name.len, n);
	if (n == NULL)
		n = name_create(r, name, refresh_ms);
	if (refresh_ms < n->refresh_ms)
		n->refresh_ms = refresh_ms;
	*w = (struct resolver_watch){ .name = n, .on_answer = on_answer, .arg = arg };
	LIST_INSERT_HEAD(&n->watches, w, link);
	return w;
}

void resolver_unwatch(struct resolver_watch **wp)
{
	struct resolver_watch *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	LIST_REMOVE(w, link);
	if (LIST_EMPTY(&w->name->watches))
		name_free(w->name);
	free(w);
}

struct resolver_answer resolver_watch_answer(const struct resolver_watch *w)
{
	return (struct resolver_answer){ .outcome = w->name->outcome, .addresses = w->name->addresses,
					 .count = w->name->count };
}

void resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct resolved_name *n, *next;
	struct query *q;

	*rp = NULL;
	if (r == NULL)
		return;
	HASH_ITER(hh, r->names, n, next) {
		struct resolver_watch *w;

		while ((w = LIST_FIRST(&n->watches)) != NULL) {
			LIST_REMOVE(w, link);
			free(w);
		}
		name_free(n);
	}
	/* The end of a query that was cancelled comes from the loop, which may run once more. */
	while ((q = LIST_FIRST(&r->queries)) != NULL) {
		LIST_REMOVE(q, link);
		q->resolver = NULL;
	}
	evdns_base_free(r->dns, 0);
	free(r);
}
