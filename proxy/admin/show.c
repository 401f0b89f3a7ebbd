/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/show.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/admin/access_log.h"
#include "proxy/admin/explain.h"
#include "sallyport/table.h"
#include "proxy/authz/supervisor.h"
#include "proxy/tls/tls_set.h"
#include "sallyport/clock.h"

#define MIB	(1024ul * 1024ul)

/* show info: HAProxy's keys in HAProxy's order (spec/observability.md 9.1); those without a meaning
 * here print 0. */
static const char *const info_keys[] = {
	"Name", "Version", "Release_date", "Nbthread", "Nbproc", "Process_num", "Pid", "Uptime", "Uptime_sec",
	"Memmax_MB", "PoolAlloc_MB", "PoolUsed_MB", "PoolFailed", "Ulimit-n", "Maxsock", "Maxconn",
	"Hard_maxconn", "CurrConns", "CumConns", "CumReq", "MaxSslConns", "CurrSslConns", "CumSslConns",
	"Maxpipes", "PipesUsed", "PipesFree", "ConnRate", "ConnRateLimit", "MaxConnRate", "SessRate",
	"SessRateLimit", "MaxSessRate", "SslRate", "SslRateLimit", "MaxSslRate", "SslFrontendKeyRate",
	"SslFrontendMaxKeyRate", "SslFrontendSessionReuse_pct", "SslBackendKeyRate", "SslBackendMaxKeyRate",
	"SslCacheLookups", "SslCacheMisses", "CompressBpsIn", "CompressBpsOut", "CompressBpsRateLim",
	"ZlibMemUsage", "MaxZlibMemUsage", "Tasks", "Run_queue", "Idle_pct", "node", "description",
	"Stopping", "Jobs", "Unstoppable Jobs", "Listeners", "ActivePeers", "ConnectedPeers", "DroppedLogs",
	"BusyPolling", "FailedResolutions", "TotalBytesOut", "TotalSplicedBytesOut", "BytesOutRate",
	"DebugCommandsIssued", "CumRecvLogs", "Build info", "Memmax_bytes", "PoolAlloc_bytes",
	"PoolUsed_bytes", "Start_time_sec", "Tainted", "TotalWarnings", "MaxconnReached", "BootTime_ms",
	"Niced_tasks", "CurrStreams", "CumStreams", "BlockedTrafficWarnings", "PatternsAdded",
	"PatternsFreed", "NbThreadGroups",
};

struct fact {
	const char *key;
	char value[160];
};

#define FACTS_MAX	40

struct facts {
	struct fact items[FACTS_MAX];
	size_t count;
};

__attribute__((format(printf, 3, 4)))
static void fact(struct facts *f, const char *key, const char *fmt, ...)
{
	va_list args;

	must(f->count < FACTS_MAX);
	f->items[f->count].key = key;
	va_start(args, fmt);
	vsnprintf(f->items[f->count++].value, sizeof(f->items[0].value), fmt, args);
	va_end(args);
}

static const char *fact_of(const struct facts *f, const char *key)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->items[i].key, key) == 0)
			return f->items[i].value;
	return "0";
}

static unsigned long resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

static void gather(const struct proxy *p, struct facts *f)
{
	int64_t up_s = (clock_wall_us() - p->started_wall_us) / 1000000;
	struct rlimit files = { 0 };
	unsigned long limit = 0;
	char host[65] = "";

	getrlimit(RLIMIT_NOFILE, &files);
	gethostname(host, sizeof(host) - 1);
	for (unsigned i = 0; i < p->worker_count; i++)
		limit += p->servers[i]->connections_max;
	fact(f, "Name", "sallyport");
	fact(f, "Version", "%s", SALLYPORT_VERSION);
	fact(f, "Release_date", "-");
	fact(f, "Nbthread", "%u", p->worker_count);
	fact(f, "Nbproc", "1");
	fact(f, "Process_num", "1");
	fact(f, "NbThreadGroups", "1");
	fact(f, "Pid", "%d", (int)getpid());
	fact(f, "Uptime", "%lldd %lldh%02lldm%02llds", (long long)up_s / 86400, (long long)up_s / 3600 % 24,
	     (long long)up_s / 60 % 60, (long long)up_s % 60);
	fact(f, "Uptime_sec", "%lld", (long long)up_s);
	fact(f, "Ulimit-n", "%lu", (unsigned long)files.rlim_cur);
	fact(f, "Maxsock", "%lu", (unsigned long)files.rlim_cur);
	fact(f, "Maxconn", "%lu", limit);
	fact(f, "Hard_maxconn", "%lu", limit);
	fact(f, "CurrConns", "%lu", proxy_count(p, connections_active));
	fact(f, "CumConns", "%lu", proxy_count(p, connections));
	fact(f, "CumReq", "%lu", proxy_count(p, requests));
	fact(f, "CumSslConns", "%lu", proxy_count(p, tls_handshakes));
	fact(f, "CurrStreams", "%lu", proxy_count(p, requests_active));
	fact(f, "CumStreams", "%lu", proxy_count(p, requests));
	fact(f, "MaxconnReached", "%lu", proxy_count(p, connections_refused));
	fact(f, "TotalBytesOut", "%lu", proxy_count(p, bytes_out));
	fact(f, "PoolUsed_bytes", "%lu", resident_bytes());
	fact(f, "PoolUsed_MB", "%lu", resident_bytes() / MIB);
	fact(f, "node", "%s", host);
	fact(f, "Stopping", "%d", p->stopping);
	fact(f, "Listeners", "%zu", p->snapshot->listeners.count);
	fact(f, "DroppedLogs", "%lu", access_log_counters(p->log).dropped);
	fact(f, "Start_time_sec", "%lld", (long long)p->started_wall_us / 1000000);
	fact(f, "description", "%s", "");
	fact(f, "Build info", "%s", SALLYPORT_VERSION);
}

