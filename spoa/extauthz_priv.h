/* SPDX-License-Identifier: Apache-2.0
 *
 * extauthz_priv.h - one call to a provider, and what the HTTP and gRPC halves do for it. */
#ifndef SALLYPORT_SPOA_EXTAUTHZ_PRIV_H
#define SALLYPORT_SPOA_EXTAUTHZ_PRIV_H

#include "sallyport/object.h"
#include "sallyport/text.h"
#include "spoa/extauthz.h"
#include "spoa/request_priv.h"
#include "spoa/transfers.h"

struct extauthz_call {
	struct object obj;
	struct extauthz *client;	/* borrowed */
	const struct extauthz_target *target;
	struct transfer transfer;	/* owns its handle */
	struct curl_slist *headers;	/* owned */
	struct curl_slist *connect_to;	/* owned */
	struct arena *arena;		/* owned: of the answer */
	struct text question;		/* the body that is sent */
	struct text body;		/* of the response */
	struct check_header response[EXTAUTHZ_HEADERS_MAX];	/* in the arena; trailers too */
	size_t response_count, head_bytes;
	const char *refusal;		/* static; why we ended it ourselves */
	extauthz_done_fn *done;
	void *arg;
};

struct slice call_response_header(const struct extauthz_call *c, const char *name);
void call_add_header(struct extauthz_call *c, struct slice name, struct slice value);
/* What libcurl would add by itself. */
void call_omit_header(struct extauthz_call *c, const char *name);
/* No name that frames messages or names hosts, no value that could split one. */
bool call_may_set(struct slice name, struct slice value);

/* What the provider is to see of the body, and whether that is all; absent: nothing. */
struct slice call_request_body(const struct extauthz_call *c, const struct request *r, bool *partial);
#define PARTIAL_BODY_HEADER	SLICE("x-envoy-auth-partial-body")

/* extauthz_http.c, extauthz_grpc.c: the question, and what the response with this status means. */
void http_prepare(struct extauthz_call *c, const struct request *r);
void http_judge(struct extauthz_call *c, long status, struct extauthz_answer *a);
void grpc_prepare(struct extauthz_call *c, const struct request *r);
void grpc_judge(struct extauthz_call *c, long status, struct extauthz_answer *a);

#endif
