/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_values_priv.h - the values that an AuthorizationPolicy may compare with; for
 * authorization_policy.c only. */
#ifndef SALLYPORT_RESOURCE_POLICY_VALUES_PRIV_H
#define SALLYPORT_RESOURCE_POLICY_VALUES_PRIV_H

#include "sallyport/resource/authorization_policy.h"

enum value_kind {
	VALUE_TEXT, VALUE_SERVICE_ACCOUNT, VALUE_TRUST_DOMAIN, VALUE_IP_BLOCK, VALUE_PORT, VALUE_PATH,
	VALUE_KIND_COUNT
};

/* Every bad value is reported; `key` is the list's name in the document, `field` in Istio's texts,
 * and `prefix` stands before them. */
bool values_check(struct decoder *d, const policy_values *values, enum value_kind kind,
		  const char *key, const char *prefix, const char *field);

/* Fills key and names from c->text. */
bool condition_key_parse(struct decoder *d, const struct node *n, struct policy_condition *c);
/* Of the peer or the token: unknown when CUSTOM policies are judged (A7). */
bool condition_key_needs_identity(enum condition_key key);
bool condition_values_check(struct decoder *d, const struct policy_condition *c);

#endif
