/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/inquiry.h"

#include <stdlib.h>

#include "sallyport/arena.h"
#include "sallyport/claims.h"
#include "spoa/connection.h"
#include "spoa/peer_cert.h"

#define BAD_REQUEST_STATUS	500
#define TOO_MANY_HEADERS_STATUS	431
#define SERVER_ERROR_STATUS	503
#define PEER_IDS_MAX		32

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

/* Refuses without a verdict. `reason`: a token for the asker, never for the client. */
static void refuse(struct inquiry *q, unsigned status, struct slice reason)
{
	struct check_reply reply = { .allow = false, .status = status, .reason = reason,
				     .body = SLICE("request cannot be authorized") };

	spoa_count(&q->thread->counters.errors, 1);
	spoa_connection_answer(q->connection, q, &reply);
}

static void refuse_argument(struct inquiry *q, const char *name)
{
	refuse(q, BAD_REQUEST_STATUS,
	       slice_of(arena_printf(q->arena, "bad-request:%s", name)));
}

/* Names are in lower case on the wire, however the documents spell them. */
static struct slice names_bin(struct arena *a, const struct slice *names, size_t count)
{
	struct spop_writer w;
	size_t bytes = 2;
	char *at;

	if (count == 0)
		return NO_SLICE;
	for (size_t i = 0; i < count; i++)
		bytes += spop_varint_size(names[i].len) + names[i].len;
	at = arena_alloc(a, bytes);
	w = spop_writer_of(at, bytes);
	for (size_t i = 0; i < count; i++)
		spop_write_bytes(&w, arena_lower(a, names[i]));
	spop_write_headers_end(&w);
	must(!w.full);
	return slice_make(at, bytes);
}

static struct slice headers_bin(struct arena *a, const struct check_header *headers, size_t count)
{
	struct spop_writer w;
	size_t bytes = 2;
	char *at;

	if (count == 0)
		return NO_SLICE;
	for (size_t i = 0; i < count; i++)
		bytes += spop_varint_size(headers[i].name.len) + headers[i].name.len +
			 spop_varint_size(headers[i].value.len) + headers[i].value.len;
	at = arena_alloc(a, bytes);
	w = spop_writer_of(at, bytes);
	for (size_t i = 0; i < count; i++)
		spop_write_header(&w, arena_lower(a, headers[i].name), headers[i].value);
	spop_write_headers_end(&w);
	must(!w.full);
	return slice_make(at, bytes);
}

static void answer_verdict(struct inquiry *q, const struct verdict *v)
{
	struct check_reply reply = {
		.allow = v->allow, .status = v->status,
		.reason = slice_of(verdict_reason_name(v->reason)),
		.policy = v->policy, .detail = v->detail, .why = v->why, .shadow = v->shadow,
		.response_set = headers_bin(q->arena, v->response_set.items, v->response_set.count),
	};
	struct spoa_counters *counters = &q->thread->counters;

	if (v->allow) {
		spoa_count(&counters->allowed, 1);
		reply.headers_remove = names_bin(q->arena, v->header_del.items, v->header_del.count);
		reply.headers_set = headers_bin(q->arena, v->header_set.items, v->header_set.count);
		reply.headers_add = headers_bin(q->arena, v->header_add.items, v->header_add.count);
		reply.path_out = v->path_out;
		reply.principal = v->principal;
		reply.claims = v->claims;
		reply.claim_values = v->claim_values;
		reply.payload = q->question.brief ? NO_SLICE : v->payload;
		reply.strip_authorization = v->strip_authorization;
	} else {
		spoa_count(v->reason == REASON_ERROR ? &counters->errors : &counters->denied, 1);
		reply.body = v->body;
		reply.content_type = v->content_type;
		reply.www_authenticate = v->www_authenticate;
	}
	spoa_connection_answer(q->connection, q, &reply);
}

static void on_decided(void *arg, const struct verdict *verdict)
{
	struct inquiry *q = arg;

	q->decision = NULL;
	answer_verdict(q, verdict);
}

/* ---- from the question to the check ---- */

/* IPv4 mapped into IPv6 is IPv4, as everywhere. */
static struct check_ip ip_of(const struct check_address *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct check_ip out = { .known = a->family != 0 };
	bool is_mapped = a->family == 6 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;

	out.ip.v4 = a->family == 4 || is_mapped;
	if (out.known)
		memcpy(out.ip.bytes, a->bytes + (is_mapped ? 12 : 0), out.ip.v4 ? 4 : 16);
	return out;
}

