/* SPDX-License-Identifier: Apache-2.0
 *
 * Routes that no request can ever reach (spec 3.10, V130-V135): warnings, since what is written may
 * be work in progress. */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/hash.h"
#include "sallyport/object.h"

/* Of the items that come into question beside another one, so many are looked at. */
#define REACH_CHAIN_MAX		4096u
/* Longer prefixes are not looked for. */
#define REACH_PREFIX_MAX	512u

/* An item, and what tells most pairs apart at a glance: different sums, different conditions. 0: none. */
struct reach_item {
	const struct http_match *match;
	uint64_t uri, headers, without_headers, query_params;
};

/* Items by a hash, in their order. */
struct chains {
	uint32_t *heads, *tails, *next;	/* place of an item and one, 0: none */
	size_t mask;
};

/* The items so far. */
struct reach {
	struct reach_item *items;
	uint32_t count;
	struct chains equal, prefix;	/* by all their sums; by the text of their prefix */
	bool lengths[REACH_PREFIX_MAX + 1];	/* of these prefixes */
};

static uint64_t match_sum(const struct string_match *m)
{
	return hash_slice(m->text) * 31 + (uint64_t)m->kind;
}

/* The order in which a map is written has no say. */
static uint64_t named_sum(const struct named_match *items, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += hash_slice(items[i].name) ^ (match_sum(&items[i].value) << 1 | 1);
	return sum;
}

static struct reach_item reach_item_of(const struct http_match *m)
{
	return (struct reach_item){
		.match = m, .uri = match_sum(&m->uri),
		.headers = named_sum(m->headers.items, m->headers.count),
		.without_headers = named_sum(m->without_headers.items, m->without_headers.count),
		.query_params = named_sum(m->query_params.items, m->query_params.count),
	};
}

static uint64_t all_sums(const struct reach_item *i)
{
	return i->uri + 3 * i->headers + 5 * i->without_headers + 7 * i->query_params;
}

static bool may_equal(const struct reach_item *a, const struct reach_item *b)
{
	return a->uri == b->uri && a->headers == b->headers && a->without_headers == b->without_headers &&
	       a->query_params == b->query_params;
}

static bool may_shadow(const struct reach_item *earlier, const struct reach_item *later)
{
	return (earlier->headers == 0 || earlier->headers == later->headers) &&
	       (earlier->without_headers == 0 || earlier->without_headers == later->without_headers) &&
	       (earlier->query_params == 0 || earlier->query_params == later->query_params);
}

static void chains_init(struct chains *c, struct arena *a, size_t count)
{
	size_t slots = 16;

	while (slots < count)
		slots *= 2;
	c->mask = slots - 1;
	c->heads = arena_array(a, uint32_t, slots);
	c->tails = arena_array(a, uint32_t, slots);
	c->next = arena_array(a, uint32_t, count + 1);
}

static void chains_add(struct chains *c, uint64_t hash, uint32_t item)
{
	size_t slot = hash & c->mask;

	*(c->tails[slot] != 0 ? &c->next[c->tails[slot] - 1] : &c->heads[slot]) = item + 1;
	c->tails[slot] = item + 1;
}

static struct reach *reach_create(struct arena *a, size_t room)
{
	struct reach *r = arena_new(a, struct reach);

	r->items = arena_array(a, struct reach_item, room + 1);
	chains_init(&r->equal, a, room);
	chains_init(&r->prefix, a, room);
	return r;
}

static bool has_prefix(const struct http_match *m)
{
	return m->uri.kind == MATCH_PREFIX && m->uri.text.len <= REACH_PREFIX_MAX;
}

static void reach_add(struct reach *r, const struct http_match *m)
{
	r->items[r->count] = reach_item_of(m);
	chains_add(&r->equal, all_sums(&r->items[r->count]), r->count);
	if (has_prefix(m)) {
		chains_add(&r->prefix, hash_slice(m->uri.text), r->count);
		r->lengths[m->uri.text.len] = true;
	}
	r->count++;
}

static bool match_equal(const struct string_match *a, const struct string_match *b)
{
	return a->kind == b->kind && slice_eq(a->text, b->text);
}

