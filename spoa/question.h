/* SPDX-License-Identifier: Apache-2.0
 *
 * question.h - from the message on the wire to the check that is judged, and from the verdict back to the
 * variables of the reply.
 *
 * Owner    results live in the arena, or borrow from the question, which stays as long.
 * Thread   any. Blocks never. */
#ifndef SALLYPORT_SPOA_QUESTION_H
#define SALLYPORT_SPOA_QUESTION_H

#include "sallyport/check_request.h"
#include "spoa/decision.h"
#include "spoa/rules.h"

/* NULL: *c is the check, with the deadline that stood there; else the argument that makes the question
 * unanswerable, or question_too_many_headers (an address of its own). */
const char *question_check(const struct check_request *r, const struct rules *rules, struct arena *a,
			   struct check *c);
extern const char question_too_many_headers[];

/* The reply to one that cannot be answered: a refusal, and why for the asker alone. */
struct check_reply question_refusal(const char *wrong, struct arena *a);

struct check_reply question_reply(const struct check_request *r, const struct verdict *v, struct arena *a);

#endif
