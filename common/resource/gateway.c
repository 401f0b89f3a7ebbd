/* SPDX-License-Identifier: Apache-2.0
 *
 * Gateway documents: servers, ports, binds and hosts (spec/gateway.md 1-4, 7.1). Rule numbers in
 * comments are those of section 4; the rules of `tls` are in gateway_tls.c. */
#include "common/resource/gateway_priv.h"

#include "sallyport/hostname.h"
#include "sallyport/object.h"

static const char *const protocol_name[GATEWAY_PROTOCOL_COUNT + 1] = {
	"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "HTTPS", "TLS", "TCP", "MONGO", "REDIS", "MYSQL",
	NULL
};

#define PORT_MAX	65535u

/* --- port ---------------------------------------------------------------------------------- */

static bool decode_protocol(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice text;
	const char *near;

	(void)arg;
	*(int *)out = GATEWAY_PROTOCOL_COUNT;
	if (!decode_string(d, n, &text, NULL))
		return false;
	for (int i = 0; i < GATEWAY_PROTOCOL_COUNT; i++) {
		if (!slice_eq_nocase(text, slice_of(protocol_name[i])))
			continue;
		*(int *)out = i;
		return true;
	}
	if (slice_eq_nocase(text, SLICE("UDP")))
		return decode_error(d, n, "UDP servers are not supported");
	near = nearest_name(text, protocol_name);	/* G13 */
	if (near != NULL)
		return decode_error(d, n, "unknown protocol \"%.*s\", did you mean \"%s\"?",
				    SLICE_ARG(text), near);
	return decode_error(d, n, "unknown protocol \"%.*s\": use HTTP, HTTPS, GRPC, HTTP2, GRPC-WEB, TLS, "
			    "TCP, MONGO, REDIS or MYSQL", SLICE_ARG(text));
}

static bool decode_number(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	uint32_t *number = out;

	*number = UINT32_MAX;
	if (!decode_u32(d, n, number, arg))
		return false;
	if (*number <= PORT_MAX)	/* 0 depends on the bind: G14, G19 */
		return true;
	decode_error(d, n, "number %u out of range 1..65535", *number);
	*number = UINT32_MAX;
	return false;
}

static bool decode_target_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	uint32_t *port = out;

	if (!decode_u32(d, n, port, arg))
		return false;
	if (*port > PORT_MAX) {
		decode_error(d, n, "targetPort %u out of range 1..65535", *port);
		*port = 0;
		return false;
	}
	if (*port > 0)	/* G17, README.md D2 */
		decode_warning(d, n, "targetPort is ignored by Istio; it is bound here");
	return true;
}

static const struct field port_fields[] = {
	FIELD(struct server, "number", number, decode_number, FIELD_REQUIRED),
	FIELD(struct server, "protocol", protocol, decode_protocol, FIELD_REQUIRED),
	FIELD(struct server, "name", port_name, decode_string, FIELD_REQUIRED),
	FIELD(struct server, "targetPort", target_port, decode_target_port, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_server_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server *s = out;
	bool ok = decode_mapping(d, n, arg, s);

	if (s->port_name.at != NULL && s->port_name.len == 0)	/* G15 */
		ok = decode_error(d, node_get(n, "name"), "name is required: give the port a name");
	return ok;
}

/* --- hosts --------------------------------------------------------------------------------- */

/* G07: `*`, `.` or a namespace. Sets what it means (7.1). */
static bool read_host_namespace(struct decoder *d, const struct node *n, struct slice written,
				struct server_host *h)
{
	if (slice_eq(written, SLICE("*")))
		return true;
	if (slice_eq(written, SLICE("."))) {
		h->ns = slice_of(d->ns != NULL ? d->ns : "default");
		return true;
	}
	if (!hostname_is_label(written))
		return decode_error(d, n, "bad namespace \"%.*s\": use a name, * for all or . for the "
				    "Gateway's own", SLICE_ARG(written));
	h->ns = written;
	return true;
}

static bool decode_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_host *h = out;
	struct slice text, dns;
	const char *problem;
	ptrdiff_t slash;

	(void)arg;
	h->where = n->where;
	if (!decode_string(d, n, &text, NULL))
		return false;
	slash = slice_find(text, '/');
	dns = slash < 0 ? text : slice_from(text, (size_t)slash + 1);
	if (slash == 0 || (slash > 0 && dns.len == 0))	/* G06 */
		return decode_error(d, n, "\"%.*s\": namespace and host must both be non-empty",
				    SLICE_ARG(text));
	if (slash > 0 && !read_host_namespace(d, n, slice_first(text, (size_t)slash), h))
		return false;
	problem = hostname_gateway_problem(dns);	/* G08-G11 */
	if (problem != NULL)
		return decode_error(d, n, "\"%.*s\" %s", SLICE_ARG(dns), problem);
	h->host = hostname_normalise(d->arena, dns);
	return true;
}

