/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_priv.h - the compiled shape of rules and policies; for the agent's decision code only
 * (policy_compile.c makes it, policy_index.c keeps it, policy_match.c and authn.c read it).
 *
 * A source, an operation and a condition ask alike: an attribute against lists of values. So all
 * three compile to `struct test`, and one table per attribute says how to compile and match it. */
#ifndef SALLYPORT_SPOA_POLICY_PRIV_H
#define SALLYPORT_SPOA_POLICY_PRIV_H

#include <jansson.h>
#include <uthash.h>

#include "sallyport/cidr.h"
#include "sallyport/object.h"
#include "spoa/decision.h"
#include "spoa/jwks.h"
#include "spoa/ledger.h"
#include "spoa/token_cache.h"

#define KIND_POLICY_INDEX	KIND('P', 'I', 'D', 'X')

#define PEER_ID_BYTES_MAX	2048u	/* of SPIFFE; longer ones match nothing */
#define POLICY_NEAREST_MAX	64u	/* rules that are compared for the reason of a refusal */

/* Values */

enum text_kind {
	TEXT_PRESENT,		/* `*`: what that means differs by attribute */
	TEXT_EXACT, TEXT_PREFIX, TEXT_SUFFIX,
	TEXT_TEMPLATE,		/* a path with {*} or {**} */
};

struct text_value {
	enum text_kind kind;
	struct slice text;	/* without the star */
};

/* requestPrincipals: iss and sub are compared apart. */
struct principal_value {
	struct text_value iss, sub;
};

struct account_value {
	struct slice ns, name;
};

union value {
	struct text_value text;
	struct principal_value principal;
	struct account_value account;
	struct cidr block;
	uint16_t port;
};

struct value_list {
	union value *items;
	size_t count;
};

enum attribute {
	ATTR_PRINCIPAL, ATTR_NAMESPACE, ATTR_SERVICE_ACCOUNT, ATTR_TRUST_DOMAIN,
	ATTR_REQUEST_PRINCIPAL, ATTR_AUDIENCE, ATTR_PRESENTER, ATTR_CLAIM,
	ATTR_SOURCE_IP, ATTR_REMOTE_IP, ATTR_DESTINATION_IP, ATTR_PORT, ATTR_SNI,
	ATTR_HOST, ATTR_METHOD, ATTR_PATH, ATTR_HEADER,
	ATTRIBUTE_COUNT
};

struct test {
	enum attribute attribute;
	struct slice field, not_field;	/* as documents write them: `paths`, `notPaths` */
	const struct slice *names;	/* header: its name; claim: the way to it */
	size_t name_count;
	struct value_list is, not;	/* any of `is` (where there are some), none of `not` */
};

struct clause {				/* all tests hold */
	struct test *tests;
	size_t count;
};

struct clause_list {			/* any clause holds, or there is none */
	struct clause *items;
	size_t count;
};

struct rule {
	struct clause_list from, to;
	struct clause when;
	struct slice never;		/* the key that no request here can answer; absent: none */
	/* What names it: `ns[..]-policy[..]-rule[n]` as in Istio, and `ns/name#rule n` for people. */
	struct slice id, name;
	bool http_only;			/* at least one test cannot be answered on TCP */
};

struct label {
	struct slice key, value;
};

struct target {
	struct label *labels;
	size_t count;
	/* Attaches to Gateway API objects: reaches no labels but the names of these Gateways. */
	bool attached;
	struct slice ns, *gateways;
	size_t gateway_count;
};

struct policy {
	enum policy_action action;
	bool dry_run;
	struct slice ns, name, provider;
	struct where where;		/* of the document */
	const struct extauthz_target *asked;	/* the provider; NULL: none of that name */
	struct target target;
	struct rule *rules;
	size_t rule_count;
	struct ledger *ledger;		/* in the index's arena; of any thread, unlike all else here */
};

/* Tokens */

enum place_kind { PLACE_HEADER, PLACE_PARAM, PLACE_COOKIE };

struct token_place {
	enum place_kind kind;
	struct slice name, prefix;	/* prefix of headers only; absent: the whole value */
};

struct provider {
	const struct jwt_rule *rule;	/* borrowed from the document */
	const struct authentication *of;
	size_t number;			/* of the rule in its document, from 0 */
	struct jwks_source *keys;	/* owned by the index */
	struct token_place *places;	/* in the order of verification */
	size_t place_count;
	struct slice *audiences;
	size_t audience_count;
	atomic_bool *claim_told;	/* one an outputClaimToHeaders: that it is no text was logged */
};

struct authentication {
	struct slice ns, name;
	struct where where;
	struct target target;
	struct provider *providers;
	size_t provider_count;
};

