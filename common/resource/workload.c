/* SPDX-License-Identifier: Apache-2.0
 *
 * WorkloadEntry, and the endpoint form that it shares with ServiceEntry and WorkloadGroup
 * (spec/service-entry.md 3, 6.3, 10.3, 10.4, 14.1). */
#include "common/resource/workload_priv.h"

#include "sallyport/hostname.h"

#define ADDRESS_BYTES_MAX	256u
#define PORTS_MAX		128u
#define NETWORK_BYTES_MAX	2048u
#define ACCOUNT_BYTES_MAX	253u

/* --- address ------------------------------------------------------------------------------- */

static bool read_unix(struct decoder *d, const struct node *n, struct slice path, struct workload *w)
{
	w->address_kind = path.len > 0 && path.at[0] == '@' ? ADDRESS_ABSTRACT : ADDRESS_UNIX;
	w->address = w->address_kind == ADDRESS_ABSTRACT ? slice_from(path, 1) : path;
	if (w->address.len == 0 || (w->address_kind == ADDRESS_UNIX && path.at[0] != '/'))
		return decode_error(d, n, "unix address must be an absolute path or abstract socket: write "
				    "unix:///path or unix://@name");
	if (w->address_kind == ADDRESS_UNIX && path.at[path.len - 1] == '/')
		return decode_error(d, n, "unix address may not be a directory: remove the last /");
	return true;
}

static bool decode_address(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct workload *w = out;
	struct slice text;

	w->address_where = n->where;
	if (!decode_string(d, n, &text, arg))
		return false;
	if (text.len > ADDRESS_BYTES_MAX)
		return decode_error(d, n, "is longer than %u characters", ADDRESS_BYTES_MAX);
	if (text.len == 0)
		return true;
	w->address = text;
	w->address_kind = ADDRESS_IP;
	if (slice_starts(text, SLICE("unix://")))
		return read_unix(d, n, slice_from(text, strlen("unix://")), w);
	if (hostname_is_ip(text))
		return true;
	w->address_kind = ADDRESS_NONE;
	if (!hostname_is_domain(text))
		return decode_error(d, n, "\"%.*s\" is no IP address, host name or unix:// path%s",
				    SLICE_ARG(text), slice_find(text, ':') >= 0 ?
				    "; a port belongs into ports, brackets are not needed" : "");
	w->address_kind = ADDRESS_NAME;
	w->address = hostname_normalise(d->arena, text);
	return true;
}

/* --- the other fields ---------------------------------------------------------------------- */

static bool decode_ports(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct workload *w = out;
	bool ok = true;

	(void)arg;
	if (n->kind != NODE_MAPPING)
		return decode_error(d, n, "must be a mapping of port names to numbers, found %s",
				    node_found(n));
	if (n->count > PORTS_MAX)
		return decode_error(d, n, "has %zu ports, %u are allowed", n->count, PORTS_MAX);
	w->ports.items = arena_array(d->arena, struct named_port, n->count + 1);
	for (size_t i = 0; i < n->count; i++) {
		const struct node_pair *pair = &n->pairs[i];
		struct named_port *p = &w->ports.items[w->ports.count++];
		size_t mark = decode_push_slice(d, pair->key);

		*p = (struct named_port){ .name = pair->key, .where = pair->where };
		if (!hostname_is_label(pair->key))
			ok = decode_problem(d, SEVERITY_ERROR, pair->where, "port name must be valid: "
					    "letters, digits and - up to 63 characters");
		if (pair->value->kind == NODE_NULL)
			ok = decode_error(d, pair->value, "the port number is missing");
		else
			ok = decode_port(d, pair->value, &p->number, NULL) && ok;
		decode_pop(d, mark);
	}
	return ok;
}

static bool decode_short(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const size_t *most = arg;
	struct slice *s = out;

	if (!decode_string(d, n, s, NULL))
		return false;
	if (s->len > *most)
		return decode_error(d, n, "is longer than %zu characters", *most);
	return true;
}

static const size_t network_most = NETWORK_BYTES_MAX, account_most = ACCOUNT_BYTES_MAX;

static const struct field workload_fields[] = {
	{ "address", decode_address, 0, FIELD_OPTIONAL, NULL },
	{ "ports", decode_ports, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct workload, "labels", labels, decode_labels, FIELD_OPTIONAL),
	FIELD_ARG(struct workload, "network", network, decode_short, FIELD_OPTIONAL, &network_most),
	FIELD_ARG(struct workload, "locality", locality, decode_short, FIELD_OPTIONAL, &network_most),
	FIELD(struct workload, "weight", weight, decode_u32, FIELD_OPTIONAL),
	FIELD_ARG(struct workload, "serviceAccount", service_account, decode_short, FIELD_OPTIONAL, &account_most),
	FIELDS_END
};

