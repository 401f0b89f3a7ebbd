/* SPDX-License-Identifier: Apache-2.0
 *
 * clusters.c - one cluster for each (host, port, subset) that routes name. */
#include "proxy/snapshot/clusters.h"

#include <stdlib.h>

#include "proxy/snapshot/rules_priv.h"
#include "proxy/snapshot/services_priv.h"
#include "sallyport/hostname.h"
#include "sallyport/policy_reach.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/text.h"

#define LISTED_MAX	8u	/* ports or subsets that a warning offers */

/* What was found for one (host, port, subset); absent ones are remembered too. */
struct cluster_slot {
	struct cluster *cluster;	/* NULL: there is none */
	const char *why;		/* then: the end of the warning */
};

struct service_registry {
	const struct resource_set *set;
	struct arena *arena;
	struct problems *problems;
	struct service_directory directory;
	struct rule_index rules;
	struct name_map slots;		/* cluster name -> struct cluster_slot */
	struct name_map warned;		/* "file:line:column name" */
	LIST(struct cluster *) made;
	size_t made_room;
	LIST(struct mesh_address) mesh;	/* once asked for */
	size_t mesh_room;
	bool mesh_listed;
};

struct service_registry *service_registry_build(const struct resource_set *set, struct arena *a,
						struct problems *ps)
{
	struct service_registry *r = arena_new(a, struct service_registry);

	r->set = set;
	r->arena = a;
	r->problems = ps;
	service_directory_build(&r->directory, set, a, ps);
	rule_index_build(&r->rules, set, a, ps);
	name_map_init(&r->slots, a);
	name_map_init(&r->warned, a);
	return r;
}

/* --- policy ------------------------------------------------------------------------------------- */

static enum balance balance_of(const struct load_balancer *lb)
{
	if (lb == NULL || lb->consistent_hash != NULL)
		return BALANCE_LEAST_REQUEST;
	switch (lb->simple) {
	case LB_ROUND_ROBIN:
		return BALANCE_ROUND_ROBIN;
	case LB_RANDOM:
		return BALANCE_RANDOM;
	case LB_PASSTHROUGH:
		return BALANCE_PASSTHROUGH;
	case LB_UNSPECIFIED:
	case LB_LEAST_REQUEST:
	case LB_LEAST_CONN:
		break;
	}
	return BALANCE_LEAST_REQUEST;
}

/* Spec destination-rule.md 11: http before tcp before the default; 0s switches it off. */
static int64_t idle_timeout(const struct connection_pool *p, int64_t preset)
{
	if (p->http_idle_timeout_ms > 0)
		return p->http_idle_timeout_ms;
	return p->tcp_idle_timeout_set ? p->tcp_idle_timeout_ms : preset;
}

static uint32_t whole_seconds(int64_t ms)
{
	return (uint32_t)(ms / 1000 < INT32_MAX ? ms / 1000 : INT32_MAX);
}

static void apply_pool(struct cluster *c, const struct connection_pool *p)
{
	if (p == NULL)
		return;
	if (p->connect_timeout_ms > 0)
		c->connect_timeout_ms = p->connect_timeout_ms;
	c->idle_timeout_ms = idle_timeout(p, c->idle_timeout_ms);
	c->max_requests_per_connection = p->max_requests_per_connection;
	c->max_connections = p->max_connections;
	c->max_retries = p->max_retries;
	c->keepalive = (struct tcp_keepalive){ p->tcp_keepalive, whole_seconds(p->keepalive_time_ms),
					       whole_seconds(p->keepalive_interval_ms), p->keepalive_probes };
	if (!p->use_client_protocol)	/* spec destination-rule.md 10: of fixed HTTP/2 alone */
		c->max_concurrent_streams = p->max_concurrent_streams;
}

static void warn_cluster(struct service_registry *r, const struct cluster *c, struct where where,
			 const char *what)
{
	problem_add(r->problems, SEVERITY_WARNING, where, "cluster %.*s: %s", SLICE_ARG(c->name), what);
}

/* Rather no answer than a request that its operator wanted encrypted in plain text. */
static void refuse_plaintext(struct service_registry *r, struct cluster *c, const struct client_tls *tls)
{
	if (tls == NULL || tls->mode == CLIENT_TLS_DISABLE)
		return;
	c->endpoints.count = 0;
	warn_cluster(r, c, tls->where,
		     "TLS towards endpoints " DECODE_NOT_OBEYED ": nothing is sent there, requests are "
		     "answered 503; write tls.mode: DISABLE to send them in plain text");
}

