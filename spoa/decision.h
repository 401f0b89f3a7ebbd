/* SPDX-License-Identifier: Apache-2.0
 *
 * decision.h - one request judged: CUSTOM, then tokens, then AUDIT, DENY and ALLOW, at the
 * gateway and then at each workload behind the route (spec/authorization-policy.md 4.1).
 *
 *     judge_create() once a thread and configuration; for every question
 *     decision_start()  ->  OK: the verdict is there
 *                           AGAIN: keys are being fetched; on_decided() is called later, once
 *     decision_cancel() when nobody wants the answer any more.
 *
 * Owner    the caller owns judge, check and decision. Everything in a check is borrowed until the
 *          decision is over; everything in a verdict lives in the check's arena or is borrowed from
 *          the check or from the index: use it before control goes back to the loop.
 * Thread   a judge and its decisions belong to one thread; the policy index it reads is immutable
 *          and shared.
 * Blocks   never.
 * Fails    closed: what cannot be judged is a verdict with `allow` false. Every started decision
 *          gets exactly one verdict, unless it is cancelled. */
#ifndef SALLYPORT_SPOA_DECISION_H
#define SALLYPORT_SPOA_DECISION_H

#include <stdint.h>

#include "sallyport/arena.h"
#include "sallyport/check_request.h"
#include "sallyport/cidr.h"
#include "spoa/policy.h"

struct token;

#define JUDGE_SETS_MAX		4096u	/* workloads remembered; beyond, the older half goes */
#define JUDGE_KEYS_WAIT_MS	2000	/* for a fetch, where the check has no deadline */
#define JUDGE_MARGIN_MS		20	/* of a deadline, kept for the way back */
#define CHECK_WORKLOADS_MAX	64u	/* behind one route; more are refused with 500 */
#define CHECK_HEADERS_MAX	512u	/* more are refused with 431 */

struct check_ip {
	bool known;			/* false: a UNIX socket; no address block holds it */
	struct ip ip;
};

/* A place where policies stand in the way: the gateway itself, or what a route leads to. */
struct check_workload {
	struct slice ns;		/* required */
	struct slice name;		/* for logs */
	struct slice labels;		/* `k=v,k=v` as on the wire; absent: none */
	/* As this workload will see them where the route rewrites; absent, 0: as received. */
	struct slice path, authority;
	uint16_t port;
};

enum check_proto { CHECK_HTTP, CHECK_TCP };

struct check {
	struct arena *arena;
	enum check_proto proto;

	/* HTTP only. */
	struct slice method, scheme, authority;
	struct slice path;		/* with its query; "*" for OPTIONS * */
	struct slice http_version;	/* "1.1"; absent: not told */
	bool has_body;			/* which may be asked for: verdict.body_wanted */
	struct slice body;		/* its beginning; absent: not told */
	bool body_partial;		/* there is more of it */
	bool normalized;		/* false: the judge applies the mesh's path normalisation */
	const struct check_header *headers;
	size_t header_count;

	struct check_ip remote_ip;	/* after PROXY protocol and forwarding logic */
	struct check_ip src, dst;	/* of the socket */
	uint16_t src_port, dst_port;
	bool tls;
	struct slice sni;		/* absent: none */
	/* URI SANs, else DNS SANs, else the subject, of a *verified* certificate; none otherwise. */
	const struct slice *peer_ids;
	size_t peer_id_count;

	const struct check_workload *gateway;	/* NULL: the check is about workloads only */
	const struct check_workload *workloads;	/* may the request go to any of these? All must agree */
	size_t workload_count;

	struct slice request_id;
	int64_t deadline_ms;		/* clock_monotonic_ms(); 0: none */
	bool claims_wanted;		/* false: verdict.claims stays absent and costs nothing */
	struct slice claims_of;		/* well formed (claims.h); absent: verdict.claim_values is so too */
	/* Taken for verified, by the first rule whose issuer, time and audience it suits, wherever it would
	 * have stood. For the desk alone (reasoning.h): nothing that came over a wire is ever put here. */
	const struct token *assumed;
	int64_t now_s;			/* since 1970; 0: what the clock says. For the desk alone, too */
};

enum verdict_reason { REASON_OK, REASON_JWT, REASON_RBAC, REASON_CUSTOM, REASON_ERROR,
		      REASON_COUNT };

/* The token of `reason` on the wire: ok jwt rbac custom error. */
const char *verdict_reason_name(enum verdict_reason reason);

struct verdict {
	bool allow;
	uint16_t status;		/* 200 when allowed */
	enum verdict_reason reason;

	/* Denied only since a provider has to see so many bytes of the body, which the check does not have:
	 * to be asked again with them. 0: decided. */
	uint32_t body_wanted;

	/* When denied: Istio's texts, and nothing of ours. */
	struct slice body, content_type;
	struct slice www_authenticate;	/* absent: not a token's failure */

	/* When allowed; names and values are safe to write. In this order: delete, set, add. */
	LIST(struct slice) header_del;
	LIST(struct check_header) header_set, header_add;
	LIST(struct check_header) response_set;	/* on the response, also when denied */
	struct slice path_out;		/* instead of check.path; absent: unchanged */
	bool strip_authorization;	/* header_del holds `authorization` because a token stood there */

	/* Of the first door whose token was accepted: the gateway's, else a workload's. Absent: none. */
	struct slice principal;		/* iss/sub */
	struct slice claims;		/* JSON object, space-delimited claims split */
	struct slice payload;		/* segment 2 of the token */
	/* Of the gateway's token alone: the route depends on it, and what stands behind it on the route. */
	struct slice claim_values;

	/* For the operator, never for the client. */
	struct slice policy;		/* ns[..]-policy[..]-rule[n] that decided */
	/* Policy, rule and reason in one line: `foo/shop#rule 2: requestPrincipals did not match`,
	 * `foo/users#rule 0: Jwt is expired`. Where no ALLOW policy matched it is the rule that came
	 * nearest. Allowed: absent, `policy` says all there is. */
	struct slice why;
	struct slice detail;		/* rbac_access_denied_matched_policy[..], jwt_authn_access_denied{..} */
	struct slice shadow;		/* `denied` or `allowed` and the policy, where one is on trial */
};

struct event_base;
struct token_cache;
struct judge;

/* Takes a reference on the index; `base` (the loop that waits for keys are answered in) and `tokens`
 * are borrowed and outlive the judge. */
struct judge *judge_create(struct policy_index *index, struct event_base *base,
			   struct token_cache *tokens);
/* From now on decides by another index; decisions that wait end by the one they began with. */
void judge_use(struct judge *j, struct policy_index *index);
/* When none of its decisions is waiting. Clears the caller's pointer. */
void judge_free(struct judge **jp);

struct decision;
typedef void decided_fn(void *arg, const struct verdict *verdict);

/* `c` and its arena stay valid until the verdict was used or the decision cancelled. The decision
 * lives in the check's arena. OK: decision_verdict() answers at once and `on_decided` is never
 * called. AGAIN: it will be, from the judge's event loop, no later than shortly after the check's
 * deadline. */
enum outcome decision_start(struct judge *j, const struct check *c, decided_fn *on_decided, void *arg,
			    struct decision **out);
const struct verdict *decision_verdict(const struct decision *d);
/* Nobody is called after this. Harmless when it is already over. Clears the caller's pointer. */
void decision_cancel(struct decision **dp);

#endif
