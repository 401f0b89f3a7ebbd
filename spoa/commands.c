/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/commands.h"

#include <stdio.h>
#include <unistd.h>

#include "sallyport/table.h"
#include "spoa/agent_priv.h"
#include "spoa/policy_priv.h"

#define AGE_TEXT_BYTES	32

/* ---- what runs ---- */

static void add_number(struct text *out, const char *key, unsigned long value, bool json)
{
	text_printf(out, json ? ",\"%s\":%lu" : "%s: %lu\n", key, value);
}

static enum outcome show_info(const struct admin_request *r)
{
	const struct spoa_agent *a = r->program;

	text_printf(r->out, r->json ? "{\"Name\":\"sallyport-authz\",\"Version\":\"%s\",\"Revision\":\"%.*s\""
				    : "Name: sallyport-authz\nVersion: %s\nRevision: %.*s\n",
		    SALLYPORT_VERSION, SLICE_ARG(a->rules->rev));
	add_number(r->out, "Pid", (unsigned long)getpid(), r->json);
	add_number(r->out, "Uptime_sec", (unsigned long)((clock_monotonic_ms() - a->started_ms) / 1000), r->json);
	add_number(r->out, "Threads", a->config->threads, r->json);
	add_number(r->out, "Documents", a->rules->set->documents, r->json);
	add_number(r->out, "Loads", atomic_load(&a->loads_begun), r->json);
	text_add(r->out, r->json ? SLICE("}\n") : NO_SLICE);
	return OK;
}

static unsigned long sum(const struct spoa_agent *a, size_t offset)
{
	unsigned long all = 0;

	for (unsigned i = 0; i < a->config->threads; i++)
		all += atomic_load_explicit((const atomic_ulong *)((const char *)&a->threads[i]->counters +
								   offset), memory_order_relaxed);
	return all;
}

static enum outcome show_counters(const struct admin_request *r)
{
	const struct spoa_agent *a = r->program;

	text_add(r->out, r->json ? SLICE("{\"threads\":") : SLICE("threads: "));
	text_printf(r->out, "%u%s", a->config->threads, r->json ? "" : "\n");
#define X(member, text) \
	add_number(r->out, #member, sum(a, offsetof(struct spoa_counters, member)), r->json);
	SPOA_COUNTERS(X)
#undef X
	text_add(r->out, r->json ? SLICE("}\n") : NO_SLICE);
	return OK;
}

/* ---- keys ---- */

static const char *age_text(int64_t ms, char out[AGE_TEXT_BYTES])
{
	if (ms < 0)
		return "-";
	snprintf(out, AGE_TEXT_BYTES, "%llds", (long long)(ms / 1000));
	return out;
}

static const char *source_text(const struct jwks_report *r)
{
	return r->is_inline ? "inline" : r->uri[0] != '\0' ? r->uri : "discovered";
}

static void jwks_row(void *arg, const struct jwks_report *r)
{
	char keys[32], age[AGE_TEXT_BYTES], next[AGE_TEXT_BYTES], fetches[48];

	snprintf(keys, sizeof(keys), "%zu%s", r->stats.keys, r->stats.kept ? " (disk)" : "");
	snprintf(fetches, sizeof(fetches), "%llu/%llu", (unsigned long long)r->stats.fetches,
		 (unsigned long long)r->stats.failures);
	table_row(arg, r->issuer, source_text(r), keys,
		  r->stats.status == JWT_OK ? "OK" : jwt_status_text(r->stats.status),
		  age_text(r->stats.age_ms, age), age_text(r->stats.next_ms, next), fetches,
		  r->stats.error[0] != '\0' ? r->stats.error : "-");
}

static void add_member(struct text *out, const char *name, struct slice value)
{
	text_printf(out, ",\"%s\":", name);
	text_add_json(out, value);
}

static void key_json(struct text *out, const struct jwk *key)
{
	static const char *const kinds[] = {
		[JWK_RSA] = "RSA", [JWK_P256] = "P-256", [JWK_P384] = "P-384", [JWK_P521] = "P-521",
		[JWK_ED25519] = "Ed25519",
	};

	text_printf(out, "{\"kind\":\"%s\",\"bits\":%u", kinds[key->kind], key->bits);
	if (key->kid.at != NULL)
		add_member(out, "kid", key->kid);
	if (key->alg.at != NULL)
		add_member(out, "alg", key->alg);
	text_add_char(out, '}');
}

static void jwks_json(void *arg, const struct jwks_report *r)
{
	const struct jwks_stats *s = &r->stats;
	struct text *out = arg;

	text_add(out, out->len > 1 ? SLICE(",{\"issuer\":") : SLICE("{\"issuer\":"));
	text_add_json(out, slice_of(r->issuer));
	add_member(out, "source", slice_of(source_text(r)));
	add_member(out, "status", slice_of(s->status == JWT_OK ? "OK" : jwt_status_text(s->status)));
	add_member(out, "error", slice_of(s->error));
	text_printf(out, ",\"from_disk\":%s,\"age_ms\":%lld,\"next_ms\":%lld,\"fetches\":%llu,"
		    "\"discoveries\":%llu,\"failures\":%llu,\"demanded\":%llu,\"rate_limited\":%llu,"
		    "\"changes\":%llu,\"waiting\":%zu,\"keys\":[", s->kept ? "true" : "false",
		    (long long)s->age_ms, (long long)s->next_ms, (unsigned long long)s->fetches,
		    (unsigned long long)s->discoveries, (unsigned long long)s->failures,
		    (unsigned long long)s->demanded, (unsigned long long)s->rate_limited,
		    (unsigned long long)s->changes, s->waiters);
	for (size_t i = 0; r->set != NULL && i < jwk_set_count(r->set); i++) {
		if (i > 0)
			text_add_char(out, ',');
		key_json(out, jwk_set_key(r->set, i));
	}
	text_add(out, SLICE("]}"));
}

static enum outcome jwks_show(const struct admin_request *r)
{
	static const char *const heads[] = { "ISSUER", "SOURCE", "KEYS", "STATUS", "AGE", "NEXT",
					     "FETCHES/FAILED", "ERROR", NULL };
	const struct spoa_agent *a = r->program;
	struct table t;

