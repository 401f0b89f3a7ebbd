/* SPDX-License-Identifier: Apache-2.0
 *
 * authn.c - tokens at their places, each verified by its rule, and how several rules combine. */
#include "spoa/authn.h"

#include <stdlib.h>

#include "sallyport/text.h"

/* `Origin` and `Access-Control-Request-Method` filled in, on an OPTIONS. */
bool authn_is_preflight(const struct request *r)
{
	return slice_eq(r->check->method, SLICE("OPTIONS")) &&
	       request_header(r, SLICE("origin")).len > 0 &&
	       request_header(r, SLICE("access-control-request-method")).len > 0;
}

/* Places */

static bool is_token_char(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_' || c == '.';
}

/* What stands behind the prefix, wherever in the value that is. Absent: the prefix is not there,
 * and so no token. */
static struct slice after_prefix(struct slice value, struct slice prefix)
{
	const char *at;
	struct slice rest;

	if (value.at == NULL)
		value = SLICE("");
	if (prefix.at == NULL)
		return value;
	at = value.len > 0 ? memmem(value.at, value.len, prefix.at, prefix.len) : NULL;
	if (at == NULL)
		return NO_SLICE;
	rest = slice_from(value, (size_t)(at - value.at) + prefix.len);
	while (rest.len > 0 && !is_token_char(rest.at[0]))
		rest = slice_from(rest, 1);
	return rest.len > 0 ? rest : value;	/* the whole value then fails as malformed */
}

static struct slice unquoted(struct slice s)
{
	if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"')
		return slice_make(s.at + 1, s.len - 2);
	return s;
}

/* The first cookie of that name over all lines; an empty one is none. */
static struct slice cookie_find(const struct request *r, struct slice name)
{
	struct slice rest, value, key;

	for (size_t i = 0; i < r->header_count; i++) {
		if (!slice_eq_nocase(r->headers[i].name, SLICE("cookie")))
			continue;
		for (rest = r->headers[i].value; rest.at != NULL;) {
			value = slice_trim(slice_cut(&rest, ';'));
			key = slice_cut(&value, '=');
			if (value.at == NULL || !slice_eq(key, name))
				continue;
			value = unquoted(value);
			return value.len > 0 ? value : NO_SLICE;
		}
	}
	return NO_SLICE;
}

/* One rule */

static bool is_want_of_keys(enum jwt_status status)
{
	return status == JWT_PENDING || status == JWKS_FETCH_FAIL || status == JWKS_KID_ALG_MISMATCH;
}

static void note_want(struct authn *a, const struct provider *p, const struct token *t,
		      struct arena *arena)
{
	if (a->wanting != NULL)
		return;
	a->wanting = p->keys;
	a->kid = arena_slice(arena, t->kid);
}

/* The order decides which message is read: issuer, time, audience, and only then the signature. */
static enum jwt_status claims_check(const struct authn *a, const struct provider *p,
				    const struct token *t)
{
	enum jwt_status status = token_check_issuer(t, p->rule->issuer);

	if (status == JWT_OK)
		status = token_check_time(t, a->now_s);
	if (status == JWT_OK)
		status = token_check_audience(t, p->audiences, p->audience_count);
	return status;
}

/* On JWT_OK *out is replaced by the token. */
static enum jwt_status token_accept(struct authn *a, const struct provider *p, struct slice text,
				    struct arena *arena, struct token **out)
{
	struct token *t = NULL;
	enum jwt_status status = token_cache_parse(a->tokens, text, a->now_s, &t);

	if (status == JWT_OK)
		status = claims_check(a, p, t);
	if (status != JWT_OK)
		return status;
	t = token_ref(t);	/* the next call on the cache may drop it */
	status = token_cache_verify(a->tokens, t, p->keys, a->now_s);
	if (is_want_of_keys(status))
		note_want(a, p, t, arena);
	if (status != JWT_OK) {
		token_unref(&t);
		return status;
	}
	token_unref(out);
	*out = t;
	return JWT_OK;
}

static enum jwt_status header_check(struct authn *a, const struct provider *p,
				    const struct token_place *place, const struct request *r,
				    struct token **out)
{
	enum jwt_status status;
	struct slice text;

	for (size_t i = r->header_count; i > 0; i--) {
		if (!slice_eq_nocase(r->headers[i - 1].name, place->name))
			continue;
		text = after_prefix(r->headers[i - 1].value, place->prefix);
		if (text.at == NULL)
			continue;
		status = token_accept(a, p, text, r->check->arena, out);
		if (status != JWT_OK)
			return status;
	}
	return JWT_OK;
}

static enum jwt_status place_check(struct authn *a, const struct provider *p,
				   const struct token_place *place, const struct request *r,
				   struct token **out)
{
	struct slice text;

	if (place->kind == PLACE_HEADER)
		return header_check(a, p, place, r, out);
	if (place->kind == PLACE_PARAM)
		text = query_find(r->check->arena, r->target, place->name);
	else
		text = cookie_find(r, place->name);
	return text.at != NULL ? token_accept(a, p, text, r->check->arena, out) : JWT_OK;
}

