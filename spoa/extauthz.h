/* SPDX-License-Identifier: Apache-2.0
 *
 * extauthz.h - asks the provider of a CUSTOM policy about one request, over HTTP or gRPC
 * (spec/authorization-policy.md 10, spec/hardening.md T-116, T-145, T-146).
 *
 * Owner    a target belongs to the rules that were made of the documents; a client to a thread; a call to
 *          its client until its answer. What an answer points at is valid within `done`.
 * Thread   a client and its calls: the thread's. A target is immutable.
 * Blocks   never.
 * Fails    into the answer: EXTAUTHZ_ERROR, and what the target says of errors is the caller's to obey. */
#ifndef SALLYPORT_SPOA_EXTAUTHZ_H
#define SALLYPORT_SPOA_EXTAUTHZ_H

#include "sallyport/arena.h"
#include "sallyport/check_request.h"
#include "sallyport/resource/extension_provider.h"

#define EXTAUTHZ_CONNECTIONS_MAX	64	/* kept open by a client */
#define EXTAUTHZ_BODY_BYTES_MAX		(64u << 10)	/* of a denial; a larger one is an error */
#define EXTAUTHZ_HEADERS_MAX		100u	/* of an answer */
#define EXTAUTHZ_HEAD_BYTES_MAX		(64u << 10)

struct event_base;
struct extauthz;
struct extauthz_call;
struct request;

/* A provider and where it is. */
struct extauthz_target {
	const struct extension_provider *provider;	/* borrowed from the documents */
	/* "host:port:address:port" for libcurl, one for each endpoint; none: the host's own name. */
	const char **connect_to;
	size_t connect_to_count;
};

enum extauthz_result { EXTAUTHZ_ALLOW, EXTAUTHZ_DENY, EXTAUTHZ_ERROR };

/* One step: what is set replaces what is there, what is appended comes behind it. QUERY_ is of a query
 * parameter, whose value is escaped where it is written. */
struct extauthz_header {
	enum { HEADER_SET, HEADER_APPEND, HEADER_ADD_IF_ABSENT, HEADER_SET_IF_PRESENT, HEADER_REMOVE,
	       QUERY_SET, QUERY_REMOVE } how;
	struct slice name, value;
};

struct extauthz_answer {
	enum extauthz_result result;
	const char *error;		/* of EXTAUTHZ_ERROR: for the operator */
	unsigned status;		/* of EXTAUTHZ_DENY */
	struct slice body;		/* likewise */
	LIST(struct extauthz_header) upstream;	/* on the request, when allowed */
	LIST(struct check_header) downstream;	/* on the response */
};

typedef void extauthz_done_fn(void *arg, const struct extauthz_answer *a);

struct extauthz *extauthz_create(struct event_base *base);
/* No call is under way. Clears the caller's pointer. */
void extauthz_free(struct extauthz **xp);

/* False: the request holds what cannot be asked about without being taken for something else. */
bool extauthz_can_ask(const struct extauthz_target *target, const struct request *r);
/* `r` is read before this returns. Never NULL; `done` follows, once, after `wait_ms` at the latest. */
struct extauthz_call *extauthz_ask(struct extauthz *x, const struct extauthz_target *target,
				   const struct request *r, int64_t wait_ms, extauthz_done_fn *done, void *arg);
/* Nobody is called after this. *cp may be NULL already; cleared. */
void extauthz_cancel(struct extauthz_call **cp);

#endif
