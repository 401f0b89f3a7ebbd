/* SPDX-License-Identifier: Apache-2.0
 *
 * services.c - which hosts the documents declare, and which of several declarations counts. */
#include "proxy/snapshot/services_priv.h"

#include "sallyport/policy_reach.h"
#include "sallyport/resource/proxy_settings.h"

/* `~` hides it even from its own namespace (spec 8.1). */
static bool is_visible(const struct service_directory *dir, const struct export_to *e,
		       const struct meta *meta)
{
	for (size_t i = 0; i < e->count; i++)
		if (slice_eq(e->items[i].text, SLICE("~")))
			return false;
	return export_to_visible(e, meta->ns, dir->proxy_ns);
}

/* Exported to the proxy's namespace by name, which ranks before public (spec 8.2). */
static bool is_private_export(const struct export_to *e)
{
	for (size_t i = 0; i < e->count; i++)
		if (slice_eq(e->items[i].text, SLICE("*")))
			return false;
	return e->count > 0;
}

static bool same_labels(const struct string_entry *a, size_t a_count,
			const struct string_entry *b, size_t b_count)
{
	return a_count == b_count && labels_include(a, a_count, b, b_count);
}

static bool same_export(const struct export_to *a, const struct export_to *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		bool found = false;

		for (size_t k = 0; k < b->count && !found; k++)
			found = slice_eq(a->items[i].text, b->items[k].text);
		if (!found)
			return false;
	}
	return true;
}

/* May the ports of a later ServiceEntry be added to those of the first definition (spec 8.2)? */
static bool adds_ports(const struct definition *first, const struct service_entry *later)
{
	const struct service_entry *e = first->entry;

	return e != NULL && e->resolution == later->resolution &&
	       same_labels(e->meta->labels.items, e->meta->labels.count,
			   later->meta->labels.items, later->meta->labels.count) &&
	       e->has_selector == later->has_selector &&
	       same_labels(e->selector.items, e->selector.count,
			   later->selector.items, later->selector.count) &&
	       same_export(&e->export_to, &later->export_to);
}

static void add_definition(struct service_directory *dir, struct declared_service *s,
			   struct definition d)
{
	LIST_GROW(dir->arena, s->definitions, s->definitions_room);
	s->definitions.items[s->definitions.count++] = d;
}

static void add_port(struct service_directory *dir, struct declared_service *s, struct declared_port p)
{
	if (declared_service_port(s, p.number) != NULL)
		return;
	LIST_GROW(dir->arena, s->ports, s->ports_room);
	s->ports.items[s->ports.count++] = p;
}

static void add_entry_ports(struct service_directory *dir, struct declared_service *s,
			    const struct service_entry *e)
{
	for (size_t i = 0; i < e->ports.count; i++) {
		const struct service_port *p = &e->ports.items[i];

		add_port(dir, s, (struct declared_port){ .number = p->number, .name = p->name,
							.protocol = p->protocol });
	}
}

static struct declared_service *declare(struct service_directory *dir, struct slice host,
					struct definition first)
{
	struct declared_service *s = arena_new(dir->arena, struct declared_service);

	s->host = host;
	s->meta = first.meta;
	name_map_put(&dir->hosts, host, s);
	add_definition(dir, s, first);
	return s;
}

static void declare_service(struct service_directory *dir, const struct service *k)
{
	struct slice domain = dir->set->proxy->mesh.cluster_domain;
	struct declared_service *s;
	struct slice host;

	if (!is_visible(dir, &k->export_to, k->meta))
		return;
	host = slice_of(arena_printf(dir->arena, "%.*s.%.*s.svc.%.*s", SLICE_ARG(k->meta->name),
				     SLICE_ARG(k->meta->ns), SLICE_ARG(domain)));
	s = declare(dir, host, (struct definition){ .meta = k->meta, .service = k });
	s->resolution = RESOLUTION_STATIC;
	s->external_name = k->external_name;
	for (size_t i = 0; i < k->ports.count; i++) {
		const struct kube_port *p = &k->ports.items[i];

		add_port(dir, s, (struct declared_port){ .number = p->number, .name = p->name,
							.protocol = p->protocol });
	}
	if (k->local_only)
		problem_add(dir->problems, SEVERITY_WARNING, k->meta->where,
			    "Service %.*s/%.*s: spec.internalTrafficPolicy: Local " DECODE_NOT_OBEYED
			    ": the proxy has no node name; all endpoints are used",
			    SLICE_ARG(k->meta->ns), SLICE_ARG(k->meta->name));
}

static void warn_ignored(struct service_directory *dir, const struct service_entry *e,
			 const struct located_slice *host, const struct declared_service *s,
			 const char *what, const char *rule)
{
	problem_add(dir->problems, SEVERITY_WARNING, host->where,
		    "ServiceEntry %.*s/%.*s: host %.*s is declared by %s %.*s/%.*s already; %s %s",
		    SLICE_ARG(e->meta->ns), SLICE_ARG(e->meta->name), SLICE_ARG(host->text),
		    s->meta->kind, SLICE_ARG(s->meta->ns), SLICE_ARG(s->meta->name), what, rule);
}

