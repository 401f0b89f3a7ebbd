/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.h - `explain …` as people and programs ask it: words to a question, an explanation to text or
 * JSON. The admin socket and sallyctl at the desk share all of it (doc/explain.md is its reference).
 *
 * Owner    words, questions and reasons live in the arena given.
 * Thread   main. Blocks never.
 * Limits   EXPLAIN_WORDS_MAX words; on the admin socket a line of ADMIN_LINE_MAX. */
#ifndef SALLYPORT_PROXY_ADMIN_EXPLAIN_H
#define SALLYPORT_PROXY_ADMIN_EXPLAIN_H

#include "proxy/admin/put_json.h"
#include "proxy/stream/explain.h"
#include "sallyport/admin_socket.h"
#include "sallyport/text.h"

#define EXPLAIN_WORDS_MAX	512u
#define EXPLAIN_ENDPOINTS_MAX	256u	/* of a cluster, that are told */

/* What may follow `explain`, for usage texts. */
extern const char explain_usage[];

/* Who asks a running proxy has to have a token that its agent verifies. */
#define EXPLAIN_AT_DESK_ONLY	"--claims, --at and --jwks are for the desk: name documents with -f"
bool explain_is_for_desk(const struct explain_question *q);
#define EXPLAIN_TIME_MAX	253402300799	/* the end of the year 9999 */

/* What sallyctl is told beside the question. */
struct explain_desk {
	LIST(const char *) files;	/* of documents; none: a running proxy is asked */
	const char *socket;		/* NULL: the default */
	const char *jwks;		/* file with the keys that jwksUri would bring; NULL: none */
	bool json, help;
};

/* FAILED: `why` says what is wrong with the words. `desk`: NULL on the admin socket; its lists live in the
 * arena, its strings are copies there. */
enum outcome explain_parse(const struct slice *words, size_t count, struct arena *a,
			   struct explain_question *q, struct explain_desk *desk, char *why,
			   size_t why_bytes);

/* A line of the admin socket into words: separated by blanks; a backslash takes the next byte as it is, ""
 * alone is an empty word. Returns how many, at most EXPLAIN_WORDS_MAX + 1. */
size_t explain_split(struct slice line, struct arena *a, struct slice **words);
/* The question as such a line, each word behind a blank: it is read back as the same question. */
void explain_write(const struct explain_question *q, struct text *line);

/* What who judged the request can say beyond its verdict; in JSON the value of the member `doors`. */
struct explain_more {
	void (*text)(const void *arg, struct text *out);
	void (*json)(const void *arg, struct put_json *j);
	const void *arg;
};

/* `more` may be NULL. */
void explain_add_text(const struct explained *e, bool live, const struct explain_more *more,
		      struct text *out);
/* One object on one line. */
void explain_add_json(const struct explained *e, bool live, const struct explain_more *more,
		      struct text *out);
/* A line of it; whatever documents and clients write stays on it. */
void explain_say(struct text *out, const char *label, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The address of an endpoint as documents give it; `out` has room for EXPLAIN_ADDRESS_MAX. */
#define EXPLAIN_ADDRESS_MAX	320u
struct slice explain_endpoint(const struct endpoint_spec *e, char *out);
/* tls.mode of a chain's server, "-" without TLS. */
const char *chain_mode(const struct chain *c);

/* The conditions of a policy as retryOn has them; `out` has room for EXPLAIN_RETRY_ON_MAX. */
#define EXPLAIN_RETRY_ON_MAX	1024u
const char *explain_retry_on(const struct retry_policy *p, char *out);

/* The admin command. */
enum outcome run_explain(const struct admin_request *r);

#endif
