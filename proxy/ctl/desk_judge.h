/* SPDX-License-Identifier: Apache-2.0
 *
 * desk_judge.h - the verdict on a request, at the desk: by the agent's own code, in this process and
 * without effect (spoa/reasoning.h). The question goes through the wire's layout, as it would to an agent.
 *
 * Nothing is sent anywhere: keys that documents name by a URL are those of `jwks`, or none; providers of
 * CUSTOM policies are not asked.
 *
 * The reasons are NULL where the question was not judged at all.
 *
 * Owner    the caller. Thread: one at a time. Blocks: reads documents. */
#ifndef SALLYPORT_CTL_DESK_JUDGE_H
#define SALLYPORT_CTL_DESK_JUDGE_H

#include "proxy/authz/client.h"
#include "sallyport/text.h"

struct arena;
struct desk_judge;
struct reasoning;

/* `documents`: a copy of them (resource_set_load_and_copy()), without errors. `jwks`: a key set as JSON, or
 * absent. */
struct desk_judge *desk_judge_create(int documents, struct slice jwks);
/* Clears the caller's pointer; *jp may be NULL already. */
void desk_judge_free(struct desk_judge **jp);

/* `claims`: of a token that counts as verified, a JSON object; absent: the request's own token is looked at,
 * if any. `at_s`: when, since 1970; 0: now. The verdict and its reasons live in the arena, or as long as
 * the judge. */
const struct reasoning *desk_judge_ask(struct desk_judge *j, const struct check_request *q,
				       struct slice claims, int64_t at_s, struct arena *a,
				       struct authz_verdict *v);

#endif
