/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.c - the path that goes upstream (spec/virtual-service.md 7.5). */
#include "proxy/route/rewrite_priv.h"

#include <stdio.h>

#include "sallyport/path.h"

/* What would end the request target, or the line it stands on. */
static bool is_unsafe(unsigned char c)
{
	return c <= ' ' || c == 0x7f;
}

/* The rewritten path as it may stand in a request line: with a leading slash, controls and blanks
 * percent-encoded. The query follows as it was. */
static struct slice finish(struct arena *a, struct slice head, struct slice tail, struct slice query)
{
	struct slice pieces[] = { head, tail };
	size_t len = 1 + query.len;
	char *text, *at;

	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < pieces[p].len; i++)
			len += is_unsafe((unsigned char)pieces[p].at[i]) ? 3 : 1;
	text = at = arena_alloc(a, len + 1);
	if ((head.len != 0 ? head.at[0] : tail.len != 0 ? tail.at[0] : '\0') != '/')
		*at++ = '/';
	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < pieces[p].len; i++) {
			unsigned char c = (unsigned char)pieces[p].at[i];

			if (is_unsafe(c))
				at += sprintf(at, "%%%02X", c);
			else
				*at++ = (char)c;
		}
	if (query.len != 0)
		at = mempcpy(at, query.at, query.len);
	*at = '\0';
	return slice_make(text, (size_t)(at - text));
}

/* What stands in for the matched part; the rest of the path in *rest. */
static void replace_matched(const struct route *r, struct slice path, struct slice *rest)
{
	enum string_match_kind kind = r->match != NULL ? r->match->uri.kind : MATCH_UNSET;

	switch (kind) {
	case MATCH_EXACT:
	case MATCH_REGEX:	*rest = NO_SLICE;					break;
	case MATCH_PREFIX:	*rest = slice_from(path, r->match->uri.text.len);	break;
	case MATCH_UNSET:
	case MATCH_PRESENT:	*rest = slice_from(path, 1);				break;
	}
}

bool route_rewrite_gives_up(const struct route *r, struct slice target, struct arena *a)
{
	struct slice query, path = path_split(target, &query), changed;

	return r->rewrite_regex != NULL &&
	       regex_replace_all(r->rewrite_regex, path, r->source->rewrite->regex_rewrite, a, &changed) ==
	       REGEX_GAVE_UP;
}

bool route_rewrite_path(const struct route *r, struct slice target, struct arena *a, struct slice *out)
{
	const struct http_rewrite *w = r->source->rewrite;
	struct slice query, path = path_split(target, &query), rest;

	query = slice_from(target, path.len);
	if (w == NULL || path.len == 0 || path.at[0] != '/')
		return false;			/* `*` of OPTIONS has nothing to replace */
	if (r->rewrite_regex != NULL) {
		struct slice changed;

		if (regex_replace_all(r->rewrite_regex, path, w->regex_rewrite, a, &changed) != REGEX_YES ||
		    changed.len == 0)
			return false;
		*out = finish(a, changed, NO_SLICE, query);
		return true;
	}
	if (w->uri.len == 0)
		return false;
	replace_matched(r, path, &rest);
	*out = finish(a, w->uri, rest, query);
	return true;
}
