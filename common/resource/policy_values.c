/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_values.c - keys of conditions and the values that sources, operations and conditions may
 * compare with (spec/authorization-policy.md 2.1, A15 to A32b). */
#include "policy_values_priv.h"

#include <assert.h>
#include <stdio.h>

#include "sallyport/cidr.h"
#include "sallyport/object.h"

#define WHY_BYTES	600

/* False: `why` (WHY_BYTES) says what is wrong. */
typedef bool value_check_fn(struct slice v, const char *field, char *why);

#define SAY(why, ...)	(snprintf(why, WHY_BYTES, __VA_ARGS__), false)

static bool text_check(struct slice v, const char *field, char *why)
{
	(void)v;
	(void)field;
	(void)why;
	return true;
}

static bool service_account_check(struct slice v, const char *field, char *why)
{
	struct slice name = v, ns = slice_cut(&name, '/');

	if (v.len > SERVICE_ACCOUNT_CHARS_MAX)
		return SAY(why, "value cannot exceed 320 characters, found %zu in %s", v.len, field);
	if (slice_find(v, '*') >= 0)
		return SAY(why, "wildcard not allowed, found in %s", field);
	if (name.at == NULL)
		return true;
	if (slice_find(name, '/') >= 0)
		return SAY(why, "expected format 'serviceAccount' or 'namespace/serviceAccount', found "
			   "'%.*s'", SLICE_ARG(v));
	if (ns.len == 0)
		return SAY(why, "expected format 'serviceAccount' or 'namespace/serviceAccount', found "
			   "empty namespace in '%.*s'", SLICE_ARG(v));
	if (name.len == 0)
		return SAY(why, "expected format 'serviceAccount' or 'namespace/serviceAccount', found "
			   "empty serviceAccount in '%.*s'", SLICE_ARG(v));
	return true;
}

static bool trust_domain_check(struct slice v, const char *field, char *why)
{
	ptrdiff_t star = slice_find(v, '*');

	if (slice_find(v, '/') >= 0)
		return SAY(why, "trust domain must not contain '/', found in %s: \"%.*s\"", field,
			   SLICE_ARG(v));
	if (star >= 0 && slice_rfind(v, '*') != star)
		return SAY(why, "at most one wildcard is allowed, found in %s: \"%.*s\"", field,
			   SLICE_ARG(v));
	if (star > 0 && (size_t)star + 1 != v.len)
		return SAY(why, "wildcard is only allowed at the start or end, found in %s: \"%.*s\"",
			   field, SLICE_ARG(v));
	return true;
}

static bool ip_block_check(struct slice v, const char *field, char *why)
{
	struct cidr block;

	(void)field;
	if (cidr_parse(v, &block))
		return true;
	if (slice_find(v, '/') < 0)
		return SAY(why, "bad IP address (%.*s)", SLICE_ARG(v));
	return SAY(why, "bad CIDR range (%.*s): write address/bits, as in 10.0.0.0/8 or 2001:db8::/32",
		   SLICE_ARG(v));
}

static bool port_check(struct slice v, const char *field, char *why)
{
	uint64_t port;

	(void)field;
	if (!slice_to_u64(v, &port) || port > 65535)
		return SAY(why, "bad port (%.*s): write a number from 0 to 65535", SLICE_ARG(v));
	return true;
}

/* Paths: {*} and {**} are whole segments, the latter is the last of them. */

static bool is_template_literal(struct slice segment)
{
	for (size_t i = 0; i < segment.len; i++) {
		char c = segment.at[i];

		if (!ascii_is_alnum(c) && (c == '\0' || strchr("-._~%!$&'()+,;:@=", c) == NULL))
			return false;
	}
	return segment.len > 0;
}

static bool segment_check(struct slice path, struct slice segment, const char *field, bool *ended,
			  char *why)
{
	bool rest = slice_eq(segment, SLICE("{**}"));

	if (rest || slice_eq(segment, SLICE("{*}"))) {
		if (*ended)
			return SAY(why, "invalid or unsupported path %.*s, found in %s. {**} is not the "
				   "last operator", SLICE_ARG(path), field);
		*ended = rest;
		return true;
	}
	if (slice_find(segment, '{') >= 0 || slice_find(segment, '}') >= 0)
		return SAY(why, "invalid or unsupported path %.*s, found in %s. Contains '{' or '}' "
			   "beyond a supported path template", SLICE_ARG(path), field);
	if (!is_template_literal(segment))
		return SAY(why, "invalid or unsupported path %.*s, found in %s. Contains segment %.*s "
			   "with invalid string literal", SLICE_ARG(path), field, SLICE_ARG(segment));
	return true;
}