	if (r->json) {
		text_add_char(r->out, '[');
		jwks_visit(a->keys, jwks_json, r->out);
		text_add(r->out, SLICE("]\n"));
		return OK;
	}
	table_begin(&t, r->out, heads, false);
	jwks_visit(a->keys, jwks_row, &t);
	table_end(&t);
	return OK;
}

static void count_fetched(void *arg, const struct jwks_report *r)
{
	*(size_t *)arg += !r->is_inline;
}

static enum outcome jwks_refresh_now(const struct admin_request *r)
{
	const struct spoa_agent *a = r->program;
	size_t count = 0;

	if (r->arguments.len > 0) {
		count = jwks_refresh_issuer(a->keys, r->arguments);
	} else {
		jwks_visit(a->keys, count_fetched, &count);
		jwks_refresh(a->keys, NULL);
	}
	if (count == 0 && r->arguments.len > 0)
		text_printf(r->out, r->json ? "{\"ok\":false,\"fetching\":%zu}\n"
					    : "FAILED: no issuer of that name has keys to fetch\n", count);
	else
		text_printf(r->out, r->json ? "{\"ok\":true,\"fetching\":%zu}\n"
					    : "OK: %zu sources of keys are being fetched\n", count);
	return OK;
}

/* ---- policies ---- */

static const char *const actions[] = {
	[POLICY_ALLOW] = "ALLOW", [POLICY_DENY] = "DENY", [POLICY_AUDIT] = "AUDIT", [POLICY_CUSTOM] = "CUSTOM",
};
_Static_assert(COUNT_OF(actions) == POLICY_ACTION_COUNT, "every action has its name");

struct policies_asked {
	struct text *out;
	struct slice name;		/* "namespace/name"; absent: all */
	struct table table;
	size_t count;
};

static const char *full_name(const struct policy *p, char out[512])
{
	snprintf(out, 512, "%.*s/%.*s", SLICE_ARG(p->ns), SLICE_ARG(p->name));
	return out;
}

static bool is_asked(const struct policies_asked *q, const struct policy *p)
{
	char name[512];

	return q->name.len == 0 || slice_eq(slice_of(full_name(p, name)), q->name);
}

static unsigned long decided(const struct policy *p, size_t rule)
{
	return atomic_load_explicit(&p->ledger->decided[rule], memory_order_relaxed);
}

static unsigned long unmatched(const struct policy *p)
{
	return atomic_load_explicit(&p->ledger->unmatched, memory_order_relaxed);
}

static void policy_rows(void *arg, const struct policy *p)
{
	struct policies_asked *q = arg;
	const char *mode = p->dry_run ? "dry-run" : "enforced";
	char name[512], rule[24], count[24];

	if (!is_asked(q, p))
		return;
	q->count++;
	full_name(p, name);
	for (size_t i = 0; i < p->rule_count; i++) {
		snprintf(rule, sizeof(rule), "%zu", i);
		snprintf(count, sizeof(count), "%lu", decided(p, i));
		table_row(&q->table, name, actions[p->action], mode, rule, count);
	}
	snprintf(count, sizeof(count), "%lu", unmatched(p));
	if (p->action == POLICY_ALLOW || p->rule_count == 0)
		table_row(&q->table, name, actions[p->action], mode, "none", count);
}

static void timestamp(int64_t wall_us, char out[32])
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;

	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s, &tm));
}

