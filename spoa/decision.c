/* SPDX-License-Identifier: Apache-2.0
 *
 * decision.c - a request goes from door to door: the gateway first, then each workload behind the
 * route, each with the request as the gateway left it. At a door: CUSTOM, tokens, AUDIT, DENY,
 * ALLOW (spec/authorization-policy.md 4.1). */
#include "spoa/decision.h"

#include <stdlib.h>

#include "sallyport/clock.h"
#include "spoa/authn.h"
#include "spoa/extauthz.h"

#define SOURCES_WAITED_MAX	8u	/* key sources that one decision waits for */
#define RBAC_DENIED		"RBAC: access denied"
#define UNAVAILABLE		"authorization service unavailable"

static const char *const reason_names[] = {
	[REASON_OK] = "ok", [REASON_JWT] = "jwt", [REASON_RBAC] = "rbac",
	[REASON_CUSTOM] = "custom", [REASON_ERROR] = "error",
};
_Static_assert(COUNT_OF(reason_names) == REASON_COUNT, "every reason has its token");

const char *verdict_reason_name(enum verdict_reason reason)
{
	return reason_names[reason];
}

struct judge {
	struct policy_index *index;	/* one reference */
	struct event_base *base;	/* borrowed */
	struct token_cache *tokens;	/* borrowed */
	struct policy_set *sets;	/* by namespace and labels, oldest first; one reference each */
	struct extauthz *external;	/* owned; NULL until a provider is asked */
	size_t waiting;			/* decisions that wait for keys or a provider */
};

/* What a door leaves behind when all went well there. */
struct door {
	struct request request;		/* as it is after the door */
	struct changes changes;		/* of this door alone */
	bool seen;			/* an equal one was passed already */
};

struct decision {
	struct judge *judge;
	const struct check *check;
	decided_fn *on_decided;
	void *arg;
	struct policy_index *index;	/* one reference, once it waits; NULL: the judge's */
	struct jwks_waiter *waiter;	/* for keys; NULL: for none */
	struct extauthz_call *call;	/* to a provider; NULL: none */
	size_t asked_door;		/* 1 + the door whose provider was asked last; 0: none was */
	struct extauthz_answer answer;	/* of that one, in the check's arena */
	uint64_t waited[SOURCES_WAITED_MAX];	/* sources whose answer stands now */
	size_t waited_count;
	size_t next_door;		/* 0: the gateway; n: workload n - 1 */
	struct request received;	/* with its path normalised */
	struct request inner;		/* as the gateway left it */
	struct changes changes;		/* of all doors so far */
	LIST(struct check_header) response;	/* what providers put on it */
	struct slice shadow;
	struct verdict verdict;
};

/* Judges */

struct judge *judge_create(struct policy_index *index, struct event_base *base,
			   struct token_cache *tokens)
{
	struct judge *j = calloc(1, sizeof(*j));

	if (j == NULL)
		fatal("out of memory: judge");
	must(tokens != NULL);
	j->index = policy_index_ref(index);
	j->base = base;
	j->tokens = tokens;
	return j;
}

static void sets_drop(struct judge *j, size_t count)
{
	struct policy_set *s, *next;

	HASH_ITER(hh, j->sets, s, next) {
		if (count-- == 0)
			return;
		HASH_DEL(j->sets, s);
		policy_set_unref(&s);
	}
}

void judge_use(struct judge *j, struct policy_index *index)
{
	struct policy_index *old = j->index;

	j->index = policy_index_ref(index);
	sets_drop(j, SIZE_MAX);
	policy_index_unref(&old);
}

void judge_free(struct judge **jp)
{
	struct judge *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	must(j->waiting == 0);
	extauthz_free(&j->external);
	sets_drop(j, SIZE_MAX);
	policy_index_unref(&j->index);
	free(j);
}

/* The two in one: a namespace holds no NUL, a check with one is refused. */
static struct slice set_key(struct arena *arena, const struct check_workload *w)
{
	char *key = arena_alloc(arena, w->ns.len + 1 + w->labels.len);