/* Spec destination-rule.md 10. */
static enum upstream_protocol protocol_of(enum service_protocol protocol, const struct connection_pool *p)
{
	if (p != NULL && p->use_client_protocol)
		return UPSTREAM_AS_CLIENT;
	if (service_protocol_is_http2(protocol) || (p != NULL && p->h2_upgrade == H2_UPGRADE))
		return UPSTREAM_HTTP2;
	return UPSTREAM_HTTP1;
}

/* --- endpoints ---------------------------------------------------------------------------------- */


/* A key for the address in the arena. */
static struct slice address_key(struct arena *a, const struct endpoint_spec *e)
{
	if (e->sockaddr_len > 0)
		return slice_make(&e->sockaddr, e->sockaddr_len);
	return slice_of(arena_printf(a, "%.*s:%u", SLICE_ARG(e->address), e->port));
}

/* One set of labels for each distinct workload, and whether a policy reaches any of them. */
struct workload_sets {
	struct name_map seen;
	struct text text;
};

static void add_workload_set(struct service_registry *r, struct cluster *c, struct workload_sets *sets,
			     struct label_set labels)
{
	struct slice text = labels_text(r->arena, labels.items, labels.count);

	if (name_map_get(&sets->seen, text) != NULL)
		return;
	if (sets->seen.count > 0)
		text_add_char(&sets->text, ';');
	name_map_put(&sets->seen, text, c);
	text_add(&sets->text, text);
	if (policies_reach(r->set, c->service_ns, labels.items, labels.count))
		c->has_policies = true;
}

/* What policies select by where no endpoint says anything: the document's own labels. */
static struct label_set own_labels(const struct declared_service *s)
{
	const struct definition *d = &s->definitions.items[0];

	if (d->service != NULL && d->service->selector.count > 0)
		return (struct label_set){ d->service->selector.items, d->service->selector.count };
	return (struct label_set){ s->meta->labels.items, s->meta->labels.count };
}

/* Returns how many endpoints belong to the subset. */
static size_t fill_endpoints(struct service_registry *r, struct cluster *c, const struct subset *subset,
			     const struct declared_service *s, const struct known_endpoints *known)
{
	struct workload_sets sets;
	struct name_map seen;

	name_map_init(&seen, r->arena);
	name_map_init(&sets.seen, r->arena);
	text_init(&sets.text);
	c->endpoints.items = arena_array(r->arena, struct endpoint_spec, known->count + 1);
	for (size_t i = 0; i < known->count; i++) {
		const struct known_endpoint *k = &known->items[i];
		struct slice key = address_key(r->arena, &k->spec);

		if (subset != NULL && !labels_include(k->labels.items, k->labels.count,
						      subset->labels.items, subset->labels.count))
			continue;
		/* Another workload at the same address brings its policies along. */
		add_workload_set(r, c, &sets, k->workload_labels);
		if (name_map_get(&seen, key) != NULL)
			continue;
		name_map_put(&seen, key, c);
		c->endpoints.items[c->endpoints.count++] = k->spec;
	}
	if (sets.seen.count == 0)
		add_workload_set(r, c, &sets, own_labels(s));
	c->workload_labels = arena_slice(r->arena, text_slice(&sets.text));
	text_fini(&sets.text);
	return c->endpoints.count;
}

/* --- making one --------------------------------------------------------------------------------- */

/* What a destination means, resolved. */
struct wanted {
	const struct destination *to;
	struct slice host;			/* complete */
	struct declared_service *service;	/* NULL: nobody declares it */
	uint32_t port;
	struct slice name;			/* of the cluster */
};

static const char *list_ports(struct service_registry *r, const struct declared_service *s)
{
	struct text t;
	const char *out;

	text_init(&t);
	for (size_t i = 0; i < s->ports.count && i < LISTED_MAX; i++)
		text_printf(&t, "%s%u", i > 0 ? ", " : "", s->ports.items[i].number);
	if (s->ports.count > LISTED_MAX)
		text_add(&t, SLICE(", ..."));
	if (s->ports.count == 0)
		text_add(&t, SLICE("none"));
	out = arena_text(r->arena, text_slice(&t));
	text_fini(&t);
	return out;
}