/* `*` of every namespace makes all other hosts of the server pointless (7.1). */
static void reduce_hosts(struct server *s)
{
	for (size_t i = 0; i < s->hosts.count; i++) {
		struct server_host h = s->hosts.items[i];

		if (h.ns.at != NULL || !slice_eq(h.host, SLICE("*")))
			continue;
		s->hosts.items[0] = h;
		s->hosts.count = 1;
		return;
	}
}

static bool decode_hosts(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct server_host), decode_host, NULL, 0 };
	struct server *s = out;

	(void)arg;
	if (!decode_list(d, n, &s->hosts, &row))
		return false;
	if (s->hosts.count == 0)	/* G05 */
		return decode_error(d, n, "at least one host is required");
	reduce_hosts(s);
	return true;
}

/* --- bind ---------------------------------------------------------------------------------- */

static bool decode_bind(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server *s = out;
	struct slice text, path;

	if (!decode_string(d, n, &text, arg))
		return false;
	if (text.len == 0)
		return true;
	s->bind_kind = BIND_IP;
	s->bind = text;
	if (!slice_starts(text, SLICE("unix://"))) {
		if (hostname_is_ip(text))
			return true;
		return decode_error(d, n, "\"%.*s\" is not an IP address", SLICE_ARG(text));	/* G20 */
	}
	path = slice_from(text, strlen("unix://"));
	s->bind_kind = path.len > 0 && path.at[0] == '@' ? BIND_ABSTRACT : BIND_UNIX;
	s->bind = s->bind_kind == BIND_ABSTRACT ? slice_from(path, 1) : path;
	if (s->bind.len == 0 || (s->bind_kind == BIND_UNIX &&
				 (path.at[0] != '/' || path.at[path.len - 1] == '/')))	/* G18 */
		return decode_error(d, n, "bad unix socket path \"%.*s\": write unix:///absolute/path or "
				    "unix://@name", SLICE_ARG(path));
	return true;
}

/* --- servers ------------------------------------------------------------------------------- */

/* A server while it is read; its first member is what the other decoders see. */
struct server_draft {
	struct server server;
	bool tls_is_read;
};

static bool decode_server_tls(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_draft *draft = out;

	(void)arg;
	draft->server.tls = arena_new(d->arena, struct server_tls);
	draft->tls_is_read = server_tls_decode(d, n, draft->server.tls);
	return draft->tls_is_read;
}

static const struct field server_fields[] = {
	{ "port", decode_server_port, 0, FIELD_REQUIRED, port_fields },
	{ "bind", decode_bind, 0, FIELD_OPTIONAL, NULL },
	{ "hosts", decode_hosts, 0, FIELD_REQUIRED, NULL },
	{ "tls", decode_server_tls, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct server, "name", name, decode_string, FIELD_OPTIONAL),
	{ "defaultEndpoint", decode_ignored, 0, FIELD_NO_EFFECT, NULL },
	FIELDS_END
};

static bool is_http_family(int protocol)
{
	return protocol <= GATEWAY_HTTP_PROXY;
}

static bool is_tcp_family(int protocol)
{
	return protocol >= GATEWAY_TCP && protocol < GATEWAY_PROTOCOL_COUNT;
}

/* G14, G19: a socket in the file system has no port, all others have one. */
static bool check_number(struct decoder *d, const struct node *n, const struct server *s)
{
	bool is_socket = s->bind_kind == BIND_UNIX || s->bind_kind == BIND_ABSTRACT;
	const struct node *port = node_get(n, "port"), *number = node_get(port, "number");
	size_t mark;

	if (number == NULL || number->kind == NODE_NULL || s->number == UINT32_MAX)
		return true;	/* told already */
	if (is_socket == (s->number == 0))
		return true;
	mark = decode_push(d, "port.number");
	if (is_socket)
		decode_error(d, number, "port number must be 0 for a unix socket");
	else
		decode_error(d, number, "number 0 out of range 1..65535");
	decode_pop(d, mark);
	return false;
}

