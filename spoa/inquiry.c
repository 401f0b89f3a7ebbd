/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/inquiry.h"

#include <stdlib.h>

#include "sallyport/arena.h"
#include "spoa/connection.h"
#include "spoa/question.h"

#define SERVER_ERROR_STATUS	503

/* ---- the pool ---- */

struct inquiry *inquiry_take(struct spoa_thread *t, struct spoa_connection *c, uint64_t stream_id,
			     uint64_t frame_id)
{
	struct inquiry *q = TAILQ_FIRST(&t->spare);

	if (q != NULL) {
		TAILQ_REMOVE(&t->spare, q, link);
		t->spare_count--;
	} else {
		q = calloc(1, sizeof(*q));
		if (q == NULL)
			fatal("out of memory: inquiry");
		q->arena = arena_create(INQUIRY_ARENA_BYTES);
		q->thread = t;
	}
	q->connection = c;
	q->stream_id = stream_id;
	q->frame_id = frame_id;
	return q;
}

static void inquiry_free(struct inquiry *q)
{
	arena_free(&q->arena);
	free(q);
}

void inquiry_give_back(struct inquiry *q)
{
	struct spoa_thread *t = q->thread;

	must(q->decision == NULL && !q->is_parked);
	rules_unref(&q->rules);
	arena_reset(q->arena);
	q->connection = NULL;
	if (t->spare_count >= INQUIRY_SPARE_MAX) {
		inquiry_free(q);
		return;
	}
	TAILQ_INSERT_HEAD(&t->spare, q, link);
	t->spare_count++;
}

void inquiry_free_spare(struct spoa_thread *t)
{
	struct inquiry *q;

	while ((q = TAILQ_FIRST(&t->spare)) != NULL) {
		TAILQ_REMOVE(&t->spare, q, link);
		inquiry_free(q);
	}
	t->spare_count = 0;
}

static void unpark(struct inquiry *q)
{
	if (!q->is_parked)
		return;
	q->is_parked = false;
	TAILQ_REMOVE(&q->thread->parked, q, parked);
}

void inquiry_cancel(struct inquiry *q)
{
	unpark(q);
	decision_cancel(&q->decision);
	inquiry_give_back(q);
}

/* ---- answers ---- */

/* Refuses without a verdict. */
static void refuse(struct inquiry *q, const struct check_reply *reply)
{
	spoa_count(&q->thread->counters.errors, 1);
	spoa_connection_answer(q->connection, q, reply);
}

static void refuse_argument(struct inquiry *q, const char *name)
{
	const struct check_reply reply = question_refusal(name, q->arena);

	refuse(q, &reply);
}

/* Newer documents did not come. */
static void refuse_late(struct inquiry *q)
{
	refuse(q, &(struct check_reply){ .allow = false, .status = SERVER_ERROR_STATUS, .reason = SLICE("error"),
					 .body = SLICE("request cannot be authorized") });
}

static void answer_verdict(struct inquiry *q, const struct verdict *v)
{
	const struct check_reply reply = question_reply(&q->question, v, q->arena);
	struct spoa_counters *counters = &q->thread->counters;

	if (v->allow)
		spoa_count(&counters->allowed, 1);
	else
		spoa_count(v->reason == REASON_ERROR ? &counters->errors : &counters->denied, 1);
	spoa_connection_answer(q->connection, q, &reply);
}

static void on_decided(void *arg, const struct verdict *verdict)
{
	struct inquiry *q = arg;

	q->decision = NULL;
	answer_verdict(q, verdict);
}

/* ---- judging ---- */

/* Once for each load of an asker. */
static void note_asker(struct spoa_thread *t, struct slice rev)
{
	char *place;

	if (rev.len == 0 || rev.len >= RULES_REVISION_BYTES)
		return;
	for (unsigned i = 0; i < SPOA_NOTED_MAX; i++)
		if (slice_eq(slice_of(t->noted[i]), rev))
			return;
	place = t->noted[t->next_noted++ % SPOA_NOTED_MAX];
	memcpy(place, rev.at, rev.len);
	place[rev.len] = '\0';
	rules_note_asker(t->rules, rev);
}

static void judge(struct inquiry *q)
{
	struct spoa_thread *t = q->thread;
	bool is_current = rules_are_of(t->rules, q->question.rev);
	bool by_last = t->last_rules != NULL && !is_current && rules_are_of(t->last_rules, q->question.rev);
	const char *wrong;

	if (is_current || by_last)
		note_asker(t, q->question.rev);
	q->rules = rules_ref(by_last ? t->last_rules : t->rules);
	wrong = question_check(&q->question, q->rules, q->arena, &q->check);
	if (wrong != NULL) {
		refuse_argument(q, wrong);
	} else if (decision_start(by_last ? t->last_judge : t->judge, &q->check, on_decided, q,
				  &q->decision) == OK) {
		struct decision *d = q->decision;

		q->decision = NULL;
		answer_verdict(q, decision_verdict(d));
	} else {
		spoa_count(&t->counters.waited, 1);
	}
}

/* ---- revisions ---- */

