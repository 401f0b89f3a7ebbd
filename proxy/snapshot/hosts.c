/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts.c - which hosts a server and a VirtualService have in common (spec/gateway.md 7.2, 7.3).
 *
 * The server's names are sorted from their ends: all that end alike stand side by side, so that a
 * Gateway of ten thousand hosts and as many VirtualServices are brought together without comparing
 * each with each. */
#include "proxy/snapshot/build_priv.h"

#include <stdlib.h>

#include "sallyport/hostname.h"

struct host_entry {
	struct slice pattern;		/* as it is */
	struct slice text;		/* without the leading `*` */
	struct slice ns;		/* absent: any */
	bool wild;
};

struct server_hosts {
	struct host_entry *items;
	size_t count;
	bool wild_length[HOSTNAME_BYTES_MAX + 1];	/* lengths of text among the wild ones */
};

static int compare_ends(struct slice a, struct slice b)
{
	while (a.len != 0 && b.len != 0) {
		unsigned char x = (unsigned char)a.at[--a.len], y = (unsigned char)b.at[--b.len];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (a.len > b.len) - (a.len < b.len);
}

static int entry_order(const void *va, const void *vb)
{
	const struct host_entry *a = va, *b = vb;
	int order = compare_ends(a->text, b->text);

	return order != 0 ? order : (int)a->wild - (int)b->wild;
}

static struct slice after_star(struct slice pattern)
{
	return hostname_is_wild(pattern) ? slice_from(pattern, 1) : pattern;
}

struct server_hosts *server_hosts_create(struct arena *a, const struct server *s)
{
	struct server_hosts *h = arena_new(a, struct server_hosts);

	h->items = arena_array(a, struct host_entry, s->hosts.count);
	for (size_t i = 0; i < s->hosts.count; i++) {
		struct host_entry *e = &h->items[h->count++];

		e->pattern = s->hosts.items[i].host;
		e->text = after_star(e->pattern);
		e->ns = s->hosts.items[i].ns;
		e->wild = hostname_is_wild(e->pattern);
		if (e->wild && e->text.len <= HOSTNAME_BYTES_MAX)
			h->wild_length[e->text.len] = true;
	}
	qsort(h->items, h->count, sizeof(*h->items), entry_order);
	return h;
}

/* Index of the first entry whose text is not before `text`. */
static size_t lower_bound(const struct server_hosts *h, struct slice text)
{
	size_t from = 0, to = h->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare_ends(h->items[middle].text, text) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool admits(const struct host_entry *e, struct slice ns)
{
	return e->ns.at == NULL || slice_eq(e->ns, ns);
}

static bool has_entry(const struct server_hosts *h, struct slice text, bool wild, struct slice ns)
{
	for (size_t i = lower_bound(h, text); i < h->count && slice_eq(h->items[i].text, text); i++)
		if (h->items[i].wild == wild && admits(&h->items[i], ns))
			return true;
	return false;
}

/* Does a wildcard of the server cover all that ends with `text`? */
static bool is_covered(const struct server_hosts *h, struct slice text, struct slice ns)
{
	for (size_t len = 0; len <= text.len && len <= HOSTNAME_BYTES_MAX; len++)
		if (h->wild_length[len] && has_entry(h, slice_from(text, text.len - len), true, ns))
			return true;
	return false;
}

void server_hosts_intersect(const struct server_hosts *h, struct slice ns, const struct slice *hosts,
			    size_t count, void (*take)(void *arg, struct slice domain), void *arg)
{
	for (size_t i = 0; i < count; i++) {
		struct slice text = after_star(hosts[i]);

		if (hostname_is_wild(hosts[i]))
			for (size_t k = lower_bound(h, text);
			     k < h->count && slice_ends(h->items[k].text, text); k++)
				if (admits(&h->items[k], ns))
					take(arg, h->items[k].pattern);
		if (is_covered(h, text, ns) || (!hostname_is_wild(hosts[i]) && has_entry(h, text, false, ns)))
			take(arg, hosts[i]);
	}
}
