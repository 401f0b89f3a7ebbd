/* SPDX-License-Identifier: Apache-2.0
 *
 * http[].retries (spec 2.8, 7.8, V90-V95). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/object.h"

#define STATUSES_MAX	64u	/* in one retryOn; there are fewer registered ones */

static const char *const tokens[] = {
#define AS_TEXT(name, text)	text,
	RETRY_ON_TOKENS(AS_TEXT) NULL
};

_Static_assert(RETRY_ON_COUNT <= 32, "one bit for each token");

const struct retry_policy retry_policy_default = {
	.attempts = RETRY_ATTEMPTS_DEFAULT, .on = RETRY_ON_DEFAULT, .backoff_ms = RETRY_BACKOFF_MS,
};

/* The status codes that are registered with IANA, which are those Istio knows. */
static bool is_registered_status(uint64_t code)
{
	static const struct {
		uint16_t first, last;
	} ranges[] = {
		{ 100, 103 }, { 200, 208 }, { 226, 226 }, { 300, 305 }, { 307, 308 }, { 400, 418 },
		{ 421, 426 }, { 428, 429 }, { 431, 431 }, { 451, 451 }, { 500, 508 }, { 510, 511 },
	};

	for (size_t i = 0; i < COUNT_OF(ranges); i++)
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	return false;
}

static bool unknown_token(struct decoder *d, const struct node *n, struct slice token)
{
	struct slice trimmed = slice_trim(token);
	const char *near = nearest_name(trimmed, tokens);

	if (token.len == 0)
		return decode_error(d, n, "an empty item between commas");
	if (trimmed.len < token.len)
		return decode_error(d, n,
				    "unknown condition \"%.*s\": write no blanks around the comma",
				    SLICE_ARG(token));
	if (near != NULL)
		return decode_error(d, n, "unknown condition \"%.*s\", did you mean \"%s\"?",
				    SLICE_ARG(token), near);
	return decode_error(
		d, n,
		"unknown condition \"%.*s\", write names such as 5xx, reset, connect-failure, "
		"or HTTP status codes",
		SLICE_ARG(token));
}

static bool take_token(struct decoder *d, const struct node *n, struct slice token,
		       struct retry_policy *r)
{
	uint64_t status;

	for (unsigned i = 0; tokens[i] != NULL; i++) {
		if (!slice_eq(token, slice_of(tokens[i])))
			continue;
		r->on |= 1u << i;
		if (1u << i == RETRY_ON_RETRIABLE_HEADERS ||
		    1u << i == RETRY_ON_HTTP3_POST_CONNECT_FAILURE)
			decode_warning(d, n, "\"%s\" has no effect", tokens[i]);
		return true;
	}
	if (!slice_to_u64(token, &status) || !is_registered_status(status))
		return unknown_token(d, n, token);
	r->on |= RETRY_ON_RETRIABLE_STATUS_CODES;
	if (r->statuses.count == STATUSES_MAX)
		return decode_error(d, n, "more than %u status codes", STATUSES_MAX);
	r->statuses.items[r->statuses.count++] = (uint16_t)status;
	return true;
}

static bool decode_retry_on(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct retry_policy *r = out;
	struct slice list;
	bool ok = true;

	/* A single status code may stand there as a number. */
	if (!decode_int_or_string(d, n, &list, arg))
		return false;
	if (list.len == 0)
		return true;
	r->statuses.items = arena_array(d->arena, uint16_t, STATUSES_MAX);
	while (list.at != NULL)
		ok = take_token(d, n, slice_cut(&list, ','), r) && ok;
	return ok;
}

static bool decode_attempts(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t attempts;

	if (!decode_i32(d, n, &attempts, arg))
		return false;
	if (attempts < 0)
		return decode_error(d, n, "%d attempts, write 0 or more", attempts);
	*(unsigned *)out = (unsigned)attempts;
	return true;
}

static const struct decode_nullable nullable_bool = {
	decode_bool,
	offsetof(struct retry_policy, ignore_previous_hosts) -
		offsetof(struct retry_policy, ignore_previous_hosts_set),
	NULL,
};

static const struct field retry_fields[] = {
	FIELD(struct retry_policy, "attempts", attempts, decode_attempts, FIELD_OPTIONAL),
	FIELD(struct retry_policy, "perTryTimeout", per_try_timeout_ms, decode_duration,
	      FIELD_OPTIONAL),
	{ "retryOn", decode_retry_on, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct retry_policy, "retryRemoteLocalities", remote_localities, decode_bool,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct retry_policy, "retryIgnorePreviousHosts", ignore_previous_hosts_set,
		  decode_nullable,
		  FIELD_OPTIONAL, &nullable_bool),
	FIELD(struct retry_policy, "backoff", backoff_ms, decode_duration, FIELD_OPTIONAL),
	FIELDS_END
};

bool retry_policy_decode(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct retry_policy *r = out;
	bool ok;

	(void)arg;
	r->backoff_ms = RETRY_BACKOFF_MS;
	ok = decode_mapping(d, n, retry_fields, r);
	if (ok && r->attempts == 0 &&
	    (node_has(n, "perTryTimeout") || r->on != 0 || node_has(n, "retryRemoteLocalities")))
		ok = decode_error(d, n,
				  "no attempts: give attempts, or drop perTryTimeout, retryOn and "
				  "retryRemoteLocalities");
	if (r->on == 0)
		r->on = RETRY_ON_DEFAULT;
	if (ok && r->remote_localities)
		decode_warning(d, node_get(n, "retryRemoteLocalities"),
			       "retryRemoteLocalities " DECODE_NOT_OBEYED);
	return ok;
}
