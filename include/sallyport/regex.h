/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.h - regular expressions in RE2 syntax, run by PCRE2 under limits.
 *
 * What RE2 does not know (look-around, back-references, possessive and atomic groups, recursion,
 * callouts, conditionals, \C \K \R \X, …) is refused when compiling, so that a document means
 * the same here as in Istio. Matching is bounded by REGEX_MATCH_LIMIT steps.
 *
 * Owner    whoever called regex_create(); regex_free() clears the caller's pointer.
 * Thread   compiled once, then read by any number of threads at once; scratch memory belongs to
 *          the calling thread and is kept for the next match: the steady path allocates nothing.
 * Bytes    values are bytes; a pattern with \p{…} or non-ASCII text matches UTF-8 characters.
 * Limits   pattern, program, steps: below (spec/hardening.md 56). */
#ifndef SALLYPORT_REGEX_H
#define SALLYPORT_REGEX_H

#include "sallyport/arena.h"

#define REGEX_PATTERN_MAX	1024u		/* bytes of a pattern */
#define REGEX_REPEAT_MAX	1000u		/* of x{n,m}, as in RE2 */
#define REGEX_PROGRAM_MAX	(128u << 10)	/* bytes of the compiled program */
#define REGEX_MATCH_LIMIT	50000u		/* steps of backtracking for one value */
#define REGEX_HEAP_KIB		4096u		/* interpreter's memory for one value */
#define REGEX_REPLACED_MAX	65536u		/* bytes of a replaced text */

struct regex;

enum regex_mode {
	REGEX_FULL,	/* the whole value has to match: route and CORS conditions */
	REGEX_SEARCH,	/* anywhere in the value: uriRegexRewrite */
};

enum regex_result {
	REGEX_GAVE_UP = -1,	/* a limit was reached: neither yes nor no, counted */
	REGEX_NO = 0,
	REGEX_YES = 1,
};

/* What a person has to change; `offset` is the byte in the pattern. */
struct regex_error {
	size_t offset;
	char text[160];
};

/* NULL: `why` (may be NULL) says what RE2 would not accept. */
struct regex *regex_create(struct slice pattern, enum regex_mode mode, struct regex_error *why);
void regex_free(struct regex **rp);
/* Only the question whether regex_create() would succeed. */
bool regex_check(struct slice pattern, struct regex_error *why);

enum regex_result regex_match(const struct regex *r, struct slice value);

/* Text in `a` that every value begins with which a valid pattern matches as a whole (REGEX_FULL); empty where
 * the pattern does not say so plainly. */
struct slice regex_beginning(struct slice pattern, struct arena *a);

/* Number of capturing groups. */
unsigned regex_groups(const struct regex *r);

/* Every non-overlapping occurrence in `value` is replaced by `with`: \0 the whole occurrence,
 * \1…\9 its groups, \\ a backslash. REGEX_YES: *out is in `a`. REGEX_NO: nothing found, *out is
 * `value`. REGEX_GAVE_UP: a limit, *out is `value`. */
enum regex_result regex_replace_all(const struct regex *r, struct slice value, struct slice with,
				    struct arena *a, struct slice *out);
/* Is `with` a valid substitution for a pattern with `groups` groups? */
bool regex_check_replacement(struct slice with, unsigned groups, struct regex_error *why);

/* Matches given up since the start of the process, for statistics. */
uint64_t regex_gave_up_count(void);
/* False where the system forbids memory that is writable and executable: it is interpreted. */
bool regex_has_jit(const struct regex *r);

#endif