/* Does the entry have a port number that the service lacks? */
static bool has_new_port(const struct declared_service *s, const struct service_entry *e)
{
	for (size_t i = 0; i < e->ports.count; i++)
		if (declared_service_port(s, e->ports.items[i].number) == NULL)
			return true;
	return false;
}

static void join_entry(struct service_directory *dir, struct declared_service *s,
		       const struct service_entry *e, const struct located_slice *host)
{
	if (!slice_eq(s->meta->ns, e->meta->ns)) {
		warn_ignored(dir, e, host, s, "this declaration is ignored:",
			     "the first one counts, and only those of its namespace add to it");
		return;
	}
	if (adds_ports(&s->definitions.items[0], e))
		add_entry_ports(dir, s, e);
	else if (has_new_port(s, e))
		warn_ignored(dir, e, host, s, "ports that only this one has are ignored:",
			     "write them there, or give both the same resolution, metadata.labels, "
			     "workloadSelector and exportTo");
	add_definition(dir, s, (struct definition){ .meta = e->meta, .entry = e });
}

static void declare_entry(struct service_directory *dir, const struct service_entry *e)
{
	for (size_t i = 0; i < e->hosts.count; i++) {
		const struct located_slice *host = &e->hosts.items[i];
		struct declared_service *s = service_directory_find(dir, host->text);

		if (host->text.len == 0)
			continue;
		if (s != NULL) {
			join_entry(dir, s, e, host);
			continue;
		}
		s = declare(dir, host->text, (struct definition){ .meta = e->meta, .entry = e });
		s->resolution = (enum resolution)e->resolution;
		add_entry_ports(dir, s, e);
	}
}

/* Those exported to the proxy's namespace by name come first; otherwise the order of the set. */
static void declare_entries(struct service_directory *dir, bool private_ones)
{
	for (size_t i = 0; i < dir->set->service_entries.count; i++) {
		const struct service_entry *e = dir->set->service_entries.items[i];

		if (is_private_export(&e->export_to) == private_ones &&
		    is_visible(dir, &e->export_to, e->meta))
			declare_entry(dir, e);
	}
}

static void index_document(struct arena *a, struct name_map *m, struct slice key, const void *document)
{
	struct document_list *l = name_map_get(m, key);

	if (l == NULL) {
		l = arena_new(a, struct document_list);
		name_map_put(m, key, l);
	}
	LIST_GROW(a, *l, l->room);
	l->items[l->count++] = document;
}

struct slice namespaced_name(struct arena *a, struct slice ns, struct slice name)
{
	return slice_of(arena_printf(a, "%.*s/%.*s", SLICE_ARG(ns), SLICE_ARG(name)));
}

static void index_documents(struct service_directory *dir)
{
	const struct resource_set *set = dir->set;
	struct arena *a = dir->arena;

	for (size_t i = 0; i < set->endpoint_slices.count; i++) {
		const struct endpoint_slice *s = set->endpoint_slices.items[i];

		if (s->service.at != NULL)
			index_document(a, &dir->slices, namespaced_name(a, s->meta->ns, s->service), s);
	}
	for (size_t i = 0; i < set->endpoints.count; i++) {
		const struct endpoints *e = set->endpoints.items[i];

		index_document(a, &dir->endpoints, namespaced_name(a, e->meta->ns, e->meta->name), e);
	}
	for (size_t i = 0; i < set->workload_entries.count; i++) {
		const struct workload_entry *w = set->workload_entries.items[i];

		index_document(a, &dir->workloads, w->meta->ns, w);
	}
}

void service_directory_build(struct service_directory *dir, const struct resource_set *set,
			     struct arena *a, struct problems *ps)
{
	*dir = (struct service_directory){ .set = set, .arena = a, .problems = ps,
					   .proxy_ns = set->proxy->meta->ns };
	name_map_init(&dir->hosts, a);
	name_map_init(&dir->slices, a);
	name_map_init(&dir->endpoints, a);
	name_map_init(&dir->workloads, a);
	index_documents(dir);
	/* A Service beats every ServiceEntry, whatever their order. */
	for (size_t i = 0; i < set->services.count; i++)
		declare_service(dir, set->services.items[i]);
	declare_entries(dir, true);
	declare_entries(dir, false);
}

struct declared_service *service_directory_find(const struct service_directory *dir, struct slice host)
{
	return name_map_get(&dir->hosts, host);
}

struct declared_port *declared_service_port(const struct declared_service *s, uint32_t number)
{
	for (size_t i = 0; i < s->ports.count; i++)
		if (s->ports.items[i].number == number)
			return &s->ports.items[i];
	return NULL;
}