	if (w->ns.len > 0)
		memcpy(key, w->ns.at, w->ns.len);
	key[w->ns.len] = '\0';
	if (w->labels.len > 0)
		memcpy(key + w->ns.len + 1, w->labels.at, w->labels.len);
	return slice_make(key, w->ns.len + 1 + w->labels.len);
}

static struct policy_set *judge_find_set(struct judge *j, struct arena *arena,
					 const struct check_workload *w)
{
	struct slice key = set_key(arena, w);
	struct policy_set *s = NULL;

	HASH_FIND(hh, j->sets, key.at, key.len, s);
	if (s != NULL)
		return policy_set_ref(s);
	if (HASH_COUNT(j->sets) >= JUDGE_SETS_MAX)
		sets_drop(j, JUDGE_SETS_MAX / 2);
	s = policy_set_create(j->index, w->ns, w->labels);
	s->key = arena_slice(s->arena, key);
	HASH_ADD_KEYPTR(hh, j->sets, s->key.at, s->key.len, s);
	return policy_set_ref(s);
}

/* After a reload a decision that had to wait goes on by the policies it began with. */
static struct policy_set *decision_find_set(struct decision *d, const struct check_workload *w)
{
	if (d->index != NULL && d->index != d->judge->index)
		return policy_set_create(d->index, w->ns, w->labels);
	return judge_find_set(d->judge, d->check->arena, w);
}

/* Verdicts */

static void deny(struct decision *d, unsigned status, enum verdict_reason reason, const char *body)
{
	d->verdict = (struct verdict){
		.allow = false, .status = (uint16_t)status, .reason = reason,
		.body = slice_of(body), .content_type = SLICE("text/plain"),
		.shadow = d->shadow,
		.response_set = { d->response.items, d->response.count },
	};
}

static struct slice policy_id(struct arena *arena, const struct match *m)
{
	return slice_of(arena_printf(arena, "ns[%.*s]-policy[%.*s]-rule[%zu]",
				     SLICE_ARG(m->policy->ns), SLICE_ARG(m->policy->name), m->rule));
}

/* `m->policy` NULL: no ALLOW policy matched. */
static void deny_by_policy(struct decision *d, const struct match *m)
{
	struct arena *arena = d->check->arena;
	struct slice id = m->policy != NULL ? policy_id(arena, m) : SLICE("none");

	deny(d, 403, REASON_RBAC, RBAC_DENIED);
	if (m->policy != NULL)
		d->verdict.policy = id;
	d->verdict.detail = slice_of(arena_printf(arena, "rbac_access_denied_matched_policy[%.*s]",
						  SLICE_ARG(id)));
}

/* There is no provider to ask, or more than one: what the policy matches is refused (10.1). */
static void deny_by_custom(struct decision *d, const struct match *m)
{
	struct arena *arena = d->check->arena;
	struct slice id = policy_id(arena, m);

	deny(d, 403, REASON_CUSTOM, RBAC_DENIED);
	d->verdict.policy = slice_of(arena_printf(arena, "istio-ext-authz-%.*s-%.*s"
						  "-deny-due-to-bad-CUSTOM-action",
						  SLICE_ARG(m->policy->provider), SLICE_ARG(id)));
	d->verdict.detail = slice_of(arena_printf(arena, "rbac_access_denied_matched_policy[%.*s]",
						  SLICE_ARG(d->verdict.policy)));
}

static void deny_by_token(struct decision *d, const struct policy_set *set, const struct request *r,
			  enum jwt_status status)
{
	char *detail;

