/* SPDX-License-Identifier: Apache-2.0
 *
 * trafficPolicy of a DestinationRule and its subsets: seven blocks and settings for single ports
 * (spec/destination-rule.md 2.2, 3.2). */
#include "common/resource/destination_rule_priv.h"
#include "sallyport/hostname.h"

#define BLOCK(type, decode)	(&(const struct decode_pointer){ sizeof(type), decode, NULL })

/* Of a policy and of a port's entry alike. */
#define BLOCK_ROWS(owner) \
	FIELD_ARG(owner, "loadBalancer",	load_balancer,	 decode_pointer, FIELD_OPTIONAL, \
		  BLOCK(struct load_balancer, dr_decode_load_balancer)), \
	FIELD_ARG(owner, "connectionPool",	connection_pool, decode_pointer, FIELD_OPTIONAL, \
		  BLOCK(struct connection_pool, dr_decode_connection_pool)), \
	FIELD_ARG(owner, "outlierDetection",	outlier,	 decode_pointer, FIELD_LATER, \
		  BLOCK(struct outlier_detection, dr_decode_outlier)), \
	FIELD_ARG(owner, "tls",			tls,		 decode_pointer, FIELD_OPTIONAL, \
		  BLOCK(struct client_tls, dr_decode_client_tls))

/* Ejected endpoints are what a failover notices (3.3). */
static void warn_failover(struct decoder *d, const struct node *n, const struct load_balancer *lb,
			  const struct outlier_detection *outlier)
{
	const struct locality_lb *settings[2];

	if (lb == NULL || outlier != NULL)
		return;
	settings[0] = lb->locality;
	settings[1] = lb->zone_aware;
	for (size_t i = 0; i < 2; i++)
		if (settings[i] != NULL &&
		    (settings[i]->failover.count > 0 || settings[i]->failover_priority.count > 0))
			decode_warning(d, node_get(n, "loadBalancer"),
				       "outlier detection policy must be provided for "
				       "failover: add outlierDetection beside loadBalancer");
}

/* --- portLevelSettings --------------------------------------------------------------------- */

static const struct field port_policy_fields[] = {
	FIELD_ARG(struct port_policy, "port", port, decode_port_selector, FIELD_REQUIRED, "any"),
	BLOCK_ROWS(struct port_policy),
	FIELDS_END
};

static bool decode_port_policy(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct port_policy *p = out;
	bool ok;

	(void)arg;
	p->where = n->where;
	ok = decode_mapping(d, n, port_policy_fields, p);
	warn_failover(d, n, p->load_balancer, p->outlier);
	if (ok && p->load_balancer == NULL && p->connection_pool == NULL && p->outlier == NULL &&
	    p->tls == NULL)
		ok = decode_error(d, n,
				  "port traffic policy must have at least one of loadBalancer, "
				  "connectionPool, "
				  "outlierDetection, tls");
	return ok;
}

/* --- tunnel, PROXY protocol, retry budget -------------------------------------------------- */

static bool decode_tunnel_protocol(struct decoder *d, const struct node *n, void *out,
				   const void *arg)
{
	struct slice *protocol = out;

	if (!decode_string(d, n, protocol, arg))
		return false;
	if (protocol->len == 0)
		*protocol = SLICE("CONNECT");
	return slice_eq(*protocol, SLICE("CONNECT")) || slice_eq(*protocol, SLICE("POST")) ||
	       decode_error(d, n, "tunnel protocol must be CONNECT or POST, found \"%.*s\"",
			    SLICE_ARG(*protocol));
}

static bool decode_tunnel_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *host = out;

	if (!decode_string(d, n, host, arg))
		return false;
	return hostname_is_ip(*host) || hostname_is_domain(*host) ||
	       decode_error(
		       d, n,
		       "tunnel target host must be a full name or an IP address, found \"%.*s\"",
		       SLICE_ARG(*host));
}