static bool is_outdated(const struct spoa_thread *t, struct slice rev)
{
	for (unsigned i = 0; i < SPOA_OUTDATED_MAX; i++)
		if (slice_eq(slice_of(t->outdated[i]), rev))
			return true;
	return false;
}

static void remember_outdated(struct spoa_thread *t, struct slice rev)
{
	char *place = t->outdated[t->next_outdated % SPOA_OUTDATED_MAX];

	if (rev.len >= RULES_REVISION_BYTES)
		return;
	memcpy(place, rev.at, rev.len);
	place[rev.len] = '\0';
	t->next_outdated++;
}

/* A request is never judged by policies older than its route table: one that comes with a revision
 * that is neither ours nor our last waits for a load that begins after it. If that does not bring
 * the revision, the asker lags behind us: it has not been told to read what was edited since. Of an
 * asker that reads the very files that we do nothing else is possible; another one has to ask about
 * rules that we judged by before, or it may be ahead of the files that reach us. */
static bool may_judge(struct inquiry *q)
{
	struct spoa_thread *t = q->thread;
	struct slice rev = q->question.rev;

	if (rev.len == 0 || rules_are_of(t->rules, rev) ||
	    (t->last_rules != NULL && rules_are_of(t->last_rules, rev)) || is_outdated(t, rev))
		return true;
	if (!q->is_parked || t->load <= q->parked_at_load ||
	    (!t->options->same_files && !rules_are_ahead_of(t->rules, rev)))
		return false;
	remember_outdated(t, rev);
	return true;
}

static void park(struct inquiry *q)
{
	struct spoa_thread *t = q->thread;

	q->is_parked = true;
	q->parked_at_load = atomic_load(t->options->loads_begun);
	TAILQ_INSERT_TAIL(&t->parked, q, parked);
	spoa_count(&t->counters.revision_waits, 1);
	spoa_thread_watch_parked(t);
	t->options->on_unknown_revision(t->options->arg);
}

/* Once for a revision, however many requests come with it. */
static void complain_of_revision(struct spoa_thread *t, struct slice rev)
{
	if (rev.len >= RULES_REVISION_BYTES || slice_eq(rev, slice_of(t->missed)))
		return;
	memcpy(t->missed, rev.at, rev.len);
	t->missed[rev.len] = '\0';
	log_warn("agent", "a proxy that serves revision %.*s is refused: the documents here are revision "
		 "%.*s; give both the same documents, in the same order", SLICE_ARG(rev),
		 SLICE_ARG(t->rules->rev));
}

void inquiry_retry_parked(struct spoa_thread *t)
{
	struct inquiry *q, *next;

	for (q = TAILQ_FIRST(&t->parked); q != NULL; q = next) {
		next = TAILQ_NEXT(q, parked);
		if (may_judge(q)) {
			unpark(q);
			judge(q);
		} else if (spoa_thread_now_ms(t) >= q->check.deadline_ms) {
			unpark(q);
			complain_of_revision(t, q->question.rev);
			refuse_late(q);
		}
	}
	if (!TAILQ_EMPTY(&t->parked))
		t->options->on_unknown_revision(t->options->arg);
}

/* ---- messages ---- */

static void skip_args(struct spop_reader *r, unsigned count)
{
	for (unsigned i = 0; i < count && !r->broken; i++) {
		spop_read_bytes(r);
		spop_read_value(r);
	}
}

static bool is_ours(struct slice name)
{
	return slice_eq(name, SLICE(CHECK_REQUEST_MESSAGE)) ||
	       slice_eq(name, SLICE(CHECK_CONN_MESSAGE));
}

/* How many checks the messages hold; the first is read. */
static unsigned read_messages(struct inquiry *q, struct spop_reader *r, const char **missing)
{
	struct spop_message m;
	unsigned checks = 0;

	while (spop_read_message(r, &m)) {
		if (!is_ours(m.name) || checks++ > 0)
			skip_args(r, m.args);
		else if (check_request_read(r, &m, &q->question, missing) == OK)
			*missing = NULL;
	}
	return checks;
}

static int64_t budget_ms(const struct check_request *r)
{
	return r->deadline_ms == 0 ? SPOA_BUDGET_MS
				   : (int64_t)r->deadline_ms * SPOA_BUDGET_PERCENT / 100;
}

enum inquiry_result inquiry_start(struct inquiry *q, struct slice payload)
{
	struct spop_reader r = spop_reader_of(arena_slice(q->arena, payload));
	const char *missing = NULL;
	unsigned checks;

	checks = read_messages(q, &r, &missing);
	if (r.broken)
		return INQUIRY_MALFORMED;
	if (checks == 0) {
		spoa_connection_answer(q->connection, q, NULL);
	} else if (checks > 1) {
		refuse_argument(q, "messages");
	} else if (missing != NULL) {
		refuse_argument(q, missing);
	} else {
		q->check.deadline_ms = spoa_thread_now_ms(q->thread) + budget_ms(&q->question);
		if (may_judge(q))
			judge(q);
		else
			park(q);
	}
	return INQUIRY_ANSWERED;
}