static const char *or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

static void policy_refusals(void *arg, const struct policy *p)
{
	struct ledger_request last[LEDGER_REQUESTS];
	struct policies_asked *q = arg;
	char name[512], when[32];
	unsigned count;

	if (!is_asked(q, p) || (count = ledger_requests(p->ledger, last)) == 0)
		return;
	text_printf(q->out, "%s would have refused, last first:\n", full_name(p, name));
	for (unsigned i = 0; i < count; i++) {
		timestamp(last[i].wall_us, when);
		text_printf(q->out, "  %s %s %s %s%s principal %s request %s\n", when, last[i].source,
			    or_dash(last[i].method), last[i].authority, last[i].path,
			    or_dash(last[i].principal), or_dash(last[i].request_id));
	}
}

static void refusal_json(struct text *out, const struct ledger_request *r)
{
	char when[32];

	timestamp(r->wall_us, when);
	text_printf(out, "{\"time\":\"%s\"", when);
	add_member(out, "source", slice_of(r->source));
	add_member(out, "method", slice_of(r->method));
	add_member(out, "authority", slice_of(r->authority));
	add_member(out, "path", slice_of(r->path));
	add_member(out, "principal", slice_of(r->principal));
	add_member(out, "request_id", slice_of(r->request_id));
	text_add_char(out, '}');
}

static void policy_json(void *arg, const struct policy *p)
{
	struct ledger_request last[LEDGER_REQUESTS];
	struct policies_asked *q = arg;
	char name[512];
	unsigned count;

	if (!is_asked(q, p))
		return;
	text_add(q->out, q->count++ > 0 ? SLICE(",{\"policy\":") : SLICE("{\"policy\":"));
	text_add_json(q->out, slice_of(full_name(p, name)));
	text_printf(q->out, ",\"action\":\"%s\",\"dry_run\":%s,\"rules\":[", actions[p->action],
		    p->dry_run ? "true" : "false");
	for (size_t i = 0; i < p->rule_count; i++)
		text_printf(q->out, "%s%lu", i > 0 ? "," : "", decided(p, i));
	text_printf(q->out, "],\"none\":%lu,\"would_have_refused\":[", unmatched(p));
	count = ledger_requests(p->ledger, last);
	for (unsigned i = 0; i < count; i++) {
		text_add(q->out, i > 0 ? SLICE(",") : SLICE(""));
		refusal_json(q->out, &last[i]);
	}
	text_add(q->out, SLICE("]}"));
}

static enum outcome policies(const struct admin_request *r)
{
	static const char *const heads[] = { "POLICY", "ACTION", "MODE", "RULE", "DECIDED", NULL };
	const struct spoa_agent *a = r->program;
	struct policies_asked q = { .out = r->out, .name = r->arguments };

	if (r->json) {
		text_add_char(r->out, '[');
		policy_index_visit(a->rules->index, policy_json, &q);
		text_add(r->out, SLICE("]\n"));
		return OK;
	}
	table_begin(&q.table, r->out, heads, false);
	policy_index_visit(a->rules->index, policy_rows, &q);
	table_end(&q.table);
	policy_index_visit(a->rules->index, policy_refusals, &q);
	if (q.count == 0 && q.name.len > 0) {
		text_clear(r->out);
		text_printf(r->out, "FAILED: no policy %.*s; write NAMESPACE/NAME\n", SLICE_ARG(q.name));
	}
	return OK;
}

static const struct admin_command commands[] = {
	{ "show info", NULL, "what runs: version, revision of the documents, threads", false, show_info },
	{ "show counters", NULL, "every counter of the threads, summed", false, show_counters },
	{ "policies", "[NAMESPACE/NAME]", "how often each rule decided; what dry runs would have refused", false,
	  policies },
	{ "jwks show", NULL, "issuers and their keys: where from, how old, what went wrong", false, jwks_show },
	{ "jwks refresh", "[ISSUER]", "fetches keys now, whatever the timers say", true, jwks_refresh_now },
};

struct admin_socket *commands_open(struct spoa_agent *a, const char *path, char *why, size_t why_bytes)
{
	return admin_socket_open(a->base, path, commands, COUNT_OF(commands), a, why, why_bytes);
}
