/* SPDX-License-Identifier: Apache-2.0
 *
 * door.c - what happens at one door: CUSTOM, tokens, AUDIT, DENY, ALLOW
 * (spec/authorization-policy.md 4.1), and beside it the policies on trial. */
#include "sallyport/clock.h"
#include "spoa/decision_priv.h"

/* Tokens */

static bool has_waited(const struct decision *d, uint64_t source)
{
	for (size_t i = 0; i < d->waited_count; i++)
		if (d->waited[i] == source)
			return true;
	return d->waited_count == SOURCES_WAITED_MAX;
}

static int64_t wait_ms(const struct decision *d)
{
	int64_t left;

	if (d->check->deadline_ms == 0)
		return JUDGE_KEYS_WAIT_MS;
	left = d->check->deadline_ms - clock_monotonic_ms() - JUDGE_MARGIN_MS;
	return left < JUDGE_KEYS_WAIT_MS ? left : JUDGE_KEYS_WAIT_MS;
}

static void on_keys(void *arg)
{
	struct decision *d = arg;

	d->waiter = NULL;
	decision_go_on(d);
}

/* True: on_keys() comes later. False: the keys there are now decide; *again: they are new. */
static bool wait_for_keys(struct decision *d, const struct authn *a, bool *again)
{
	enum jwks_answer answer;
	uint64_t id;

	*again = false;
	if (a->wanting == NULL || d->judge->base == NULL || wait_ms(d) <= 0)
		return false;
	id = jwks_source_id(a->wanting);
	if (has_waited(d, id))
		return false;
	d->waited[d->waited_count++] = id;
	answer = jwks_wait(a->wanting, a->kid, d->judge->base, wait_ms(d), on_keys, d, &d->waiter);
	*again = answer == JWKS_READY;
	if (answer != JWKS_WAITING)
		return false;
	decision_begin_wait(d);
	return true;
}

/* OK: see a->status. AGAIN: waits. */
static enum outcome authenticate(struct decision *d, struct authn *a, const struct request *r)
{
	bool again = true;

	while (again) {
		authn_run(a, r);
		if (a->status == JWT_OK)
			return OK;
		if (wait_for_keys(d, a, &again))
			return AGAIN;
	}
	return OK;
}

/* Policies */

/* No rule decided anything where somebody only asks why. */
void decision_count(struct decision *d, const struct match *m)
{
	if (d->reasoner == NULL)
		ledger_count(m->policy->ledger, m->rule);
}

static void count_unmatched(struct decision *d, const struct policy_list *list)
{
	for (size_t i = 0; d->reasoner == NULL && i < list->count; i++)
		ledger_count_unmatched(list->items[i]->ledger);
}

static void audit(struct decision *d, const struct policy_set *set, const struct request *r)
{
	struct match m = policies_match(&set->by_action[POLICY_AUDIT], r);

	if (m.policy == NULL || d->reasoner != NULL)
		return;
	decision_count(d, &m);
	log_info("audit", "%.*s: request %.*s: %.*s %.*s%.*s", SLICE_ARG(m.policy->rules[m.rule].id),
		 SLICE_ARG(r->check->request_id), SLICE_ARG(r->check->method), SLICE_ARG(r->authority),
		 SLICE_ARG(r->path));
}

/* What the policies on trial would have said: each keeps its own account, the first refusal of any
 * door goes with the verdict. */

static void note(struct decision *d, const struct policy *p, const struct request *r)
{
	if (d->reasoner == NULL)
		ledger_note(p->ledger, r);
}

static struct slice match_id(const struct match *m)
{
	return m->policy != NULL ? m->policy->rules[m->rule].id : SLICE("none");
}

static void would_refuse(struct decision *d, const struct match *m)
{
	if (!slice_starts(d->shadow, SLICE("denied")))
		d->shadow = slice_of(arena_printf(d->check->arena, "denied %.*s", SLICE_ARG(match_id(m))));
}

static void try_deny(struct decision *d, const struct policy_list *list, const struct request *r)
{
	struct match m;

	for (size_t i = 0; i < list->count; i++) {
		m.policy = list->items[i];
		if (!policy_matches(m.policy, r, &m.rule))
			continue;
		decision_count(d, &m);
		note(d, m.policy, r);
		would_refuse(d, &m);
	}
}

