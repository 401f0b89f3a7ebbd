/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/ctl/desk_judge.h"

#include <stdlib.h>

#include "sallyport/log.h"
#include "spoa/jwks.h"
#include "spoa/question.h"
#include "spoa/reasoning.h"
#include "spoa/rules.h"
#include "spoa/token_cache.h"

/* As a proxy asks. */
#define FRAME_BYTES	(SPOP_FRAME_SIZE_OURS - (SPOP_HEADER_MAX - SPOP_LENGTH_BYTES))

struct desk_judge {
	struct jwks_store *keys;
	struct rules *rules;
	struct token_cache *tokens;
	struct token *assumed;		/* of the last question; its reasons may point into it */
};

/* What would be fetched from an issuer is what we are given. */
static void replace_keys(struct resource_set *set, struct slice jwks)
{
	for (size_t i = 0; i < set->request_authentications.count; i++) {
		struct request_authentication *r = set->request_authentications.items[i];

		for (size_t k = 0; k < r->rules.count; k++)
			if (r->rules.items[k].jwks.at == NULL)
				r->rules.items[k].jwks = jwks;
	}
}

struct desk_judge *desk_judge_create(int documents, struct slice jwks)
{
	const struct jwks_config config = JWKS_CONFIG_DEFAULT;
	struct desk_judge *j = calloc(1, sizeof(*j));
	struct resource_set *set;
	struct problems ps;

	must(j != NULL);
	problems_init(&ps);
	set = resource_set_load_copy(documents, &ps);
	must(ps.errors == 0);
	problems_fini(&ps);
	replace_keys(set, arena_slice(set->arena, jwks.at != NULL ? jwks : SLICE("{\"keys\":[]}")));
	j->keys = jwks_store_create(&config);
	j->tokens = token_cache_create(0, 0);
	j->rules = rules_create(set, j->keys, NULL);
	return j;
}

void desk_judge_free(struct desk_judge **jp)
{
	struct desk_judge *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	token_unref(&j->assumed);
	token_cache_free(&j->tokens);
	rules_unref(&j->rules);
	jwks_store_free(&j->keys);
	free(j);
}

/* There and back again: what a frame cannot hold cannot be asked. */
static enum outcome pass_over(const struct check_request *q, struct arena *a, struct check_request *out)
{
	char *frame = arena_alloc(a, FRAME_BYTES);
	struct spop_writer w = spop_writer_of(frame, FRAME_BYTES);
	struct spop_reader r;
	struct spop_message m;
	const char *missing;

	check_request_write(&w, q);
	if (w.full)
		return FAILED;
	r = spop_reader_of(slice_make(frame, spop_writer_used(&w)));
	*out = (struct check_request){ 0 };
	must(spop_read_message(&r, &m));
	must(check_request_read(&r, &m, out, &missing) == OK);
	return OK;
}

static struct authz_verdict answer_of(const struct check_reply *reply, struct arena *a)
{
	char *frame = arena_alloc(a, FRAME_BYTES);
	struct spop_writer w = spop_writer_of(frame, FRAME_BYTES);

	check_reply_write(&w, reply);
	if (w.full)
		return authz_verdict_failed(AUTHZ_CAUSE_AGENT_ERROR);
	return authz_verdict_read(slice_make(frame, spop_writer_used(&w)));
}

/* A token with such claims is none. */
static struct check_reply no_token(enum jwt_status status)
{
	return (struct check_reply){ .allow = false, .status = 401, .reason = SLICE("jwt"),
				     .body = slice_of(jwt_status_text(status)),
				     .why = slice_of(jwt_status_text(status)) };
}

static const struct reasoning *judge(struct desk_judge *j, const struct check_request *q, int64_t at_s,
				     struct arena *a, struct check_reply *reply)
{
	struct check *check = arena_new(a, struct check);
	const char *wrong = question_check(q, j->rules, a, check);
	const struct reasoning *reasoning;

	if (wrong != NULL) {
		*reply = question_refusal(wrong, a);
		return NULL;
	}
	check->assumed = j->assumed;
	check->now_s = at_s;
	reasoning = reasoning_of(j->rules->index, j->tokens, check);
	*reply = question_reply(q, reasoning->verdict, a);
	return reasoning;
}

const struct reasoning *desk_judge_ask(struct desk_judge *j, const struct check_request *q,
				       struct slice claims, int64_t at_s, struct arena *a,
				       struct authz_verdict *v)
{
	struct check_request *asked = arena_new(a, struct check_request);
	const struct reasoning *reasoning = NULL;
	enum jwt_status status = JWT_OK;
	struct check_reply reply;

	if (pass_over(q, a, asked) != OK) {
		*v = authz_verdict_failed(AUTHZ_CAUSE_TOO_LARGE);
		return NULL;
	}
	token_unref(&j->assumed);
	if (claims.at != NULL)
		status = token_of_claims(claims, &j->assumed);
	if (status == JWT_OK)
		reasoning = judge(j, asked, at_s, a, &reply);
	else
		reply = no_token(status);
	*v = answer_of(&reply, a);
	return reasoning;
}
