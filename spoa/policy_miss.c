/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_miss.c - why a rule did not hold, and which of several came nearest: what the operator reads
 * beside a refusal (spec/README.md D9). Runs after a refusal and for explain only. */
#include "spoa/policy_priv.h"

/* How far a rule is from holding. */
struct distance {
	size_t operation, others;	/* conditions that failed: of `to`, of `from` and `when` */
	const struct test *first;	/* of those, in the order from, to, when */
};

static size_t failed_tests(const struct clause *c, const struct request *r, const struct test **first)
{
	size_t failed = 0;

	for (size_t i = 0; i < c->count; i++) {
		if (test_answer(&c->tests[i], r) == TEST_HOLDS)
			continue;
		if (failed++ == 0)
			*first = &c->tests[i];
	}
	return failed;
}

/* Of the clause that fails least; 0: one of them holds, or there are none. */
static size_t fewest_failed(const struct clause_list *l, const struct request *r, const struct test **first)
{
	size_t fewest = l->count > 0 ? SIZE_MAX : 0, failed;
	const struct test *test = NULL;

	for (size_t i = 0; i < l->count; i++) {
		failed = failed_tests(&l->items[i], r, &test);
		if (failed >= fewest)
			continue;
		fewest = failed;
		*first = test;
	}
	return fewest;
}

static struct distance distance_of(const struct rule *rule, const struct request *r)
{
	const struct test *from = NULL, *to = NULL, *when = NULL;
	struct distance d = { .operation = fewest_failed(&rule->to, r, &to) };
	size_t by_source = fewest_failed(&rule->from, r, &from);
	size_t by_when = failed_tests(&rule->when, r, &when);

	d.others = by_source + by_when;
	d.first = by_source > 0 ? from : d.operation > 0 ? to : when;
	return d;
}

static struct slice test_miss(const struct test *t, const struct request *r)
{
	bool is = test_answer(t, r) == TEST_NONE_OF_IS;

	/* A condition has one key for both lists. */
	if (t->field.at == t->not_field.at)
		return slice_of(arena_printf(r->check->arena, is ? "%.*s did not match" : "%.*s matched notValues",
					     SLICE_ARG(t->field)));
	return slice_of(arena_printf(r->check->arena, is ? "%.*s did not match" : "%.*s matched",
				     SLICE_ARG(is ? t->field : t->not_field)));
}

struct slice rule_miss(const struct policy *p, const struct rule *rule, const struct request *r)
{
	struct distance d;

	if (rule->never.at != NULL)
		return slice_of(arena_printf(r->check->arena, "%.*s is not known here", SLICE_ARG(rule->never)));
	if (rule_is_skipped(p, rule, r))
		return SLICE("it asks what only HTTP can answer");
	d = distance_of(rule, r);
	must(d.first != NULL);
	return test_miss(d.first, r);
}

static bool is_nearer(const struct distance *a, const struct distance *b)
{
	if ((a->operation == 0) != (b->operation == 0))
		return a->operation == 0;
	return a->operation + a->others < b->operation + b->others;
}

static bool can_hold(const struct policy *p, const struct rule *rule, const struct request *r)
{
	return rule->never.at == NULL && !rule_is_skipped(p, rule, r);
}

struct match policies_nearest(const struct policy_list *list, const struct request *r)
{
	struct match nearest = { NULL, 0 };
	struct distance best = { 0 }, d;
	bool able = false;

	for (size_t i = 0; i < list->count; i++) {
		const struct policy *p = list->items[i];

		for (size_t n = 0; n < p->rule_count; n++) {
			bool may = can_hold(p, &p->rules[n], r);

			d = distance_of(&p->rules[n], r);
			if (nearest.policy != NULL && (may == able ? !is_nearer(&d, &best) : able))
				continue;
			nearest = (struct match){ p, n };
			best = d;
			able = may;
		}
	}
	return nearest;
}