/* What HAProxy has no key for follows its list. */
static void gather_ours(const struct proxy *p, struct facts *f)
{
	fact(f, "Revision", "%s", p->snapshot->rev);
	fact(f, "Loads", "%llu", (unsigned long long)p->serial);
	fact(f, "LoadsFailed", "%lu", p->reloads_failed);
	fact(f, "Agent_pid", "%d", p->agent != NULL ? (int)supervisor_pid(p->agent) : 0);
	fact(f, "Agent_restarts", "%lu", p->agent != NULL ? supervisor_restarts(p->agent) : 0);
}

static void add_pair(struct text *out, const char *key, const char *value, bool json, bool first)
{
	if (!json) {
		text_printf(out, "%s: %s\n", key, value);
		return;
	}
	if (!first)
		text_add_char(out, ',');
	text_add_json(out, slice_of(key));
	text_add_char(out, ':');
	text_add_json(out, slice_of(value));
}

void show_info(const struct proxy *p, struct text *out, bool json)
{
	struct facts known = { .count = 0 }, ours = { .count = 0 };

	gather(p, &known);
	gather_ours(p, &ours);
	if (json)
		text_add_char(out, '{');
	for (size_t i = 0; i < COUNT_OF(info_keys); i++)
		add_pair(out, info_keys[i], fact_of(&known, info_keys[i]), json, i == 0);
	for (size_t i = 0; i < ours.count; i++)
		add_pair(out, ours.items[i].key, ours.items[i].value, json, false);
	if (json)
		text_add(out, SLICE("}\n"));
}

void show_counters(const struct proxy *p, struct text *out, bool json)
{
	char number[32];
	bool first = true;

	if (json)
		text_add_char(out, '{');
#define X(member, text) \
	snprintf(number, sizeof(number), "%lu", proxy_count(p, member)); \
	add_pair(out, #member, number, json, first); \
	first = false;
	SERVER_COUNTERS(X)
#undef X
	if (json)
		text_add(out, SLICE("}\n"));
}

static const char *domains_text(const struct chain *c, char *out, size_t bytes)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < c->domains.count && n < bytes; i++)
		n += (size_t)snprintf(out + n, bytes - n, "%s%.*s", i > 0 ? "," : "",
				      SLICE_ARG(c->domains.items[i]));
	return out;
}

static const char *kind_text(const struct chain *c)
{
	return c->kind == CHAIN_HTTP ? "HTTP" : "TCP";
}

void show_listeners(const struct proxy *p, struct text *out, bool json)
{
	static const char *const heads[] = { "LISTENER", "BOUND", "SERVER", "GATEWAY", "CARRIES", "TLS",
					     "HOSTS", NULL };
	struct table t;
	char hosts[1024], bound[160], gateway[200], name[200], server[200];

	table_begin(&t, out, heads, json);
	for (size_t i = 0; i < p->snapshot->listeners.count; i++) {
		const struct listener_plan *l = p->snapshot->listeners.items[i];

		for (size_t c = 0; c < l->chains.count; c++) {
			const struct chain *chain = l->chains.items[c];

			snprintf(name, sizeof(name), "%.*s", SLICE_ARG(l->name));
			snprintf(bound, sizeof(bound), "%s", l->bind.key);
			snprintf(server, sizeof(server), "%.*s", SLICE_ARG(chain->name));
			snprintf(gateway, sizeof(gateway), "%.*s", SLICE_ARG(chain->gateway));
			table_row(&t, name, bound, server, gateway, kind_text(chain), chain_mode(chain),
				  domains_text(chain, hosts, sizeof(hosts)));
		}
	}
	table_end(&t);
}