/* G22: a plaintext protocol beside TLS settings. */
static bool check_plaintext_tls(struct decoder *d, const struct node *n, const struct server *s)
{
	const struct node *tls = node_get(n, "tls");

	if (!server_tls_terminates(s->tls) && !server_tls_has_files(s->tls))
		return true;
	if (s->protocol == GATEWAY_HTTP || s->protocol == GATEWAY_HTTP_PROXY)
		return decode_error(d, tls, "plaintext HTTP port cannot have TLS settings; use protocol HTTPS");
	if (server_tls_terminates(s->tls))
		decode_warning(d, tls, "protocol %s with TLS settings is served as HTTPS; Istio refuses it: "
			       "use protocol HTTPS", protocol_name[s->protocol]);
	else
		decode_warning(d, tls, "without tls.mode this %s port is plaintext and uses no certificate; "
			       "use protocol HTTPS and mode: SIMPLE", protocol_name[s->protocol]);
	return true;
}

/* Protocol and TLS read together (D1), and the rules between them: G21-G24. */
static bool choose_family(struct decoder *d, const struct node *n, struct server *s)
{
	const struct node *tls = node_get(n, "tls"), *protocol = node_get(node_get(n, "port"), "protocol");
	const char *name = protocol_name[s->protocol];
	bool ok = true;

	if (is_http_family(s->protocol)) {
		ok = s->tls == NULL || check_plaintext_tls(d, n, s);
		s->family = server_tls_terminates(s->tls) ? SERVER_HTTPS : SERVER_HTTP;
		if (s->protocol == GATEWAY_HTTP_PROXY)
			decode_warning(d, protocol, "protocol HTTP_PROXY is served as HTTP");
		return ok;
	}
	if (s->tls == NULL) {
		s->family = SERVER_TCP;
		if (!is_tcp_family(s->protocol))	/* G21 */
			ok = decode_error(d, n, "protocol %s needs tls settings", name);
		return ok;
	}
	if (is_tcp_family(s->protocol))	/* G23 */
		decode_warning(d, tls, "protocol %s with TLS settings is served as TLS; Istio refuses it: use "
			       "protocol TLS", name);
	if (s->tls->https_redirect)	/* G24 */
		decode_warning(d, tls, "httpsRedirect works only on plaintext HTTP servers");
	if (!server_tls_terminates(s->tls))
		s->family = SERVER_PASSTHROUGH;
	else
		s->family = s->protocol == GATEWAY_HTTPS ? SERVER_HTTPS : SERVER_TLS;
	return ok;
}

/* What of the protocol is not done. */
static void tell_what_is_left_out(struct decoder *d, const struct node *n, const struct server *s)
{
	const struct node *protocol = node_get(node_get(n, "port"), "protocol");

	if (s->protocol == GATEWAY_MONGO)
		decode_note(d, protocol, "bytes are relayed as they come; no statistics of MongoDB's own "
			    "protocol are kept");
}

static bool decode_server(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_draft draft = { .server = { .where = n->where, .protocol = GATEWAY_PROTOCOL_COUNT } };
	bool ok = decode_mapping(d, n, server_fields, &draft), on_tls_port;
	struct server *s = out;
	size_t mark;

	(void)arg;
	*s = draft.server;
	if (n->kind != NODE_MAPPING)
		return false;
	ok = check_number(d, n, s) && ok;
	on_tls_port = s->protocol == GATEWAY_HTTPS || s->protocol == GATEWAY_TLS || is_tcp_family(s->protocol);
	if (s->protocol < GATEWAY_PROTOCOL_COUNT)
		ok = choose_family(d, n, s) && ok;
	/* Rules about fields that could not be read would only repeat that. */
	if (s->tls != NULL && draft.tls_is_read) {
		mark = decode_push(d, "tls");
		ok = server_tls_check(d, node_get(n, "tls"), s->tls, on_tls_port) && ok;
		decode_pop(d, mark);
	}
	if (ok)
		tell_what_is_left_out(d, n, s);
	return ok;
}

