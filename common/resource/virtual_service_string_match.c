/* SPDX-License-Identifier: Apache-2.0
 *
 * StringMatch: exact, prefix, regex or {} (V33-V37). */
#include "common/resource/virtual_service_priv.h"

struct written {
	struct slice exact, prefix, regex;
};

static const struct field string_match_fields[] = {
	FIELD(struct written, "exact",	exact,	decode_string,	FIELD_OPTIONAL),
	FIELD(struct written, "prefix",	prefix,	decode_string,	FIELD_OPTIONAL),
	FIELD(struct written, "regex",	regex,	decode_string,	FIELD_OPTIONAL),
	FIELDS_END
};

bool vs_check_regex(struct decoder *d, const struct node *n, struct slice pattern)
{
	struct regex_error why;

	if (pattern.len == 0)
		return decode_error(d, n, "an empty regex, write .* for any value");
	if (slice_eq(pattern, SLICE("*")))
		return decode_error(d, n, "regex \"*\" repeats nothing, write .* for any value");
	if (regex_check(pattern, &why))
		return true;
	return decode_error(d, n, "bad regex \"%.*s\" at offset %zu: %s", SLICE_ARG(pattern),
			    why.offset, why.text);
}

static bool take_regex(struct decoder *d, const struct node *n, struct slice pattern,
		       const struct string_match_rule *rule, struct string_match *m)
{
	size_t mark;
	bool ok;

	if (rule->star_is_present && slice_eq(pattern, SLICE("*"))) {
		m->kind = MATCH_PRESENT;
		return true;
	}
	m->kind = MATCH_REGEX;
	m->text = pattern;
	mark = decode_push(d, "regex");
	ok = vs_check_regex(d, node_get(n, "regex"), pattern);
	decode_pop(d, mark);
	return ok;
}

static bool choose(struct decoder *d, const struct node *n, const struct written *w,
		   const struct string_match_rule *rule, struct string_match *m)
{
	int count = (w->exact.at != NULL) + (w->prefix.at != NULL) + (w->regex.at != NULL);

	if (count > 1)
		return decode_error(d, n, "more than one of exact, prefix and regex: choose one");
	if (w->regex.at != NULL)
		return take_regex(d, n, w->regex, rule, m);
	m->kind = w->exact.at != NULL	 ? MATCH_EXACT
		  : w->prefix.at != NULL ? MATCH_PREFIX
					 : MATCH_PRESENT;
	m->text = w->exact.at != NULL ? w->exact : w->prefix;
	if (rule->text_required && m->text.len == 0)
		return decode_error(d, n, "needs a non-empty exact, prefix or regex");
	if (m->kind == MATCH_PREFIX && m->text.len == 0 && !rule->empty_prefix)
		return decode_error(
			d, node_get(n, "prefix"),
			"an empty prefix, write {} for \"present, whatever its value\"");
	return true;
}

bool vs_decode_string_match(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct string_match_rule plain = { 0 };
	struct string_match *m = out;
	struct written w = { 0 };

	m->where = n->where;
	/* Also where it cannot be decoded it stays a condition, never "anything". */
	m->kind = MATCH_EXACT;
	m->text = SLICE("");
	if (n->kind == NODE_SCALAR)
		return decode_error(
			d, n,
			"must be a mapping, write {exact: \"%.*s\"}, {prefix: …} or {regex: …}",
			SLICE_ARG(n->text));
	if (!decode_mapping(d, n, string_match_fields, &w))
		return false;
	return choose(d, n, &w, arg != NULL ? arg : &plain, m);
}