/* What somebody at the desk says a token would hold. */
static enum jwt_status assumed_check(const struct authn *a, const struct provider *p, const struct token *t,
				     struct token **out)
{
	enum jwt_status status = claims_check(a, p, t);

	if (status == JWT_OK)
		*out = token_ref(t);
	return status;
}

/* Every token found has to verify; the last one verified speaks for the request. */
static enum jwt_status provider_check(struct authn *a, const struct provider *p,
				      const struct request *r, struct token **out)
{
	enum jwt_status status;

	if (r->check->assumed != NULL)
		return assumed_check(a, p, r->check->assumed, out);
	for (size_t i = 0; i < p->place_count; i++) {
		status = place_check(a, p, &p->places[i], r, out);
		if (status == JWT_OK)
			continue;
		token_unref(out);
		return status;
	}
	return *out != NULL ? JWT_OK : JWT_MISSED;
}

/* Several rules (4.3) */

struct failure {
	const struct provider *of;	/* NULL: there was none */
	enum jwt_status status;
};

struct tally {
	struct failure first;		/* in rule order; MISSED is none */
	struct failure last_telling;	/* that is no unknown issuer */
};

static void tally_add(struct tally *t, const struct provider *p, enum jwt_status status)
{
	if (status == JWT_MISSED)
		return;
	if (t->first.of == NULL)
		t->first = (struct failure){ p, status };
	if (status != JWT_UNKNOWN_ISSUER)
		t->last_telling = (struct failure){ p, status };
}

static struct failure tally_result(const struct tally *t)
{
	if (t->first.of == NULL)
		return (struct failure){ NULL, JWT_OK };	/* no token anywhere: no identity, no refusal */
	if (t->first.status == JWT_UNKNOWN_ISSUER && t->last_telling.of != NULL)
		return t->last_telling;
	return t->first;
}

void authn_run(struct authn *a, const struct request *r)
{
	struct tally tally = { { NULL, JWT_OK }, { NULL, JWT_OK } };
	struct failure result;
	enum jwt_status status;

	a->provider = a->blamed = NULL;
	a->token = NULL;
	a->wanting = NULL;
	/* A rule that lacks its keys does not stop the others: a good token for one of them passes at
	 * once, whatever the issuer of another does. */
	for (size_t i = 0; i < a->set->provider_count; i++) {
		status = provider_check(a, a->set->providers[i], r, &a->token);
		a->judged = i + 1;
		if (a->each != NULL)
			a->each[i] = status;
		if (status == JWT_OK) {
			a->provider = a->set->providers[i];
			a->status = JWT_OK;
			a->wanting = NULL;
			return;
		}
		tally_add(&tally, a->set->providers[i], status);
	}
	result = tally_result(&tally);
	a->status = result.status;
	a->blamed = result.of;
}

/* What is handed on (8) */

/* Is there a token of this rule at the place? Accepted requests only: what was found, verified. */
static bool is_used(const struct token_place *place, const struct request *r)
{
	for (size_t i = 0; place->kind == PLACE_HEADER && i < r->header_count; i++)
		if (slice_eq_nocase(r->headers[i].name, place->name) &&
		    after_prefix(r->headers[i].value, place->prefix).at != NULL)
			return true;
	return place->kind == PLACE_PARAM &&
	       query_find(r->check->arena, r->target, place->name).at != NULL;
}

static void take_token_away(const struct provider *p, const struct request *r, struct changes *out)
{
	for (size_t i = 0; i < p->place_count; i++) {
		if (!is_used(&p->places[i], r))
			continue;
		if (p->places[i].kind == PLACE_HEADER)
			changes_remove_header(out, p->places[i].name);
		else
			changes_cut_param(out, p->places[i].name);
	}
}

static const json_t *claim_find(const json_t *claims, struct slice path)
{
	struct slice name;

	while (claims != NULL && path.at != NULL) {
		name = slice_cut(&path, '.');
		claims = json_is_object(claims) ? json_object_getn(claims, name.at, name.len) : NULL;
	}
	return claims;
}

static bool is_header_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.at[i] < ' ' && s.at[i] != '\t') || s.at[i] == 0x7f)
			return false;
	return s.len > 0;
}

/* A claim beyond 2^63 makes the parser read all numbers of its token as real ones. */
static struct slice number_text(struct arena *arena, double number)
{
	bool counts = number >= 0 && number < 0x1p64 && number == (double)(uint64_t)number;

	return slice_of(arena_printf(arena, counts ? "%.0f" : "%f", number));
}

/* Absent: has no form as a header's value (8.2). */
static struct slice claim_text(struct arena *arena, const json_t *value)
{
	json_int_t number;