static const char *list_subsets(struct service_registry *r, const struct destination_rule *rule)
{
	struct text t;
	const char *out;

	text_init(&t);
	for (size_t i = 0; i < rule->subsets.count && i < LISTED_MAX; i++)
		text_printf(&t, "%s%.*s", i > 0 ? ", " : "", SLICE_ARG(rule->subsets.items[i].name));
	if (rule->subsets.count > LISTED_MAX)
		text_add(&t, SLICE(", ..."));
	if (rule->subsets.count == 0)
		text_add(&t, SLICE("none"));
	out = arena_text(r->arena, text_slice(&t));
	text_fini(&t);
	return out;
}

static const char *no_subset(struct service_registry *r, const struct destination_rule *rule,
			     const struct wanted *w)
{
	if (rule == NULL)
		return arena_printf(r->arena, "subset %.*s of %.*s is defined nowhere: no DestinationRule "
				    "for this host applies at this proxy", SLICE_ARG(w->to->subset),
				    SLICE_ARG(w->host));
	return arena_printf(r->arena, "subset %.*s of %.*s is not defined: DestinationRule %.*s/%.*s has %s",
			    SLICE_ARG(w->to->subset), SLICE_ARG(w->host), SLICE_ARG(rule->meta->ns),
			    SLICE_ARG(rule->meta->name), list_subsets(r, rule));
}

static struct cluster *new_cluster(struct service_registry *r, const struct wanted *w)
{
	const struct proxy_settings *proxy = r->set->proxy;
	const struct declared_service *s = w->service;
	struct cluster *c = arena_new(r->arena, struct cluster);

	c->name = w->name;
	c->host = w->host;
	c->subset = w->to->subset;
	c->service_ns = s->meta->ns;
	c->port = w->port;
	c->where = s->meta->where;
	c->connect_timeout_ms = proxy->limits.connect_ms;
	c->idle_timeout_ms = proxy->limits.upstream_idle_ms;
	c->dns_refresh_ms = proxy->mesh.dns_refresh_ms;
	c->resolution = s->resolution == RESOLUTION_DNS ? RESOLVE_DNS :
			s->resolution == RESOLUTION_DNS_ROUND_ROBIN ? RESOLVE_LOGICAL : RESOLVE_STATIC;
	c->workload = namespaced_name(r->arena, s->meta->ns, s->meta->name);
	return c;
}

/* A connection that many share can name one client only. */
static void apply_proxy_protocol(struct service_registry *r, struct cluster *c,
				 const struct traffic_policy *policy)
{
	c->proxy_protocol = policy->proxy_protocol;
	if (c->proxy_protocol == 0 || c->protocol == UPSTREAM_HTTP1)
		return;
	c->endpoints.count = 0;
	warn_cluster(r, c, c->where, "proxyProtocol towards HTTP/2 endpoints " DECODE_NOT_OBEYED ": nothing is "
		     "sent there, requests are answered 503");
}

static void apply_rule(struct service_registry *r, struct cluster *c, const struct destination_rule *rule,
		       const struct subset *subset, enum service_protocol protocol)
{
	struct traffic_policy policy = { 0 };

	if (rule != NULL)
		destination_rule_policy(rule, subset, c->port, &policy);
	c->balance = balance_of(policy.load_balancer);
	apply_pool(c, policy.connection_pool);
	if (policy.retry_budget != NULL) {
		c->retry_budget_percent = policy.retry_budget->percent;
		c->retry_budget_least = policy.retry_budget->min_concurrency;
	}
	c->protocol = protocol_of(protocol, policy.connection_pool);
	apply_proxy_protocol(r, c, &policy);
	refuse_plaintext(r, c, policy.tls);
}

/* Fills the slot: a cluster, or why there is none. */
static void make_cluster(struct service_registry *r, struct cluster_slot *slot, const struct wanted *w)
{
	const struct destination_rule *rule;
	const struct subset *subset = NULL;
	struct declared_port *port;
	struct cluster *c;

	if (w->service == NULL) {
		slot->why = arena_printf(r->arena, "host %.*s: no ServiceEntry or Service that this proxy "
					 "sees declares it", SLICE_ARG(w->host));
		return;
	}
	port = declared_service_port(w->service, w->port);
	if (port == NULL || port->protocol == SERVICE_UDP) {
		slot->why = arena_printf(r->arena, "port %u of %.*s: %s %.*s/%.*s has %s", w->port,
					 SLICE_ARG(w->host), w->service->meta->kind,
					 SLICE_ARG(w->service->meta->ns), SLICE_ARG(w->service->meta->name),
					 port != NULL ? "it as UDP, which is not served" :
					 arena_printf(r->arena, "port %s", list_ports(r, w->service)));
		return;
	}
	rule = rule_index_find(&r->rules, w->host, w->service->meta->ns);
	if (w->to->subset.len > 0) {
		subset = rule != NULL ? destination_rule_subset(rule, w->to->subset) : NULL;
		if (subset == NULL) {
			slot->why = no_subset(r, rule, w);
			return;
		}
	}
	c = new_cluster(r, w);
	/* Names that nobody gives a place to be resolved make no group at all (spec 12, 17). */
	if (fill_endpoints(r, c, subset, w->service,
			   declared_service_endpoints(&r->directory, w->service, port)) == 0 &&
	    c->resolution != RESOLVE_STATIC) {
		slot->why = arena_printf(r->arena, "%.*s has no endpoint%s that could be resolved",
					 SLICE_ARG(w->host), subset != NULL ? " in this subset" : "");
		return;
	}
	apply_rule(r, c, rule, subset, port->protocol);
	LIST_GROW(r->arena, r->made, r->made_room);
	r->made.items[r->made.count++] = c;
	slot->cluster = c;
}

