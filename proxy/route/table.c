/* SPDX-License-Identifier: Apache-2.0
 *
 * table.c - virtual hosts by name, and the first route of one that holds. */
#include "proxy/route/compile.h"

#include <stdlib.h>

#include "proxy/route/cors.h"
#include "proxy/route/host_map.h"
#include "proxy/route/match_priv.h"
#include "proxy/route/path_index_priv.h"
#include "sallyport/hash.h"
#include "sallyport/log.h"

/* Fewer routes are tried one after the other: that is faster than any index. */
#define INDEX_ROUTES_MIN	6u
#define CACHE_LINE		64u
#define PREFETCH_LINES		16u	/* behind a virtual host: list, index and trie of about ten routes */

/* The routes that a virtual host has; shared by those with the same blocks. */
struct route_list {
	const struct route **items;
	uint32_t count;
	const struct path_index *index;		/* NULL: few routes */
	const struct claims_asked *claims;	/* NULL: no route looks at any */
	bool unsettled;				/* some route looks at what the verdict may change */
	const struct route_block *const *blocks;	/* what it was made of */
	size_t block_count;
};

/* Holds a copy of its list: one thing less to fetch for each request. */
struct virtual_host {
	struct route_list routes;
	struct slice domain;
	bool requires_tls;
};

struct route_table {
	struct host_map *hosts;
	LIST(struct virtual_host *) virtual_hosts;	/* in the order of the plans */
};

/* ---- compiling ---- */

/* Remembered by what they were made from, so that each is made once. */
struct made {
	uint64_t hash;
	const void *from;
	void *result;
};

struct made_set {
	struct made *slots;
	size_t slot_count, used;
};

struct route_compiler {
	struct arena *arena;		/* borrowed */
	struct made_set matches;	/* http_match -> route_match */
	struct made_set rewrites;	/* http_rewrite -> regex */
	struct made_set cors;		/* cors_policy -> cors */
	struct made_set lists;		/* blocks -> route_list */
	struct verdict_reach reach;
};

struct route_compiler *route_compiler_create(struct arena *a)
{
	struct route_compiler *c = calloc(1, sizeof(*c));

	if (c == NULL)
		fatal("out of memory for route tables");
	c->arena = a;
	return c;
}

void route_compiler_free(struct route_compiler **cp)
{
	struct route_compiler *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->matches.slot_count; i++)
		if (c->matches.slots[i].result != NULL)
			route_match_fini(c->matches.slots[i].result);
	for (size_t i = 0; i < c->rewrites.slot_count; i++) {
		struct regex *r = c->rewrites.slots[i].result;

		regex_free(&r);
	}
	for (size_t i = 0; i < c->cors.slot_count; i++)
		if (c->cors.slots[i].result != NULL)
			cors_fini(c->cors.slots[i].result);
	free(c->matches.slots);
	free(c->rewrites.slots);
	free(c->cors.slots);
	free(c->lists.slots);
	free(c);
}

static void made_grow(struct made_set *s)
{
	struct made_set bigger = { .slot_count = s->slot_count != 0 ? s->slot_count * 2 : 64, .used = s->used };

	bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		fatal("out of memory for route tables");
	for (size_t i = 0; i < s->slot_count; i++) {
		size_t at = s->slots[i].hash & (bigger.slot_count - 1);

		if (s->slots[i].result == NULL)
			continue;
		while (bigger.slots[at].result != NULL)
			at = (at + 1) & (bigger.slot_count - 1);
		bigger.slots[at] = s->slots[i];
	}
	free(s->slots);
	*s = bigger;
}

static bool same_address(const void *from, const void *wanted)
{
	return from == wanted;
}

static bool same_blocks(const void *from, const void *wanted)
{
	const struct route_list *a = from;
	const struct virtual_host_plan *b = wanted;

	return a->block_count == b->block_count &&
	       (b->block_count == 0 ||
		memcmp(a->blocks, b->blocks, b->block_count * sizeof(*b->blocks)) == 0);
}

/* The place of what was made of `wanted`, or the free place for it (result NULL). */
static struct made *made_find(struct made_set *s, uint64_t hash, const void *wanted,
			      bool (*same)(const void *from, const void *wanted))
{
	if ((s->used + 1) * 2 > s->slot_count)
		made_grow(s);
	for (size_t i = hash & (s->slot_count - 1);; i = (i + 1) & (s->slot_count - 1)) {
		struct made *m = &s->slots[i];

		if (m->result == NULL || (m->hash == hash && same(m->from, wanted)))
			return m;
	}
}

static void made_put(struct made_set *s, struct made *place, uint64_t hash, const void *from, void *result)
{
	*place = (struct made){ hash, from, result };
	s->used++;
}