	if (status == JWT_PENDING)
		status = JWKS_FETCH_FAIL;	/* the deadline came before the keys */
	deny(d, jwt_status_code(status), REASON_JWT, jwt_status_text(status));
	d->verdict.www_authenticate = authn_challenge(set, r, d->check->path, status);
	detail = arena_printf(d->check->arena, "jwt_authn_access_denied{%s}", jwt_status_text(status));
	for (char *c = detail; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	d->verdict.detail = slice_of(detail);
}

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

/* The policies that it began with stay, whatever is loaded meanwhile. */
static void begin_wait(struct decision *d)
{
	d->judge->waiting++;
	if (d->index == NULL)
		d->index = policy_index_ref(d->judge->index);
}

static void on_keys(void *arg);

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
	begin_wait(d);
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

static void remember_identity(struct decision *d, const struct authn *a)
{
	struct verdict *v = &d->verdict;
	struct arena *arena = d->check->arena;

	if (a->token == NULL || v->payload.at != NULL)
		return;
	v->payload = arena_slice(arena, a->token->payload);
	if (a->token->iss.at != NULL && a->token->sub.at != NULL)
		v->principal = slice_of(arena_printf(arena, "%.*s/%.*s", SLICE_ARG(a->token->iss),
						     SLICE_ARG(a->token->sub)));
	if (d->check->claims_wanted)
		v->claims = authn_claims(a->provider, a->token, arena);
}

/* Policies */

static void audit(const struct policy_set *set, const struct request *r)
{
	struct match m = policies_match(&set->by_action[POLICY_AUDIT], r);

	if (m.policy == NULL)
		return;
	ledger_count(m.policy->ledger, m.rule);
	log_info("audit", "ns[%.*s]-policy[%.*s]-rule[%zu]: request %.*s: %.*s %.*s%.*s",
			 SLICE_ARG(m.policy->ns), SLICE_ARG(m.policy->name), m.rule,
			 SLICE_ARG(r->check->request_id), SLICE_ARG(r->check->method),
			 SLICE_ARG(r->authority), SLICE_ARG(r->path));
}

/* What the policies on trial would have said: each keeps its own account, the first refusal of any
 * door goes with the verdict. */

static void would_refuse(struct decision *d, const struct match *m)
{
	struct slice id = m->policy != NULL ? policy_id(d->check->arena, m) : SLICE("none");

	if (!slice_starts(d->shadow, SLICE("denied")))
		d->shadow = slice_of(arena_printf(d->check->arena, "denied %.*s", SLICE_ARG(id)));
}

static void try_deny(struct decision *d, const struct policy_list *list, const struct request *r)
{
	struct match m;

	for (size_t i = 0; i < list->count; i++) {
		m.policy = list->items[i];
		if (!policy_matches(m.policy, r, &m.rule))
			continue;
		ledger_count(m.policy->ledger, m.rule);
		ledger_note(m.policy->ledger, r);
		would_refuse(d, &m);
	}
}

/* The first that matches would let it in; where none does, it is refused by all of them. */
static void try_allow(struct decision *d, const struct policy_list *list, const struct request *r)
{
	struct match m = policies_match(list, r);

	if (m.policy != NULL) {
		ledger_count(m.policy->ledger, m.rule);
		if (d->shadow.at == NULL)
			d->shadow = slice_of(arena_printf(d->check->arena, "allowed %.*s",
							  SLICE_ARG(policy_id(d->check->arena, &m))));
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		ledger_count_unmatched(list->items[i]->ledger);
		ledger_note(list->items[i]->ledger, r);
	}
	if (list->count > 0)
		would_refuse(d, &m);
}

static void shadow(struct decision *d, const struct policy_set *set, const struct request *r)
{
	if (set->shadow_deny.count + set->shadow_allow.count == 0)
		return;
	try_deny(d, &set->shadow_deny, r);
	try_allow(d, &set->shadow_allow, r);
	if (d->shadow.at == NULL)
		d->shadow = SLICE("allowed none");
}

static void deny_for_none(struct decision *d, const struct policy_list *allowing)
{
	for (size_t i = 0; i < allowing->count; i++)
		ledger_count_unmatched(allowing->items[i]->ledger);
	deny_by_policy(d, &(struct match){ NULL, 0 });
}

static bool policies_allow(struct decision *d, const struct policy_set *set, const struct request *r)
{
	struct match m;

	audit(set, r);
	shadow(d, set, r);
	m = policies_match(&set->by_action[POLICY_DENY], r);
	if (m.policy != NULL) {
		ledger_count(m.policy->ledger, m.rule);
		deny_by_policy(d, &m);
		return false;
	}
	if (set->by_action[POLICY_ALLOW].count == 0)
		return true;
	m = policies_match(&set->by_action[POLICY_ALLOW], r);
	if (m.policy == NULL) {
		deny_for_none(d, &set->by_action[POLICY_ALLOW]);
		return false;
	}
	ledger_count(m.policy->ledger, m.rule);
	d->verdict.policy = policy_id(d->check->arena, &m);
	return true;
}

/* Doors */

enum passage { PASSED, REFUSED, WAITS };

static bool policies_pass(struct decision *d, const struct policy_set *set, struct request *r)
{
	bool allow = policies_allow(d, set, r);

	r->token = NULL;
	r->provider = NULL;
	return allow;
}

/* `r` is the request as the door finds it and, when it passed, as it leaves it. */
static enum passage tokens_pass(struct decision *d, const struct policy_set *set, struct request *r,
				struct changes *changes)
{
	struct authn a = { .tokens = d->judge->tokens, .set = set,
			   .now_s = clock_wall_us() / 1000000 };
	bool allow;

