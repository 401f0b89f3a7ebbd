/* SPDX-License-Identifier: Apache-2.0
 *
 * request_authentication.h - RequestAuthentication as decoded: which tokens a workload accepts
 * (spec/request-authentication.md 1 and 2).
 *
 * Owner    lives in the decoder's arena. Thread: immutable once decoded. */
#ifndef SALLYPORT_RESOURCE_REQUEST_AUTHENTICATION_H
#define SALLYPORT_RESOURCE_REQUEST_AUTHENTICATION_H

#include "sallyport/resource/policy_target.h"

#define JWT_RULES_MAX			4096u
#define JWKS_URI_MAX			2048u
#define JWKS_TIMEOUT_DEFAULT_MS		5000
#define SPACE_DELIMITED_CLAIMS_MAX	64u

/* Where a token may stand in a header; `prefix` is absent when the whole value is the token. */
struct jwt_header {
	struct slice name, prefix;
};

struct claim_to_header {
	struct slice header, claim;	/* `claim`: names separated by '.' */
};

struct jwt_rule {
	struct slice issuer;		/* absent: any issuer */
	LIST(struct located_slice) audiences;
	struct slice jwks_uri;		/* absent, and no `jwks`: OIDC discovery from the issuer */
	struct slice jwks;		/* JSON text; wins over any URI */
	LIST(struct jwt_header) from_headers;
	LIST(struct located_slice) from_params, from_cookies;
	struct slice output_payload_to_header;	/* absent: none */
	bool forward_original_token;
	LIST(struct claim_to_header) output_claim_to_headers;
	int64_t timeout_ms;		/* of each exchange with the issuer */
	LIST(struct located_slice) space_delimited_claims;	/* beside `scope` and `permission` */
	struct where where;
};

struct request_authentication {
	struct meta meta;
	struct policy_target target;
	LIST(struct jwt_rule) rules;	/* null entries are left out */
};

/* NULL: at least one error was added. `spec` may be NULL (absent): a document without rules. */
struct request_authentication *request_authentication_decode(struct decoder *d,
							     const struct node *spec,
							     const struct meta *meta);

#endif