/* The first that matches would let it in; where none does, it is refused by all of them. */
static void try_allow(struct decision *d, const struct policy_list *list, const struct request *r)
{
	struct match m = policies_match(list, r);

	if (m.policy != NULL) {
		decision_count(d, &m);
		if (d->shadow.at == NULL)
			d->shadow = slice_of(arena_printf(d->check->arena, "allowed %.*s",
							  SLICE_ARG(match_id(&m))));
		return;
	}
	count_unmatched(d, list);
	for (size_t i = 0; i < list->count; i++)
		note(d, list->items[i], r);
	if (list->count > 0)
		would_refuse(d, &m);
}

/* As Envoy's shadow engines put it. */
static void log_shadow(const struct policy_list *list, const struct request *r, const char *engine, bool denies)
{
	struct match m;

	if (list->count == 0 || !log_enabled(LOG_DEBUG))
		return;
	m = policies_match(list, r);
	log_debug("dry-run", "request %.*s: istio_dry_run_%s_shadow_engine_result=%s "
		  "istio_dry_run_%s_shadow_effective_policy_id=%.*s", SLICE_ARG(r->check->request_id), engine,
		  (m.policy != NULL) == denies ? "denied" : "allowed", engine, SLICE_ARG(match_id(&m)));
}

static void shadow(struct decision *d, const struct policy_set *set, const struct request *r)
{
	if (set->shadow_deny.count + set->shadow_allow.count == 0)
		return;
	try_deny(d, &set->shadow_deny, r);
	try_allow(d, &set->shadow_allow, r);
	if (d->reasoner == NULL) {
		log_shadow(&set->shadow_deny, r, "deny", true);
		log_shadow(&set->shadow_allow, r, "allow", false);
	}
	if (d->shadow.at == NULL)
		d->shadow = SLICE("allowed none");
}

static bool policies_allow(struct decision *d, const struct policy_set *set, const struct request *r)
{
	struct match m;

	audit(d, set, r);
	shadow(d, set, r);
	m = policies_match(&set->by_action[POLICY_DENY], r);
	if (m.policy != NULL) {
		decision_count(d, &m);
		verdict_deny_by_rule(d, &m);
		return false;
	}
	if (set->by_action[POLICY_ALLOW].count == 0)
		return true;
	m = policies_match(&set->by_action[POLICY_ALLOW], r);
	if (m.policy == NULL) {
		count_unmatched(d, &set->by_action[POLICY_ALLOW]);
		verdict_deny_for_none(d, &set->by_action[POLICY_ALLOW], r);
		return false;
	}
	decision_count(d, &m);
	d->verdict.policy = match_id(&m);
	return true;
}

/* Doors */

static enum passage policies_pass(struct decision *d, const struct policy_set *set, struct request *r)
{
	bool allow;

	if (d->reasoner != NULL)
		reasoner_policies(d, set, r);
	allow = policies_allow(d, set, r);
	r->token = NULL;
	r->provider = NULL;
	return allow ? PASSED : REFUSED;
}

static enum passage tokens_pass(struct decision *d, const struct policy_set *set, struct request *r,
				struct changes *changes)
{
	int64_t now_s = d->check->now_s != 0 ? d->check->now_s : clock_wall_us() / 1000000;
	struct authn a = { .tokens = d->judge->tokens, .set = set, .now_s = now_s };
	enum passage passage;

	if (d->reasoner != NULL)
		a.each = arena_array(d->check->arena, enum jwt_status, set->provider_count);
	if (authenticate(d, &a, r) == AGAIN)
		return WAITS;
	if (d->reasoner != NULL)
		reasoner_tokens(d, &a);
	if (a.status != JWT_OK) {
		verdict_deny_by_token(d, &a, r);
		return REFUSED;
	}
	verdict_remember_identity(d, &a);
	authn_changes(&a, r, changes);
	request_apply(r, changes);
	r->token = a.token;
	r->provider = a.provider;
	passage = policies_pass(d, set, r);
	token_unref(&a.token);
	return passage;
}

enum passage door_pass(struct decision *d, const struct policy_set *set, struct request *r,
		       struct changes *changes)
{
	enum passage custom;

	if (d->reasoner != NULL)
		reasoner_enter(d, set, r);
	custom = custom_pass(d, set, r, changes);
	if (custom != PASSED)
		return custom;
	if (set->provider_count > 0 && d->check->proto == CHECK_HTTP && !authn_is_preflight(r))
		return tokens_pass(d, set, r, changes);
	return policies_pass(d, set, r);
}