/* --- finding one -------------------------------------------------------------------------------- */

/* Short names: as a ServiceEntry declares it, then name.namespace, then the full form. */
static void complete_host(struct service_registry *r, struct wanted *w, struct slice ns)
{
	struct slice host = w->to->host;
	struct slice domain = r->set->proxy->mesh.cluster_domain;

	w->host = host;
	w->service = service_directory_find(&r->directory, host);
	if (w->service != NULL || slice_find(host, '.') >= 0 || hostname_is_wild(host) ||
	    hostname_is_ip(host))
		return;
	w->host = slice_of(arena_printf(r->arena, "%.*s.%.*s", SLICE_ARG(host), SLICE_ARG(ns)));
	w->service = service_directory_find(&r->directory, w->host);
	if (w->service != NULL)
		return;
	w->host = hostname_expand(r->arena, host, ns, domain);
	w->service = service_directory_find(&r->directory, w->host);
}

/* Spec service-entry.md 7.2. */
static uint32_t port_of(const struct wanted *w, uint32_t server_port)
{
	if (w->to->port > 0)
		return w->to->port;
	if (w->service != NULL && w->service->ports.count == 1)
		return w->service->ports.items[0].number;
	return server_port;
}

/* An ExternalName Service stands for another host, which has to be declared itself (spec 5.1). */
static void follow_alias(struct service_registry *r, struct wanted *w)
{
	struct declared_service *target;

	if (w->service == NULL || w->service->external_name.len == 0)
		return;
	w->host = w->service->external_name;
	target = service_directory_find(&r->directory, w->host);
	w->service = target != NULL && target->external_name.len == 0 ? target : NULL;
}

#define ANSWERED_503	"its requests are answered 503"
#define IS_CLOSED	"its connections are closed"
#define GETS_NO_COPY	"no copies of requests are sent there"

static void warn_once(struct service_registry *r, const struct wanted *w, const struct meta *document,
		      const char *why, const char *answer)
{
	struct slice key = slice_of(arena_printf(r->arena, "%s:%u:%u %.*s",
						 w->to->where.file != NULL ? w->to->where.file : "",
						 w->to->where.line, w->to->where.column,
						 SLICE_ARG(w->name)));

	if (name_map_get(&r->warned, key) != NULL)
		return;
	name_map_put(&r->warned, key, r);
	problem_add(r->problems, SEVERITY_WARNING, w->to->where,
		    "%s %.*s/%.*s: destination %.*s: %s; %s", document->kind, SLICE_ARG(document->ns),
		    SLICE_ARG(document->name), SLICE_ARG(w->to->host), why, answer);
}

static void resolve(struct service_registry *r, struct wanted *w, const struct meta *document,
		    uint32_t server_port)
{
	complete_host(r, w, document->ns);
	w->port = port_of(w, server_port);
	follow_alias(r, w);
}

static struct cluster *find_cluster(struct service_registry *r, const struct destination *to,
				    const struct meta *document, uint32_t server_port, const char *answer,
				    struct slice *name)
{
	struct wanted w = { .to = to };
	struct cluster_slot *slot;

	resolve(r, &w, document, server_port);
	w.name = slice_of(arena_printf(r->arena, "outbound|%u|%.*s|%.*s", w.port, SLICE_ARG(to->subset),
				       SLICE_ARG(w.host)));
	slot = name_map_get(&r->slots, w.name);
	if (slot == NULL) {
		slot = arena_new(r->arena, struct cluster_slot);
		name_map_put(&r->slots, w.name, slot);
		make_cluster(r, slot, &w);
	}
	if (slot->cluster == NULL)
		warn_once(r, &w, document, slot->why, answer);
	*name = w.name;
	return slot->cluster;
}