/* Maps are compared by name, whatever the order written. */
static bool named_within(const struct named_match *a, size_t a_count, const struct named_match *b,
			 size_t b_count)
{
	for (size_t i = 0; i < a_count; i++) {
		size_t j = 0;

		while (j < b_count &&
		       !(slice_eq(a[i].name, b[j].name) && match_equal(&a[i].value, &b[j].value)))
			j++;
		if (j == b_count)
			return false;
	}
	return true;
}

#define NAMED_WITHIN(a, b)	named_within((a).items, (a).count, (b).items, (b).count)
#define NAMED_EQUAL(a, b)	((a).count == (b).count && NAMED_WITHIN(a, b))

static bool labels_within(const struct http_match *a, const struct http_match *b)
{
	for (size_t i = 0; i < a->source_labels.count; i++) {
		const struct string_entry *e = &a->source_labels.items[i];
		size_t j = 0;

		while (j < b->source_labels.count &&
		       !(slice_eq(e->key, b->source_labels.items[j].key) &&
			 slice_eq(e->value, b->source_labels.items[j].value)))
			j++;
		if (j == b->source_labels.count)
			return false;
	}
	return true;
}

static bool gateways_within(const struct http_match *a, const struct http_match *b)
{
	for (size_t i = 0; i < a->gateways.count; i++)
		if (!gateway_refs_name(b->gateways.items, b->gateways.count,
				       a->gateways.items[i].ns, a->gateways.items[i].name))
			return false;
	return true;
}

static bool claims_within(const struct claim_match *a, size_t a_count, const struct claim_match *b,
			  size_t b_count)
{
	for (size_t i = 0; i < a_count; i++) {
		size_t j = 0;

		for (; j < b_count; j++) {
			size_t k = 0;

			if (a[i].path.count != b[j].path.count ||
			    !match_equal(&a[i].value, &b[j].value))
				continue;
			while (k < a[i].path.count &&
			       slice_eq(a[i].path.items[k], b[j].path.items[k]))
				k++;
			if (k == a[i].path.count)
				break;
		}
		if (j == b_count)
			return false;
	}
	return true;
}

#define CLAIMS_EQUAL(a, b)	((a).count == (b).count && \
				 claims_within((a).items, (a).count, (b).items, (b).count))

/* Everything but the name (V132). */
static bool items_equal(const struct http_match *a, const struct http_match *b)
{
	return a->ignore_uri_case == b->ignore_uri_case && a->port == b->port &&
	       match_equal(&a->uri, &b->uri) && match_equal(&a->scheme, &b->scheme) &&
	       match_equal(&a->method, &b->method) && match_equal(&a->authority, &b->authority) &&
	       slice_eq(a->source_namespace, b->source_namespace) &&
	       NAMED_EQUAL(a->headers, b->headers) &&
	       NAMED_EQUAL(a->without_headers, b->without_headers) &&
	       NAMED_EQUAL(a->query_params, b->query_params) &&
	       CLAIMS_EQUAL(a->claims, b->claims) &&
	       CLAIMS_EQUAL(a->without_claims, b->without_claims) &&
	       a->source_labels.count == b->source_labels.count && labels_within(a, b) &&
	       a->gateways.count == b->gateways.count && gateways_within(a, b);
}

static bool unset_or_equal(const struct string_match *a, const struct string_match *b)
{
	return a->kind == MATCH_UNSET || match_equal(a, b);
}

#define ABSENT_OR_EQUAL(a, b)	((a).count == 0 || NAMED_EQUAL(a, b))

/* Whatever `later` takes, `earlier` has taken by its shorter prefix (V134). */
static bool shadows(const struct http_match *earlier, const struct http_match *later)
{
	if (earlier->uri.kind != MATCH_PREFIX || later->uri.kind != MATCH_PREFIX ||
	    !slice_starts(later->uri.text, earlier->uri.text) ||
	    earlier->ignore_uri_case != later->ignore_uri_case)
		return false;
	return (earlier->port == 0 || earlier->port == later->port) &&
	       unset_or_equal(&earlier->method, &later->method) &&
	       unset_or_equal(&earlier->scheme, &later->scheme) &&
	       unset_or_equal(&earlier->authority, &later->authority) &&
	       ABSENT_OR_EQUAL(earlier->headers, later->headers) &&
	       ABSENT_OR_EQUAL(earlier->without_headers, later->without_headers) &&
	       ABSENT_OR_EQUAL(earlier->query_params, later->query_params) &&
	       earlier->claims.count == 0 && earlier->without_claims.count == 0 &&
	       earlier->source_labels.count == 0 && earlier->source_namespace.at == NULL &&
	       (earlier->gateways.count == 0 || (earlier->gateways.count == later->gateways.count &&
						 gateways_within(earlier, later)));
}