static bool path_check(struct slice v, const char *field, char *why)
{
	struct slice rest = v;
	bool ended = false;

	if (slice_find(v, '{') < 0 && slice_find(v, '}') < 0)
		return true;
	while (rest.len > 0 && rest.at[0] == '/')
		rest = slice_from(rest, 1);
	while (rest.len > 0 && rest.at[rest.len - 1] == '/')
		rest.len--;
	while (rest.at != NULL)
		if (!segment_check(v, slice_cut(&rest, '/'), field, &ended, why))
			return false;
	return true;
}

static value_check_fn *const checks[] = {
	[VALUE_TEXT] = text_check,
	[VALUE_SERVICE_ACCOUNT] = service_account_check,
	[VALUE_TRUST_DOMAIN] = trust_domain_check,
	[VALUE_IP_BLOCK] = ip_block_check,
	[VALUE_PORT] = port_check,
	[VALUE_PATH] = path_check,
};
static_assert(COUNT_OF(checks) == VALUE_KIND_COUNT, "every kind of value is checked");

static bool value_check(struct decoder *d, const struct located_slice *v, enum value_kind kind,
			const char *prefix, const char *field)
{
	struct node at = { .where = v->where };
	char why[WHY_BYTES];

	if (v->text.len == 0)
		return decode_error(d, &at, "%sempty value not allowed, found in %s", prefix, field);
	if (!checks[kind](v->text, field, why))
		return decode_error(d, &at, "%s%s", prefix, why);
	return true;
}

bool values_check(struct decoder *d, const policy_values *values, enum value_kind kind,
		  const char *key, const char *prefix, const char *field)
{
	size_t list = decode_push(d, key), item;
	bool ok = true;

	if (kind == VALUE_SERVICE_ACCOUNT && values->count > SERVICE_ACCOUNTS_MAX)
		ok = decode_error(d, &(struct node){ .where = values->items[SERVICE_ACCOUNTS_MAX].where },
				  "%smay not have more than 16 values, found %zu in %s", prefix,
				  values->count, field);
	for (size_t i = 0; i < values->count; i++) {
		item = decode_push_index(d, i);
		ok &= value_check(d, &values->items[i], kind, prefix, field);
		decode_pop(d, item);
	}
	decode_pop(d, list);
	return ok;
}

/* Keys */

static const struct {
	const char *text;
	enum condition_key key;
	enum value_kind kind;
	bool bracket;		/* followed by [a], claims also by [a][b] */
	bool identity;
} keys[] = {
	{ "request.headers", KEY_REQUEST_HEADER, VALUE_TEXT, true, false },
	{ "source.ip", KEY_SOURCE_IP, VALUE_IP_BLOCK, false, false },
	{ "remote.ip", KEY_REMOTE_IP, VALUE_IP_BLOCK, false, false },
	{ "source.namespace", KEY_SOURCE_NAMESPACE, VALUE_TEXT, false, true },
	{ "source.serviceAccount", KEY_SOURCE_SERVICE_ACCOUNT, VALUE_SERVICE_ACCOUNT, false, true },
	{ "source.principal", KEY_SOURCE_PRINCIPAL, VALUE_TEXT, false, true },
	{ "source.trustDomain", KEY_SOURCE_TRUST_DOMAIN, VALUE_TRUST_DOMAIN, false, true },
	{ "request.auth.principal", KEY_AUTH_PRINCIPAL, VALUE_TEXT, false, true },
	{ "request.auth.audiences", KEY_AUTH_AUDIENCES, VALUE_TEXT, false, true },
	{ "request.auth.presenter", KEY_AUTH_PRESENTER, VALUE_TEXT, false, true },
	{ "request.auth.claims", KEY_AUTH_CLAIM, VALUE_TEXT, true, true },
	{ "destination.ip", KEY_DESTINATION_IP, VALUE_IP_BLOCK, false, false },
	{ "destination.port", KEY_DESTINATION_PORT, VALUE_PORT, false, false },
	{ "connection.sni", KEY_SNI, VALUE_TEXT, false, false },
	{ "experimental.envoy.filters.", KEY_ENVOY_FILTER, VALUE_TEXT, true, false },
};
static_assert(COUNT_OF(keys) == CONDITION_KEY_COUNT, "every key has its row, in the enum's order");

