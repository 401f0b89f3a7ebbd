/* SPDX-License-Identifier: Apache-2.0
 *
 * token.c - see token.h; the steps stand in the order of spec/request-authentication.md 5.1. */
#include "spoa/token.h"

#include <stdlib.h>

#include "sallyport/base64.h"
#include "sallyport/strict_json.h"

#define KIND_TOKEN	KIND('t', 'o', 'k', 'n')
/* What a JSON value takes in memory beside its text, about: for the cache's accounts. */
#define JSON_NODE_BYTES	96u

struct token_own {
	struct token pub;		/* first: what callers see */
	json_t *header, *claims;	/* owned */
	struct slice *aud;		/* owned */
	unsigned char signature[];	/* and behind it the text */
};

static struct token_own *own(const struct token *t)
{
	return (struct token_own *)t;
}

/* Exactly two dots, nothing empty. */
static bool split(struct slice text, struct slice part[3])
{
	struct slice rest = text;
	size_t n = 0;

	if (text.len == 0 || text.len > TOKEN_BYTES_MAX)
		return false;
	while (rest.at != NULL) {
		struct slice piece = slice_cut(&rest, '.');

		if (n == 3 || piece.len == 0)
			return false;
		part[n++] = piece;
	}
	return n == 3;
}

/* A segment that holds a JSON object. */
static enum jwt_status decode_object(struct slice segment, enum jwt_status bad_base64,
				     enum jwt_status bad_json, json_t **out)
{
	unsigned char bytes[BASE64_DECODED_MAX(TOKEN_BYTES_MAX)];
	ptrdiff_t len = base64url_decode(segment, bytes);

	if (len < 0)
		return bad_base64;
	*out = strict_json_object(slice_make(bytes, (size_t)len), TOKEN_JSON_DEPTH_MAX);
	return *out != NULL ? JWT_OK : bad_json;
}

static enum jwt_status read_header(struct token *t, const json_t *header)
{
	struct slice alg;

	if (json_string_field(header, "alg", &alg) != JSON_FIELD_FOUND)
		return JWT_HEADER_BAD_ALG;
	t->alg = jwt_alg_parse(alg);
	if (t->alg == JWT_ALG_UNSUPPORTED)
		return JWT_HEADER_ALG_NOT_SUPPORTED;
	if (json_string_field(header, "kid", &t->kid) == JSON_FIELD_WRONG)
		return JWT_HEADER_BAD_KID;
	t->crit = json_object_get(header, "crit") != NULL;
	return JWT_OK;
}

/* Seconds since 1970, fractions cut off. Absent: 0. */
static enum jwt_status read_time(const json_t *claims, const char *name, uint64_t *out,
				 enum jwt_status no_integer, enum jwt_status out_of_range)
{
	const json_t *value = json_object_get(claims, name);

	if (value == NULL)
		return JWT_OK;
	if (json_is_integer(value)) {
		if (json_integer_value(value) < 0)
			return out_of_range;
		*out = (uint64_t)json_integer_value(value);
		return JWT_OK;
	}
	if (!json_is_real(value))
		return no_integer;
	if (!(json_real_value(value) >= 0 && json_real_value(value) < 0x1p64))
		return out_of_range;
	*out = (uint64_t)json_real_value(value);
	return JWT_OK;
}

/* A string, or a list of nothing but strings. */
static enum jwt_status read_audiences(struct token_own *t)
{
	const json_t *aud = json_object_get(t->claims, "aud");
	size_t count = json_is_array(aud) ? json_array_size(aud) : 1;

	if (aud == NULL || (json_is_array(aud) && count == 0))
		return JWT_OK;
	t->aud = calloc(count, sizeof(*t->aud));
	if (t->aud == NULL)
		fatal("out of memory for a token's audiences");
	for (size_t i = 0; i < count; i++) {
		const json_t *one = json_is_array(aud) ? json_array_get(aud, i) : aud;

		if (!json_is_string(one))
			return JWT_AUD_NOT_STRING;
		t->aud[i] = slice_make(json_string_value(one), json_string_length(one));
	}
	t->pub.aud = t->aud;
	t->pub.aud_count = count;
	return JWT_OK;
}

static enum jwt_status read_claims(struct token_own *t)
{
	const json_t *claims = t->claims;
	struct token *pub = &t->pub;
	enum jwt_status status;

