/* SPDX-License-Identifier: Apache-2.0
 *
 * The Proxy document: the proxy's own settings and every limit by name (resource/proxy_settings.h). */
#include "sallyport/resource/proxy_settings.h"

#include "sallyport/hostname.h"
#include "sallyport/resource/virtual_service.h"
#include "sallyport/object.h"
#include "sallyport/spop_address.h"

#define AUTHZ_TIMEOUT_MS	200
#define DNS_REFRESH_MS		60000
#define TRUSTED_PROXIES_MAX	100
#define PROXY_PROTOCOL_LIST_MAX	1000

/* --- limits -------------------------------------------------------------------------------- */

enum unit { COUNT, BYTES, KB, SPAN };

struct limit {
	const char *name;
	enum unit unit;
	int64_t least, most;
};

/* A duration within bounds; 0s where the least is 0. */
static bool decode_span(struct decoder *d, const struct node *n, int64_t *out, const struct limit *l)
{
	static const struct decode_duration_rule rule = { .zero_allowed = true };
	int64_t ms;

	if (!decode_duration(d, n, &ms, &rule))
		return false;
	if (ms < l->least || ms > l->most)
		return decode_error(d, n, "%.*s is out of range %lldms..%llds", SLICE_ARG(n->text),
				    (long long)l->least, (long long)(l->most / 1000));
	*out = ms;
	return true;
}

static bool decode_limit(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct limit *l = arg;
	struct decode_range range = { l->least, l->most };
	int64_t *value = out;

	if (l->unit == SPAN)
		return decode_span(d, n, value, l);
	if (!decode_range(d, n, value, &range))
		return false;
	if (l->unit == KB)
		*value *= 1024;
	return true;
}

#define X(name, member, kind, preset, least, most, flags) \
	static const struct limit limit_##member = { name, kind, least, most };
PROXY_LIMITS(X)
#undef X

static const struct field limit_fields[] = {
#define X(name, member, kind, preset, least, most, flags) \
	FIELD_ARG(struct proxy_limits, name, member, decode_limit, flags, &limit_##member),
	PROXY_LIMITS(X)
#undef X
	FIELDS_END
};

static void set_default_limits(struct proxy_limits *l)
{
#define X(name, member, kind, preset, least, most, flags) \
	l->member = (kind) == KB ? (int64_t)(preset) * 1024 : (preset);
	PROXY_LIMITS(X)
#undef X
}

/* --- fields -------------------------------------------------------------------------------- */

static bool parse_port(struct slice s, uint32_t *out)
{
	uint64_t value;

	if (!slice_to_u64(s, &value) || value == 0 || value > 65535 || s.at[0] == '0')
		return false;
	*out = (uint32_t)value;
	return true;
}

/* {80: 8080}: Gateway port to bound port. */
static bool decode_ports(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct proxy_port) *ports = out;
	bool ok = true;

	(void)arg;
	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of Gateway ports to bound ports such as "
				    "{80: 8080}, found %s", node_found(n));
	ports->items = arena_array(d->arena, struct proxy_port, n->count + 1);
	for (size_t i = 0; i < n->count; i++) {
		struct proxy_port *p = &ports->items[ports->count];
		size_t mark = decode_push_slice(d, n->pairs[i].key);

		p->where = n->pairs[i].where;
		if (!parse_port(n->pairs[i].key, &p->number))
			ok = decode_problem(d, SEVERITY_ERROR, p->where, "\"%.*s\" is no port: 1..65535",
					    SLICE_ARG(n->pairs[i].key));
		else if (n->pairs[i].value->kind == NODE_NULL)
			ok = decode_error(d, n->pairs[i].value, "the port to bind is missing");
		else if (!decode_port(d, n->pairs[i].value, &p->bound, NULL))
			ok = false;
		else
			ports->count++;
		decode_pop(d, mark);
	}
	return ok;
}

static bool decode_word(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_string(d, n, s, arg))
		return false;
	if (s->len == 0)
		return decode_error(d, n, "must not be empty: omit the field for its default");
	return true;
}

static bool decode_namespace(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_string(d, n, s, arg))
		return false;
	if (!hostname_is_label(*s))
		return decode_error(d, n, "\"%.*s\" is no namespace", SLICE_ARG(*s));
	return true;
}

/* cluster.local; empty is allowed for the cluster domain. */
static bool decode_domain(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_string(d, n, s, NULL))
		return false;
	if (s->len > 0 ? !hostname_is_domain(*s) : arg == NULL)
		return decode_error(d, n, "\"%.*s\" is no domain", SLICE_ARG(*s));
	return true;
}

