/* SPDX-License-Identifier: Apache-2.0
 *
 * match_priv.h - a match item as a list of conditions that all look alike: what to look at, and what
 * it has to be (spec/virtual-service.md 6). */
#ifndef SALLYPORT_PROXY_ROUTE_MATCH_PRIV_H
#define SALLYPORT_PROXY_ROUTE_MATCH_PRIV_H

#include "proxy/route/route.h"

enum subject {
	SUBJECT_PATH,			/* without the query */
	SUBJECT_METHOD,
	SUBJECT_SCHEME,
	SUBJECT_AUTHORITY,		/* as received, with its port */
	SUBJECT_TARGET,			/* path and query: header key `:path` */
	SUBJECT_HEADER,
	SUBJECT_QUERY,
	SUBJECT_CLAIM,			/* of the verified token, never of the request's own fields */
	SUBJECT_NOTHING,		/* `:status`: no request has one */
};

struct condition {
	enum subject subject;
	enum header_id id;		/* SUBJECT_HEADER */
	bool inverted;			/* withoutHeaders */
	bool unsettled;			/* the verdict may change what it looks at */
	struct slice name;		/* of the header or parameter; a claim's key (claims.h) */
	struct string_matcher value;
};

struct route_match {
	struct condition *uri;		/* NULL: any path; not among the others */
	LIST(struct condition) others;	/* expressions last: they cost most */
	bool claims;			/* some of the others look at claims */
	bool unsettled;			/* some of the others are */
};

/* The request, taken apart once for all routes that are tried. */
struct request_view {
	const struct route_input *in;
	struct slice path, query;	/* query absent: no `?` */
};

struct request_view request_view(const struct route_input *in);

struct route_match *route_match_create(struct arena *a, const struct http_match *m);
/* Gives the compiled expressions back. */
void route_match_fini(struct route_match *m);

/* All conditions, or all but the one on the path, which an index may have answered. REGEX_GAVE_UP: an
 * expression reached its limit, and no other condition says no. */
enum regex_result route_match_test(const struct route_match *m, const struct request_view *v);
enum regex_result route_match_test_but_uri(const struct route_match *m, const struct request_view *v);

#endif