	if (authenticate(d, &a, r) == AGAIN)
		return WAITS;
	if (a.status != JWT_OK) {
		deny_by_token(d, set, r, a.status);
		return REFUSED;
	}
	remember_identity(d, &a);
	authn_changes(&a, r, changes);
	request_apply(r, changes);
	r->token = a.token;
	r->provider = a.provider;
	allow = policies_pass(d, set, r);
	token_unref(&a.token);
	return allow ? PASSED : REFUSED;
}

/* CUSTOM */

/* What the provider says outlives its call in the check's arena. */
static struct slice keep(struct decision *d, struct slice s)
{
	return arena_slice(d->check->arena, s);
}

static void keep_answer(struct decision *d, const struct extauthz_answer *a)
{
	struct extauthz_answer *mine = &d->answer;

	*mine = (struct extauthz_answer){ .result = a->result, .status = a->status, .body = keep(d, a->body) };
	mine->upstream.items = arena_array(d->check->arena, struct extauthz_header, a->upstream.count);
	mine->downstream.items = arena_array(d->check->arena, struct check_header, a->downstream.count);
	for (size_t i = 0; i < a->upstream.count; i++)
		mine->upstream.items[mine->upstream.count++] = (struct extauthz_header){
			a->upstream.items[i].how, keep(d, a->upstream.items[i].name),
			keep(d, a->upstream.items[i].value) };
	for (size_t i = 0; i < a->downstream.count; i++)
		mine->downstream.items[mine->downstream.count++] = (struct check_header){
			keep(d, a->downstream.items[i].name), keep(d, a->downstream.items[i].value) };
}

static void on_provider(void *arg, const struct extauthz_answer *a);

static bool ask_provider(struct decision *d, const struct extauthz_target *t, const struct request *r)
{
	int64_t left = d->check->deadline_ms == 0 ? t->provider->timeout_ms :
		       d->check->deadline_ms - clock_monotonic_ms() - JUDGE_MARGIN_MS;
	struct judge *j = d->judge;

	d->asked_door = d->next_door + 1;
	d->answer = (struct extauthz_answer){ .result = EXTAUTHZ_ERROR };
	if (!extauthz_can_ask(t, r)) {
		/* The client chose what it sent; letting it through is for providers that fail. */
		if (d->check->proto == CHECK_HTTP)
			d->answer = (struct extauthz_answer){ .result = EXTAUTHZ_DENY,
							      .status = t->provider->status_on_error };
		return false;
	}
	if (j->base == NULL || left <= 0)
		return false;
	if (j->external == NULL)
		j->external = extauthz_create(j->base);
	d->call = extauthz_ask(j->external, t, r, left < t->provider->timeout_ms ? left : t->provider->timeout_ms,
			       on_provider, d);
	begin_wait(d);
	return true;
}

static void add_response_headers(struct decision *d)
{
	size_t count = d->response.count + d->answer.downstream.count;
	struct check_header *items = arena_array(d->check->arena, struct check_header, count);

	for (size_t i = 0; i < d->response.count; i++)
		items[i] = d->response.items[i];
	for (size_t i = 0; i < d->answer.downstream.count; i++)
		items[d->response.count + i] = d->answer.downstream.items[i];
	d->response.items = items;
	d->response.count = count;
}

static void apply_header(struct decision *d, const struct extauthz_header *h, struct request *r,
			 struct changes *changes)
{
	struct slice now = request_header(r, h->name);