static bool decode_path(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_word(d, n, s, arg))
		return false;
	if (s->at[0] != '/')
		return decode_error(d, n, "\"%.*s\" is no absolute path", SLICE_ARG(*s));
	return true;
}

static bool decode_socket(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct proxy_settings *s = out;

	s->admin.socket_set = true;
	if (!decode_string(d, n, &s->admin.socket, arg))
		return false;
	if (s->admin.socket.len > 0 && s->admin.socket.at[0] != '/')
		return decode_error(d, n, "\"%.*s\" is no absolute path; \"\" turns the admin socket off",
				    SLICE_ARG(s->admin.socket));
	return true;
}

static bool decode_nonempty_list(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(char) *list = out;

	if (!decode_list(d, n, out, arg))
		return false;
	return list->count > 0 || decode_error(d, n, "must not be empty");
}

/* unix:/path or host:port with a numeric host; an IPv6 one in brackets. */
static bool decode_address(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct spop_address address;
	struct slice *s = out;
	const char *why;
	uint32_t port;

	if (!decode_word(d, n, s, arg))
		return false;
	if (!spop_address_parse(s->at, &address, &why) || strlen(s->at) != s->len ||
	    (slice_starts(*s, SLICE("unix:")) ? !slice_starts(*s, SLICE("unix:/")) :
	     !parse_port(slice_from(*s, (size_t)slice_rfind(*s, ':') + 1), &port)))
		return decode_error(d, n, "\"%.*s\" is no address: write unix:/absolute/path, or host:port "
				    "with a numeric host", SLICE_ARG(*s));
	return true;
}

static bool only_once(struct decoder *d, const struct node *n, const struct proxy_settings *s)
{
	return s->authz.addresses.count == 0 ||
	       decode_error(d, n, "write either address or addresses, not both");
}

static bool decode_agent(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct proxy_settings *s = out;

	if (!only_once(d, n, s))
		return false;
	s->authz.addresses.items = arena_new(d->arena, struct slice);
	s->authz.addresses.count = 1;
	return decode_address(d, n, s->authz.addresses.items, arg);
}

static bool decode_agents(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list list = { sizeof(struct slice), decode_address, NULL, PROXY_AGENTS_MAX };
	struct proxy_settings *s = out;
	const struct slice *items;

	(void)arg;
	if (!only_once(d, n, s) || !decode_nonempty_list(d, n, &s->authz.addresses, &list))
		return false;
	items = s->authz.addresses.items;
	for (size_t i = 1; i < s->authz.addresses.count; i++)
		for (size_t j = 0; j < i; j++)
			if (slice_eq(items[i], items[j]))
				return decode_error(d, n, "\"%.*s\" stands in it twice", SLICE_ARG(items[i]));
	return true;
}

/* What a header value may carry, so that nobody splits the response by it. */
static bool decode_server_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *s = out;

	if (!decode_word(d, n, s, arg))
		return false;
	for (size_t i = 0; i < s->len; i++)
		if (s->at[i] < 0x20 || s->at[i] > 0x7e)
			return decode_error(d, n, "must be printable ASCII");
	return true;
}

static bool decode_normalization(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const char *const names[] = { "DEFAULT", "NONE", "BASE", "MERGE_SLASHES",
					     "DECODE_AND_MERGE_SLASHES", NULL };
	static const enum path_normalization meaning[] = { PATH_BASE, PATH_NONE, PATH_BASE, PATH_MERGE_SLASHES,
							   PATH_DECODE_AND_MERGE_SLASHES };
	enum path_normalization *value = out;
	int index;

	(void)arg;
	if (!decode_enum(d, n, &index, names))
		return false;
	*value = meaning[index];
	return true;
}

/* A balancer's address, or a block of them. */
static bool decode_source(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice text;

	if (!decode_string(d, n, &text, arg))
		return false;
	return cidr_parse(text, out) ||
	       decode_error(d, n, "\"%.*s\" is neither an address nor a block of them, such as 10.0.0.0/8",
			    SLICE_ARG(text));
}

static bool decode_listener_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct proxy_protocol_port *p = out;

	p->where = n->where;
	return decode_port(d, n, &p->number, arg);
}

/* --- tables -------------------------------------------------------------------------------- */

typedef struct proxy_settings settings;		/* keeps the rows below short */

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const underscore_modes[] = { "ALLOW", "REJECT", "DROP", NULL };
static const struct decode_range worker_range = { 0, PROXY_WORKERS_MAX };
static const struct decode_range proxies_range = { 0, TRUSTED_PROXIES_MAX };
static const struct limit authz_timeout = { "timeout", SPAN, 1, 600000 };
static const struct limit dns_refresh = { "dnsRefreshRate", SPAN, 1000, 86400000 };

