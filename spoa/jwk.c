/* SPDX-License-Identifier: Apache-2.0
 *
 * jwk.c - a JWKS document into an immutable set of keys (spec/request-authentication.md 6.3). */
#include "spoa/jwk_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "sallyport/object.h"
#include "sallyport/strict_json.h"

#define KIND_JWK_SET	KIND('j', 'w', 'k', 's')

struct jwk_set {
	struct object obj;
	struct arena *arena;		/* owned; the keys' texts */
	enum jwt_status status;
	size_t count;
	struct jwk_entry keys[JWKS_KEYS_MAX];
};

/* What one document's parsing carries along. */
struct reading {
	struct jwk_set *set;
	enum jwt_status first_error;
	jwk_note_fn *note;		/* borrowed, may be NULL */
	void *arg;
};

#define AS_TEXT(name)	[JWT_ALG_##name] = #name,
static const char *const alg_name[] = { [JWT_ALG_UNSUPPORTED] = "unsupported", JWT_ALGS(AS_TEXT) };
static_assert(COUNT_OF(alg_name) == JWT_ALG_COUNT, "every algorithm can be printed");

enum jwt_alg jwt_alg_parse(struct slice name)
{
	for (unsigned alg = JWT_ALG_UNSUPPORTED + 1; alg < JWT_ALG_COUNT; alg++)
		if (slice_eq(name, slice_of(alg_name[alg])))
			return (enum jwt_alg)alg;
	return JWT_ALG_UNSUPPORTED;
}

const char *jwt_alg_name(enum jwt_alg alg)
{
	return alg_name[alg];
}

static void note(const struct reading *r, size_t index, struct slice kid, enum jwt_status status,
		 const char *text)
{
	if (r->note != NULL)
		r->note(r->arg, index, kid, status, text);
}

/* A usable key stays in the set; the first one that is not leaves its reason. */
static void keep(struct reading *r, size_t index, enum jwt_status status, const char *warning,
		 struct slice kid)
{
	if (status == JWT_OK) {
		r->set->count++;
		if (warning != NULL)
			note(r, index, kid, JWT_OK, warning);
		return;
	}
	if (r->first_error == JWT_OK)
		r->first_error = status;
	note(r, index, kid, status, jwt_status_text(status));
}

/* True: no room, and said so once. */
static bool is_full(const struct reading *r, size_t index, size_t total)
{
	static_assert(JWKS_KEYS_MAX == 100, "the text below says so");
	if (r->set->count < JWKS_KEYS_MAX)
		return false;
	if (index < total)
		note(r, index, NO_SLICE, JWKS_NO_VALID_KEYS,
		     "this key and all behind it are not used: a set may hold 100 keys");
	return true;
}

static void read_keys(struct reading *r, const json_t *keys)
{
	size_t count = json_array_size(keys);

	for (size_t i = 0; i < count && !is_full(r, i, count); i++) {
		const json_t *member = json_array_get(keys, i);
		const char *warning;
		enum jwt_status status;
		struct slice kid;

		if (!json_is_object(member))
			continue;
		status = jwk_entry_from_json(&r->set->keys[r->set->count], member, r->set->arena,
					     &warning);
		json_string_field(member, "kid", &kid);
		keep(r, i, status, warning, kid);
	}
}

/* {"kid": "-----BEGIN CERTIFICATE-----…", …} and nothing else. */
static bool is_certificate_map(const json_t *document)
{
	void *it = json_object_iter((json_t *)document);

	if (it == NULL)
		return false;
	for (; it != NULL; it = json_object_iter_next((json_t *)document, it)) {
		const json_t *value = json_object_iter_value(it);
		struct slice pem = { json_string_value(value), json_string_length(value) };

		if (!json_is_string(value) ||
		    !slice_starts(pem, SLICE("-----BEGIN CERTIFICATE-----\n")) ||
		    !slice_ends(pem, SLICE("\n-----END CERTIFICATE-----\n")))
			return false;
	}
	return true;
}