	switch (value != NULL ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return arena_slice(arena, slice_make(json_string_value(value),
						     json_string_length(value)));
	case JSON_INTEGER:
		number = json_integer_value(value);
		if (number >= 0)
			return slice_of(arena_printf(arena, "%" JSON_INTEGER_FORMAT, number));
		return number_text(arena, (double)number);
	case JSON_REAL:
		return number_text(arena, json_real_value(value));
	case JSON_TRUE:
		return SLICE("true");
	case JSON_FALSE:
		return SLICE("false");
	default:
		return NO_SLICE;
	}
}

static void add_claim(const struct provider *p, size_t n, const struct token *t, struct changes *out)
{
	const struct claim_to_header *c = &p->rule->output_claim_to_headers.items[n];
	const json_t *value = claim_find(t->claims, c->claim);
	struct slice text = claim_text(out->arena, value);

	if ((json_is_object(value) || json_is_array(value)) &&
	    !atomic_exchange_explicit(&p->claim_told[n], true, memory_order_relaxed))
		log_warn("authn", "issuer %.*s: claim %.*s is a list or an object and is not copied to "
			 "header %.*s", SLICE_ARG(p->rule->issuer), SLICE_ARG(c->claim),
			 SLICE_ARG(c->header));
	if (text.at != NULL && is_header_value(text))
		changes_add_header(out, c->header, text);
}

void authn_changes(const struct authn *a, const struct request *r, struct changes *out)
{
	const struct jwt_rule *rule;

	/* What a client sends under these names could be taken for a verified claim. */
	for (size_t i = 0; i < a->set->output_header_count; i++)
		changes_remove_header(out, a->set->output_headers[i]);
	if (a->provider == NULL)
		return;
	rule = a->provider->rule;
	if (!rule->forward_original_token)
		take_token_away(a->provider, r, out);
	if (rule->output_payload_to_header.len > 0)
		changes_add_header(out, rule->output_payload_to_header,
				   arena_slice(out->arena, a->token->payload));
	for (size_t i = 0; i < rule->output_claim_to_headers.count; i++)
		add_claim(a->provider, i, a->token, out);
}

/* Refusals (7.1) */

#define CHALLENGE_TARGET_MAX	256u

static struct slice quoted(struct arena *arena, struct slice s)
{
	char *out = arena_alloc(arena, 2 * s.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++) {
		if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
			continue;
		if (s.at[i] == '"' || s.at[i] == '\\')
			out[len++] = '\\';
		out[len++] = s.at[i];
	}
	return slice_make(out, len);
}

static struct slice without_tokens(const struct policy_set *set, struct arena *arena,
				   struct slice target)
{
	const struct provider *p;

	for (size_t i = 0; i < set->provider_count; i++) {
		p = set->providers[i];
		for (size_t j = 0; j < p->place_count; j++)
			if (p->places[j].kind == PLACE_PARAM)
				target = query_mask(arena, target, p->places[j].name);
	}
	return target;
}

struct slice authn_challenge(const struct policy_set *set, const struct request *r,
			     struct slice received, enum jwt_status status)
{
	struct arena *arena = r->check->arena;
	struct slice target = slice_first(received, CHALLENGE_TARGET_MAX);

	target = quoted(arena, without_tokens(set, arena, target));
	return slice_of(arena_printf(arena, "Bearer realm=\"%.*s://%.*s%.*s\"%s",
				     SLICE_ARG(quoted(arena, r->check->scheme)),
				     SLICE_ARG(quoted(arena, r->check->authority)), SLICE_ARG(target),
				     status == JWT_MISSED ? "" : ", error=\"invalid_token\""));
}

/* Claims for routing (8.3) */

static void add_words(struct text *out, struct slice words)
{
	const char *between = "";
	struct slice word;

	text_add_char(out, '[');
	while (words.at != NULL) {
		word = slice_cut(&words, ' ');
		if (word.len == 0)
			continue;
		text_printf(out, "%s", between);
		text_add_json(out, word);
		between = ",";
	}
	text_add_char(out, ']');
}

static void add_value(struct text *out, const json_t *value)
{
	char *dumped = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	text_printf(out, "%s", dumped != NULL ? dumped : "null");
	free(dumped);
}

struct slice authn_claims(const struct provider *p, const struct token *t, struct arena *arena)
{
	json_t *claims = (json_t *)t->claims;	/* jansson's iterator asks for it, and only reads */
	const char *between = "";
	struct text out;
	struct slice name, copy;

	text_init(&out);
	text_add_char(&out, '{');
	for (void *i = json_object_iter(claims); i != NULL; i = json_object_iter_next(claims, i)) {
		name = slice_make(json_object_iter_key(i), json_object_iter_key_len(i));
		text_printf(&out, "%s", between);
		text_add_json(&out, name);
		text_add_char(&out, ':');
		if (json_is_string(json_object_iter_value(i)) && claim_is_split(p, name))
			add_words(&out, slice_of(json_string_value(json_object_iter_value(i))));
		else
			add_value(&out, json_object_iter_value(i));
		between = ",";
	}
	text_add_char(&out, '}');
	copy = arena_slice(arena, text_slice(&out));
	text_fini(&out);
	return copy;
}
