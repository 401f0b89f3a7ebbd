/* SPDX-License-Identifier: Apache-2.0
 *
 * match.c - does a request fulfil a match item (spec/virtual-service.md 6.2-6.7)? */
#include "proxy/route/match_priv.h"

#include "sallyport/path.h"

struct request_view request_view(const struct route_input *in)
{
	struct request_view v = { .in = in };

	v.path = path_split(in->request->path, &v.query);
	return v;
}

/* ---- what a condition looks at ---- */

/* Raw: nothing is decoded; the first of repeated keys counts; `key` alone has an empty value. */
static struct slice query_value(struct slice query, struct slice name)
{
	while (query.at != NULL && query.len != 0) {
		struct slice value = slice_cut(&query, '&');
		struct slice key = slice_cut(&value, '=');

		if (slice_eq(key, name) && key.len != 0)
			return value.at != NULL ? value : SLICE("");
	}
	return NO_SLICE;
}

static struct slice header_value(const struct condition *c, const struct route_input *in)
{
	const struct headers *h = &in->request->headers;

	if (c->id != HEADER_OTHER && headers_get(h, c->id) == NULL)
		return NO_SLICE;
	return headers_joined(h, c->name, in->arena);
}

static struct slice look_at(const struct condition *c, const struct request_view *v)
{
	const struct message *request = v->in->request;

	switch (c->subject) {
	case SUBJECT_PATH:	return v->path;
	case SUBJECT_METHOD:	return request->method;
	case SUBJECT_SCHEME:	return request->scheme;
	case SUBJECT_AUTHORITY:	return request->authority;
	case SUBJECT_TARGET:	return request->path;
	case SUBJECT_HEADER:	return header_value(c, v->in);
	case SUBJECT_QUERY:	return query_value(v->query, c->name);
	case SUBJECT_CLAIM:
	case SUBJECT_NOTHING:	break;
	}
	return NO_SLICE;
}

/* Any of its texts will do. What an expression gave up on is not known not to match. */
static enum regex_result test_claim(const struct condition *c, const struct claim_set *set)
{
	const struct claim_value *v = claim_set_find(set, c->name);
	bool gave_up = false;

	if (v == NULL)
		return c->inverted ? REGEX_YES : REGEX_NO;
	if (c->value.kind == MATCH_PRESENT)
		return v->present != c->inverted ? REGEX_YES : REGEX_NO;
	for (size_t i = 0; i < v->texts.count; i++) {
		enum regex_result r = string_matcher_test(&c->value, v->texts.items[i]);

		if (r == REGEX_YES)
			return c->inverted ? REGEX_NO : REGEX_YES;
		gave_up |= r != REGEX_NO;
	}
	return gave_up ? REGEX_GAVE_UP : c->inverted ? REGEX_YES : REGEX_NO;
}

static enum regex_result test(const struct condition *c, const struct request_view *v)
{
	if (c->unsettled && v->in->for_some_verdict)
		return REGEX_YES;
	if (c->subject == SUBJECT_CLAIM)
		return test_claim(c, v->in->claims);
	return string_matcher_judge(&c->value, look_at(c, v), c->inverted);
}

/* A condition that says no decides, also behind one that gave up. *which: the one that decides. */
static enum regex_result test_others(const struct route_match *m, const struct request_view *v,
				     const struct condition **which)
{
	enum regex_result all = REGEX_YES;

	for (size_t i = 0; i < m->others.count; i++) {
		enum regex_result r = test(&m->others.items[i], v);

		if (r == REGEX_YES)
			continue;
		*which = &m->others.items[i];
		all = r;
		if (r == REGEX_NO)
			break;
	}
	return all;
}

static enum regex_result test_all(const struct route_match *m, const struct request_view *v,
				  const struct condition **which)
{
	enum regex_result uri = m->uri != NULL ? test(m->uri, v) : REGEX_YES, others;

	*which = m->uri;
	if (uri == REGEX_NO)
		return REGEX_NO;
	others = test_others(m, v, which);
	return others == REGEX_YES ? uri : others;
}

enum regex_result route_match_test_but_uri(const struct route_match *m, const struct request_view *v)
{
	const struct condition *which;

	return m != NULL ? test_others(m, v, &which) : REGEX_YES;
}

enum regex_result route_match_test(const struct route_match *m, const struct request_view *v)
{
	const struct condition *which;

	return m != NULL ? test_all(m, v, &which) : REGEX_YES;
}

