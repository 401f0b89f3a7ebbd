/* SPDX-License-Identifier: Apache-2.0
 *
 * What is asked of claims and what is answered, out of arbitrary bytes: as a question to the agent, as
 * its answer, and as JSON. What JSON says directly is what it says through the wire. */
#include <stdlib.h>

#include "sallyport/claims.h"
#include "sallyport/strict_json.h"

static const struct claims_asked *some_question(struct arena *a)
{
	static const struct slice names[] = { { "a", 1 }, { "b", 1 }, { "scope", 5 }, { "a.b", 3 } };
	const struct slice keys[] = { claim_key(a, names, 1), claim_key(a, names, 2), claim_key(a, names + 2, 1),
				      claim_key(a, names + 3, 1) };

	return claims_asked_create(a, keys, 4);
}

static void check_same(const struct claim_set *x, const struct claim_set *y)
{
	if (x == NULL || y == NULL)
		abort();
	for (size_t i = 0; i < x->asked->keys.count; i++) {
		const struct claim_value *v = &x->values[i], *w = &y->values[i];

		if (v->present != w->present || v->texts.count != w->texts.count)
			abort();
		for (size_t k = 0; k < v->texts.count; k++)
			if (!slice_eq(v->texts.items[k], w->texts.items[k]))
				abort();
	}
}

static void read_json(struct arena *a, const struct claims_asked *asked, struct slice in)
{
	json_t *claims = strict_json_object(in, CLAIMS_JSON_DEPTH_MAX);

	if (claims == NULL)
		return;
	check_same(claims_of_json(a, asked, in),
		   claim_values_read(a, asked, claim_values_write(a, asked->wire, claims, NULL, NULL)));
	json_decref(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create(0);
	const struct claims_asked *asked = some_question(a);
	struct slice in = slice_make(data, size), answer;
	const struct claim_set *set;

	set = claim_values_read(a, asked, in);
	for (size_t i = 0; set != NULL && i < asked->keys.count; i++)
		for (size_t k = 0; k < set->values[i].texts.count; k++)
			if (set->values[i].texts.items[k].at + set->values[i].texts.items[k].len > in.at + in.len)
				abort();
	answer = claim_values_write(a, in, NULL, NULL, NULL);
	if (answer.at != NULL && answer.len > in.len)
		abort();
	claim_key_text(a, in);
	read_json(a, asked, in);
	arena_free(&a);
	return 0;
}