	if (json_string_field(claims, "iss", &pub->iss) == JSON_FIELD_WRONG)
		return JWT_ISS_NOT_STRING;
	if (json_string_field(claims, "sub", &pub->sub) == JSON_FIELD_WRONG)
		return JWT_SUB_NOT_STRING;
	status = read_time(claims, "iat", &pub->iat, JWT_IAT_NOT_INTEGER, JWT_IAT_OUT_OF_RANGE);
	if (status == JWT_OK)
		status = read_time(claims, "nbf", &pub->nbf, JWT_NBF_NOT_INTEGER,
				   JWT_NBF_OUT_OF_RANGE);
	if (status == JWT_OK)
		status = read_time(claims, "exp", &pub->exp, JWT_EXP_NOT_INTEGER,
				   JWT_EXP_OUT_OF_RANGE);
	if (status != JWT_OK)
		return status;
	if (json_string_field(claims, "jti", &pub->jti) == JSON_FIELD_WRONG)
		return JWT_JTI_NOT_STRING;
	return read_audiences(t);
}

/* The depth is bounded: strict_json_object() saw to it. */
static size_t json_weight(const json_t *value)
{
	size_t weight = JSON_NODE_BYTES + (json_is_string(value) ? json_string_length(value) : 0);
	void *it = json_object_iter((json_t *)value);

	for (size_t i = 0; i < json_array_size(value); i++)
		weight += json_weight(json_array_get(value, i));
	for (; it != NULL; it = json_object_iter_next((json_t *)value, it))
		weight += strlen(json_object_iter_key(it)) + json_weight(json_object_iter_value(it));
	return weight;
}

/* Header, payload, signature: whose error comes first is told. */
static enum jwt_status read_parts(struct token_own *t, struct slice part[3])
{
	enum jwt_status status = decode_object(part[0], JWT_HEADER_BAD_BASE64, JWT_HEADER_BAD_JSON,
					       &t->header);
	ptrdiff_t len;

	if (status == JWT_OK)
		status = read_header(&t->pub, t->header);
	if (status == JWT_OK)
		status = decode_object(part[1], JWT_PAYLOAD_BAD_BASE64, JWT_PAYLOAD_BAD_JSON,
				       &t->claims);
	if (status == JWT_OK)
		status = read_claims(t);
	if (status != JWT_OK)
		return status;
	len = base64url_decode(part[2], t->signature);
	if (len < 0)
		return JWT_SIGNATURE_BAD_BASE64;
	t->pub.signature = slice_make(t->signature, (size_t)len);
	return JWT_OK;
}

/* The struct, room for the signature and a copy of the text, in one piece. */
static struct token_own *create(struct slice text, struct slice part[3])
{
	size_t bytes = sizeof(struct token_own) + BASE64_DECODED_MAX(part[2].len);
	struct token_own *t = malloc(bytes + text.len);
	char *copy = (char *)t + bytes;

	if (t == NULL)
		fatal("out of memory for a token");
	memset(t, 0, sizeof(*t));
	memcpy(copy, text.at, text.len);
	t->pub.obj.kind = KIND_TOKEN;
	t->pub.obj.refs = 1;
	t->pub.text = slice_make(copy, text.len);
	t->pub.signed_bytes = slice_make(copy, part[0].len + 1 + part[1].len);
	t->pub.payload = slice_make(copy + part[0].len + 1, part[1].len);
	t->pub.bytes = bytes + text.len;
	return t;
}

enum jwt_status token_parse(struct slice text, struct token **out)
{
	struct slice part[3];
	enum jwt_status status;
	struct token_own *t;
	struct token *pub;

	if (!split(text, part))
		return JWT_BAD_FORMAT;
	t = create(text, part);
	pub = &t->pub;
	status = read_parts(t, part);
	if (status != JWT_OK) {
		token_unref(&pub);
		return status;
	}
	pub->claims = t->claims;
	pub->bytes += json_weight(t->header) + json_weight(t->claims) +
		      pub->aud_count * sizeof(*t->aud);
	*out = pub;
	return JWT_OK;
}

enum jwt_status token_of_claims(struct slice claims, struct token **out)
{
	static const char header[] = "e30.", signature[] = ".e30";
	char text[TOKEN_BYTES_MAX];
	struct slice part[3];
	enum jwt_status status;
	struct token_own *t;
	struct token *pub;
	size_t len = sizeof(header) - 1;