/* One virtual host after the other, its routes in the order in which they are tried. */
struct routes_visit {
	struct table *table;
	const char *listener;
};

static const char *match_text(const struct route *r, char *out, size_t bytes)
{
	const struct http_match *m = r->match;

	if (m == NULL || m->uri.kind == MATCH_UNSET || m->uri.kind == MATCH_PRESENT)
		snprintf(out, bytes, "/*");
	else if (m->uri.kind == MATCH_EXACT)
		snprintf(out, bytes, "%.*s", SLICE_ARG(m->uri.text));
	else if (m->uri.kind == MATCH_PREFIX)
		snprintf(out, bytes, "%.*s*", SLICE_ARG(m->uri.text));
	else
		snprintf(out, bytes, "regex %.*s", SLICE_ARG(m->uri.text));
	return out;
}

static const char *action_text(const struct route *r, char *out, size_t bytes)
{
	if (r->action == ROUTE_REDIRECT)
		snprintf(out, bytes, "redirect %u", r->source->redirect->code);
	else if (r->action == ROUTE_DIRECT_RESPONSE)
		snprintf(out, bytes, "respond %u", r->source->direct_response->status);
	else if (r->targets.count == 1)
		snprintf(out, bytes, "%.*s", SLICE_ARG(r->targets.items[0].cluster_name));
	else
		snprintf(out, bytes, "%zu weighted clusters", r->targets.count);
	return out;
}

static void visit_host(void *arg, const struct virtual_host *vh)
{
	const struct routes_visit *v = arg;
	const struct route *const *routes;
	size_t count = virtual_host_routes(vh, &routes);
	char domain[300], match[300], action[300], service[300], where[300], name[200];

	snprintf(domain, sizeof(domain), "%.*s", SLICE_ARG(virtual_host_domain(vh)));
	if (virtual_host_requires_tls(vh))
		table_row(v->table, v->listener, domain, "/*", "redirect 301 to https", "-", "-", "-");
	else if (count == 0)
		table_row(v->table, v->listener, domain, "/*", "404", "-", "-", "-");
	for (size_t i = 0; i < count && !virtual_host_requires_tls(vh); i++) {
		const struct route *r = routes[i];

		snprintf(service, sizeof(service), "%.*s.%.*s", SLICE_ARG(r->service->meta->name),
			 SLICE_ARG(r->service->meta->ns));
		snprintf(where, sizeof(where), "%s:%u", r->source->where.file, r->source->where.line);
		snprintf(name, sizeof(name), "%.*s", r->name.len > 0 ? (int)r->name.len : 1,
			 r->name.len > 0 ? r->name.at : "-");
		table_row(v->table, v->listener, domain, match_text(r, match, sizeof(match)),
			  action_text(r, action, sizeof(action)), name, service, where);
	}
}

/* One row for each name that leads to the chain. */
static void show_tcp_route(struct table *t, const char *listener, const struct chain *c)
{
	const struct tcp_route *r = c->tcp;
	char action[300], service[300], where[300], domain[300];

	if (r->targets.count == 1)
		snprintf(action, sizeof(action), "%.*s", SLICE_ARG(r->targets.items[0].cluster_name));
	else
		snprintf(action, sizeof(action), "%zu weighted clusters", r->targets.count);
	if (r->service != NULL)
		snprintf(service, sizeof(service), "%.*s.%.*s", SLICE_ARG(r->service->meta->name),
			 SLICE_ARG(r->service->meta->ns));
	else
		snprintf(service, sizeof(service), "-");
	snprintf(where, sizeof(where), "%s:%u", r->where.file, r->where.line);
	for (size_t i = 0; i < c->domains.count; i++) {
		snprintf(domain, sizeof(domain), "%.*s", SLICE_ARG(c->domains.items[i]));
		table_row(t, listener, domain, "tcp", action, "-", service, where);
	}
}

