/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/question.h"

#include "sallyport/claims.h"
#include "spoa/peer_cert.h"

#define PEER_IDS_MAX		32
#define BAD_REQUEST_STATUS	500
#define TOO_MANY_HEADERS_STATUS	431

const char question_too_many_headers[] = "headers";

/* ---- from the question to the check ---- */

struct asked {
	const struct check_request *question;
	const struct rules *rules;
	struct arena *arena;
	struct check *check;
};

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
static const char *take_headers(struct asked *q)
{
	struct spop_reader r = spop_reader_of(q->question->headers), counted = r;
	struct check_header h, *headers;
	enum outcome o;
	size_t n = 0;

	while ((o = spop_read_header(&counted, &h.name, &h.value)) == OK)
		n++;
	if (o != CLOSED)
		return "headers";
	if (n > CHECK_HEADERS_MAX)
		return question_too_many_headers;
	headers = arena_alloc(q->arena, n * sizeof(*headers));
	for (size_t i = 0; i < n && spop_read_header(&r, &h.name, &h.value) == OK; i++)
		headers[i] = h;
	q->check->headers = headers;
	q->check->header_count = n;
	return NULL;
}

static void take_peer_ids(struct asked *q)
{
	struct slice rest = q->question->peer_id;
	struct slice *ids;
	size_t n = 0;

	if (!q->question->tls || !q->question->peer_verified)
		return;
	ids = arena_array(q->arena, struct slice, PEER_IDS_MAX);
	if (rest.at != NULL)
		while (rest.at != NULL && n < PEER_IDS_MAX)
			ids[n++] = slice_trim(slice_cut(&rest, ','));
	else if (q->question->peer_cert.at != NULL)
		n = peer_cert_ids(q->question->peer_cert, q->arena, ids, PEER_IDS_MAX);
	q->check->peer_ids = ids;
	q->check->peer_id_count = n;
}

/* Behind the route: one workload a set of labels. */
static bool take_destinations(struct asked *q)
{
	const struct check_request *r = q->question;
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
	q->check->workloads = w;
	q->check->workload_count = count;
	return true;
}

static bool take_gateway(struct asked *q)
{
	struct check_workload *w = arena_new(q->arena, struct check_workload);

	if (!split_workload(q->question->workload, w))
		return false;
	w->labels = q->question->labels.at != NULL ? q->question->labels
						  : rules_labels(q->rules, q->question->workload);
	q->check->gateway = w;
	return true;
}

const char *question_check(const struct check_request *r, const struct rules *rules, struct arena *a,
			   struct check *c)
{
	struct asked q = { r, rules, a, c };
	const char *wrong;

	*c = (struct check){
		.arena = a,
		.proto = r->tcp ? CHECK_TCP : CHECK_HTTP,
		.method = r->method, .scheme = r->scheme, .authority = r->authority,
		.path = r->path, .normalized = r->normalized,
		.remote_ip = ip_of(&r->remote), .src = ip_of(&r->source),
		.dst = ip_of(&r->destination), .dst_port = r->destination.port, .src_port = r->source.port,
		.http_version = r->http_version,
		.has_body = r->has_body, .body = r->body, .body_partial = r->body_partial,
		.tls = r->tls, .sni = r->sni, .request_id = r->request_id,
		.deadline_ms = c->deadline_ms, .claims_wanted = !r->brief, .claims_of = r->claims_of,
	};
	if (!r->tcp && (wrong = take_headers(&q)) != NULL)
		return wrong;
	if (!take_gateway(&q))
		return "workload";
	if (!take_destinations(&q))
		return "dest-workload";
	if (r->claims_of.at != NULL && claim_values_write(a, r->claims_of, NULL, NULL, NULL).at == NULL)
		return "claims-of";
	take_peer_ids(&q);
	return NULL;
}

/* ---- from the verdict to the reply ---- */

struct check_reply question_refusal(const char *wrong, struct arena *a)
{
	return (struct check_reply){
		.allow = false,
		.status = wrong == question_too_many_headers ? TOO_MANY_HEADERS_STATUS : BAD_REQUEST_STATUS,
		.reason = slice_of(arena_printf(a, "bad-request:%s", wrong)),
		.body = SLICE("request cannot be authorized") };
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

struct check_reply question_reply(const struct check_request *r, const struct verdict *v, struct arena *a)
{
	struct check_reply reply = {
		.allow = v->allow, .status = v->status,
		.reason = slice_of(verdict_reason_name(v->reason)),
		.policy = v->policy, .detail = v->detail, .why = v->why, .shadow = v->shadow,
		.response_set = headers_bin(a, v->response_set.items, v->response_set.count),
	};

	if (v->allow) {
		reply.headers_remove = names_bin(a, v->header_del.items, v->header_del.count);
		reply.headers_set = headers_bin(a, v->header_set.items, v->header_set.count);
		reply.headers_add = headers_bin(a, v->header_add.items, v->header_add.count);
		reply.path_out = v->path_out;
		reply.principal = v->principal;
		reply.claims = v->claims;
		reply.claim_values = v->claim_values;
		reply.payload = r->brief ? NO_SLICE : v->payload;
		reply.strip_authorization = v->strip_authorization;
	} else {
		reply.body_wanted = v->body_wanted;
		reply.body = v->body;
		reply.content_type = v->content_type;
		reply.www_authenticate = v->www_authenticate;
	}
	return reply;
}