	if (BASE64_ENCODED_MAX(claims.len) + len + sizeof(signature) > sizeof(text))
		return JWT_BAD_FORMAT;
	memcpy(text, header, len);
	len += base64url_encode(claims, text + len);
	memcpy(text + len, signature, sizeof(signature));
	if (!split(slice_of(text), part))
		return JWT_PAYLOAD_BAD_JSON;	/* there is nothing between the dots */
	t = create(slice_of(text), part);
	pub = &t->pub;
	status = decode_object(part[1], JWT_PAYLOAD_BAD_BASE64, JWT_PAYLOAD_BAD_JSON, &t->claims);
	if (status == JWT_OK)
		status = read_claims(t);
	if (status != JWT_OK) {
		token_unref(&pub);
		return status;
	}
	pub->claims = t->claims;
	*out = pub;
	return JWT_OK;
}

struct token *token_ref(const struct token *t)
{
	struct token *pub = (struct token *)t;

	object_must(pub, KIND_TOKEN);
	atomic_fetch_add_explicit(&pub->obj.refs, 1, memory_order_relaxed);
	return pub;
}

void token_unref(struct token **tp)
{
	struct token *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	object_must(t, KIND_TOKEN);
	if (atomic_fetch_sub(&t->obj.refs, 1) > 1)
		return;
	json_decref(own(t)->header);
	json_decref(own(t)->claims);
	free(own(t)->aud);
	object_wipe(t);
	free(own(t));
}

enum jwt_status token_check_issuer(const struct token *t, struct slice issuer)
{
	return issuer.len == 0 || slice_eq(t->iss, issuer) ? JWT_OK : JWT_UNKNOWN_ISSUER;
}

enum jwt_status token_check_time(const struct token *t, int64_t now_s)
{
	uint64_t now = now_s > 0 ? (uint64_t)now_s : 0;

	if (t->nbf > now && t->nbf - now > TOKEN_SKEW_S)
		return JWT_NOT_YET_VALID;
	if (t->exp != 0 && now > t->exp && now - t->exp > TOKEN_SKEW_S)
		return JWT_EXPIRED;
	return JWT_OK;
}

/* Without its scheme and without one slash at its end. */
static struct slice bare_audience(struct slice s)
{
	if (slice_starts(s, SLICE("http://")))
		s = slice_from(s, sizeof("http://") - 1);
	else if (slice_starts(s, SLICE("https://")))
		s = slice_from(s, sizeof("https://") - 1);
	return s.len > 0 && s.at[s.len - 1] == '/' ? slice_first(s, s.len - 1) : s;
}

enum jwt_status token_check_audience(const struct token *t, const struct slice *audiences,
				     size_t count)
{
	if (count == 0)
		return JWT_OK;
	for (size_t i = 0; i < count; i++) {
		struct slice wanted = bare_audience(audiences[i]);

		for (size_t k = 0; k < t->aud_count; k++)
			if (slice_eq(wanted, bare_audience(t->aud[k])))
				return JWT_OK;
	}
	return JWT_AUDIENCE_NOT_ALLOWED;
}

/* Two names that are both given and differ exclude each other. */
static bool may_verify(const struct token *t, const struct jwk *key)
{
	if (t->kid.len > 0 && key->kid.len > 0 && !slice_eq(t->kid, key->kid))
		return false;
	return key->alg.len == 0 || slice_eq(key->alg, slice_of(jwt_alg_name(t->alg)));
}

enum jwt_status token_verify(const struct token *t, const struct jwk_set *set,
			     const struct jwk **used)
{
	enum jwt_status status = jwk_set_status(set);
	bool matched = false;

	if (status != JWT_OK)
		return status;
	/* RFC 7515, 4.1.11: what must be understood and is not makes the token invalid. */
	if (t->crit)
		return JWT_VERIFICATION_FAIL;
	for (size_t i = 0; i < jwk_set_count(set); i++) {
		const struct jwk *key = jwk_set_key(set, i);

		if (!may_verify(t, key))
			continue;
		matched = true;
		status = jwk_verify(key, t->alg, t->signed_bytes, t->signature);
		if (status == JWT_OK && used != NULL)
			*used = key;
		if (status != JWT_VERIFICATION_FAIL)
			return status;
	}
	return matched ? JWT_VERIFICATION_FAIL : JWKS_KID_ALG_MISMATCH;
}
