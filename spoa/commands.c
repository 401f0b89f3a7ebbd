/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/commands.h"

#include <stdio.h>
#include <unistd.h>

#include "sallyport/table.h"
#include "spoa/agent_priv.h"
#include "spoa/jwks.h"

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

static const struct admin_command commands[] = {
	{ "show info", NULL, "what runs: version, revision of the documents, threads", false, show_info },
	{ "show counters", NULL, "every counter of the threads, summed", false, show_counters },
	{ "jwks show", NULL, "issuers and their keys: where from, how old, what went wrong", false, jwks_show },
	{ "jwks refresh", "[ISSUER]", "fetches keys now, whatever the timers say", true, jwks_refresh_now },
};

struct admin_socket *commands_open(struct spoa_agent *a, const char *path, char *why, size_t why_bytes)
{
	return admin_socket_open(a->base, path, commands, COUNT_OF(commands), a, why, why_bytes);
}
