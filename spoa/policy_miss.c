/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_miss.c - why a rule did not hold, and which of several came nearest: what the operator reads
 * beside a refusal (spec/README.md D9). Runs after a refusal and for explain only. */
#include "spoa/policy_priv.h"
#include "spoa/rule_filter.h"

_Static_assert(RULE_FILTER_FOUND_MAX <= POLICY_NEAREST_MAX, "what is found is looked at");

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

/* What the search has come to. */
struct search {
	const struct request *r;
	struct match nearest;		/* policy NULL: nothing was looked at */
	struct distance best;
	bool able;			/* that rule could hold for some request of this kind */
	unsigned looked;
};

static void look_at(struct search *s, const struct policy *p, size_t number)
{
	const struct rule *rule = &p->rules[number];
	struct distance d = distance_of(rule, s->r);
	bool able = can_hold(p, rule, s->r);

	s->looked++;
	if (s->nearest.policy != NULL && (able == s->able ? !is_nearer(&d, &s->best) : s->able))
		return;
	s->nearest = (struct match){ p, number };
	s->best = d;
	s->able = able;
}

/* Those whose hosts and paths the request can meet. */
static void look_at_filtered(struct search *s, const struct rule_filter *x)
{
	uint32_t found[RULE_FILTER_FOUND_MAX];
	size_t count = rule_filter_find(x, s->r->authority, s->r->path, found);

	for (size_t i = 0; count != SIZE_MAX && i < count; i++) {
		struct rule_ref at = rule_filter_at(x, found[i]);

		look_at(s, at.policy, at.rule);
	}
}

/* A refusal may be what somebody wants to have many of: so many rules are looked at and no more. */
struct match policies_nearest(const struct policy_list *list, const struct request *r)
{
	struct search s = { .r = r };

	if (list->filter != NULL && r->check->proto == CHECK_HTTP)
		look_at_filtered(&s, list->filter);
	for (size_t i = 0; i < list->count; i++)
		for (size_t n = 0; n < list->items[i]->rule_count && s.looked < POLICY_NEAREST_MAX; n++)
			look_at(&s, list->items[i], n);
	return s.nearest;
}