void route_compiler_expect(struct route_compiler *c, const struct verdict_reach *reach)
{
	c->reach = *reach;
}

static bool is_unsettled(const struct verdict_reach *r, const struct condition *c)
{
	switch (c->subject) {
	case SUBJECT_CLAIM:	return r->claims;
	case SUBJECT_TARGET:	return r->query;
	case SUBJECT_HEADER:	return r->header != NULL && r->header(r->arg, c->name);
	case SUBJECT_QUERY:	return r->param != NULL && r->param(r->arg, c->name);
	default:		return false;
	}
}

static struct route_match *make_match(struct route_compiler *c, const struct http_match *source)
{
	struct route_match *m = route_match_create(c->arena, source);

	for (size_t i = 0; i < m->others.count; i++) {
		m->others.items[i].unsettled = is_unsettled(&c->reach, &m->others.items[i]);
		m->unsettled |= m->others.items[i].unsettled;
	}
	return m;
}

static const struct route_match *compiled_match(struct route_compiler *c, const struct http_match *m)
{
	uint64_t hash = hash_bytes(&m, sizeof(m));
	struct made *place = made_find(&c->matches, hash, m, same_address);

	if (place->result == NULL)
		made_put(&c->matches, place, hash, m, make_match(c, m));
	return place->result;
}

static const struct regex *compiled_rewrite(struct route_compiler *c, const struct http_rewrite *w)
{
	uint64_t hash = hash_bytes(&w, sizeof(w));
	struct made *place = made_find(&c->rewrites, hash, w, same_address);
	struct regex_error why;

	if (place->result == NULL) {
		struct regex *r = regex_create(w->regex_match, REGEX_SEARCH, &why);

		if (r == NULL)
			fatal("checked expression \"%.*s\" does not compile: %s", SLICE_ARG(w->regex_match),
			      why.text);
		made_put(&c->rewrites, place, hash, w, r);
	}
	return place->result;
}

static const struct cors *compiled_cors(struct route_compiler *c, const struct cors_policy *p)
{
	uint64_t hash = hash_bytes(&p, sizeof(p));
	struct made *place = made_find(&c->cors, hash, p, same_address);

	if (place->result == NULL)
		made_put(&c->cors, place, hash, p, cors_create(c->arena, p));
	return place->result;
}

static bool has_ops(const struct header_ops *o)
{
	return o->set.count > 0 || o->add.count > 0 || o->remove.count > 0;
}

/* Whether requests or responses of this route have to be edited at all. */
static void note_edits(struct route *r)
{
	const struct headers_policy *own = r->source->headers;

	r->edits_request = r->source->rewrite != NULL || (own != NULL && has_ops(&own->request));
	r->edits_response = own != NULL && has_ops(&own->response);
	for (size_t i = 0; i < r->source->route.count; i++) {
		const struct headers_policy *to = &r->source->route.items[i].headers;

		r->edits_request |= has_ops(&to->request);
		r->edits_response |= has_ops(&to->response);
	}
}

void route_compile(struct route_compiler *c, struct route *r)
{
	const struct http_rewrite *w = r->source->rewrite;

	note_edits(r);
	r->catch_all = r->match == NULL || http_match_is_catch_all(r->match);
	if (r->match != NULL)
		r->matcher = compiled_match(c, r->match);
	r->path_alone = r->matcher == NULL || r->matcher->others.count == 0;
	if (w != NULL && w->regex_match.len != 0)
		r->rewrite_regex = compiled_rewrite(c, w);
	/* Nothing but forwarding has to do with other origins (7.11). */
	if (r->source->cors != NULL && r->action == ROUTE_FORWARD)
		r->cors = compiled_cors(c, r->source->cors);
	r->has_cors = r->cors != NULL;
}

static struct path_key path_key_of(struct route_compiler *c, const struct route *r)
{
	struct path_key key = { .kind = PATH_OTHER };
	const struct string_matcher *uri;

	if (r->matcher == NULL || r->matcher->uri == NULL)
		return key;
	uri = &r->matcher->uri->value;
	key.text = uri->text;
	key.ignore_case = uri->ignore_case;
	if (uri->kind == MATCH_EXACT)
		key.kind = PATH_EXACT;
	else if (uri->kind == MATCH_PREFIX)
		key.kind = PATH_PREFIX;
	else if (uri->kind == MATCH_REGEX)
		key = (struct path_key){ PATH_BEGINNING, false, regex_beginning(uri->text, c->arena) };
	return key;
}

