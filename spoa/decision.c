/* SPDX-License-Identifier: Apache-2.0
 *
 * decision.c - a request goes from door to door: the gateway first, then each workload behind the
 * route, each with the request as the gateway left it. */
#include "spoa/decision_priv.h"

/* After a reload a decision that had to wait goes on by the policies it began with. */
static struct policy_set *decision_find_set(struct decision *d, const struct check_workload *w)
{
	if (d->index != NULL && d->index != d->judge->index)
		return policy_set_create(d->index, w->ns, w->labels);
	return judge_find_set(d->judge, d->check->arena, w);
}

static enum passage workload_pass(struct decision *d, const struct check_workload *w, struct request *r)
{
	struct policy_set *set = decision_find_set(d, w);
	struct changes changes;
	enum passage passage;

	changes_init(&changes, d->check->arena);
	passage = door_pass(d, set, r, &changes);
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
	request_set_target(r, changes_to_target(&d->changes, target));
	return true;
}

static enum passage next_pass(struct decision *d)
{
	const struct check *c = d->check;
	struct request r = d->received;
	enum passage passage;

	if (d->next_door == 0) {
		passage = c->gateway != NULL ? workload_pass(d, c->gateway, &r) : PASSED;
		if (passage == PASSED)
			d->inner = r;
		return passage;
	}
	if (was_judged(c, d->next_door - 1))
		return PASSED;
	if (!workload_request(d, &c->workloads[d->next_door - 1], &r)) {
		verdict_error(d, 400, "", "path_normalization_failed");
		return REFUSED;
	}
	return workload_pass(d, &c->workloads[d->next_door - 1], &r);
}

enum outcome decision_run(struct decision *d)
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
	verdict_allow(d);
	return OK;
}

void decision_begin_wait(struct decision *d)
{
	d->judge->waiting++;
	if (d->index == NULL)
		d->index = policy_index_ref(d->judge->index);
}

/* What it waited for is there, or never will be. */
void decision_go_on(struct decision *d)
{
	struct policy_index *index = d->index;	/* the verdict names its policies */

	d->judge->waiting--;
	if (decision_run(d) == AGAIN)
		return;
	d->on_decided(d->arg, &d->verdict);	/* which may free the arena, and the decision in it */
	policy_index_unref(&index);
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
		verdict_error(d, 431, "", "too_many_headers");
	} else if (c->workload_count > CHECK_WORKLOADS_MAX) {
		verdict_error(d, 500, "", "too_many_workloads");
	} else if (c->gateway == NULL && c->workload_count == 0) {
		verdict_error(d, 503, UNAVAILABLE, "no_workload");
	} else if (any_nul(c)) {
		verdict_deny(d, 403, REASON_RBAC, RBAC_DENIED);
		d->verdict.detail = d->verdict.why = SLICE("nul_in_attribute");
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
		verdict_error(d, 400, "", "path_normalization_failed");
		return false;
	}
	d->received = (struct request){
		.check = c, .authority = c->authority, .port = c->dst_port,
		.headers = c->headers, .header_count = c->header_count,
	};
	request_set_target(&d->received, target);
	return true;
}

bool decision_init(struct decision *d, struct judge *j, const struct check *c)
{
	d->judge = j;
	d->check = c;
	changes_init(&d->changes, c->arena);
	return check_is_sound(d) && normalize(d);
}

enum outcome decision_start(struct judge *j, const struct check *c, decided_fn *on_decided, void *arg,
			    struct decision **out)
{
	struct decision *d = arena_new(c->arena, struct decision);

	d->on_decided = on_decided;
	d->arg = arg;
	*out = d;
	return decision_init(d, j, c) ? decision_run(d) : OK;
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