/* The index */

struct namespace_policies {
	struct slice name;
	struct policy **policies;
	size_t policy_count;
	struct authentication **authentications;
	size_t authentication_count;
	UT_hash_handle hh;
};

struct policy_index {
	struct object obj;
	struct arena *arena;		/* owned; everything compiled lives in it */
	struct policy_mesh mesh;	/* defaults filled in */
	struct namespace_policies *namespaces;	/* by name */
	struct provider *providers;	/* all of them, for their sources */
	size_t provider_count;
};

/* Trust domains that are one (5.3), the mesh's own first. */
struct trust_domains {
	const struct slice *items;
	size_t count;
};

/* Has no value on a TCP connection (spec 7). */
bool attribute_is_http_only(enum attribute a);

/* policy_compile.c. Everything goes to `arena`; texts stay borrowed from the documents. */
struct policy *policy_compile(struct arena *arena, const struct trust_domains *domains,
			      const struct authorization_policy *doc);
/* `providers` has room for the document's rules; their keys are not open yet. */
struct authentication *authentication_compile(struct arena *arena, struct provider *providers,
					      const struct request_authentication *doc);

/* policy_index.c: what reaches one workload. */

struct rule_filter;

struct policy_list {
	const struct policy **items;
	size_t count;
	const struct rule_filter *filter;	/* of their rules; NULL: they are few, or alike */
};

struct policy_set {
	struct policy_index *index;	/* holds a reference */
	unsigned refs;			/* of one thread: the judge's and each decision's */
	struct arena *arena;		/* owned */
	struct slice key;
	const struct provider **providers;	/* sorted by issuer */
	size_t provider_count;
	struct slice *output_headers;	/* that only a verified token may fill (8.1) */
	size_t output_header_count;
	struct policy_list by_action[POLICY_ACTION_COUNT];
	/* Who decides what CUSTOM matches; NULL: nobody can (unknown, or several): it is refused. */
	const struct extauthz_target *custom;
	struct policy_list shadow_deny, shadow_allow;	/* on trial: decided, never obeyed */
	UT_hash_handle hh;
};

/* `labels` as on the wire. One reference, for the caller. */
struct policy_set *policy_set_create(struct policy_index *x, struct slice ns, struct slice labels);
struct policy_set *policy_set_ref(struct policy_set *s);
void policy_set_unref(struct policy_set **sp);

/* One request, as the door it stands at sees it. */

struct request {
	const struct check *check;
	struct slice target, path;	/* with and without its query */
	struct slice authority;
	uint16_t port;
	const struct check_header *headers;
	size_t header_count;
	const struct token *token;	/* verified, or NULL */
	const struct provider *provider;	/* whose token it is */
};

/* request.c. All lines of one name, joined with ','; absent: none. */
struct slice request_header(const struct request *r, struct slice name);
/* A claim that is to be read as a list of words (8.3). */
bool claim_is_split(const struct provider *p, struct slice name);

/* policy_match.c. The first rule of the list that holds, or false. */
struct match {
	const struct policy *policy;	/* NULL: none */
	size_t rule;
};

struct match policies_match(const struct policy_list *list, const struct request *r);
/* The same of one policy. */
bool policy_matches(const struct policy *p, const struct request *r, size_t *rule);

enum test_answer { TEST_HOLDS, TEST_NONE_OF_IS, TEST_ONE_OF_NOT };
enum test_answer test_answer(const struct test *t, const struct request *r);
/* An ALLOW rule that asks what a TCP connection cannot answer: it never holds (7). */
bool rule_is_skipped(const struct policy *p, const struct rule *rule, const struct request *r);
bool rule_holds(const struct policy *p, const struct rule *rule, const struct request *r);

/* policy_miss.c. Why rules did not hold; for refusals and for explain, never for what passes. */

/* `requestPrincipals did not match`, of a rule that does not hold; in the check's arena or static. */
struct slice rule_miss(const struct policy *p, const struct rule *rule, const struct request *r);
/* The rule that came nearest where none of the list held: its operations fit, then the fewest
 * conditions failed, then it stands first. Of long lists POLICY_NEAREST_MAX rules are compared: those
 * whose hosts and paths the request can meet, then the first. policy NULL: the list has no rules. */
struct match policies_nearest(const struct policy_list *list, const struct request *r);

/* For tests. */
bool text_value_matches(const struct text_value *v, struct slice s, bool ignore_case);
bool path_template_matches(struct slice pattern, struct slice path);
struct text_value text_value_parse(struct slice written);
struct principal_value principal_value_parse(struct slice written);
bool service_account_matches(const struct account_value *v, struct slice identity);

#endif
