/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.c - what one thread decides by: an index, and for each workload asked about the few
 * policies that reach it. */
#include <stdlib.h>

#include "spoa/decision_priv.h"

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

struct policy_set *judge_find_set(struct judge *j, struct arena *arena, const struct check_workload *w)
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