static const struct path_index *make_index(struct route_compiler *c, const struct route_list *l)
{
	struct path_index *index;
	struct path_key *keys;

	if (l->count < INDEX_ROUTES_MIN)
		return NULL;
	keys = calloc(l->count, sizeof(*keys));
	if (keys == NULL)
		fatal("out of memory for the index of %u routes", l->count);
	for (uint32_t i = 0; i < l->count; i++)
		keys[i] = path_key_of(c, l->items[i]);
	index = path_index_create(c->arena, keys, l->count);
	free(keys);
	return index;
}

static size_t claim_conditions(const struct route_list *l, struct slice *keys)
{
	size_t count = 0;

	for (uint32_t i = 0; i < l->count; i++) {
		const struct route_match *m = l->items[i]->matcher;

		for (size_t k = 0; m != NULL && m->claims && k < m->others.count; k++) {
			if (m->others.items[k].subject != SUBJECT_CLAIM)
				continue;
			if (keys != NULL)
				keys[count] = m->others.items[k].name;
			count++;
		}
	}
	return count;
}

static const struct claims_asked *claims_of(struct route_compiler *c, const struct route_list *l)
{
	size_t count = claim_conditions(l, NULL);
	struct slice *keys;

	if (count == 0)
		return NULL;
	keys = arena_array(c->arena, struct slice, count);
	claim_conditions(l, keys);
	return claims_asked_create(c->arena, keys, count);
}

static uint32_t routes_in(const struct virtual_host_plan *p)
{
	size_t count = 0;

	for (size_t b = 0; b < p->block_count; b++)
		count += p->blocks[b]->routes.count;
	if (count > UINT32_MAX)
		fatal("%zu routes in one virtual host", count);
	return (uint32_t)count;
}

/* A route knows its number, so what several lists have is copied; a list of one block uses it as it is. */
static const struct route *numbered(struct route_compiler *c, struct route *r, uint32_t number, bool shared)
{
	if (shared) {
		struct route *copy = arena_alloc(c->arena, sizeof(*copy));

		*copy = *r;
		if (r->targets.items == &r->only)
			copy->targets.items = &copy->only;
		r = copy;
	}
	r->index = number;
	return r;
}

static struct route_list *make_list(struct route_compiler *c, const struct virtual_host_plan *p)
{
	struct route_list *l = arena_new(c->arena, struct route_list);
	const struct route_block **blocks = arena_array(c->arena, const struct route_block *, p->block_count);

	for (size_t b = 0; b < p->block_count; b++)
		blocks[b] = p->blocks[b];
	l->blocks = blocks;
	l->block_count = p->block_count;
	l->items = arena_array(c->arena, const struct route *, routes_in(p));
	/* What catches everything goes behind all that is more specific, each in its order (4.6). */
	for (int catch_all = 0; catch_all <= 1; catch_all++)
		for (size_t b = 0; b < p->block_count; b++)
			for (size_t i = 0; i < p->blocks[b]->routes.count; i++) {
				struct route *r = &p->blocks[b]->routes.items[i];

				if (r->catch_all == catch_all) {
					l->items[l->count] = numbered(c, r, l->count, p->block_count > 1);
					l->count++;
				}
			}
	l->index = make_index(c, l);
	l->claims = claims_of(c, l);
	for (uint32_t i = 0; i < l->count; i++)
		l->unsettled |= l->items[i]->matcher != NULL && l->items[i]->matcher->unsettled;
	return l;
}

static const struct route_list *list_of(struct route_compiler *c, const struct virtual_host_plan *p)
{
	uint64_t hash = hash_bytes(p->blocks, p->block_count * sizeof(*p->blocks));
	struct made *place = made_find(&c->lists, hash, p, same_blocks);

	if (place->result == NULL) {
		struct route_list *l = make_list(c, p);

		made_put(&c->lists, place, hash, l, l);
	}
	return place->result;
}

struct route_table *route_table_compile(struct route_compiler *c, const struct virtual_host_plan *plans,
					size_t count)
{
	struct route_table *t = arena_new(c->arena, struct route_table);

	t->hosts = host_map_create(c->arena, count);
	t->virtual_hosts.items = arena_array(c->arena, struct virtual_host *, count);
	for (size_t i = 0; i < count; i++) {
		struct virtual_host *vh = arena_new(c->arena, struct virtual_host);

		vh->domain = plans[i].domain;
		vh->requires_tls = plans[i].requires_tls;
		vh->routes = *list_of(c, &plans[i]);
		if (host_map_add(t->hosts, vh->domain, vh) == NULL)
			t->virtual_hosts.items[t->virtual_hosts.count++] = vh;
	}
	return t;
}

/* ---- serving ---- */

struct slice authority_host(struct slice authority)
{
	ptrdiff_t end;

