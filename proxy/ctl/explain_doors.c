/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/explain_doors.h"

#include "spoa/reasoning.h"

static const char *action_text(enum policy_action a)
{
	static const char *const texts[POLICY_ACTION_COUNT] = { "ALLOW", "DENY", "AUDIT", "CUSTOM" };

	return texts[a];
}

/* Of a policy: the rule that holds, or the nearest miss. */
static struct slice miss_of(const struct reasoning_policy *p)
{
	return p->evaluated && p->rule_count > 0 && !p->holds ? p->rules[p->rule].miss : NO_SLICE;
}

/* ---- JSON ---- */

static void put_name(struct put_json *j, const char *name, struct slice ns, struct slice of)
{
	struct text t;

	text_init(&t);
	text_printf(&t, "%.*s/%.*s", SLICE_ARG(ns), SLICE_ARG(of));
	put_slice(j, name, text_slice(&t));
	text_fini(&t);
}

static void put_tokens(struct put_json *j, const struct reasoning_door *d)
{
	put_open(j, "tokens", '[');
	for (size_t i = 0; i < d->token_count; i++) {
		const struct reasoning_token *t = &d->tokens[i];

		put_open_item(j, '{');
		put_name(j, "name", t->ns, t->name);
		put_number(j, "rule", t->rule);
		put_slice(j, "issuer", t->issuer);
		put_text(j, "status", !t->evaluated ? NULL : t->status == JWT_OK ? "accepted" :
					  jwt_status_text(t->status));
		put_text(j, "file", t->where.file);
		put_number(j, "line", t->where.line);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_rules(struct put_json *j, const struct reasoning_policy *p)
{
	put_open(j, "rules", '[');
	for (size_t i = 0; p->evaluated && i < p->rule_count; i++) {
		put_open_item(j, '{');
		put_bool(j, "holds", p->rules[i].holds);
		put_slice(j, "why", p->rules[i].holds ? NO_SLICE : p->rules[i].miss);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_policies(struct put_json *j, const struct reasoning_door *d)
{
	put_open(j, "policies", '[');
	for (size_t i = 0; i < d->policy_count; i++) {
		const struct reasoning_policy *p = &d->policies[i];

		put_open_item(j, '{');
		put_name(j, "name", p->ns, p->name);
		put_text(j, "action", action_text(p->action));
		put_bool(j, "dry_run", p->dry_run);
		put_bool(j, "evaluated", p->evaluated);
		put_bool(j, "holds", p->holds);
		if (p->evaluated && p->rule_count > 0)
			put_number(j, "rule", p->rule);
		else
			put_null(j, "rule");
		put_rules(j, p);
		put_text(j, "file", p->where.file);
		put_number(j, "line", p->where.line);
		put_close(j, '}');
	}
	put_close(j, ']');
}

static void put_doors(const void *arg, struct put_json *j)
{
	const struct reasoning *r = arg;

	for (size_t i = 0; r != NULL && i < r->door_count; i++) {
		const struct reasoning_door *d = &r->doors[i];

		put_open_item(j, '{');
		put_bool(j, "gateway", d->gateway);
		put_name(j, "workload", d->ns, d->name);
		put_bool(j, "reached", d->reached);
		put_bool(j, "preflight", d->preflight);
		put_slice(j, "authority", d->authority);
		put_slice(j, "path", d->path);
		put_slice(j, "principal", d->principal);
		put_tokens(j, d);
		put_policies(j, d);
		put_close(j, '}');
	}
}

/* ---- text ---- */

static void say_token(const struct reasoning_token *t, struct text *out)
{
	const char *status = !t->evaluated ? "not evaluated" :
			     t->status == JWT_OK ? "accepted" : jwt_status_text(t->status);

	explain_say(out, "", "token rule %.*s/%.*s#%zu (%s:%u): %s", SLICE_ARG(t->ns), SLICE_ARG(t->name),
		    t->rule, t->where.file, t->where.line, status);
}

static void say_policy(const struct reasoning_policy *p, struct text *out)
{
	struct slice miss = miss_of(p);

	explain_say(out, "", "%s%s %.*s/%.*s#%zu (%s:%u): %s%s%.*s", p->dry_run ? "on trial " : "",
		    action_text(p->action), SLICE_ARG(p->ns), SLICE_ARG(p->name), p->rule, p->where.file,
		    p->where.line, !p->evaluated ? "not evaluated" : p->holds ? "holds" : "does not hold",
		    miss.len > 0 ? ": " : "", SLICE_ARG(miss));
}

static void say_door(const struct reasoning_door *d, struct text *out)
{
	const char *how = !d->reached ? ", not reached" : d->preflight ? ", no token is asked for" : "";

	explain_say(out, "Door", "%s %.*s/%.*s%s", d->gateway ? "gateway" : "workload", SLICE_ARG(d->ns),
		    SLICE_ARG(d->name), how);
	for (size_t i = 0; i < d->token_count; i++)
		say_token(&d->tokens[i], out);
	for (size_t i = 0; i < d->policy_count; i++)
		say_policy(&d->policies[i], out);
}

static void say_doors(const void *arg, struct text *out)
{
	const struct reasoning *r = arg;

	for (size_t i = 0; r != NULL && i < r->door_count; i++)
		say_door(&r->doors[i], out);
}

struct explain_more explain_doors(const struct reasoning *r)
{
	return (struct explain_more){ .text = say_doors, .json = put_doors, .arg = r };
}
