/* SPDX-License-Identifier: Apache-2.0
 *
 * rule_filter.h - which rules of a list of policies can hold for a request at all, so that what a verdict
 * costs grows with those and not with how many there are.
 *
 * A rule that asks for hosts or paths is filed under how they begin (or how hosts end); a request looks up
 * the beginnings of its own. What is found is a superset, in the order of the list: each is still asked.
 *
 * Owner    the arena given; policies are borrowed. Thread: immutable. */
#ifndef SALLYPORT_SPOA_RULE_FILTER_H
#define SALLYPORT_SPOA_RULE_FILTER_H

#include "spoa/policy_priv.h"

#define RULE_FILTER_LEAST	8u	/* fewer rules are asked one after the other */
#define RULE_FILTER_FOUND_MAX	64u	/* when a request could meet more, all are asked */

struct rule_filter;

struct rule_ref {
	const struct policy *policy;
	size_t rule;
};

/* NULL: it would gain nothing. */
const struct rule_filter *rule_filter_create(struct arena *arena, const struct policy_list *list);

/* Numbers of the rules that a request of HTTP could meet, ascending; `found` has RULE_FILTER_FOUND_MAX places.
 * Those that every request could meet are not among them. SIZE_MAX: too many. */
size_t rule_filter_find(const struct rule_filter *x, struct slice host, struct slice path, uint32_t *found);
/* The numbers of those, ascending. */
size_t rule_filter_always(const struct rule_filter *x, const uint32_t **always);
struct rule_ref rule_filter_at(const struct rule_filter *x, uint32_t number);

#endif