struct cluster *service_registry_cluster(struct service_registry *r, const struct destination *to,
					 const struct meta *document, uint32_t server_port,
					 struct slice *name)
{
	return find_cluster(r, to, document, server_port, ANSWERED_503, name);
}

struct cluster *service_registry_mirror_cluster(struct service_registry *r, const struct destination *to,
						const struct meta *document, uint32_t server_port,
						struct slice *name)
{
	return find_cluster(r, to, document, server_port, GETS_NO_COPY, name);
}

struct cluster *service_registry_tcp_cluster(struct service_registry *r, const struct destination *to,
					     const struct meta *document, uint32_t server_port,
					     struct slice *name)
{
	return find_cluster(r, to, document, server_port, IS_CLOSED, name);
}

void service_registry_session_times(struct service_registry *r, const struct destination *to,
				    const struct meta *document, uint32_t server_port, int64_t *idle_ms,
				    int64_t *duration_ms)
{
	struct wanted w = { .to = to };
	const struct destination_rule *rule;
	const struct connection_pool *p;

	resolve(r, &w, document, server_port);
	rule = w.service != NULL ? rule_index_find(&r->rules, w.host, w.service->meta->ns) : NULL;
	p = rule != NULL && rule->policy != NULL ? rule->policy->connection_pool : NULL;
	if (p == NULL)
		return;
	if (p->tcp_idle_timeout_set)
		*idle_ms = p->tcp_idle_timeout_ms;
	*duration_ms = p->max_connection_duration_ms;
}

/* --- the mesh ----------------------------------------------------------------------------------- */

static void list_address(struct service_registry *r, const struct declared_service *s, uint32_t port,
			 struct slice subset)
{
	LIST_GROW(r->arena, r->mesh, r->mesh_room);
	r->mesh.items[r->mesh.count++] = (struct mesh_address){
		.to = { .host = s->host, .subset = subset, .port = port, .where = s->meta->where },
		.document = s->meta,
	};
}

static void list_service(struct service_registry *r, const struct declared_service *s)
{
	const struct service_entry *entry = s->definitions.items[0].entry;
	const struct destination_rule *rule;

	if ((entry != NULL && !entry->internal) || s->external_name.len > 0 || hostname_is_wild(s->host))
		return;
	rule = rule_index_find(&r->rules, s->host, s->meta->ns);
	for (size_t i = 0; i < s->ports.count; i++) {
		if (s->ports.items[i].protocol == SERVICE_UDP)
			continue;
		list_address(r, s, s->ports.items[i].number, NO_SLICE);
		for (size_t k = 0; rule != NULL && k < rule->subsets.count; k++)
			list_address(r, s, s->ports.items[i].number, rule->subsets.items[k].name);
	}
}

static int by_address(const void *va, const void *vb)
{
	const struct destination *a = &((const struct mesh_address *)va)->to;
	const struct destination *b = &((const struct mesh_address *)vb)->to;
	int order = slice_cmp(a->host, b->host);

	if (order == 0)
		order = (a->port > b->port) - (a->port < b->port);
	return order != 0 ? order : slice_cmp(a->subset, b->subset);
}

size_t service_registry_mesh_addresses(struct service_registry *r, const struct mesh_address **out)
{
	const struct name_map *hosts = &r->directory.hosts;

	for (size_t i = 0; !r->mesh_listed && i < hosts->capacity; i++)
		if (hosts->entries[i].value != NULL)
			list_service(r, hosts->entries[i].value);
	if (!r->mesh_listed && r->mesh.count > 1)
		qsort(r->mesh.items, r->mesh.count, sizeof(*r->mesh.items), by_address);
	r->mesh_listed = true;
	*out = r->mesh.items;
	return r->mesh.count;
}

const char *service_registry_why_none(const struct service_registry *r, struct slice name)
{
	const struct cluster_slot *slot = name_map_get(&r->slots, name);

	return slot != NULL ? slot->why : NULL;
}

static int by_name(const void *a, const void *b)
{
	return slice_cmp((*(struct cluster *const *)a)->name, (*(struct cluster *const *)b)->name);
}

size_t service_registry_clusters(struct service_registry *r, struct cluster ***clusters)
{
	if (r->made.count > 1)
		qsort(r->made.items, r->made.count, sizeof(*r->made.items), by_name);
	*clusters = r->made.items;
	return r->made.count;
}