static const struct field tunnel_fields[] = {
	FIELD(struct tunnel, "protocol", protocol, decode_tunnel_protocol, FIELD_OPTIONAL),
	FIELD(struct tunnel, "targetHost", target_host, decode_tunnel_host, FIELD_REQUIRED),
	FIELD(struct tunnel, "targetPort", target_port, decode_port, FIELD_REQUIRED),
	FIELDS_END
};

static bool decode_tunnel(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct tunnel *t = out;

	(void)arg;
	t->protocol = SLICE("CONNECT");
	return decode_mapping(d, n, tunnel_fields, t);
}

static const char *const proxy_protocol_versions[] = { "V1", "V2", NULL };

struct proxy_protocol {
	int version;	/* index of the above */
};

static const struct field proxy_protocol_fields[] = {
	FIELD_ARG(struct proxy_protocol, "version", version, decode_enum, FIELD_OPTIONAL,
		  proxy_protocol_versions),
	FIELDS_END
};

static bool decode_proxy_protocol(struct decoder *d, const struct node *n, void *out,
				  const void *arg)
{
	struct traffic_policy *p = out;
	struct proxy_protocol written = { 0 };

	(void)arg;
	if (!decode_mapping(d, n, proxy_protocol_fields, &written))
		return false;
	p->proxy_protocol = (unsigned)written.version + 1;
	p->proxy_protocol_set = true;
	return true;
}

#define RETRY_BUDGET_PERCENT		20
#define RETRY_BUDGET_CONCURRENCY	3u

static const struct decode_duration_rule any_duration = { .zero_allowed = true,
							 .any_precision = true };

static const struct field retry_budget_fields[] = {
	FIELD(struct retry_budget, "percent", percent, decode_percent, FIELD_OPTIONAL),
	FIELD(struct retry_budget, "minRetryConcurrency", min_concurrency, decode_u32,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct retry_budget, "budgetInterval", interval_ms, decode_duration,
		  FIELD_LATER, &any_duration),
	FIELDS_END
};

static bool decode_retry_budget(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct retry_budget *b = out;
	bool ok;

	(void)arg;
	b->percent = RETRY_BUDGET_PERCENT;
	ok = decode_mapping(d, n, retry_budget_fields, b);
	if (b->min_concurrency == 0)
		b->min_concurrency = RETRY_BUDGET_CONCURRENCY;
	return ok;
}

/* --- the policy ---------------------------------------------------------------------------- */

static const struct decode_list port_policies = {
	sizeof(struct port_policy), decode_port_policy, NULL, PORT_LEVEL_SETTINGS_MAX
};

static const struct field policy_fields[] = {
	BLOCK_ROWS(struct traffic_policy),
	FIELD_ARG(struct traffic_policy, "portLevelSettings", ports, decode_list,
		  FIELD_OPTIONAL, &port_policies),
	FIELD_ARG(struct traffic_policy, "tunnel", tunnel, decode_pointer, FIELD_LATER,
		  BLOCK(struct tunnel, decode_tunnel)),
	{ "proxyProtocol", decode_proxy_protocol, 0, FIELD_OPTIONAL, NULL },
	FIELD_ARG(struct traffic_policy, "retryBudget", retry_budget, decode_pointer, FIELD_OPTIONAL,
		  BLOCK(struct retry_budget, decode_retry_budget)),
	FIELDS_END
};

static bool has_anything(const struct node *n)
{
	for (const struct field *f = policy_fields; f->name != NULL; f++)
		if (node_has(n, f->name))
			return true;
	return false;
}

bool dr_decode_traffic_policy(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct traffic_policy *p = out;
	bool ok;

	(void)arg;
	p->where = n->where;
	ok = decode_mapping(d, n, policy_fields, p);
	if (ok && !has_anything(n))
		ok = decode_error(d, n, "traffic policy must have at least one field");
	if (node_has(n, "tunnel") && node_has(n, "proxyProtocol"))
		ok = decode_error(d, n, "tunnel and proxyProtocol must not be set together");
	warn_failover(d, n, p->load_balancer, p->outlier);
	return ok;
}
