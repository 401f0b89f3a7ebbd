/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of kinds: which documents there are, how each is decoded, and which are known but of no
 * use at this edge (spec/README.md D7). A new kind is one row of KINDS and one member of
 * struct resource_set. */
#include <stdlib.h>

#include "common/resource/document_priv.h"
#include "sallyport/log.h"
#include "sallyport/object.h"
#include "sallyport/resource/authorization_policy.h"
#include "sallyport/resource/destination_rule.h"
#include "sallyport/resource/gateway.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/request_authentication.h"
#include "sallyport/resource/secret.h"
#include "sallyport/resource/service.h"
#include "sallyport/resource/service_entry.h"
#include "sallyport/resource/virtual_service.h"
#include "sallyport/resource/workload.h"

static const char *const networking[] = { "networking.istio.io/v1", "networking.istio.io/v1beta1",
					  "networking.istio.io/v1alpha3", NULL };
static const char *const security[] = { "security.istio.io/v1", "security.istio.io/v1beta1", NULL };
static const char *const core[] = { "v1", NULL };
static const char *const discovery[] = { "discovery.k8s.io/v1", NULL };
static const char *const ours[] = { "sallyport.io/v1", NULL };

/* kind, apiVersions, <stem>_decode(), list in the set, what the decoder gets: SPEC alone, with
 * the path set to "spec", or the whole document (ROOT). */
#define KINDS(X) \
	X("Gateway",			networking,	gateway,		gateways,		SPEC) \
	X("VirtualService",		networking,	virtual_service,	virtual_services,	SPEC) \
	X("DestinationRule",		networking,	destination_rule,	destination_rules,	SPEC) \
	X("ServiceEntry",		networking,	service_entry,		service_entries,	SPEC) \
	X("WorkloadEntry",		networking,	workload_entry,		workload_entries,	ROOT) \
	X("WorkloadGroup",		networking,	workload_group,		workload_groups,	SPEC) \
	X("RequestAuthentication",	security,	request_authentication,	request_authentications, SPEC) \
	X("AuthorizationPolicy",	security,	authorization_policy,	authorization_policies,	SPEC) \
	X("Service",			core,		service,		services,		SPEC) \
	X("Endpoints",			core,		endpoints,		endpoints,		ROOT) \
	X("EndpointSlice",		discovery,	endpoint_slice,		endpoint_slices,	ROOT) \
	X("Secret",			core,		secret,			secrets,		ROOT) \
	X("ConfigMap",			core,		config_map,		config_maps,		ROOT) \
	X("Proxy",			ours,		proxy_settings,		proxies,		SPEC)

enum body { SPEC, ROOT };

/* One signature for all decoders. */
#define X(name, versions, stem, list, body) \
	static void *read_##stem(struct decoder *d, const struct node *n, const struct meta *m) \
	{ \
		return stem##_decode(d, n, m); \
	}
KINDS(X)
#undef X

struct any_list {
	void **items;
	size_t count;
};