/* ---- compiling ---- */

static void add_condition(struct route_match *m, enum subject subject, struct slice name,
			  const struct string_match *value, bool inverted)
{
	struct condition *c = &m->others.items[m->others.count++];

	c->subject = subject;
	c->name = name;
	c->inverted = inverted;
	if (subject == SUBJECT_HEADER)
		c->id = header_id_of(name);
	string_matcher_init(&c->value, value, false);
}

/* `{}` on what every request has is no condition. */
static void add_always_there(struct route_match *m, enum subject subject, const struct string_match *value)
{
	if (value->kind != MATCH_UNSET && value->kind != MATCH_PRESENT)
		add_condition(m, subject, NO_SLICE, value, false);
}

static enum subject header_subject(struct slice name)
{
	static const struct { struct slice name; enum subject subject; } pseudo[] = {
		{ { ":method", 7 }, SUBJECT_METHOD }, { { ":path", 5 }, SUBJECT_TARGET },
		{ { ":scheme", 7 }, SUBJECT_SCHEME }, { { ":authority", 10 }, SUBJECT_AUTHORITY },
		{ { "host", 4 }, SUBJECT_AUTHORITY }, { { ":status", 7 }, SUBJECT_NOTHING },
	};

	for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++)
		if (slice_eq(name, pseudo[i].name))
			return pseudo[i].subject;
	return SUBJECT_HEADER;
}

static void add_headers(struct route_match *m, const struct named_match *items, size_t count, bool inverted)
{
	for (size_t i = 0; i < count; i++)
		add_condition(m, header_subject(items[i].name), items[i].name, &items[i].value, inverted);
}

static void add_claims(struct route_match *m, struct arena *a, const struct claim_match *items, size_t count,
		       bool inverted)
{
	for (size_t i = 0; i < count; i++)
		add_condition(m, SUBJECT_CLAIM, claim_key(a, items[i].path.items, items[i].path.count),
			      &items[i].value, inverted);
	m->claims |= count > 0;
}

/* Stable: the order of the document is kept among equals. */
static void expressions_last(struct route_match *m, struct arena *a)
{
	struct condition *sorted = arena_array(a, struct condition, m->others.count);
	size_t at = 0;

	for (int regex = 0; regex <= 1; regex++)
		for (size_t i = 0; i < m->others.count; i++)
			if ((m->others.items[i].value.regex != NULL) == regex)
				sorted[at++] = m->others.items[i];
	m->others.items = sorted;
}

static bool has_regex(const struct route_match *m)
{
	for (size_t i = 0; i < m->others.count; i++)
		if (m->others.items[i].value.regex != NULL)
			return true;
	return false;
}

struct route_match *route_match_create(struct arena *a, const struct http_match *m)
{
	struct route_match *out = arena_new(a, struct route_match);
	/* method, scheme and authority beside the lists */
	size_t most = 3 + m->headers.count + m->without_headers.count + m->query_params.count +
		      m->claims.count + m->without_claims.count;

	if (m->uri.kind != MATCH_UNSET && m->uri.kind != MATCH_PRESENT) {
		out->uri = arena_new(a, struct condition);
		out->uri->subject = SUBJECT_PATH;
		string_matcher_init(&out->uri->value, &m->uri, m->ignore_uri_case);
	}
	out->others.items = arena_array(a, struct condition, most);
	add_always_there(out, SUBJECT_METHOD, &m->method);
	add_always_there(out, SUBJECT_SCHEME, &m->scheme);
	add_always_there(out, SUBJECT_AUTHORITY, &m->authority);
	add_headers(out, m->headers.items, m->headers.count, false);
	add_headers(out, m->without_headers.items, m->without_headers.count, true);
	for (size_t i = 0; i < m->query_params.count; i++)
		add_condition(out, SUBJECT_QUERY, m->query_params.items[i].name,
			      &m->query_params.items[i].value, false);
	add_claims(out, a, m->claims.items, m->claims.count, false);
	add_claims(out, a, m->without_claims.items, m->without_claims.count, true);
	if (has_regex(out))
		expressions_last(out, a);
	return out;
}

void route_match_fini(struct route_match *m)
{
	if (m->uri != NULL)
		string_matcher_fini(&m->uri->value);
	for (size_t i = 0; i < m->others.count; i++)
		string_matcher_fini(&m->others.items[i].value);
}

/* ---- telling why ---- */

