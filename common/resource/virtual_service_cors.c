/* SPDX-License-Identifier: Apache-2.0
 *
 * http[].corsPolicy (spec 2.9, 7.11, V110-V116). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/names.h"

typedef LIST(struct string_match) origin_list;

static bool decode_origins(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct string_match_rule rule = { .text_required = true };
	const struct decode_list row = { sizeof(struct string_match), vs_decode_string_match, &rule,
					0 };

	(void)arg;
	return decode_list(d, n, out, &row);
}

static bool decode_exact_origin(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct string_match *m = out;

	*m = (struct string_match){ .kind = MATCH_EXACT, .where = n->where };
	if (!decode_string(d, n, &m->text, arg))
		return false;
	return m->text.len > 0 || decode_error(d, n, "an empty origin");
}

/* allowOrigin, the deprecated form. */
static bool decode_exact_origins(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	static const struct decode_list row = { sizeof(struct string_match), decode_exact_origin,
					       NULL, 0 };

	(void)arg;
	decode_warning(d, n, "is deprecated, write allowOrigins: [{exact: …}]");
	return decode_list(d, n, out, &row);
}

static bool check_method(struct slice s)
{
	static const char *const methods[] = { "GET",   "HEAD",	 "POST",    "PUT",
					      "PATCH", "DELETE", "CONNECT", "OPTIONS",
					      "TRACE", "*",	 NULL };

	return slice_is_among(s, methods);
}

struct word_rule {
	bool (*check)(struct slice);
	const char *what;
};

/* A list of words, joined by commas as the header wants them. */
static bool decode_words(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct word_rule *rule = arg;
	LIST(struct located_slice) words = { 0 };
	bool ok = decode_string_list(d, n, &words, NULL);
	const char *joined = "";

	for (size_t i = 0; i < words.count; i++) {
		const struct located_slice *w = &words.items[i];
		size_t mark = decode_push_index(d, i);

		if (w->text.at != NULL && !rule->check(w->text))
			ok = decode_problem(d, SEVERITY_ERROR, w->where, "\"%.*s\" is no %s",
					    SLICE_ARG(w->text), rule->what);
		joined = arena_printf(d->arena, "%s%s%.*s", joined, i > 0 ? "," : "",
				      SLICE_ARG(w->text));
		decode_pop(d, mark);
	}
	*(struct slice *)out = words.count > 0 ? slice_of(joined) : NO_SLICE;
	return ok;
}

/* 0s says "do not cache" and is sent as 0 (spec/README.md D11). */
static bool decode_max_age(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_duration_rule rule = { .zero_allowed = true };
	int64_t ms;

	(void)arg;
	if (!decode_duration(d, n, &ms, &rule))
		return false;
	if (ms % 1000 != 0)
		return decode_error(d, n, "\"%.*s\" is no whole number of seconds",
				    SLICE_ARG(n->text));
	*(int64_t *)out = ms / 1000;
	return true;
}

static const struct word_rule method_rule = { check_method,
					     "method, use GET HEAD POST PUT PATCH DELETE CONNECT "
					     "OPTIONS TRACE or *" };
static const struct word_rule header_rule = { name_is_token, "header name or *" };
static const char *const preflight_names[] = { "UNSPECIFIED", "FORWARD", "IGNORE", NULL };

struct written {
	struct cors_policy policy;
	origin_list exact_origins;
};

static const struct field cors_fields[] = {
	FIELD(struct written, "allowOrigins", policy.allow_origins, decode_origins, FIELD_OPTIONAL),
	FIELD(struct written, "allowOrigin", exact_origins, decode_exact_origins, FIELD_OPTIONAL),
	FIELD_ARG(struct written, "allowMethods", policy.allow_methods, decode_words,
		  FIELD_OPTIONAL, &method_rule),
	FIELD_ARG(struct written, "allowHeaders", policy.allow_headers, decode_words,
		  FIELD_OPTIONAL, &header_rule),
	FIELD_ARG(struct written, "exposeHeaders", policy.expose_headers, decode_words,
		  FIELD_OPTIONAL, &header_rule),
	FIELD(struct written, "maxAge", policy.max_age_s, decode_max_age, FIELD_OPTIONAL),
	FIELD(struct written, "allowCredentials", policy.allow_credentials, decode_bool,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct written, "unmatchedPreflights", policy.unmatched_preflights,
		  decode_enum, FIELD_OPTIONAL, preflight_names),
	FIELDS_END
};

/* Would the literal text "*" be accepted? Then every origin is (7.11). */
static bool accepts_star(const struct string_match *m)
{
	struct string_matcher sm;
	bool accepts;

	if (m->kind == MATCH_UNSET || m->kind == MATCH_PRESENT)
		return false;
	string_matcher_init(&sm, m, false);
	accepts = string_matcher_test(&sm, SLICE("*")) == REGEX_YES;
	string_matcher_fini(&sm);
	return accepts;
}

static void warn_of_origins(struct decoder *d, const struct node *n, const struct cors_policy *p)
{
	if (p->allow_origins.count == 0)
		decode_warning(d, n, "allows no origin: give allowOrigins");
	for (size_t i = 0; i < p->allow_origins.count; i++) {
		const struct string_match *m = &p->allow_origins.items[i];

		if (p->allow_credentials && accepts_star(m))
			decode_problem(d, SEVERITY_WARNING, m->where,
				       "every site is allowed, with credentials");
		if (m->kind == MATCH_EXACT && slice_ends(m->text, SLICE("/")))
			decode_problem(d, SEVERITY_WARNING, m->where,
				       "origin \"%.*s\" ends in \"/\", which no browser "
				       "sends",
				       SLICE_ARG(m->text));
	}
}

bool vs_decode_cors(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct written w = { .policy = { .max_age_s = -1 } };
	struct cors_policy *p = out;
	bool ok = decode_mapping(d, n, cors_fields, &w);

	(void)arg;
	*p = w.policy;
	if (p->allow_origins.count == 0) {
		p->allow_origins.items = w.exact_origins.items;
		p->allow_origins.count = w.exact_origins.count;
	}
	if (ok)
		warn_of_origins(d, n, p);
	return ok;
}