	if ((h->how == HEADER_ADD_IF_ABSENT && now.at != NULL) || (h->how == HEADER_SET_IF_PRESENT && now.at == NULL))
		return;
	changes_remove_header(changes, h->name);
	if (h->how == HEADER_APPEND && now.at != NULL)
		changes_add_header(changes, h->name, arena_slice(d->check->arena, now));
	if (h->how != HEADER_REMOVE)
		changes_add_header(changes, h->name, h->value);
	request_apply(r, changes);
}

static void refuse_by_provider(struct decision *d, const struct match *m, unsigned status, const char *detail)
{
	deny(d, status, REASON_CUSTOM, "");
	d->verdict.body = d->answer.result == EXTAUTHZ_DENY ? d->answer.body : NO_SLICE;
	d->verdict.policy = policy_id(d->check->arena, m);
	d->verdict.detail = slice_of(detail);
}

/* The answer is there. */
static enum passage custom_obey(struct decision *d, const struct extension_provider *p, const struct match *m,
				struct request *r, struct changes *changes)
{
	switch (d->answer.result) {
	case EXTAUTHZ_ALLOW:
		for (size_t i = 0; i < d->answer.upstream.count; i++)
			apply_header(d, &d->answer.upstream.items[i], r, changes);
		add_response_headers(d);
		return PASSED;
	case EXTAUTHZ_DENY:
		add_response_headers(d);
		refuse_by_provider(d, m, d->answer.status, "ext_authz_denied");
		return REFUSED;
	case EXTAUTHZ_ERROR:
		break;
	}
	if (p->fail_open)
		return PASSED;
	refuse_by_provider(d, m, p->status_on_error, "ext_authz_error");
	return REFUSED;
}

static enum passage custom_pass(struct decision *d, const struct policy_set *set, struct request *r,
				struct changes *changes)
{
	struct match m = policies_match(&set->by_action[POLICY_CUSTOM], r);

	/* Who speaks HTTP has nothing to say of bytes: such a policy is ignored there (7). */
	if (m.policy == NULL || (d->check->proto == CHECK_TCP && set->custom != NULL &&
				 set->custom->provider->kind == PROVIDER_HTTP))
		return PASSED;
	if (d->asked_door != d->next_door + 1)
		ledger_count(m.policy->ledger, m.rule);
	if (set->custom == NULL) {
		deny_by_custom(d, &m);
		return REFUSED;
	}
	if (d->asked_door != d->next_door + 1 && ask_provider(d, set->custom, r))
		return WAITS;
	return custom_obey(d, set->custom->provider, &m, r, changes);
}

static enum passage set_pass(struct decision *d, const struct policy_set *set, struct request *r,
			     struct changes *changes)
{
	enum passage custom = custom_pass(d, set, r, changes);