/* At every server? Items with static filters act at some only. */
static bool ends_everything(const struct http_match *m)
{
	return http_match_is_catch_all(m) && m->port == 0 && m->gateways.count == 0 &&
	       m->source_labels.count == 0 && m->source_namespace.at == NULL;
}

static const struct http_match *find_equal_item(const struct reach *r, const struct reach_item *this)
{
	unsigned looked = 0;

	for (uint32_t at = r->equal.heads[all_sums(this) & r->equal.mask]; at != 0 && looked++ < REACH_CHAIN_MAX;
	     at = r->equal.next[at - 1])
		if (may_equal(&r->items[at - 1], this) && items_equal(r->items[at - 1].match, this->match))
			return r->items[at - 1].match;
	return NULL;
}

/* Among those with exactly this prefix. */
static const struct http_match *find_shadow_by(const struct reach *r, const struct reach_item *this,
					       struct slice prefix)
{
	unsigned looked = 0;

	for (uint32_t at = r->prefix.heads[hash_slice(prefix) & r->prefix.mask];
	     at != 0 && looked++ < REACH_CHAIN_MAX; at = r->prefix.next[at - 1])
		if (may_shadow(&r->items[at - 1], this) && shadows(r->items[at - 1].match, this->match))
			return r->items[at - 1].match;
	return NULL;
}

static const struct http_match *find_shadow(const struct reach *r, const struct reach_item *this)
{
	struct slice text = this->match->uri.text;
	const struct http_match *found = NULL;

	if (this->match->uri.kind != MATCH_PREFIX)
		return NULL;
	for (size_t len = 0; len <= text.len && len <= REACH_PREFIX_MAX; len++) {
		const struct http_match *m =
			r->lengths[len] ? find_shadow_by(r, this, slice_first(text, len)) : NULL;

		if (m != NULL && (found == NULL || m->where.line < found->where.line))
			found = m;
	}
	return found;
}

/* Returns whether the item is the same as one of an earlier route. */
static bool check_item(struct decoder *d, const struct http_match *m, const struct reach *r)
{
	const struct reach_item this = reach_item_of(m);
	const struct http_match *other = find_equal_item(r, &this);

	if (other != NULL) {
		decode_problem(d, SEVERITY_WARNING, m->where,
			       "never reached: the same as the match at line %u", other->where.line);
		return true;
	}
	other = find_shadow(r, &this);
	if (other != NULL)
		decode_problem(d, SEVERITY_WARNING, m->where,
			       "never reached: prefix \"%.*s\" at line %u takes everything first",
			       SLICE_ARG(other->uri.text), other->where.line);
	return false;
}

/* The items of one route, compared with those of earlier ones. */
static void check_route_items(struct decoder *d, const struct http_route *r, const struct reach *earlier)
{
	size_t duplicates = 0;

	for (size_t i = 0; i < r->match.count; i++) {
		size_t mark = decode_push(d, "match");

		decode_push_index(d, i);
		duplicates += check_item(d, &r->match.items[i], earlier);
		decode_pop(d, mark);
	}
	if (r->match.count > 0 && duplicates == r->match.count)
		decode_problem(d, SEVERITY_WARNING, r->where,
			       "route is never used: earlier routes have all its matches");
}

static size_t count_items(const struct virtual_service *vs)
{
	size_t count = 0;

	for (size_t i = 0; i < vs->http.count; i++)
		count += vs->http.items[i].match.count;
	return count;
}

