/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/string_match.h"

#include "sallyport/log.h"

void string_matcher_init(struct string_matcher *sm, const struct string_match *m, bool ignore_case)
{
	struct regex_error why;

	*sm = (struct string_matcher){ .kind = m->kind, .ignore_case = ignore_case,
				       .text = m->text };
	if (m->kind != MATCH_REGEX)
		return;
	sm->regex = regex_create(m->text, REGEX_FULL, &why);
	if (sm->regex == NULL)
		fatal("%s:%u: checked expression \"%.*s\" does not compile: %s",
		      m->where.file != NULL ? m->where.file : "-", m->where.line,
		      SLICE_ARG(m->text), why.text);
}

void string_matcher_fini(struct string_matcher *sm)
{
	regex_free(&sm->regex);
}

static bool equal(const struct string_matcher *sm, struct slice value)
{
	return sm->ignore_case ? slice_eq_nocase(value, sm->text) : slice_eq(value, sm->text);
}

static bool starts(const struct string_matcher *sm, struct slice value)
{
	return sm->ignore_case ? slice_starts_nocase(value, sm->text)
			       : slice_starts(value, sm->text);
}

enum regex_result string_matcher_test(const struct string_matcher *sm, struct slice value)
{
	if (sm->kind == MATCH_UNSET)
		return REGEX_YES;
	if (value.at == NULL)
		return REGEX_NO;
	switch (sm->kind) {
	case MATCH_EXACT:	return equal(sm, value) ? REGEX_YES : REGEX_NO;
	case MATCH_PREFIX:	return starts(sm, value) ? REGEX_YES : REGEX_NO;
	case MATCH_REGEX:	return regex_match(sm->regex, value);
	case MATCH_PRESENT:
	case MATCH_UNSET:	break;
	}
	return REGEX_YES;
}

static enum regex_result opposite(enum regex_result r)
{
	return r == REGEX_GAVE_UP ? r : r == REGEX_YES ? REGEX_NO : REGEX_YES;
}

enum regex_result string_matcher_judge(const struct string_matcher *sm, struct slice value, bool inverted)
{
	if (!inverted)
		return string_matcher_test(sm, value);
	if (sm->kind != MATCH_PRESENT && value.at == NULL)
		value = SLICE("");
	return opposite(string_matcher_test(sm, value));
}

bool string_matcher_holds(const struct string_matcher *sm, struct slice value, bool inverted)
{
	return string_matcher_judge(sm, value, inverted) == REGEX_YES;
}