static const char *kind_text(const struct condition *c)
{
	switch (c->value.kind) {
	case MATCH_EXACT:	return "exact";
	case MATCH_PREFIX:	return "prefix";
	case MATCH_REGEX:	return "regex";
	default:		return "present";
	}
}

static const char *subject_text(const struct condition *c)
{
	switch (c->subject) {
	case SUBJECT_PATH:	return "uri";
	case SUBJECT_METHOD:	return "method";
	case SUBJECT_SCHEME:	return "scheme";
	case SUBJECT_AUTHORITY:	return "authority";
	case SUBJECT_TARGET:	return "header :path";
	case SUBJECT_QUERY:	return "query parameter";
	case SUBJECT_CLAIM:	return c->inverted ? "withoutHeaders: claim" : "claim";
	default:		return c->inverted ? "withoutHeaders" : "header";
	}
}

/* `"a", "b"`; absent: no such claim. */
static struct slice claim_texts(const struct condition *c, const struct route_input *in)
{
	const struct claim_value *v = claim_set_find(in->claims, c->name);
	const char *text = "";

	if (v == NULL || !v->present)
		return NO_SLICE;
	for (size_t i = 0; i < v->texts.count; i++)
		text = arena_printf(in->arena, "%s%s\"%.*s\"", text, i > 0 ? ", " : "",
				    SLICE_ARG(v->texts.items[i]));
	return slice_of(v->texts.count > 0 ? text : "no text");
}

static void say_unmet_claim(const struct condition *c, const struct request_view *v, char *why, size_t bytes)
{
	struct slice found = claim_texts(c, v->in), name = claim_key_text(v->in->arena, c->name);

	if (found.at == NULL)
		found = SLICE("absent");
	if (c->value.kind == MATCH_PRESENT)
		snprintf(why, bytes, "%s %.*s is %.*s, %s present", subject_text(c), SLICE_ARG(name),
			 SLICE_ARG(found), c->inverted ? "must not be" : "wanted");
	else
		snprintf(why, bytes, "%s %.*s is %.*s, %s %s \"%.*s\"", subject_text(c), SLICE_ARG(name),
			 SLICE_ARG(found), c->inverted ? "must not be" : "wanted", kind_text(c),
			 SLICE_ARG(c->value.text));
}

static void say_unmet(const struct condition *c, const struct request_view *v, char *why, size_t bytes)
{
	struct slice found = look_at(c, v);
	const char *space = c->name.len != 0 && c->subject != SUBJECT_TARGET ? " " : "";
	struct slice name = space[0] != '\0' ? c->name : SLICE("");

	if (found.at == NULL)
		snprintf(why, bytes, "%s%s%.*s is absent, wanted %s \"%.*s\"", subject_text(c), space,
			 SLICE_ARG(name), kind_text(c), SLICE_ARG(c->value.text));
	else
		snprintf(why, bytes, "%s%s%.*s is \"%.*s\", %s %s%s \"%.*s\"", subject_text(c), space,
			 SLICE_ARG(name), SLICE_ARG(found), c->inverted ? "must not be" : "wanted",
			 kind_text(c), c->value.ignore_case ? " (any case)" : "", SLICE_ARG(c->value.text));
}

bool route_explain(const struct route *r, const struct route_input *in, char *why, size_t bytes)
{
	const struct route_match *m = r->matcher;
	struct request_view v = request_view(in);
	const struct condition *which;
	enum regex_result held;

	if (bytes != 0)
		why[0] = '\0';
	if (slice_eq(in->request->method, SLICE("CONNECT"))) {
		snprintf(why, bytes, "CONNECT is never routed");
		return false;
	}
	if (m == NULL)
		return true;
	held = test_all(m, &v, &which);
	if (held == REGEX_GAVE_UP)
		snprintf(why, bytes, "%s: the regex reached its limit: no route is chosen", subject_text(which));
	else if (held == REGEX_NO)
		(which->subject == SUBJECT_CLAIM ? say_unmet_claim : say_unmet)(which, &v, why, bytes);
	return held == REGEX_YES;
}

unsigned route_unmet(const struct route *r, const struct route_input *in)
{
	const struct route_match *m = r->matcher;
	struct request_view v = request_view(in);
	unsigned unmet = 0;

	if (m == NULL)
		return 0;
	unmet += m->uri != NULL && test(m->uri, &v) != REGEX_YES;
	for (size_t i = 0; i < m->others.count; i++)
		unmet += test(&m->others.items[i], &v) != REGEX_YES;
	return unmet;
}