void show_routes(const struct proxy *p, struct text *out, bool json)
{
	static const char *const heads[] = { "LISTENER", "DOMAIN", "MATCH", "ACTION", "ROUTE", "VIRTUAL SERVICE",
					     "WHERE", NULL };
	struct table t;
	char name[300];

	table_begin(&t, out, heads, json);
	for (size_t i = 0; i < p->snapshot->listeners.count; i++) {
		const struct listener_plan *l = p->snapshot->listeners.items[i];
		const struct route_table *seen = NULL;

		for (size_t c = 0; c < l->chains.count; c++) {
			struct routes_visit v = { &t, name };

			snprintf(name, sizeof(name), "%.*s/%.*s", SLICE_ARG(l->name),
				 SLICE_ARG(l->chains.items[c]->name));
			if (l->chains.items[c]->kind == CHAIN_TCP)
				show_tcp_route(&t, name, l->chains.items[c]);
			if (l->chains.items[c]->kind != CHAIN_HTTP || l->chains.items[c]->routes == seen)
				continue;
			seen = l->chains.items[c]->routes;
			route_table_visit(seen, visit_host, &v);
		}
	}
	table_end(&t);
}

struct endpoints_visit {
	struct table *table;
	const char *cluster;
	size_t count;
};

static void visit_endpoint(void *arg, const struct endpoint *e)
{
	struct endpoints_visit *v = arg;
	char address[200], active[24], requests[24], failures[24], weight[24];

	v->count++;
	snprintf(address, sizeof(address), "%.*s", SLICE_ARG(e->text));
	snprintf(weight, sizeof(weight), "%u", e->weight);
	snprintf(active, sizeof(active), "%u", atomic_load_explicit(&e->active, memory_order_relaxed));
	snprintf(requests, sizeof(requests), "%lu", atomic_load_explicit(&e->requests, memory_order_relaxed));
	snprintf(failures, sizeof(failures), "%lu", atomic_load_explicit(&e->failures, memory_order_relaxed));
	table_row(v->table, v->cluster, address, e->healthy ? "HEALTHY" : "UNHEALTHY", weight, active, requests,
		  failures);
}

void show_clusters(const struct proxy *p, struct text *out, bool json)
{
	static const char *const heads[] = { "CLUSTER", "ENDPOINT", "STATUS", "WEIGHT", "ACTIVE", "REQUESTS",
					     "FAILURES", NULL };
	struct table t;
	char name[400];

	table_begin(&t, out, heads, json);
	for (size_t i = 0; i < p->snapshot->clusters.count; i++) {
		const struct cluster *c = p->snapshot->clusters.items[i];
		struct endpoints_visit v = { &t, name, 0 };

		snprintf(name, sizeof(name), "%.*s", SLICE_ARG(c->name));
		cluster_visit_endpoints(c, visit_endpoint, &v);
		if (v.count == 0)
			table_row(&t, name, "-", "NONE", "-", "-", "-", "-");
	}
	table_end(&t);
}

/* "3", "20%,>=3", or "-" for none. */
static void retry_limit_text(const struct cluster *c, char *out, size_t bytes)
{
	if (c->retry_budget_least > 0)
		snprintf(out, bytes, "%g%%,>=%u", c->retry_budget_percent, c->retry_budget_least);
	else if (c->max_retries > 0 && c->max_retries < UINT32_MAX)
		snprintf(out, bytes, "%u", c->max_retries);
	else
		snprintf(out, bytes, "-");
}

void show_retries(const struct proxy *p, struct text *out, bool json)
{
	static const char *const heads[] = { "CLUSTER", "RETRIES", "SUCCESSES", "EXHAUSTED", "OVERFLOWS",
					     "TIMEOUTS", "ACTIVE", "LIMIT", NULL };
	struct table t;
	char name[400], limit[64], numbers[6][24];

	table_begin(&t, out, heads, json);
	for (size_t i = 0; i < p->snapshot->clusters.count; i++) {
		const struct cluster *c = p->snapshot->clusters.items[i];
		const struct cluster_counters *k = cluster_counters(c);
		const atomic_ulong *const counts[] = { &k->retries, &k->retry_successes, &k->retry_limit_exceeded,
						       &k->retry_overflows, &k->per_try_timeouts, &k->retrying };

		snprintf(name, sizeof(name), "%.*s", SLICE_ARG(c->name));
		for (size_t n = 0; n < COUNT_OF(counts); n++)
			snprintf(numbers[n], sizeof(numbers[n]), "%lu",
				 atomic_load_explicit(counts[n], memory_order_relaxed));
		retry_limit_text(c, limit, sizeof(limit));
		table_row(&t, name, numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], limit);
	}
	table_end(&t);
}

void show_secrets(const struct proxy *p, struct text *out, bool json)
{
	tls_store_show(p->secrets, out, json);
}

void show_tls(const struct proxy *p, struct text *out, bool json)
{
	tls_store_show_tickets(p->secrets, out, json);
}
