/* SPDX-License-Identifier: Apache-2.0
 *
 * authorization_policy.h - AuthorizationPolicy as decoded: who may do what
 * (spec/authorization-policy.md 1 and 2). Values are kept as written; the agent compiles them.
 *
 * Owner    lives in the decoder's arena. Thread: immutable once decoded. */
#ifndef SALLYPORT_RESOURCE_AUTHORIZATION_POLICY_H
#define SALLYPORT_RESOURCE_AUTHORIZATION_POLICY_H

#include "sallyport/resource/policy_target.h"

#define POLICY_RULES_MAX		512u
#define POLICY_CLAUSES_MAX		512u	/* from, to */
#define SERVICE_ACCOUNTS_MAX		16u
#define SERVICE_ACCOUNT_CHARS_MAX	320u

enum policy_action { POLICY_ALLOW, POLICY_DENY, POLICY_AUDIT, POLICY_CUSTOM, POLICY_ACTION_COUNT };

typedef LIST(struct located_slice) policy_values;

/* A field and its not-twin: any of `is`, and none of `not`. Both empty: not asked. */
struct policy_field {
	policy_values is, not;
};

struct policy_source {
	struct policy_field principals, request_principals, namespaces, service_accounts,
			    trust_domains, ip_blocks, remote_ip_blocks;
	struct where where;
};

struct policy_operation {
	struct policy_field hosts, ports, methods, paths;
	struct where where;
};

/* What a condition's key names; `request.headers[x]` and claims keep their names beside it. */
enum condition_key {
	KEY_REQUEST_HEADER,		/* name[0] */
	KEY_SOURCE_IP, KEY_REMOTE_IP,
	KEY_SOURCE_NAMESPACE, KEY_SOURCE_SERVICE_ACCOUNT, KEY_SOURCE_PRINCIPAL,
	KEY_SOURCE_TRUST_DOMAIN,
	KEY_AUTH_PRINCIPAL, KEY_AUTH_AUDIENCES, KEY_AUTH_PRESENTER,
	KEY_AUTH_CLAIM,			/* name[0..count): the way into nested objects */
	KEY_DESTINATION_IP, KEY_DESTINATION_PORT, KEY_SNI,
	KEY_ENVOY_FILTER,		/* experimental.*: never has a value here */
	CONDITION_KEY_COUNT
};

struct policy_condition {
	enum condition_key key;
	LIST(struct slice) names;
	struct slice text;		/* the key as written */
	struct policy_field values;
	struct where where;
};

struct policy_rule {
	LIST(struct policy_source) from;
	LIST(struct policy_operation) to;
	LIST(struct policy_condition) when;
	struct where where;
};

struct authorization_policy {
	struct meta meta;
	struct policy_target target;
	enum policy_action action;
	struct slice provider;		/* CUSTOM only */
	bool dry_run;
	LIST(struct policy_rule) rules;	/* none: never matches */
};

/* NULL: at least one error was added. `spec` may be NULL (absent): ALLOW without rules. */
struct authorization_policy *authorization_policy_decode(struct decoder *d,
							 const struct node *spec,
							 const struct meta *meta);

#endif