	if (custom != PASSED)
		return custom;
	if (set->provider_count > 0 && d->check->proto == CHECK_HTTP && !authn_is_preflight(r))
		return tokens_pass(d, set, r, changes);
	return policies_pass(d, set, r) ? PASSED : REFUSED;
}

static enum passage door_pass(struct decision *d, const struct check_workload *w, struct request *r)
{
	struct policy_set *set = decision_find_set(d, w);
	struct changes changes;
	enum passage passage;

	changes_init(&changes, d->check->arena);
	passage = set_pass(d, set, r, &changes);
	if (passage == PASSED)
		changes_append(&d->changes, &changes);
	policy_set_unref(&set);
	return passage;
}

static bool same_slice(struct slice a, struct slice b)
{
	return (a.at == NULL) == (b.at == NULL) && slice_eq(a, b);
}

/* The many endpoints of a route are mostly one workload. */
static bool was_judged(const struct check *c, size_t workload)
{
	const struct check_workload *w = &c->workloads[workload], *e;

	for (size_t i = 0; i < workload; i++) {
		e = &c->workloads[i];
		if (slice_eq(e->ns, w->ns) && slice_eq(e->labels, w->labels) && e->port == w->port &&
		    same_slice(e->path, w->path) && same_slice(e->authority, w->authority))
			return true;
	}
	return false;
}

/* As the gateway left it, then as the route rewrites it for this workload. False: refused. */
static bool workload_request(struct decision *d, const struct check_workload *w, struct request *r)
{
	struct slice target;

	*r = d->inner;
	if (w->authority.at != NULL)
		r->authority = w->authority;
	if (w->port != 0)
		r->port = w->port;
	if (w->path.at == NULL)
		return true;
	if (path_normalize(d->judge->index->mesh.normalization, w->path, d->check->arena, &target) ==
	    PATH_REFUSED)
		return false;
	for (const struct param_cut *cut = d->changes.cuts; cut != NULL; cut = cut->next)
		target = query_cut(d->check->arena, target, cut->name);
	request_set_target(r, target);
	return true;
}

static enum passage next_pass(struct decision *d)
{
	const struct check *c = d->check;
	struct request r = d->received;
	enum passage passage;