static const struct field secrets_fields[] = {
	FIELD(settings, "directory", secrets.directory, decode_path, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct field workload_fields[] = {
	FIELD(settings, "directory", workload_credentials.directory, decode_path, FIELD_REQUIRED),
	FIELDS_END
};
static const struct field admin_fields[] = {
	{ "socket", decode_socket, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};
static const struct field authz_fields[] = {
	{ "address", decode_agent, 0, FIELD_OPTIONAL, NULL },
	{ "addresses", decode_agents, 0, FIELD_OPTIONAL, NULL },
	FIELD_ARG(settings, "timeout", authz.timeout_ms, decode_limit, FIELD_OPTIONAL, &authz_timeout),
	FIELD(settings, "agent", authz.agent, decode_word, FIELD_OPTIONAL),
	FIELD(settings, "stateDirectory", authz.state_directory, decode_path, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct field log_fields[] = {
	FIELD(settings, "path", access_log.path, decode_path, FIELD_OPTIONAL),
	FIELD_ARG(settings, "format", access_log.format, decode_enum, FIELD_OPTIONAL, log_formats),
	FIELDS_END
};
static const struct field normalization_fields[] = {
	FIELD(settings, "normalization", mesh.path_normalization, decode_normalization, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct decode_pointer retry_policy = { sizeof(struct retry_policy), retry_policy_decode, NULL };
static const struct field mesh_fields[] = {
	FIELD(settings, "rootNamespace", mesh.root_namespace, decode_namespace, FIELD_OPTIONAL),
	FIELD(settings, "trustDomain", mesh.trust_domain, decode_domain, FIELD_OPTIONAL),
	FIELD(settings, "trustDomainAliases", mesh.trust_domain_aliases, decode_string_list, FIELD_OPTIONAL),
	FIELD(settings, "extensionProviders", mesh.extension_providers, decode_extension_providers, FIELD_OPTIONAL),
	FIELD_ARG(settings, "clusterDomain", mesh.cluster_domain, decode_domain, FIELD_OPTIONAL, "may be empty"),
	FIELD_ARG(settings, "trustedProxies", mesh.trusted_proxies, decode_range, FIELD_OPTIONAL, &proxies_range),
	{ "pathNormalization", decode_struct, 0, FIELD_OPTIONAL, normalization_fields },
	FIELD_ARG(settings, "defaultHttpRetryPolicy", mesh.default_retries, decode_pointer, FIELD_OPTIONAL,
		  &retry_policy),
	FIELD_ARG(settings, "dnsRefreshRate", mesh.dns_refresh_ms, decode_limit, FIELD_OPTIONAL, &dns_refresh),
	FIELDS_END
};
static const struct field http_fields[] = {
	FIELD(settings, "acceptHttp10", http.accept_http10, decode_bool, FIELD_OPTIONAL),
	FIELD(settings, "keepTrailers", http.keep_trailers, decode_bool, FIELD_OPTIONAL),
	FIELD(settings, "http2", http.http2, decode_bool, FIELD_OPTIONAL),
	FIELD(settings, "serverName", http.server_name, decode_server_name, FIELD_OPTIONAL),
	FIELD(settings, "varyOrigin", http.vary_origin, decode_bool, FIELD_OPTIONAL),
	FIELD_ARG(settings, "underscoresInNames", http.underscores, decode_enum, FIELD_OPTIONAL, underscore_modes),
	FIELDS_END
};
static const struct field mirror_fields[] = {
	FIELD(settings, "shadowHostSuffix", mirror.shadow_host_suffix, decode_bool, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct decode_list listener_ports = {
	sizeof(struct proxy_protocol_port), decode_listener_port, NULL, PROXY_PROTOCOL_LIST_MAX
};
static const struct decode_list sources = {
	sizeof(struct cidr), decode_source, NULL, PROXY_PROTOCOL_LIST_MAX
};
static const struct field proxy_protocol_fields[] = {
	FIELD_ARG(settings, "ports", proxy_protocol.ports, decode_nonempty_list, FIELD_OPTIONAL, &listener_ports),
	FIELD_ARG(settings, "trustedSources", proxy_protocol.trusted_sources, decode_nonempty_list,
		  FIELD_REQUIRED, &sources),
	FIELDS_END
};

/* That it is there turns it on. */
static bool decode_proxy_protocol(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct proxy_settings *s = out;

	s->proxy_protocol.on = true;
	return decode_struct(d, n, s, arg);
}

static const struct field spec_fields[] = {
	FIELD(settings, "labels", labels, decode_labels, FIELD_OPTIONAL),
	FIELD_ARG(settings, "workers", workers, decode_range, FIELD_OPTIONAL, &worker_range),
	FIELD(settings, "ports", ports, decode_ports, FIELD_OPTIONAL),
	FIELD(settings, "user", user, decode_word, FIELD_OPTIONAL),
	FIELD(settings, "group", group, decode_word, FIELD_OPTIONAL),
	{ "secrets", decode_struct, 0, FIELD_OPTIONAL, secrets_fields },
	{ "workloadCredentials", decode_struct, 0, FIELD_OPTIONAL, workload_fields },
	{ "admin", decode_struct, 0, FIELD_OPTIONAL, admin_fields },
	{ "authz", decode_struct, 0, FIELD_OPTIONAL, authz_fields },
	{ "accessLog", decode_struct, 0, FIELD_OPTIONAL, log_fields },
	{ "mesh", decode_struct, 0, FIELD_OPTIONAL, mesh_fields },
	{ "http", decode_struct, 0, FIELD_OPTIONAL, http_fields },
	{ "mirror", decode_struct, 0, FIELD_OPTIONAL, mirror_fields },
	{ "proxyProtocol", decode_proxy_protocol, 0, FIELD_OPTIONAL, proxy_protocol_fields },
	FIELD_ARG(settings, "limits", limits, decode_struct, FIELD_OPTIONAL, limit_fields),
	FIELDS_END
};

/* --- documents ----------------------------------------------------------------------------- */

static struct string_entry default_labels[] = {
	{ .key = { "istio", 5 }, .value = { "ingressgateway", 14 } },
	{ .key = { "app", 3 }, .value = { "istio-ingressgateway", 20 } },
};

static struct proxy_settings *with_defaults(struct arena *a, const struct meta *meta)
{
	struct proxy_settings *s = arena_new(a, struct proxy_settings);

	s->meta = meta;
	s->labels.items = default_labels;
	s->labels.count = COUNT_OF(default_labels);
	s->secrets.directory = SLICE(PROXY_SECRETS_DEFAULT);
	s->admin.socket = SLICE(PROXY_ADMIN_SOCKET_DEFAULT);
	s->authz.timeout_ms = AUTHZ_TIMEOUT_MS;
	s->mesh.root_namespace = SLICE("istio-system");
	s->mesh.trust_domain = SLICE("cluster.local");
	s->mesh.cluster_domain = SLICE("cluster.local");
	s->mesh.path_normalization = PATH_BASE;
	s->mesh.dns_refresh_ms = DNS_REFRESH_MS;
	s->http.server_name = SLICE(PROXY_SERVER_NAME_DEFAULT);
	s->http.http2 = true;
	s->mirror.shadow_host_suffix = true;
	set_default_limits(&s->limits);
	return s;
}

const struct extension_provider *extension_provider_find(const struct proxy_settings *s, struct slice name)
{
	for (size_t i = 0; i < s->mesh.extension_providers.count; i++)
		if (slice_eq(s->mesh.extension_providers.items[i].name, name))
			return &s->mesh.extension_providers.items[i];
	return NULL;
}

struct proxy_settings *proxy_settings_default(struct arena *a)
{
	struct meta *m = arena_new(a, struct meta);

	m->kind = "Proxy";
	m->ns = SLICE(PROXY_NAMESPACE_DEFAULT);
	m->name = SLICE("default");
	return with_defaults(a, m);
}

/* Ports that would share one socket although their Gateways were written apart. */
static void check_ports(struct decoder *d, const struct proxy_settings *s)
{
	for (size_t i = 1; i < s->ports.count; i++)
		for (size_t j = 0; j < i; j++)
			if (s->ports.items[i].bound == s->ports.items[j].bound)
				decode_problem(d, SEVERITY_ERROR, s->ports.items[i].where,
					       "ports: %u and %u are both bound to %u", s->ports.items[j].number,
					       s->ports.items[i].number, s->ports.items[i].bound);
}

struct proxy_settings *proxy_settings_decode(struct decoder *d, const struct node *spec,
					     const struct meta *meta)
{
	struct proxy_settings *s = with_defaults(d->arena, meta);

	if (spec != NULL)
		decode_mapping(d, spec, spec_fields, s);
	if (s->group.at != NULL && s->user.at == NULL)
		decode_error(d, spec, "group needs a user: name both");
	check_ports(d, s);
	return s;
}