static bool split_workload(struct slice text, struct check_workload *out)
{
	ptrdiff_t slash = slice_find(text, '/');

	if (slash <= 0)
		return false;
	out->ns = slice_first(text, (size_t)slash);
	out->name = slice_from(text, (size_t)slash + 1);
	return true;
}

/* NULL, or what is wrong with them. */
static const char *take_headers(struct inquiry *q)
{
	struct spop_reader r = spop_reader_of(q->question.headers), counted = r;
	struct check_header h, *headers;
	enum outcome o;
	size_t n = 0;

	while ((o = spop_read_header(&counted, &h.name, &h.value)) == OK)
		n++;
	if (o != CLOSED)
		return "headers";
	if (n > CHECK_HEADERS_MAX)
		return "too many headers";
	headers = arena_alloc(q->arena, n * sizeof(*headers));
	for (size_t i = 0; i < n && spop_read_header(&r, &h.name, &h.value) == OK; i++)
		headers[i] = h;
	q->check.headers = headers;
	q->check.header_count = n;
	return NULL;
}

static void take_peer_ids(struct inquiry *q)
{
	struct slice rest = q->question.peer_id;
	struct slice *ids;
	size_t n = 0;

	if (!q->question.tls || !q->question.peer_verified)
		return;
	ids = arena_array(q->arena, struct slice, PEER_IDS_MAX);
	if (rest.at != NULL)
		while (rest.at != NULL && n < PEER_IDS_MAX)
			ids[n++] = slice_trim(slice_cut(&rest, ','));
	else if (q->question.peer_cert.at != NULL)
		n = peer_cert_ids(q->question.peer_cert, q->arena, ids, PEER_IDS_MAX);
	q->check.peer_ids = ids;
	q->check.peer_id_count = n;
}

/* Behind the route: one workload a set of labels. */
static bool take_destinations(struct inquiry *q)
{
	const struct check_request *r = &q->question;
	struct slice rest = r->dest_labels.at != NULL ? r->dest_labels : SLICE("");
	struct check_workload *w;
	size_t count = 1;

	if (r->dest_workload.at == NULL)
		return true;
	for (size_t i = 0; i < rest.len; i++)
		count += rest.at[i] == ';';
	if (count > CHECK_WORKLOADS_MAX)
		return false;
	w = arena_array(q->arena, struct check_workload, count);
	for (size_t i = 0; i < count; i++) {
		if (!split_workload(r->dest_workload, &w[i]))
			return false;
		w[i].labels = slice_cut(&rest, ';');
		w[i].path = r->dest_path;
		w[i].authority = r->dest_authority;
		w[i].port = r->dest_port;
	}
	q->check.workloads = w;
	q->check.workload_count = count;
	return true;
}

static bool take_gateway(struct inquiry *q)
{
	struct check_workload *w = arena_new(q->arena, struct check_workload);

	if (!split_workload(q->question.workload, w))
		return false;
	w->labels = q->question.labels.at != NULL ? q->question.labels
						  : rules_labels(q->rules, q->question.workload);
	q->check.gateway = w;
	return true;
}

/* NULL, or the argument that makes the question unanswerable. */
static const char *make_check(struct inquiry *q)
{
	const struct check_request *r = &q->question;
	struct check *c = &q->check;
	const char *wrong;

	*c = (struct check){
		.arena = q->arena,
		.proto = r->tcp ? CHECK_TCP : CHECK_HTTP,
		.method = r->method, .scheme = r->scheme, .authority = r->authority,
		.path = r->path, .normalized = r->normalized,
		.remote_ip = ip_of(&r->remote), .src = ip_of(&r->source),
		.dst = ip_of(&r->destination), .dst_port = r->destination.port, .src_port = r->source.port,
		.http_version = r->http_version,
		.tls = r->tls, .sni = r->sni, .request_id = r->request_id,
		.deadline_ms = c->deadline_ms, .claims_wanted = !r->brief, .claims_of = r->claims_of,
	};
	if (!r->tcp && (wrong = take_headers(q)) != NULL)
		return wrong;
	if (!take_gateway(q))
		return "workload";
	if (!take_destinations(q))
		return "dest-workload";
	if (r->claims_of.at != NULL && claim_values_write(q->arena, r->claims_of, NULL, NULL, NULL).at == NULL)
		return "claims-of";
	take_peer_ids(q);
	return NULL;
}

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
	wrong = make_check(q);
	if (wrong != NULL && strcmp(wrong, "too many headers") == 0) {
		refuse(q, TOO_MANY_HEADERS_STATUS, SLICE("bad-request:headers"));
	} else if (wrong != NULL) {
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
			refuse(q, SERVER_ERROR_STATUS, SLICE("error"));
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