	if (d->next_door == 0) {
		passage = c->gateway != NULL ? door_pass(d, c->gateway, &r) : PASSED;
		if (passage == PASSED)
			d->inner = r;
		return passage;
	}
	if (was_judged(c, d->next_door - 1))
		return PASSED;
	if (!workload_request(d, &c->workloads[d->next_door - 1], &r)) {
		deny(d, 400, REASON_ERROR, "");
		d->verdict.detail = SLICE("path_normalization_failed");
		return REFUSED;
	}
	return door_pass(d, &c->workloads[d->next_door - 1], &r);
}

static void allow(struct decision *d)
{
	struct verdict *v = &d->verdict;
	struct request r = d->received;

	v->allow = true;
	v->status = 200;
	v->reason = REASON_OK;
	v->shadow = d->shadow;
	v->response_set.items = d->response.items;
	v->response_set.count = d->response.count;
	if (d->check->proto == CHECK_TCP)
		return;
	changes_to_verdict(&d->changes, &d->received, v);
	for (size_t i = 0; i < v->header_del.count; i++)
		v->strip_authorization |= slice_eq_nocase(v->header_del.items[i],
							  SLICE("authorization"));
	for (const struct param_cut *cut = d->changes.cuts; cut != NULL; cut = cut->next)
		request_set_target(&r, query_cut(d->check->arena, r.target, cut->name));
	if (!slice_eq(r.target, d->check->path))
		v->path_out = r.target;
}

static enum outcome run(struct decision *d)
{
	for (; d->next_door <= d->check->workload_count; d->next_door++) {
		switch (next_pass(d)) {
		case PASSED:
			continue;
		case WAITS:
			return AGAIN;
		case REFUSED:
			return OK;
		}
	}
	allow(d);
	return OK;
}

/* What it waited for is there, or never will be. */
static void go_on(struct decision *d)
{
	d->judge->waiting--;
	if (run(d) == AGAIN)
		return;
	policy_index_unref(&d->index);
	d->on_decided(d->arg, &d->verdict);	/* which may free the arena, and the decision in it */
}

static void on_keys(void *arg)
{
	struct decision *d = arg;

	d->waiter = NULL;
	go_on(d);
}

static void on_provider(void *arg, const struct extauthz_answer *a)
{
	struct decision *d = arg;

	d->call = NULL;
	if (a->result == EXTAUTHZ_ERROR)
		log_warn("custom", "request %.*s: the provider gave no answer: %s",
			 SLICE_ARG(d->check->request_id), a->error);
	keep_answer(d, a);
	go_on(d);
}

/* Checks that no door is asked about */

static bool has_nul(struct slice s)
{
	return s.len > 0 && memchr(s.at, '\0', s.len) != NULL;
}

static bool any_nul(const struct check *c)
{
	bool found = has_nul(c->method) || has_nul(c->scheme) || has_nul(c->authority) ||
		     has_nul(c->path) || has_nul(c->sni);

	for (size_t i = 0; !found && i < c->header_count; i++)
		found = has_nul(c->headers[i].name) || has_nul(c->headers[i].value);
	for (size_t i = 0; !found && i < c->peer_id_count; i++)
		found = has_nul(c->peer_ids[i]);
	for (size_t i = 0; !found && i < c->workload_count; i++)
		found = has_nul(c->workloads[i].ns);
	return found || (c->gateway != NULL && has_nul(c->gateway->ns));
}

/* False: the verdict is there. */
static bool check_is_sound(struct decision *d)
{
	const struct check *c = d->check;

	if (c->header_count > CHECK_HEADERS_MAX) {
		deny(d, 431, REASON_ERROR, "");
		d->verdict.detail = SLICE("too_many_headers");
	} else if (c->workload_count > CHECK_WORKLOADS_MAX) {
		deny(d, 500, REASON_ERROR, "");
		d->verdict.detail = SLICE("too_many_workloads");
	} else if (c->gateway == NULL && c->workload_count == 0) {
		deny(d, 503, REASON_ERROR, UNAVAILABLE);
		d->verdict.detail = SLICE("no_workload");
	} else if (any_nul(c)) {
		deny(d, 403, REASON_RBAC, RBAC_DENIED);
		d->verdict.detail = SLICE("nul_in_attribute");
	} else {
		return true;
	}
	return false;
}

static bool normalize(struct decision *d)
{
	const struct check *c = d->check;
	struct slice target = c->path;

	if (c->proto == CHECK_HTTP && c->path.at != NULL && !c->normalized &&
	    path_normalize(d->judge->index->mesh.normalization, c->path, c->arena, &target) ==
	    PATH_REFUSED) {
		deny(d, 400, REASON_ERROR, "");
		d->verdict.detail = SLICE("path_normalization_failed");
		return false;
	}
	d->received = (struct request){
		.check = c, .authority = c->authority, .port = c->dst_port,
		.headers = c->headers, .header_count = c->header_count,
	};
	request_set_target(&d->received, target);
	return true;
}

enum outcome decision_start(struct judge *j, const struct check *c, decided_fn *on_decided, void *arg,
			    struct decision **out)
{
	struct decision *d = arena_new(c->arena, struct decision);

	d->judge = j;
	d->check = c;
	d->on_decided = on_decided;
	d->arg = arg;
	changes_init(&d->changes, c->arena);
	*out = d;
	if (!check_is_sound(d) || !normalize(d))
		return OK;
	return run(d);
}

const struct verdict *decision_verdict(const struct decision *d)
{
	return &d->verdict;
}

void decision_cancel(struct decision **dp)
{
	struct decision *d = *dp;

	*dp = NULL;
	if (d == NULL || (d->waiter == NULL && d->call == NULL))
		return;
	jwks_wait_cancel(&d->waiter);
	extauthz_cancel(&d->call);
	d->judge->waiting--;
	policy_index_unref(&d->index);
}