static void check_http(struct decoder *d, const struct virtual_service *vs)
{
	const struct http_route *open = NULL;		/* the first without match */
	const struct http_match *catch_all = NULL;
	struct arena *a = arena_create(0);
	struct reach *earlier = reach_create(a, count_items(vs));

	for (size_t i = 0; i < vs->http.count; i++) {
		const struct http_route *r = &vs->http.items[i];
		size_t mark = decode_push_index(d, i);

		if (open != NULL)
			decode_problem(d, SEVERITY_WARNING, r->where,
				       "never reached: the route at line %u has no match "
				       "and takes everything%s",
				       open->where.line,
				       r->match.count == 0
					       ? "; only the last route may lack a match"
					       : "");
		else if (catch_all != NULL)
			decode_problem(d, SEVERITY_WARNING, r->where,
				       "never reached: the match at line %u takes "
				       "everything",
				       catch_all->where.line);
		else
			check_route_items(d, r, earlier);
		/* What a delegate does not match goes on to the next route. */
		if (r->match.count == 0 && open == NULL && r->delegate == NULL)
			open = r;
		for (size_t j = 0; j < r->match.count && r->delegate == NULL; j++) {
			if (catch_all == NULL && ends_everything(&r->match.items[j]))
				catch_all = &r->match.items[j];
			reach_add(earlier, &r->match.items[j]);
		}
		decode_pop(d, mark);
	}
	arena_free(&a);
}

/* tls and tcp: the same with what acts at a gateway. */
static bool l4_equal(const struct l4_match *a, const struct l4_match *b)
{
	if (a->port != b->port || a->gateways.count != b->gateways.count ||
	    a->sni_hosts.count != b->sni_hosts.count)
		return false;
	for (size_t i = 0; i < a->gateways.count; i++)
		if (!gateway_refs_name(b->gateways.items, b->gateways.count,
				       a->gateways.items[i].ns, a->gateways.items[i].name))
			return false;
	for (size_t i = 0; i < a->sni_hosts.count; i++)
		if (!slice_eq(a->sni_hosts.items[i].text, b->sni_hosts.items[i].text))
			return false;
	return true;
}

static const struct l4_match *find_equal(const struct l4_route *routes, size_t count,
					 const struct l4_match *m)
{
	size_t compared = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < routes[i].match.count && compared < REACH_CHAIN_MAX;
		     j++, compared++)
			if (l4_equal(&routes[i].match.items[j], m))
				return &routes[i].match.items[j];
	return NULL;
}

/* `open_allowed`: of tcp; a tls route without match is an error already. */
static void check_l4(struct decoder *d, const struct l4_route *routes, size_t count,
		     bool open_allowed)
{
	const struct l4_route *open = NULL;

	for (size_t i = 0; i < count; i++) {
		const struct l4_route *r = &routes[i];
		size_t mark = decode_push_index(d, i), duplicates = 0;

		if (open != NULL)
			decode_problem(d, SEVERITY_WARNING, r->where,
				       "never reached: the route at line %u has no match "
				       "and takes everything",
				       open->where.line);
		for (size_t j = 0; open == NULL && j < r->match.count; j++) {
			const struct l4_match *same = find_equal(routes, i, &r->match.items[j]);

			if (same == NULL)
				continue;
			duplicates++;
			decode_problem(d, SEVERITY_WARNING, r->match.items[j].where,
				       "never reached: the same as the "
				       "match at line %u",
				       same->where.line);
		}
		if (duplicates > 0 && duplicates == r->match.count)
			decode_problem(d, SEVERITY_WARNING, r->where,
				       "route is never used: earlier routes have all its "
				       "matches");
		if (open_allowed && r->match.count == 0 && open == NULL)
			open = r;
		decode_pop(d, mark);
	}
}

void virtual_service_check_reach(struct decoder *d, const struct virtual_service *vs)
{
	size_t mark = decode_push(d, "http");

	check_http(d, vs);
	decode_pop(d, mark);
	mark = decode_push(d, "tls");
	check_l4(d, vs->tls.items, vs->tls.count, false);
	decode_pop(d, mark);
	mark = decode_push(d, "tcp");
	check_l4(d, vs->tcp.items, vs->tcp.count, true);
	decode_pop(d, mark);
}
