/* SPDX-License-Identifier: Apache-2.0
 *
 * request_authentication.c - RequestAuthentication: fields and rules of
 * spec/request-authentication.md 1.2 and 2 (the E and W numbers below are its). */
#include "sallyport/resource/request_authentication.h"

#include <jansson.h>

#include "sallyport/names.h"
#include "sallyport/object.h"

/* Elements of a list of strings; `what` is the exact text of the rule that forbids empty ones. */
static bool decode_filled_list(struct decoder *d, const struct node *n, void *out, const void *what)
{
	LIST(struct located_slice) *list = out;
	bool ok = decode_string_list(d, n, out, NULL), filled = true;
	size_t mark;

	for (size_t i = 0; ok && i < list->count; i++) {
		if (list->items[i].text.len > 0)
			continue;
		mark = decode_push_index(d, i);
		filled = decode_error(d, &(struct node){ .where = list->items[i].where }, "%s",
				      (const char *)what);
		decode_pop(d, mark);
	}
	return ok && filled;
}

/* A claim must not say where a request ends or whom it is for. */
static bool is_framing_header(struct slice s)
{
	static const char *const names[] = { "connection", "content-length", "host", "te", "trailer",
					     "transfer-encoding", "upgrade", "keep-alive",
					     "proxy-connection", "expect" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (slice_eq_nocase(s, slice_of(names[i])))
			return true;
	return false;
}

static bool output_header_check(struct decoder *d, const struct node *n, struct slice name)
{
	if (!name_is_token(name))
		return decode_error(d, n, "\"%.*s\" is no header name; write letters, digits and '-'",
				    SLICE_ARG(name));
	if (is_framing_header(name))
		return decode_error(d, n, "%.*s frames or routes the request and cannot carry a claim; "
				    "choose another header", SLICE_ARG(name));
	return true;
}

static bool decode_payload_header(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	if (name->len == 0) {		/* the field's default, written out */
		*name = NO_SLICE;
		return true;
	}
	return output_header_check(d, n, *name);
}

/* fromHeaders[] */

static const struct field from_header_fields[] = {
	FIELD(struct jwt_header, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD(struct jwt_header, "prefix", prefix, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_from_header(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct jwt_header *h = out;

	(void)arg;
	if (n->kind == NODE_NULL)
		return decode_error(d, n, "location header name must be non-null");
	if (!decode_mapping(d, n, from_header_fields, h))
		return false;
	if (h->name.len == 0)
		return decode_error(d, n, "location header name must be non-empty string");
	if (!name_is_token(h->name))
		return decode_error(d, n, "\"%.*s\" is no header name", SLICE_ARG(h->name));
	if (h->prefix.len == 0)
		h->prefix = NO_SLICE;
	else if (h->prefix.at[h->prefix.len - 1] != ' ' && h->prefix.at[h->prefix.len - 1] != '=')
		decode_note(d, n, "prefix \"%.*s\" has no blank at its end; it is compared as written",
			    SLICE_ARG(h->prefix));
	return true;
}

static const struct decode_list from_header_list = {
	sizeof(struct jwt_header), decode_from_header, NULL, 0
};

/* outputClaimToHeaders[] */

static const struct field claim_header_fields[] = {
	FIELD(struct claim_to_header, "header", header, decode_string, FIELD_OPTIONAL),
	FIELD(struct claim_to_header, "claim", claim, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_claim_header(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct claim_to_header *c = out;

	(void)arg;
	if (n->kind == NODE_NULL)
		return decode_error(d, n, "outputClaimToHeaders must not be null");
	if (!decode_mapping(d, n, claim_header_fields, c))
		return false;
	if (c->header.len == 0 || c->claim.len == 0)
		return decode_error(d, n, "outputClaimToHeaders header and claim value must be non-empty "
				    "string");
	for (size_t i = 0; i < c->header.len; i++)
		if (!ascii_is_alnum(c->header.at[i]) && c->header.at[i] != '-' &&
		    c->header.at[i] != '_')
			return decode_error(d, n, "header \"%.*s\": only letters, digits, '-' and '_' "
					    "are allowed", SLICE_ARG(c->header));
	return output_header_check(d, n, c->header);
}

static const struct decode_list claim_header_list = {
	sizeof(struct claim_to_header), decode_claim_header, NULL, 0
};

/* jwksUri: E14 to E17, W4. */

static bool uri_port_check(struct decoder *d, const struct node *n, struct slice port)
{
	uint64_t number;

	if (port.len > 0 && (!slice_to_u64(port, &number) || number == 0 || number > 65535))
		return decode_error(d, n, "port \"%.*s\" is no number from 1 to 65535", SLICE_ARG(port));
	return true;
}

static bool uri_authority_check(struct decoder *d, const struct node *n, struct slice authority)
{
	struct slice host = authority, port = NO_SLICE;
	ptrdiff_t end = slice_find(authority, ']');
	ptrdiff_t colon = slice_rfind(authority, ':');

	if (slice_find(authority, '@') >= 0)
		return decode_error(d, n, "user names in the URL are not supported; leave them out");
	if (authority.len > 0 && authority.at[0] == '[' && end < 0)
		return decode_error(d, n, "parse error: no ']' after the address");
	if (colon > end) {
		host = slice_first(authority, (size_t)colon);
		port = slice_from(authority, (size_t)colon + 1);
	}
	if (host.len == 0)
		return decode_error(d, n, "the URL names no host; write https://issuer.example/keys");
	return uri_port_check(d, n, port);
}

static bool has_control_or_blank(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f)
			return true;
	return false;
}

static bool decode_jwks_uri(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *uri = out, scheme, authority;
	ptrdiff_t colon;
	size_t end = 0;

	if (!decode_string(d, n, uri, arg))
		return false;
	if (uri->len == 0 || uri->len > JWKS_URI_MAX)
		return decode_error(d, n, "the URL has %zu characters; write 1 to %u", uri->len,
				    JWKS_URI_MAX);
	if (has_control_or_blank(*uri))
		return decode_error(d, n, "parse error: blanks and control characters do not belong in a "
				    "URL");
	colon = slice_find(*uri, ':');
	scheme = colon > 0 ? slice_first(*uri, (size_t)colon) : SLICE("");
	if (!slice_eq_nocase(scheme, SLICE("http")) && !slice_eq_nocase(scheme, SLICE("https")))
		return decode_error(d, n, "URI scheme \"%.*s\" is not supported; write http:// or https://",
				    SLICE_ARG(scheme));
	authority = slice_from(*uri, scheme.len + 1);
	if (!slice_starts(authority, SLICE("//")))
		return decode_error(d, n, "parse error: \"//\" expected after \"%.*s:\"",
				    SLICE_ARG(scheme));
	authority = slice_from(authority, 2);
	while (end < authority.len && strchr("/?#", authority.at[end]) == NULL)
		end++;
	authority.len = end;
	if (slice_eq_nocase(scheme, SLICE("http")))
		decode_warning(d, n, "keys are fetched from %.*s in plain text: who controls the path "
			       "there can issue tokens; use https", SLICE_ARG(authority));
	return uri_authority_check(d, n, authority);
}

/* jwks: E18, W2, W3. What a usable key is, the agent decides; here is what a person can mend. */

static const char *key_complaint(json_t *key)
{
	static const char *const known[] = { "RSA", "EC", "OKP" };
	const char *kty = json_string_value(json_object_get(key, "kty"));

	if (!json_is_object(key))
		return "is no JSON object";
	if (kty == NULL)
		return "has no `kty`";
	if (strcmp(kty, "oct") == 0)
		return "is symmetric; HMAC tokens are not accepted";
	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (strcmp(kty, known[i]) == 0)
			return NULL;
	return "has a `kty` other than RSA, EC and OKP";
}

static bool has_private_part(json_t *key)
{
	static const char *const names[] = { "d", "p", "q", "dp", "dq", "qi", "k" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (json_object_get(key, names[i]) != NULL)
			return true;
	return false;
}

static void jwks_warn(struct decoder *d, const struct node *n, json_t *keys)
{
	size_t index, usable = 0;
	const char *complaint;
	json_t *key;

	json_array_foreach(keys, index, key) {
		complaint = key_complaint(key);
		if (has_private_part(key))
			decode_warning(d, n, "jwks key at index %zu contains private key material; only "
				       "public keys are used for verification", index);
		if (complaint != NULL)
			decode_warning(d, n, "jwks key at index %zu %s; it is skipped", index, complaint);
		else
			usable++;
	}
	if (usable == 0)
		decode_warning(d, n, "jwks holds no usable key: every token of this rule is refused");
}

static bool decode_jwks(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *text = out;
	json_error_t why;
	json_t *set, *keys;
	bool ok = true;

	if (!decode_string(d, n, text, arg))
		return false;
	if (text->len == 0) {
		*text = NO_SLICE;
		return true;
	}
	set = json_loadb(text->at, text->len, JSON_REJECT_DUPLICATES, &why);
	keys = json_object_get(set, "keys");
	if (set == NULL)
		ok = decode_error(d, n, "jwks parse error: %s", why.text);
	else if (!json_is_object(set))
		ok = decode_error(d, n, "jwks parse error: must be a JSON object with an array `keys`");
	else if (keys != NULL && !json_is_array(keys))
		ok = decode_error(d, n, "jwks parse error: `keys` must be an array");
	else if (keys != NULL)
		jwks_warn(d, n, keys);
	else if (strstr(text->at, "-----BEGIN CERTIFICATE-----") == NULL)
		ok = decode_error(d, n, "jwks parse error: no `keys` in the JSON object");
	json_decref(set);
	return ok;
}

static bool decode_issuer(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *issuer = out;

	if (!decode_string(d, n, issuer, arg))
		return false;
	if (issuer->len == 0)
		return decode_error(d, n, "issuer must have at least 1 character; leave it out to accept "
				    "any issuer whose key is in jwksUri");
	return true;
}

static const struct field jwt_rule_fields[] = {
	FIELD(struct jwt_rule, "issuer", issuer, decode_issuer, FIELD_OPTIONAL),
	FIELD_ARG(struct jwt_rule, "audiences", audiences, decode_filled_list, FIELD_OPTIONAL,
		  "audience must be non-empty string"),
	FIELD(struct jwt_rule, "jwksUri", jwks_uri, decode_jwks_uri, FIELD_OPTIONAL),
	FIELD(struct jwt_rule, "jwks_uri", jwks_uri, decode_jwks_uri, FIELD_OPTIONAL),
	FIELD(struct jwt_rule, "jwks", jwks, decode_jwks, FIELD_OPTIONAL),
	FIELD_ARG(struct jwt_rule, "fromHeaders", from_headers, decode_list_and_nulls,
		  FIELD_OPTIONAL, &from_header_list),
	FIELD_ARG(struct jwt_rule, "fromParams", from_params, decode_filled_list, FIELD_OPTIONAL,
		  "location query must be non-empty string"),
	FIELD_ARG(struct jwt_rule, "fromCookies", from_cookies, decode_filled_list, FIELD_OPTIONAL,
		  "cookie name must be non-empty string"),
	FIELD(struct jwt_rule, "outputPayloadToHeader", output_payload_to_header,
	      decode_payload_header, FIELD_OPTIONAL),
	FIELD(struct jwt_rule, "forwardOriginalToken", forward_original_token, decode_bool,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct jwt_rule, "outputClaimToHeaders", output_claim_to_headers,
		  decode_list_and_nulls, FIELD_OPTIONAL, &claim_header_list),
	FIELD(struct jwt_rule, "timeout", timeout_ms, decode_duration, FIELD_OPTIONAL),
	FIELD_ARG(struct jwt_rule, "spaceDelimitedClaims", space_delimited_claims, decode_filled_list,
		  FIELD_OPTIONAL, "claim name must be non-empty string"),
	FIELDS_END
};

static bool is_filled(const struct node *n, const char *key)
{
	const struct node *v = node_get(n, key);

	return v != NULL && v->kind == NODE_SCALAR && v->text.len > 0;
}

static bool decode_rule(struct decoder *d, const struct node *n, struct jwt_rule *r)
{
	bool ok;

	*r = (struct jwt_rule){ .timeout_ms = JWKS_TIMEOUT_DEFAULT_MS, .where = n->where };
	ok = decode_mapping(d, n, jwt_rule_fields, r);
	if (n->kind != NODE_MAPPING)
		return false;
	if (!is_filled(n, "issuer") && !is_filled(n, "jwksUri") && !is_filled(n, "jwks_uri"))
		ok = decode_error(d, n, "issuer or jwksUri must be non-empty string");
	if (is_filled(n, "jwksUri") + is_filled(n, "jwks_uri") + is_filled(n, "jwks") > 1)
		ok = decode_error(d, n, "only one of jwks or jwksUri can be set");
	if (r->space_delimited_claims.count > SPACE_DELIMITED_CLAIMS_MAX)
		ok = decode_error(d, n, "spaceDelimitedClaims has %zu entries, at most %u are allowed",
				  r->space_delimited_claims.count, SPACE_DELIMITED_CLAIMS_MAX);
	return ok;
}

static bool decode_rules(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	LIST(struct jwt_rule) *list = out;
	bool ok = true;
	size_t mark;

	(void)arg;
	if (!decode_is_list(d, n, JWT_RULES_MAX))
		return false;
	list->items = arena_array(d->arena, struct jwt_rule, n->count);
	for (size_t i = 0; i < n->count; i++) {
		if (n->items[i]->kind == NODE_NULL)
			continue;
		mark = decode_push_index(d, i);
		ok &= decode_rule(d, n->items[i], &list->items[list->count++]);
		decode_pop(d, mark);
	}
	return ok;
}

/* W5 */

static bool lists_overlap(const struct located_slice *a, size_t a_count,
			  const struct located_slice *b, size_t b_count)
{
	for (size_t i = 0; i < a_count; i++)
		for (size_t j = 0; j < b_count; j++)
			if (slice_eq(a[i].text, b[j].text))
				return true;
	return false;
}

static bool has_locations(const struct jwt_rule *r)
{
	return r->from_headers.count + r->from_params.count + r->from_cookies.count > 0;
}

static bool headers_overlap(const struct jwt_rule *a, const struct jwt_rule *b)
{
	for (size_t i = 0; i < a->from_headers.count; i++)
		for (size_t j = 0; j < b->from_headers.count; j++)
			if (slice_eq_nocase(a->from_headers.items[i].name,
					    b->from_headers.items[j].name))
				return true;
	return false;
}

static bool locations_overlap(const struct jwt_rule *a, const struct jwt_rule *b)
{
	if (!has_locations(a) || !has_locations(b))
		return has_locations(a) == has_locations(b);
	return headers_overlap(a, b) ||
	       lists_overlap(a->from_params.items, a->from_params.count, b->from_params.items,
			     b->from_params.count) ||
	       lists_overlap(a->from_cookies.items, a->from_cookies.count, b->from_cookies.items,
			     b->from_cookies.count);
}

static void warn_of_twins(struct decoder *d, const struct request_authentication *ra)
{
	const struct jwt_rule *a, *b;

	for (size_t i = 1; i < ra->rules.count; i++)
		for (size_t j = 0; j < i; j++) {
			a = &ra->rules.items[i];
			b = &ra->rules.items[j];
			if (!slice_eq(a->issuer, b->issuer) || !locations_overlap(a, b))
				continue;
			decode_warning(d, &(struct node){ .where = a->where }, "jwtRules[%zu] and "
				       "jwtRules[%zu] accept tokens of the same issuer at the same place: "
				       "the less strict of them decides", j, i);
			return;
		}
}

static const struct field spec_fields[] = {
	FIELD(struct request_authentication, "selector", target, decode_selector, FIELD_OPTIONAL),
	FIELD(struct request_authentication, "targetRef", target, decode_target_ref, FIELD_OPTIONAL),
	FIELD(struct request_authentication, "targetRefs", target, decode_target_refs, FIELD_OPTIONAL),
	FIELD(struct request_authentication, "jwtRules", rules, decode_rules, FIELD_OPTIONAL),
	FIELDS_END
};

struct request_authentication *request_authentication_decode(struct decoder *d,
							     const struct node *spec,
							     const struct meta *meta)
{
	struct request_authentication *ra = arena_new(d->arena, struct request_authentication);
	bool ok = true;

	ra->meta = *meta;
	if (spec != NULL && spec->kind != NODE_NULL) {
		ok = decode_mapping(d, spec, spec_fields, ra);
		ok &= policy_target_check(d, spec);
	}
	if (meta_annotation(meta, "istio.io/dry-run").at != NULL)
		ok = annotation_error(d, meta, "istio.io/dry-run", "the annotation istio.io/dry-run is "
				      "for AuthorizationPolicy only; remove it");
	if (ok)
		warn_of_twins(d, ra);
	return ok ? ra : NULL;
}