static const struct kind {
	const char *name;
	const char *const *versions;
	void *(*decode)(struct decoder *d, const struct node *n, const struct meta *m);
	size_t list;			/* offset in struct resource_set */
	enum body body;
} kinds[] = {
#define X(name, versions, stem, list, body) \
	{ name, versions, read_##stem, offsetof(struct resource_set, list), body },
	KINDS(X)
#undef X
};

/* Of no use here, and nothing changes without them. */
static const char *const idle_kinds[] = {
	"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Pod", "Job", "CronJob", "Namespace",
	"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding",
	"CustomResourceDefinition", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
	"PersistentVolume", "PersistentVolumeClaim", "StorageClass", "Node", "Event", "LimitRange",
	"ResourceQuota", "PriorityClass", "Lease", "MutatingWebhookConfiguration",
	"ValidatingWebhookConfiguration", "Certificate", "CertificateRequest", "Issuer", "ClusterIssuer",
	"Order", "Challenge", "IstioOperator", "Kustomization", "ServiceMonitor", "PodMonitor",
	"PrometheusRule", NULL
};

/* These would change how traffic is treated, and do not here. */
static const char *const unobeyed_kinds[] = {
	"PeerAuthentication", "EnvoyFilter", "Telemetry", "Sidecar", "WasmPlugin", "ProxyConfig", "Ingress",
	"IngressClass", "GatewayClass", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "ReferenceGrant",
	"BackendTLSPolicy", NULL
};

static const struct kind *find_kind(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		if (slice_eq(name, slice_of(kinds[i].name)))
			return &kinds[i];
	return NULL;
}

static const char *nearest_kind(struct slice written)
{
	const char *names[COUNT_OF(kinds) + COUNT_OF(idle_kinds) + COUNT_OF(unobeyed_kinds)];
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		names[count++] = kinds[i].name;
	for (size_t i = 0; idle_kinds[i] != NULL; i++)
		names[count++] = idle_kinds[i];
	for (size_t i = 0; unobeyed_kinds[i] != NULL; i++)
		names[count++] = unobeyed_kinds[i];
	names[count] = NULL;
	return nearest_name(written, names);
}

/* --- documents that are none --------------------------------------------------------------- */

/* Pages of documentation show `servers:`, `tls:` or `when:` alone. Such a piece is checked as the part
 * of a document that it is, so that a whole folder of snippets loads, but nobody should believe
 * that it serves. */
static bool is_fragment(const struct node *root)
{
	static const char *const parts[] = { "servers", "tls", "when", NULL };

	return root->kind == NODE_MAPPING && root->count == 1 && slice_is_among(root->pairs[0].key, parts);
}

static struct node *wrap_in_list(struct arena *a, struct node *item)
{
	struct node *list = arena_new(a, struct node);

	*list = (struct node){ .kind = NODE_SEQUENCE, .where = item->where, .count = 1 };
	list->items = arena_array(a, struct node *, 1);
	list->items[0] = item;
	return list;
}

static struct node *wrap_in_field(struct arena *a, const char *key, struct node *value)
{
	struct node *mapping = arena_new(a, struct node);

	*mapping = (struct node){ .kind = NODE_MAPPING, .where = value->where, .count = 1 };
	mapping->pairs = arena_array(a, struct node_pair, 1);
	mapping->pairs[0] = (struct node_pair){ slice_of(key), value->where, value };
	return mapping;
}

static void check_fragment(struct decoder *d, const struct node *root)
{
	struct meta meta = { .kind = "AuthorizationPolicy", .ns = SLICE("default"), .name = SLICE("fragment"),
			     .where = root->where };
	struct node *when = node_get(root, "when"), *rule;

	if (when == NULL) {
		d->kind = "Gateway fragment";
		gateway_check_fragment(d, root);
	} else {
		d->kind = "AuthorizationPolicy fragment";
		rule = wrap_in_field(d->arena, "when", when);
		(void)authorization_policy_decode(d, wrap_in_field(d->arena, "rules",
						  wrap_in_list(d->arena, rule)), &meta);
	}
	d->kind = NULL;
	decode_warning(d, root, "not a document: no apiVersion and kind; nothing is served from it");
}

static void decode_nameless(struct decoder *d, const struct node *root)
{
	if (root->kind != NODE_MAPPING) {
		decode_error(d, root, "not a document: a mapping with apiVersion and kind is needed, "
			     "found %s", node_found(root));
	} else if (is_fragment(root)) {
		check_fragment(d, root);
	} else {
		decode_error(d, root, "not a document: no %s", node_get(root, "kind") != NULL ?
			     "apiVersion" : node_get(root, "apiVersion") != NULL ? "kind" :
			     "apiVersion and kind");
	}
}

/* --- documents ----------------------------------------------------------------------------- */

static bool check_version(struct decoder *d, const struct kind *k, const struct node *version)
{
	char names[256] = "";
	size_t len = 0;

	if (version->kind == NODE_SCALAR && slice_is_among(version->text, k->versions))
		return true;
	for (size_t i = 0; k->versions[i] != NULL; i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i > 0 ? " or " : "",
					k->versions[i]);
	if (version->kind != NODE_SCALAR)
		return decode_error(d, version, "apiVersion must be a string: write %s", names);
	return decode_error(d, version, "unknown apiVersion \"%.*s\" of this kind: write %s",
			    SLICE_ARG(version->text), names);
}

/* False: a document of this kind, namespace and name was read before. */
static bool claim_identity(struct loader *l, struct decoder *d, const struct node *root)
{
	struct identity *known, *mine;
	char *key;

	if (asprintf(&key, "%s %s/%s", d->kind, d->ns, d->name) < 0)
		fatal("out of memory: identity of a document");
	HASH_FIND_STR(l->identities, key, known);
	if (known != NULL) {
		decode_error(d, root, "written twice: first in %s:%u; rename or remove one",
			     known->where.file, known->where.line);
		free(key);
		return false;
	}
	mine = calloc(1, sizeof(*mine));
	if (mine == NULL)
		fatal("out of memory: identity of a document");
	mine->key = key;
	mine->where = root->where;
	HASH_ADD_KEYPTR(hh, l->identities, mine->key, strlen(mine->key), mine);
	return true;
}

/* The top level of a document whose decoder only gets its spec. */
static void check_top_level(struct decoder *d, const struct node *root)
{
	static const struct field fields[] = {
		{ "apiVersion", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		{ "kind", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		{ "metadata", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		{ "spec", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		{ "status", decode_ignored, 0, FIELD_OPTIONAL, NULL },
		FIELDS_END
	};
	char nothing;

	decode_mapping(d, root, fields, &nothing);
}

static void keep(struct loader *l, const struct kind *k, const struct meta *m, void *object)
{
	if (l->count == l->capacity) {
		l->capacity = l->capacity > 0 ? 2 * l->capacity : 64;
		l->loaded = realloc(l->loaded, l->capacity * sizeof(*l->loaded));
		if (l->loaded == NULL)
			fatal("out of memory: list of documents");
	}
	l->loaded[l->count++] = (struct loaded){ (size_t)(k - kinds), m, object };
}

static void decode_known(struct loader *l, struct decoder *d, const struct kind *k,
			 const struct node *root, const struct node *version)
{
	bool is_proxy = slice_eq(slice_of(k->name), SLICE("Proxy"));
	const struct node *body = root;
	struct meta *m;
	void *object;
	size_t mark = d->path_len;

	d->kind = k->name;
	if (!check_version(d, k, version))
		return;
	m = meta_decode(d, root, is_proxy ? PROXY_NAMESPACE_DEFAULT : "default", !is_proxy);
	if (m != NULL && !claim_identity(l, d, root))
		return;
	if (m == NULL) {	/* its name is bad: the rest is checked, but nothing is kept */
		m = arena_new(d->arena, struct meta);
		*m = (struct meta){ .kind = k->name, .ns = slice_of(d->ns), .name = slice_of(d->name),
				    .where = root->where };
	}
	if (k->body == SPEC) {
		check_top_level(d, root);
		body = node_get(root, "spec");
		if (body != NULL && body->kind == NODE_NULL)
			body = NULL;
		mark = decode_push(d, "spec");
	}
	object = k->decode(d, body, m);
	decode_pop(d, mark);
	if (object != NULL)
		keep(l, k, m, object);
}

static void decode_items(struct loader *l, struct decoder *d, const struct node *root,
			 struct slice item_kind, const struct node *version);

/* `kind` and `version` are the document's own, or what its list says of all of its items. */
static void decode_one(struct loader *l, const struct node *root, struct slice kind,
		       const struct node *version)
{
	struct decoder d = { .arena = l->set->arena, .problems = l->problems, .where = root->where };
	const struct kind *k = find_kind(kind);
	const char *near;

	l->set->documents++;
	if (k != NULL) {
		decode_known(l, &d, k, root, version);
		return;
	}
	if (slice_ends(kind, SLICE("List")) && node_get(root, "items") != NULL) {
		decode_items(l, &d, root, slice_first(kind, kind.len - 4), version);
		return;
	}
	d.kind = arena_text(d.arena, kind);
	if (slice_is_among(kind, idle_kinds) || slice_is_among(kind, unobeyed_kinds)) {
		(void)meta_decode(&d, root, "default", false);
		if (slice_is_among(kind, idle_kinds))
			decode_note(&d, root, "has no use here");
		else
			decode_warning(&d, root, "this kind is not obeyed here: nothing in it takes effect");
		return;
	}
	d.kind = NULL;
	near = nearest_kind(kind);
	if (near != NULL)
		decode_error(&d, root, "unknown kind \"%.*s\", did you mean \"%s\"?", SLICE_ARG(kind),
			     near);
	else
		decode_error(&d, root, "unknown kind \"%.*s\"", SLICE_ARG(kind));
}

static void decode_items(struct loader *l, struct decoder *d, const struct node *root,
			 struct slice item_kind, const struct node *version)
{
	const struct node *items = node_get(root, "items");

	if (items->kind == NODE_NULL)
		return;
	if (items->kind != NODE_SEQUENCE) {
		decode_error(d, items, "items must be a list, found %s", node_found(items));
		return;
	}
	for (size_t i = 0; i < items->count; i++) {
		const struct node *item = items->items[i], *own = node_get(item, "kind");

		/* Typed lists leave out what their own kind says already. */
		if (item->kind == NODE_MAPPING && own == NULL && item_kind.len > 0)
			decode_one(l, item, item_kind, version);
		else
			document_decode(l, item);
	}
}

void document_decode(struct loader *l, const struct node *root)
{
	const struct node *kind = node_get(root, "kind"), *version = node_get(root, "apiVersion");
	struct decoder d = { .arena = l->set->arena, .problems = l->problems, .where = root->where };

	if (root->kind == NODE_NULL || (root->kind == NODE_MAPPING && root->count == 0))
		return;
	if (kind == NULL || version == NULL || kind->kind == NODE_NULL || version->kind == NODE_NULL)
		decode_nameless(&d, root);
	else if (kind->kind != NODE_SCALAR)
		decode_error(&d, kind, "kind must be a name, found %s", node_found(kind));
	else
		decode_one(l, root, kind->text, version);
}

/* --- the whole set ------------------------------------------------------------------------- */

static int by_kind_and_age(const void *left, const void *right)
{
	const struct loaded *a = left, *b = right;
	int order;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->meta->created != b->meta->created)
		return a->meta->created < b->meta->created ? -1 : 1;
	order = slice_cmp(a->meta->ns, b->meta->ns);
	return order != 0 ? order : slice_cmp(a->meta->name, b->meta->name);
}

static void choose_proxy(struct loader *l)
{
	struct resource_set *set = l->set;

	if (set->proxies.count == 0) {
		set->proxy = proxy_settings_default(set->arena);
		return;
	}
	set->proxy = set->proxies.items[0];
	for (size_t i = 1; i < set->proxies.count; i++) {
		const struct meta *m = set->proxies.items[i]->meta;

		(void)problem_add(l->problems, SEVERITY_ERROR, m->where, "Proxy %.*s/%.*s: there may be "
				  "one Proxy document only: another is in %s:%u", SLICE_ARG(m->ns),
				  SLICE_ARG(m->name), set->proxy->meta->where.file,
				  set->proxy->meta->where.line);
	}
}

void documents_finish(struct loader *l)
{
	struct identity *id, *next;

	if (l->count > 0)
		qsort(l->loaded, l->count, sizeof(*l->loaded), by_kind_and_age);
	for (size_t i = 0; i < l->count;) {
		size_t end = i, kind = l->loaded[i].kind;
		struct any_list *list = (struct any_list *)((char *)l->set + kinds[kind].list);

		while (end < l->count && l->loaded[end].kind == kind)
			end++;
		list->items = arena_array(l->set->arena, void *, end - i);
		list->count = end - i;
		for (size_t j = i; j < end; j++)
			list->items[j - i] = l->loaded[j].object;
		i = end;
	}
	choose_proxy(l);
	HASH_ITER(hh, l->identities, id, next) {
		HASH_DEL(l->identities, id);
		free(id->key);
		free(id);
	}
	free(l->loaded);
	l->loaded = NULL;
}
