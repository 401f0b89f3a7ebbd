/* SPDX-License-Identifier: Apache-2.0
 *
 * reasoning.c - writes along while a request is decided. What decides is decision.c and door.c; here is
 * only asked, of each rule, why it said what it said. */
#include "spoa/reasoning.h"

#include "spoa/decision_priv.h"

struct reasoner {
	struct reasoning_door *doors;
	struct reasoning_policy *policies;	/* of the door that is passed now */
	struct reasoning_token *tokens;
	size_t gateways;		/* 0 or 1: doors before the workloads' */
};

/* In the order of evaluation, those on trial last. */
static const enum policy_action actions[] = { POLICY_CUSTOM, POLICY_AUDIT, POLICY_DENY, POLICY_ALLOW };
_Static_assert(COUNT_OF(actions) == POLICY_ACTION_COUNT, "every action has its turn");

static struct reasoning_door *door_of(struct decision *d)
{
	struct reasoner *x = d->reasoner;

	return &x->doors[d->next_door == 0 ? 0 : d->next_door - 1 + x->gateways];
}

static struct reasoning_policy *list_policies(const struct policy_list *l, struct reasoning_policy *at)
{
	for (size_t i = 0; i < l->count; i++)
		*at++ = (struct reasoning_policy){
			.ns = l->items[i]->ns, .name = l->items[i]->name, .where = l->items[i]->where,
			.action = l->items[i]->action, .dry_run = l->items[i]->dry_run,
			.rule_count = l->items[i]->rule_count,
		};
	return at;
}

static void enter_policies(struct decision *d, const struct policy_set *set, struct reasoning_door *door)
{
	size_t count = set->shadow_deny.count + set->shadow_allow.count;
	struct reasoning_policy *at;

	for (size_t i = 0; i < COUNT_OF(actions); i++)
		count += set->by_action[actions[i]].count;
	at = d->reasoner->policies = arena_array(d->check->arena, struct reasoning_policy, count);
	door->policies = at;
	door->policy_count = count;
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		at = list_policies(&set->by_action[actions[i]], at);
	at = list_policies(&set->shadow_deny, at);
	list_policies(&set->shadow_allow, at);
}

static void enter_tokens(struct decision *d, const struct policy_set *set, struct reasoning_door *door)
{
	struct reasoning_token *at = arena_array(d->check->arena, struct reasoning_token, set->provider_count);

	door->tokens = d->reasoner->tokens = at;
	door->token_count = set->provider_count;
	for (size_t i = 0; i < set->provider_count; i++) {
		const struct provider *p = set->providers[i];

		at[i] = (struct reasoning_token){
			.ns = p->of->ns, .name = p->of->name, .where = p->of->where, .rule = p->number,
			.issuer = p->rule->issuer, .status = JWT_MISSED,
		};
	}
}

void reasoner_enter(struct decision *d, const struct policy_set *set, const struct request *r)
{
	struct reasoning_door *door = door_of(d);

	door->reached = true;
	door->authority = r->authority;
	door->path = r->target;
	door->preflight = d->check->proto == CHECK_HTTP && authn_is_preflight(r);
	enter_policies(d, set, door);
	enter_tokens(d, set, door);
}

static const struct reasoning_rule *explain_rules(const struct policy *p, const struct request *r)
{
	struct reasoning_rule *rules = arena_array(r->check->arena, struct reasoning_rule, p->rule_count);

	for (size_t i = 0; i < p->rule_count; i++) {
		rules[i].holds = rule_holds(p, &p->rules[i], r);
		if (!rules[i].holds)
			rules[i].miss = rule_miss(p, &p->rules[i], r);
	}
	return rules;
}

static struct reasoning_policy *explain_list(const struct policy_list *l, const struct request *r,
					     struct reasoning_policy *at)
{
	for (size_t i = 0; i < l->count; i++, at++) {
		const struct policy *p = l->items[i];

		at->evaluated = true;
		at->rules = explain_rules(p, r);
		at->holds = policy_matches(p, r, &at->rule);
		if (!at->holds)
			at->rule = policies_nearest(&(struct policy_list){ .items = &p, .count = 1 }, r).rule;
	}
	return at;
}

void reasoner_custom(struct decision *d, const struct policy_set *set, const struct request *r)
{
	explain_list(&set->by_action[POLICY_CUSTOM], r, d->reasoner->policies);
}

void reasoner_tokens(struct decision *d, const struct authn *a)
{
	struct arena *arena = d->check->arena;

	for (size_t i = 0; i < a->judged; i++) {
		d->reasoner->tokens[i].evaluated = true;
		d->reasoner->tokens[i].status = a->each[i];
	}
	if (a->token != NULL && a->token->iss.at != NULL && a->token->sub.at != NULL)
		door_of(d)->principal = slice_of(arena_printf(arena, "%.*s/%.*s", SLICE_ARG(a->token->iss),
							      SLICE_ARG(a->token->sub)));
}

void reasoner_policies(struct decision *d, const struct policy_set *set, const struct request *r)
{
	struct reasoning_policy *at = d->reasoner->policies + set->by_action[POLICY_CUSTOM].count;

	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (actions[i] != POLICY_CUSTOM)
			at = explain_list(&set->by_action[actions[i]], r, at);
	at = explain_list(&set->shadow_deny, r, at);
	explain_list(&set->shadow_allow, r, at);
}

static void name_doors(struct reasoner *x, const struct check *c)
{
	if (c->gateway != NULL)
		x->doors[0] = (struct reasoning_door){ .gateway = true, .ns = c->gateway->ns,
						       .name = c->gateway->name };
	for (size_t i = 0; i < c->workload_count; i++)
		x->doors[x->gateways + i] = (struct reasoning_door){ .ns = c->workloads[i].ns,
								     .name = c->workloads[i].name };
}

const struct reasoning *reasoning_of(struct policy_index *index, struct token_cache *tokens,
				     const struct check *c)
{
	struct decision *d = arena_new(c->arena, struct decision);
	struct reasoner *x = arena_new(c->arena, struct reasoner);
	struct reasoning *out = arena_new(c->arena, struct reasoning);
	struct judge *j = judge_create(index, NULL, tokens);

	x->gateways = c->gateway != NULL;
	out->door_count = x->gateways + c->workload_count;
	out->doors = x->doors = arena_array(c->arena, struct reasoning_door, out->door_count);
	name_doors(x, c);
	d->reasoner = x;
	if (decision_init(d, j, c))
		must(decision_run(d) == OK);
	out->verdict = &d->verdict;
	judge_free(&j);
	return out;
}