static void read_certificates(struct reading *r, const json_t *document)
{
	void *it = json_object_iter((json_t *)document);
	size_t count = json_object_size(document);

	for (size_t i = 0; it != NULL && !is_full(r, i, count); i++) {
		const json_t *value = json_object_iter_value(it);
		struct slice pem = { json_string_value(value), json_string_length(value) };
		struct slice kid = slice_of(json_object_iter_key(it));

		keep(r, i, jwk_entry_from_certificate(&r->set->keys[r->set->count], kid, pem,
						      r->set->arena), NULL, kid);
		it = json_object_iter_next((json_t *)document, it);
	}
}

static enum jwt_status read_document(struct reading *r, const json_t *document)
{
	const json_t *keys = json_object_get(document, "keys");

	if (keys == NULL) {
		if (!is_certificate_map(document))
			return JWKS_NO_KEYS;
		read_certificates(r, document);
	} else if (!json_is_array(keys)) {
		return JWKS_BAD_KEYS;
	} else {
		read_keys(r, keys);
	}
	if (r->set->count > 0)
		return JWT_OK;
	return r->first_error != JWT_OK ? r->first_error : JWKS_NO_VALID_KEYS;
}

struct jwk_set *jwk_set_parse(struct slice json, jwk_note_fn *on_note, void *arg)
{
	struct jwk_set *set = calloc(1, sizeof(*set));
	struct reading r = { .set = set, .first_error = JWT_OK, .note = on_note, .arg = arg };
	json_t *document = NULL;

	if (set == NULL)
		fatal("out of memory for a key set");
	set->obj.kind = KIND_JWK_SET;
	set->obj.refs = 1;
	set->arena = arena_create(0);
	if (json.len <= JWKS_DOCUMENT_BYTES_MAX)
		document = strict_json_object(json, JWKS_JSON_DEPTH_MAX);
	set->status = document != NULL ? read_document(&r, document) : JWKS_PARSE_ERROR;
	json_decref(document);
	return set;
}

struct jwk_set *jwk_set_ref(const struct jwk_set *set)
{
	struct jwk_set *s = (struct jwk_set *)set;

	object_must(s, KIND_JWK_SET);
	atomic_fetch_add_explicit(&s->obj.refs, 1, memory_order_relaxed);
	return s;
}

void jwk_set_unref(struct jwk_set **sp)
{
	struct jwk_set *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	object_must(s, KIND_JWK_SET);
	if (atomic_fetch_sub(&s->obj.refs, 1) > 1)
		return;
	for (size_t i = 0; i < s->count; i++)
		jwk_entry_fini(&s->keys[i]);
	arena_free(&s->arena);
	object_wipe(s);
	free(s);
}

enum jwt_status jwk_set_status(const struct jwk_set *set)
{
	object_must(set, KIND_JWK_SET);
	return set->status;
}

size_t jwk_set_count(const struct jwk_set *set)
{
	return set->count;
}

const struct jwk *jwk_set_key(const struct jwk_set *set, size_t i)
{
	must(i < set->count);
	return &set->keys[i].pub;
}

const struct jwk *jwk_set_find(const struct jwk_set *set, struct slice kid)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->keys[i].pub.kid.at != NULL && slice_eq(set->keys[i].pub.kid, kid))
			return &set->keys[i].pub;
	return NULL;
}

const struct jwk *jwk_set_find_same(const struct jwk_set *set, const unsigned char *fingerprint)
{
	for (size_t i = 0; i < set->count; i++)
		if (memcmp(set->keys[i].pub.fingerprint, fingerprint, JWK_FINGERPRINT_BYTES) == 0)
			return &set->keys[i].pub;
	return NULL;
}

bool jwk_set_equal(const struct jwk_set *a, const struct jwk_set *b)
{
	if (a->status != b->status || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (memcmp(a->keys[i].pub.fingerprint, b->keys[i].pub.fingerprint,
			   JWK_FINGERPRINT_BYTES) != 0)
			return false;
	return true;
}