static bool is_draining(const struct workload *w)
{
	for (size_t i = 0; i < w->labels.count; i++)
		if (slice_eq(w->labels.items[i].key, SLICE("istio.io/draining")))
			return w->labels.items[i].value.len > 0;
	return false;
}

bool decode_workload(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct workload *w = out;
	bool ok;

	(void)arg;
	w->where = w->address_where = n->where;
	ok = decode_mapping(d, n, workload_fields, w);
	if (w->weight == 0)
		w->weight = 1;
	w->draining = is_draining(w);
	if ((w->address_kind == ADDRESS_UNIX || w->address_kind == ADDRESS_ABSTRACT) && w->ports.count > 0)
		ok = decode_error(d, node_get(n, "ports"), "a unix endpoint must not include ports");
	return ok;
}

bool workload_check_address(struct decoder *d, const struct node *n, const struct workload *w)
{
	const struct node *written = node_get(n, "address");

	/* A bad address was told already. */
	if (w->address_kind != ADDRESS_NONE ||
	    (written != NULL && written->kind != NODE_NULL && written->text.len > 0))
		return true;
	if (w->network.len == 0)
		return decode_error(d, n, "address is required: write an IP address, a host name or unix:///path");
	decode_warning(d, n, "address is unset with network \"%.*s\": this endpoint is not used",
		       SLICE_ARG(w->network));
	return true;
}

uint32_t workload_port(const struct workload *w, struct slice name)
{
	for (size_t i = 0; i < w->ports.count; i++)
		if (slice_eq(w->ports.items[i].name, name))
			return w->ports.items[i].number;
	return 0;
}

/* --- WorkloadEntry ------------------------------------------------------------------------- */

static const struct field entry_fields[] = {
	{ "apiVersion", decode_ignored, 0, FIELD_OPTIONAL, NULL },
	{ "kind", decode_ignored, 0, FIELD_OPTIONAL, NULL },
	{ "metadata", decode_ignored, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct workload_entry, "spec", workload, decode_workload, FIELD_REQUIRED),
	{ "status", decode_ignored, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

/* The labels of the object win over those of its spec. */
static void overlay_labels(struct arena *a, struct workload *w, const struct meta *m)
{
	size_t count = w->labels.count + m->labels.count;
	struct string_entry *all = arena_array(a, struct string_entry, count + 1);
	size_t kept = 0;

	for (size_t i = 0; i < m->labels.count; i++)
		all[kept++] = m->labels.items[i];
	for (size_t i = 0; i < w->labels.count; i++) {
		char key[512];

		snprintf(key, sizeof(key), "%.*s", SLICE_ARG(w->labels.items[i].key));
		if (meta_label(m, key).at == NULL)
			all[kept++] = w->labels.items[i];
	}
	w->labels.items = all;
	w->labels.count = kept;
}

static bool text_is(const struct node *n, const char *text)
{
	return n != NULL && n->kind == NODE_SCALAR && slice_eq(n->text, slice_of(text));
}

/* status.conditions: type Healthy, status True. */
static bool has_healthy_condition(const struct node *root)
{
	const struct node *list = node_get(node_get(root, "status"), "conditions");

	if (list == NULL || list->kind != NODE_SEQUENCE)
		return false;
	for (size_t i = 0; i < list->count; i++)
		if (text_is(node_get(list->items[i], "type"), "Healthy"))
			return text_is(node_get(list->items[i], "status"), "True");
	return false;
}

static struct slice group_of(const struct node *root, const struct meta *m)
{
	const struct node *owners = node_get(node_get(root, "metadata"), "ownerReferences"), *name;
	struct slice group = meta_annotation(m, "istio.io/autoRegistrationGroup");

	if (group.at != NULL || owners == NULL || owners->kind != NODE_SEQUENCE)
		return group;
	for (size_t i = 0; i < owners->count; i++) {
		name = node_get(owners->items[i], "name");
		if (text_is(node_get(owners->items[i], "kind"), "WorkloadGroup") && name != NULL &&
		    name->kind == NODE_SCALAR)
			return name->text;
	}
	return NO_SLICE;
}

struct workload_entry *workload_entry_decode(struct decoder *d, const struct node *root,
					     const struct meta *meta)
{
	struct workload_entry *e = arena_new(d->arena, struct workload_entry);
	const struct node *spec = node_get(root, "spec");
	size_t mark;

	e->meta = meta;
	decode_mapping(d, root, entry_fields, e);
	if (spec != NULL && spec->kind == NODE_MAPPING) {
		mark = decode_push(d, "spec");
		workload_check_address(d, spec, &e->workload);
		decode_pop(d, mark);
	}
	overlay_labels(d->arena, &e->workload, meta);
	e->workload.draining = is_draining(&e->workload);
	e->group = group_of(root, meta);
	e->health_checked = slice_eq(meta_annotation(meta, "proxy.istio.io/health-checks-enabled"),
				     SLICE("true"));
	e->healthy = !e->health_checked || has_healthy_condition(root);
	return e;
}