	if (authority.len != 0 && authority.at[0] == '[') {
		end = slice_find(authority, ']');
		return end > 0 ? slice_make(authority.at + 1, (size_t)end - 1) : authority;
	}
	end = slice_rfind(authority, ':');
	return end >= 0 ? slice_first(authority, (size_t)end) : authority;
}

struct slice authority_port(struct slice authority)
{
	ptrdiff_t colon = slice_rfind(authority, ':'), bracket = slice_rfind(authority, ']');

	return colon > bracket ? slice_from(authority, (size_t)colon + 1) : NO_SLICE;
}

/* What a virtual host needs was put right behind it when it was compiled. Asking for all of it at once
 * costs a large table one wait for memory in place of one for each step. */
static void prefetch_behind(const struct virtual_host *vh)
{
	for (unsigned i = 1; i <= PREFETCH_LINES; i++)
		__builtin_prefetch((const char *)vh + i * CACHE_LINE);
}

const struct virtual_host *route_table_find(const struct route_table *t, struct slice authority)
{
	const struct virtual_host *vh = host_map_find(t->hosts, authority_host(authority));

	if (vh != NULL)
		prefetch_behind(vh);
	return vh;
}

bool virtual_host_requires_tls(const struct virtual_host *vh)
{
	return vh->requires_tls;
}

struct slice virtual_host_domain(const struct virtual_host *vh)
{
	return vh->domain;
}

size_t virtual_host_routes(const struct virtual_host *vh, const struct route *const **routes)
{
	*routes = vh->routes.items;
	return vh->routes.count;
}

void route_table_visit(const struct route_table *t,
		       void (*visit)(void *arg, const struct virtual_host *vh), void *arg)
{
	for (size_t i = 0; i < t->virtual_hosts.count; i++)
		visit(arg, t->virtual_hosts.items[i]);
}

static const struct route *undecided(const struct route_input *in)
{
	if (in->undecided != NULL)
		*in->undecided = true;
	return NULL;
}

static const struct route *match_in_order(const struct route_list *l, const struct request_view *v)
{
	for (uint32_t i = 0; i < l->count; i++)
		switch (route_match_test(l->items[i]->matcher, v)) {
		case REGEX_YES:		return l->items[i];
		case REGEX_GAVE_UP:	return undecided(v->in);
		case REGEX_NO:		break;
		}
	return NULL;
}

struct search {
	const struct route_list *list;
	const struct request_view *view;
	uint32_t best;			/* smallest number found so far that holds, or may */
	bool gave_up;			/* nobody knows whether that one holds */
};

static void try_candidates(void *arg, struct path_candidates c)
{
	struct search *s = arg;

	for (uint32_t i = 0; i < c.count && c.at[i] < s->best; i++) {
		const struct route *r = s->list->items[c.at[i]];
		enum regex_result held;

		__builtin_prefetch(&r->only);	/* the next line, if this route it is */
		if (c.answered)
			held = r->path_alone ? REGEX_YES : route_match_test_but_uri(r->matcher, s->view);
		else
			held = route_match_test(r->matcher, s->view);
		if (held != REGEX_NO) {
			s->best = c.at[i];
			s->gave_up = held == REGEX_GAVE_UP;
			return;
		}
	}
}

const struct route *virtual_host_match(const struct virtual_host *vh, const struct route_input *in)
{
	struct request_view view;
	struct search s = { &vh->routes, &view, UINT32_MAX, false };

	if (slice_eq(in->request->method, SLICE("CONNECT")))
		return NULL;
	view = request_view(in);
	if (vh->routes.index == NULL)
		return match_in_order(&vh->routes, &view);
	path_index_find(vh->routes.index, view.path, try_candidates, &s);
	if (s.gave_up)
		return undecided(in);
	return s.best != UINT32_MAX ? vh->routes.items[s.best] : NULL;
}

const struct claims_asked *virtual_host_claims(const struct virtual_host *vh)
{
	return vh->routes.claims;
}

bool virtual_host_depends_on_verdict(const struct virtual_host *vh, const struct route_input *in)
{
	const struct route_input for_some = { .request = in->request, .arena = in->arena, .for_some_verdict = true };
	const struct route *r = vh->routes.unsettled ? virtual_host_match(vh, &for_some) : NULL;

	return r != NULL && r->matcher != NULL && r->matcher->unsettled;
}

const struct route_target *route_draw(const struct route *r, uint64_t random)
{
	uint64_t at;

	if (r->targets.count <= 1)
		return r->targets.items;
	at = random % r->weight_sum;
	for (size_t i = 0; i < r->targets.count; i++) {
		if (at < r->targets.items[i].weight)
			return &r->targets.items[i];
		at -= r->targets.items[i].weight;
	}
	return &r->targets.items[r->targets.count - 1];
}