static const char *const key_names[] = {
	"request.headers", "source.ip", "remote.ip", "source.namespace", "source.serviceAccount",
	"source.principal", "source.trustDomain", "request.auth.principal", "request.auth.audiences",
	"request.auth.presenter", "request.auth.claims", "destination.ip", "destination.port",
	"connection.sni", NULL
};

bool condition_key_needs_identity(enum condition_key key)
{
	return keys[key].identity;
}

static bool key_unknown(struct decoder *d, const struct node *n, struct slice text)
{
	struct slice rest = text;
	const char *near;

	if (slice_eq(text, SLICE("destination.namespace")))
		return decode_error(d, n, "attribute destination.namespace is replaced by the "
				    "metadata.namespace");
	if (slice_starts(text, SLICE("destination.labels")))
		return decode_error(d, n, "attribute %.*s is replaced by the workload selector",
				    SLICE_ARG(text));
	if (slice_eq(text, SLICE("destination.name")) || slice_eq(text, SLICE("destination.user")))
		return decode_error(d, n, "deprecated attribute %.*s: only supported in v1alpha1",
				    SLICE_ARG(text));
	near = nearest_name(slice_cut(&rest, '['), key_names);
	if (near != NULL)
		return decode_error(d, n, "unknown attribute: %.*s, did you mean \"%s\"?", SLICE_ARG(text),
				    near);
	return decode_error(d, n, "unknown attribute: %.*s", SLICE_ARG(text));
}

/* What stands between two pieces of a nested key; `rest` is absent after the last. */
static struct slice cut_bracket(struct slice *rest)
{
	struct slice whole = *rest;

	for (size_t i = 0; i + 1 < whole.len; i++) {
		if (whole.at[i] != ']' || whole.at[i + 1] != '[')
			continue;
		*rest = slice_from(whole, i + 2);
		return slice_first(whole, i);
	}
	*rest = NO_SLICE;
	return whole;
}

static bool names_parse(struct decoder *d, const struct node *n, struct policy_condition *c)
{
	ptrdiff_t open = slice_find(c->text, '[');
	struct slice inner, rest, name;

	if (open < 0 || c->text.at[c->text.len - 1] != ']' || (size_t)open + 2 >= c->text.len)
		return decode_error(d, n, "bad key (%.*s): should have format a[b]", SLICE_ARG(c->text));
	inner = slice_make(c->text.at + open + 1, c->text.len - (size_t)open - 2);
	c->names.items = arena_array(d->arena, struct slice, inner.len / 2 + 1);
	if (c->key != KEY_AUTH_CLAIM) {
		c->names.items[c->names.count++] = inner;
		return true;
	}
	for (rest = inner; rest.at != NULL;) {
		name = cut_bracket(&rest);
		if (name.len == 0)
			return decode_error(d, n, "bad key (%.*s): a name between brackets is empty",
					    SLICE_ARG(c->text));
		c->names.items[c->names.count++] = name;
	}
	return true;
}

bool condition_key_parse(struct decoder *d, const struct node *n, struct policy_condition *c)
{
	struct slice name;

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		name = slice_of(keys[i].text);
		if (!slice_starts(c->text, name))
			continue;
		if (!keys[i].bracket && c->text.len != name.len)
			continue;
		/* `request.headersX[..]` is no header; what follows the filter's prefix is its name. */
		if (keys[i].bracket && c->text.len > name.len && c->text.at[name.len] != '[' &&
		    keys[i].key != KEY_ENVOY_FILTER)
			continue;
		c->key = keys[i].key;
		return !keys[i].bracket || names_parse(d, n, c);
	}
	return key_unknown(d, n, c->text);
}

bool condition_values_check(struct decoder *d, const struct policy_condition *c)
{
	char prefix[300], not_prefix[300], key[200];
	bool ok;

	snprintf(key, sizeof(key), "%.*s", SLICE_ARG(c->text));
	snprintf(prefix, sizeof(prefix), "invalid `value` for `key` %s: ", key);
	snprintf(not_prefix, sizeof(not_prefix), "invalid `notValue` for `key` %s: ", key);
	ok = values_check(d, &c->values.is, keys[c->key].kind, "values", prefix, key);
	ok &= values_check(d, &c->values.not, keys[c->key].kind, "notValues", not_prefix, key);
	return ok;
}
