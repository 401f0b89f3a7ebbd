/* SPDX-License-Identifier: Apache-2.0
 *
 * custom.c - what a CUSTOM policy matches is put to its provider, whose answer is obeyed
 * (spec/authorization-policy.md 10). */
#include "sallyport/clock.h"
#include "spoa/decision_priv.h"

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

static void on_provider(void *arg, const struct extauthz_answer *a)
{
	struct decision *d = arg;

	d->call = NULL;
	if (a->result == EXTAUTHZ_ERROR)
		log_warn("custom", "request %.*s: the provider gave no answer: %s",
			 SLICE_ARG(d->check->request_id), a->error);
	keep_answer(d, a);
	decision_go_on(d);
}

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
	decision_begin_wait(d);
	return true;
}

/* Once an answer, though a door that waits for keys as well is gone through again. */
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
	d->answer.downstream.count = 0;
}

static void apply_header(struct decision *d, const struct extauthz_header *h, struct request *r,
			 struct changes *changes)
{
	struct slice now;

	if (h->how == QUERY_SET || h->how == QUERY_REMOVE) {
		if (h->how == QUERY_SET)
			changes_set_param(changes, h->name, h->value);
		else
			changes_cut_param(changes, h->name);
		request_apply(r, changes);
		return;
	}
	now = request_header(r, h->name);
	if ((h->how == HEADER_ADD_IF_ABSENT && now.at != NULL) || (h->how == HEADER_SET_IF_PRESENT && now.at == NULL))
		return;
	changes_remove_header(changes, h->name);
	if (h->how == HEADER_APPEND && now.at != NULL)
		changes_add_header(changes, h->name, arena_slice(d->check->arena, now));
	if (h->how != HEADER_REMOVE)
		changes_add_header(changes, h->name, h->value);
	request_apply(r, changes);
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
		verdict_deny_by_provider(d, m, d->answer.status, "ext_authz_denied");
		return REFUSED;
	case EXTAUTHZ_ERROR:
		break;
	}
	if (p->fail_open)
		return PASSED;
	verdict_deny_by_provider(d, m, p->status_on_error, "ext_authz_error");
	return REFUSED;
}

/* So much of it, and not enough is there? */
static bool lacks_body(const struct check *c, const struct extension_provider *p)
{
	return p->body_bytes > 0 && c->has_body &&
	       (c->body.at == NULL || (c->body_partial && c->body.len < p->body_bytes));
}

/* More than the provider is ready to see. */
static bool is_too_large(const struct check *c, const struct extension_provider *p)
{
	return p->body_bytes > 0 && !p->body_partial && (c->body_partial || c->body.len > p->body_bytes);
}

enum passage custom_pass(struct decision *d, const struct policy_set *set, struct request *r,
			 struct changes *changes)
{
	struct match m = policies_match(&set->by_action[POLICY_CUSTOM], r);

	if (d->reasoner != NULL)
		reasoner_custom(d, set, r);
	/* Who speaks HTTP has nothing to say of bytes: such a policy is ignored there (7). */
	if (m.policy == NULL || (d->check->proto == CHECK_TCP && set->custom != NULL &&
				 set->custom->provider->kind == PROVIDER_HTTP))
		return PASSED;
	if (set->custom != NULL && d->reasoner == NULL && lacks_body(d->check, set->custom->provider)) {
		verdict_want_body(d, &m, set->custom->provider->body_bytes);
		return REFUSED;
	}
	if (d->asked_door != d->next_door + 1)
		decision_count(d, &m);
	if (set->custom == NULL) {
		verdict_deny_by_custom(d, &m);
		return REFUSED;
	}
	if (d->reasoner != NULL)
		return PASSED;
	if (is_too_large(d->check, set->custom->provider)) {	/* also where failOpen is set (10.5) */
		verdict_deny_by_provider(d, &m, 413, "request_payload_too_large");
		return REFUSED;
	}
	if (d->asked_door != d->next_door + 1 && ask_provider(d, set->custom, r))
		return WAITS;
	return custom_obey(d, set->custom->provider, &m, r, changes);
}
