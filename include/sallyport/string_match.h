/* SPDX-License-Identifier: Apache-2.0
 *
 * string_match.h - Istio's StringMatch: as written in a document, and compiled for requests.
 *
 * Owner    a string_match points into the document's arena. A string_matcher borrows its text from
 *          there and owns only its compiled regex: string_matcher_fini() gives that back.
 * Thread   a compiled matcher is read by any number of threads at once.
 * Spec     spec/virtual-service.md 2.3, 6. */
#ifndef SALLYPORT_STRING_MATCH_H
#define SALLYPORT_STRING_MATCH_H

#include "sallyport/problem.h"
#include "sallyport/regex.h"

enum string_match_kind {
	MATCH_UNSET,		/* the field was not written: no condition */
	MATCH_PRESENT,		/* `{}`: the value exists, whatever it is (for uri: no condition) */
	MATCH_EXACT,
	MATCH_PREFIX,
	MATCH_REGEX,		/* RE2 syntax, the whole value */
};

struct string_match {
	enum string_match_kind kind;
	struct slice text;	/* of exact, prefix, regex; valid RE2, at most REGEX_PATTERN_MAX */
	struct where where;	/* of the StringMatch */
};

struct string_matcher {
	enum string_match_kind kind;
	bool ignore_case;	/* ASCII; exact and prefix only, as in ignoreUriCase */
	struct slice text;	/* borrowed */
	struct regex *regex;	/* owned; NULL unless MATCH_REGEX */
};

/* `m` was validated: a regex that does not compile any more is fatal(). */
void string_matcher_init(struct string_matcher *sm, const struct string_match *m, bool ignore_case);
void string_matcher_fini(struct string_matcher *sm);

/* An absent `value` (at == NULL) fulfils MATCH_UNSET alone. REGEX_GAVE_UP is neither: a request whose
 * route depends on it is refused, an origin is not allowed. */
enum regex_result string_matcher_test(const struct string_matcher *sm, struct slice value);

/* The header conditions of one match item on one value: what withoutHeaders asks is inverted, and
 * there an absent header is judged as an empty one (spec 6.5). */
enum regex_result string_matcher_judge(const struct string_matcher *sm, struct slice value, bool inverted);
/* Is it certain that the condition holds? */
bool string_matcher_holds(const struct string_matcher *sm, struct slice value, bool inverted);

#endif
