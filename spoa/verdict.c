/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c - how verdicts are worded: what the client reads is Istio's text to the letter; policy, rule
 * and reason are for the operator alone (spec/README.md D9). */
#include "sallyport/claims.h"
#include "spoa/decision_priv.h"

static const char *const reason_names[] = {
	[REASON_OK] = "ok", [REASON_JWT] = "jwt", [REASON_RBAC] = "rbac",
	[REASON_CUSTOM] = "custom", [REASON_ERROR] = "error",
};
_Static_assert(COUNT_OF(reason_names) == REASON_COUNT, "every reason has its token");

const char *verdict_reason_name(enum verdict_reason reason)
{
	return reason_names[reason];
}

/* Allowed */

void verdict_allow(struct decision *d)
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
	if (d->check->claims_of.at != NULL && v->claim_values.at == NULL)
		v->claim_values = claim_values_write(d->check->arena, d->check->claims_of, NULL, NULL, NULL);
	changes_to_verdict(&d->changes, &d->received, v);
	for (size_t i = 0; i < v->header_del.count; i++)
		v->strip_authorization |= slice_eq_nocase(v->header_del.items[i],
							  SLICE("authorization"));
	r.target = changes_to_target(&d->changes, r.target);
	if (!slice_eq(r.target, d->check->path))
		v->path_out = r.target;
}

static bool is_split(const void *arg, struct slice name)
{
	return claim_is_split(arg, name);
}

/* What routes ask of the token that the gateway accepted. */
static void answer_claims(struct decision *d, const struct authn *a)
{
	const struct check *c = d->check;

	if (c->claims_of.at != NULL && d->next_door == 0 && a->token != NULL)
		d->verdict.claim_values = claim_values_write(c->arena, c->claims_of, a->token->claims, is_split,
							     a->provider);
}

void verdict_remember_identity(struct decision *d, const struct authn *a)
{
	struct verdict *v = &d->verdict;
	struct arena *arena = d->check->arena;

	answer_claims(d, a);
	if (a->token == NULL || v->payload.at != NULL)
		return;
	v->payload = arena_slice(arena, a->token->payload);
	if (a->token->iss.at != NULL && a->token->sub.at != NULL)
		v->principal = slice_of(arena_printf(arena, "%.*s/%.*s", SLICE_ARG(a->token->iss),
						     SLICE_ARG(a->token->sub)));
	if (d->check->claims_wanted)
		v->claims = authn_claims(a->provider, a->token, arena);
}

/* Denied */

void verdict_deny(struct decision *d, unsigned status, enum verdict_reason reason, const char *body)
{
	d->verdict = (struct verdict){
		.allow = false, .status = (uint16_t)status, .reason = reason,
		.body = slice_of(body), .content_type = SLICE("text/plain"),
		.shadow = d->shadow,
		.response_set = { d->response.items, d->response.count },
	};
}

void verdict_error(struct decision *d, unsigned status, const char *body, const char *detail)
{
	verdict_deny(d, status, REASON_ERROR, body);
	d->verdict.detail = d->verdict.why = slice_of(detail);
}

static const struct rule *rule_of(const struct match *m)
{
	return &m->policy->rules[m->rule];
}

static struct slice rbac_detail(struct decision *d, struct slice id)
{
	return slice_of(arena_printf(d->check->arena, "rbac_access_denied_matched_policy[%.*s]", SLICE_ARG(id)));
}

static struct slice rule_reason(struct decision *d, const struct match *m, struct slice reason)
{
	return slice_of(arena_printf(d->check->arena, "%.*s: %.*s", SLICE_ARG(rule_of(m)->name),
				     SLICE_ARG(reason)));
}

void verdict_deny_by_rule(struct decision *d, const struct match *m)
{
	verdict_deny(d, 403, REASON_RBAC, RBAC_DENIED);
	d->verdict.policy = rule_of(m)->id;
	d->verdict.detail = rbac_detail(d, rule_of(m)->id);
	d->verdict.why = rule_reason(d, m, SLICE("DENY matched"));
}

void verdict_deny_for_none(struct decision *d, const struct policy_list *allowing, const struct request *r)
{
	struct match m = policies_nearest(allowing, r);
	const struct policy *only = allowing->items[0];

	verdict_deny(d, 403, REASON_RBAC, RBAC_DENIED);
	d->verdict.detail = rbac_detail(d, SLICE("none"));
	if (m.policy != NULL)
		d->verdict.why = rule_reason(d, &m, rule_miss(m.policy, rule_of(&m), r));
	else
		d->verdict.why = slice_of(arena_printf(d->check->arena, "%.*s/%.*s: ALLOW without rules",
						       SLICE_ARG(only->ns), SLICE_ARG(only->name)));
}

void verdict_deny_by_custom(struct decision *d, const struct match *m)
{
	const struct policy *p = m->policy;
	struct arena *arena = d->check->arena;

	verdict_deny(d, 403, REASON_CUSTOM, RBAC_DENIED);
	d->verdict.policy = slice_of(arena_printf(arena, "istio-ext-authz-%.*s-%.*s"
						  "-deny-due-to-bad-CUSTOM-action",
						  SLICE_ARG(p->provider), SLICE_ARG(rule_of(m)->id)));
	d->verdict.detail = rbac_detail(d, d->verdict.policy);
	d->verdict.why = rule_reason(d, m, p->asked != NULL ?
		SLICE("CUSTOM policies of different providers reach this workload") :
		slice_of(arena_printf(arena, "there is no provider %.*s", SLICE_ARG(p->provider))));
}

void verdict_deny_by_provider(struct decision *d, const struct match *m, unsigned status, const char *detail)
{
	bool answered = d->answer.result == EXTAUTHZ_DENY;

	verdict_deny(d, status, REASON_CUSTOM, "");
	d->verdict.body = answered ? d->answer.body : NO_SLICE;
	d->verdict.policy = rule_of(m)->id;
	d->verdict.detail = slice_of(detail);
	d->verdict.why = rule_reason(d, m, slice_of(arena_printf(d->check->arena, "provider %.*s %s %u",
			 SLICE_ARG(m->policy->provider), answered ? "answered" : "gave no answer, so", status)));
}

void verdict_want_body(struct decision *d, const struct match *m, uint32_t bytes)
{
	verdict_deny(d, 503, REASON_CUSTOM, UNAVAILABLE);
	d->verdict.body_wanted = bytes;
	d->verdict.policy = rule_of(m)->id;
	d->verdict.detail = SLICE("ext_authz_error");
	d->verdict.why = rule_reason(d, m, SLICE("the provider has to see the body, which was not sent along"));
}

void verdict_deny_by_token(struct decision *d, const struct authn *a, const struct request *r)
{
	/* Where the deadline came before the keys they are missing. */
	enum jwt_status status = a->status == JWT_PENDING ? JWKS_FETCH_FAIL : a->status;
	const char *text = jwt_status_text(status);
	const struct provider *p = a->blamed;
	char *detail;

	verdict_deny(d, jwt_status_code(status), REASON_JWT, text);
	d->verdict.www_authenticate = authn_challenge(a->set, r, d->check->path, status);
	detail = arena_printf(d->check->arena, "jwt_authn_access_denied{%s}", text);
	for (char *c = detail; *c != '\0'; c++)
		if (*c == ' ')
			*c = '_';
	d->verdict.detail = slice_of(detail);
	d->verdict.why = slice_of(arena_printf(d->check->arena, "%.*s/%.*s#rule %zu: %s", SLICE_ARG(p->of->ns),
					       SLICE_ARG(p->of->name), p->number, text));
}