/* --- documents ----------------------------------------------------------------------------- */

static bool decode_servers(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct server), decode_server, NULL, 0 };

	(void)arg;
	return decode_list(d, n, out, &row);	/* G04 */
}

static const struct field gateway_fields[] = {
	FIELD(struct gateway, "selector", selector, decode_labels, FIELD_OPTIONAL),
	FIELD(struct gateway, "servers", servers, decode_servers, FIELD_OPTIONAL),
	FIELDS_END
};

/* Port names are few; each is compared with those before it. G16 */
static void check_port_names(struct decoder *d, const struct gateway *g)
{
	for (size_t i = 1; i < g->servers.count; i++) {
		const struct server *s = &g->servers.items[i];

		for (size_t j = 0; j < i && s->port_name.len > 0; j++) {
			if (!slice_eq(s->port_name, g->servers.items[j].port_name))
				continue;
			decode_problem_item(d, SEVERITY_ERROR, s->where, "servers", i, "port name \"%.*s\" "
					    "used twice: first in the server of line %u",
					    SLICE_ARG(s->port_name), g->servers.items[j].where.line);
			break;
		}
	}
}

static void check_server_names(struct decoder *d, const struct gateway *g)
{
	for (size_t i = 1; i < g->servers.count; i++) {
		const struct server *s = &g->servers.items[i];

		for (size_t j = 0; j < i && s->name.len > 0; j++) {
			if (!slice_eq(s->name, g->servers.items[j].name))
				continue;
			decode_problem_item(d, SEVERITY_NOTE, s->where, "servers", i, "server name \"%.*s\" "
					    "used twice: their statistics are counted together",
					    SLICE_ARG(s->name));
			break;
		}
	}
}

/* G01, G02 */
static void check_meta(struct decoder *d, const struct meta *m)
{
	static const char *const refused[] = {
		"istio.io/dry-run", "internal.istio.io/webhook-always-reject", "internal.istio.io/parents",
		"internal.istio.io/parent-namespace",
	};
	size_t path_len = d->path_len;

	d->path_len = 0;	/* these are not of the spec */
	if (m->name.len > 0 && !hostname_is_label(m->name))
		decode_error(d, NULL, "gateway name \"%.*s\" must be a DNS label without dots",
			     SLICE_ARG(m->name));
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		if (meta_annotation(m, refused[i]).at != NULL)
			decode_error(d, NULL, "annotation %s is not allowed on Gateway", refused[i]);
	d->path_len = path_len;
}

struct gateway *gateway_decode(struct decoder *d, const struct node *spec, const struct meta *meta)
{
	struct gateway *g = arena_new(d->arena, struct gateway);

	g->meta = meta;
	check_meta(d, meta);
	if (spec != NULL)
		decode_mapping(d, spec, gateway_fields, g);
	if (g->servers.count == 0 && (spec == NULL || spec->kind == NODE_MAPPING) &&
	    (node_get(spec, "servers") == NULL || node_get(spec, "servers")->count == 0))
		decode_note(d, spec, "no servers: this Gateway listens on nothing");	/* D11 */
	check_port_names(d, g);
	check_server_names(d, g);
	return g;
}

void gateway_check_fragment(struct decoder *d, const struct node *root)
{
	const struct node *tls = node_get(root, "tls");
	struct server_tls settings = { 0 };
	struct gateway g = { 0 };
	size_t mark;

	if (tls == NULL) {
		decode_mapping(d, root, gateway_fields, &g);
		check_port_names(d, &g);
		return;
	}
	if (tls->kind == NODE_NULL)
		return;
	mark = decode_push(d, "tls");
	if (server_tls_decode(d, tls, &settings))
		server_tls_check(d, tls, &settings, true);
	decode_pop(d, mark);
}

bool gateway_selects(const struct gateway *g, const struct string_entry *labels, size_t count)
{
	for (size_t i = 0; i < g->selector.count; i++) {
		const struct string_entry *wanted = &g->selector.items[i];
		size_t j = 0;

		while (j < count && !slice_eq(labels[j].key, wanted->key))
			j++;
		if (j == count || !slice_eq(labels[j].value, wanted->value))
			return false;
	}
	return true;
}
