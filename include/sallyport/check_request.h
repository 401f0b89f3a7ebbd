/* SPDX-License-Identifier: Apache-2.0
 *
 * check_request.h - what the proxy asks about a request and what the agent answers: the layout of
 * the messages `check-request` and `check-conn` and of the reply variables (spec/spop.md 13).
 *
 * Beyond the layout that a stock HAProxy sends, our proxy adds arguments (unknown ones are ignored
 * by other agents): `brief`, `claims-of`, `dest-workload`, `dest-labels`,
 * `dest-authority`, `dest-path`, `dest-port`.
 *
 * Owner    decoded slices point into the frame; encoding copies. Thread: any; no state.
 * Fails    a decoder says which argument is missing or of the wrong type; never half an answer. */
#ifndef SALLYPORT_CHECK_REQUEST_H
#define SALLYPORT_CHECK_REQUEST_H

#include "sallyport/spop.h"

#define CHECK_LAYOUT_VERSION	1
#define CHECK_REQUEST_MESSAGE	"check-request"
#define CHECK_CONN_MESSAGE	"check-conn"

struct check_address {
	uint8_t family;		/* 4, 6, or 0: absent */
	uint8_t bytes[16];	/* network order; the first 4 for family 4 */
	uint16_t port;		/* 0: unknown */
};

/* A literal; the port stays. False: it is none, the family is 0. */
bool check_address_parse(struct slice text, struct check_address *out);

/* One line of a head. */
struct check_header {
	struct slice name;		/* in lower case on the wire */
	struct slice value;
};

struct check_request {
	bool tcp;			/* check-conn: the HTTP fields are absent */

	struct slice method, scheme;
	struct slice authority;		/* as received, with its port */
	struct slice path;		/* with the query */
	bool normalized;		/* path is canonical already */
	struct slice http_version;	/* "1.1", "2.0"; may be absent */
	struct slice headers;		/* hdrs_bin; spop_read_header() walks it. Encoding: if absent,
					 * `header_list` is written in that form */
	const struct check_header *header_list;
	size_t header_count;

	struct check_address remote;	/* the client, after forwarding logic */
	struct check_address source;	/* the physical peer */
	struct check_address destination;
	bool tls, peer_verified;
	struct slice sni;
	struct slice peer_cert;		/* DER */
	struct slice peer_id;		/* URI SANs, comma list */

	struct slice workload;		/* "namespace/name" of the gateway or workload */
	struct slice labels;		/* "k=v,k=v" */
	struct slice gateway;		/* "namespace/name" of the Gateway document */
	struct slice request_id;
	uint32_t deadline_ms;		/* budget that is left; 0: not told */
	bool has_body;			/* ours: it may be asked for (body_wanted of the reply); read as true
					 * where another asker does not say */
	struct slice body;		/* its beginning; absent: not told */
	bool body_partial;		/* there is more of it */
	bool brief;			/* ours: no claims, payload or h_ variables in the reply */
	struct slice claims_of;		/* ours: claims that routes look at (claims.h); absent: none */
	struct slice rev;		/* configuration revision that the proxy serves */

	/* What lies behind the route: its policies hold too. Absent: none. */
	struct slice dest_workload;	/* "namespace/name" */
	struct slice dest_labels;	/* "k=v,k=v;k=v": `;` between the sets of distinct workloads */
	struct slice dest_authority;	/* only where the route rewrites it */
	struct slice dest_path;		/* likewise, with the query */
	uint16_t dest_port;		/* likewise; 0: not told */
};

/* Writes one message (not the frame). w->full: it did not fit. */
void check_request_write(struct spop_writer *w, const struct check_request *q);

/* Reads the m->args arguments of a message that was just met. OK. FAILED with r->broken: the
 * frame is malformed. FAILED otherwise: `missing` names the argument that is absent or unusable,
 * and the request must be refused with `bad-request:<name>`; what could be read is in `out`. */
enum outcome check_request_read(struct spop_reader *r, const struct spop_message *m,
				struct check_request *out, const char **missing);

/* The reply. Lists of headers stay in their wire form: hdrs_bin, or names for `remove`. */
struct check_reply {
	bool allow;
	unsigned status;		/* 0 or 200: allowed; otherwise the HTTP status */
	struct slice reason;		/* ok, jwt, rbac, custom, error, bad-request:<name> ... */
	struct slice body, content_type;	/* content_type absent: text/plain */
	struct slice www_authenticate;
	struct slice headers_remove;	/* names; applied first */
	struct slice headers_set;	/* then these */
	struct slice headers_add;	/* then these */
	struct slice response_set;	/* on the response, whether allowed or denied */
	struct slice path_out;		/* new path with query */
	struct slice principal;		/* iss/sub */
	struct slice claims;		/* JSON object */
	struct slice claim_values;	/* what claims_of asked for (claims.h); ours */
	struct slice payload;		/* second segment of the token */
	struct slice policy;		/* which policy and rule decided */
	struct slice detail;		/* as Envoy words it in its access log; ours, others ignore it */
	struct slice why;		/* denied: policy, rule and reason in one line; ours likewise */
	struct slice shadow;		/* what dry runs say */
	bool strip_authorization;
	/* Denied: only since a provider has to see so many bytes of the body, which was not told. Ours. */
	uint32_t body_wanted;
};

/* Writes the action list, `allow` last. Only what is present is written. When it does not fit, claims
 * are left out and it is said so in `reason`. w->full: even so it did not fit. */
void check_reply_write(struct spop_writer *w, const struct check_reply *reply);
/* `h_<name>`: an output header under a fixed name, for a HAProxy without the bin actions. To be
 * written before check_reply_write(). A name that cannot be a variable is skipped. */
void check_reply_write_header_variable(struct spop_writer *w, struct slice header,
				       struct slice value);

/* OK. FAILED: a malformed action, a wrong type, a header that could be smuggled (CR, LF, NUL, a
 * bad name), a missing end mark, or no `allow`: the request counts as failed. Unknown variables
 * and actions on other scopes are ignored. */
enum outcome check_reply_read(struct slice payload, struct check_reply *out);

/* True if every name is a token and no value has CR, LF or NUL. An absent list is fine. */
bool check_headers_are_clean(struct slice hdrs_bin);
bool check_names_are_clean(struct slice names_bin);

#endif
