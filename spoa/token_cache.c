/* SPDX-License-Identifier: Apache-2.0
 *
 * token_cache.c - see token_cache.h. All tables are allocated at the start; a slot costs memory
 * once it is used. */
#include "spoa/token_cache.h"

#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sallyport/object.h"

#define KIND_TOKEN_CACHE	KIND('t', 'k', 'c', 'h')
#define NO_SLOT			UINT32_MAX

/* What the keys of one source said of a token. */
struct token_verdict {
	uint64_t source_id;		/* 0: none */
	struct jwk_set *set;		/* owned reference: the set that was asked */
	const struct jwk *key;		/* in `set`; NULL unless the status is JWT_OK */
	int64_t until_s;
	enum jwt_status status;
};

struct token_slot {
	struct token *token;		/* owned reference; NULL: free */
	XXH128_hash_t hash;
	uint32_t next;			/* in its bucket, or in the free list */
	bool asked_again;		/* since the clock hand passed */
	uint8_t next_verdict;		/* the one to overwrite when all are used */
	struct token_verdict verdicts[TOKEN_CACHE_VERDICTS];
};

struct token_cache {
	struct object obj;
	unsigned char secret[XXH3_SECRET_SIZE_MIN];
	uint32_t *buckets;		/* owned; heads of chains of slots */
	uint32_t bucket_mask;
	struct token_slot *slots;	/* owned */
	uint32_t slots_max;
	uint32_t slots_used;		/* slots from here on were never used */
	uint32_t free_slot;		/* head of the list of those given back */
	uint32_t hand;
	size_t bytes_max;
	struct token *loose;		/* owned; handed out without a slot */
	struct token_cache_stats stats;
};

struct token_cache *token_cache_create(size_t entries_max, size_t bytes_max)
{
	struct token_cache *c = calloc(1, sizeof(*c));
	uint32_t buckets = 16;

	if (entries_max == 0)
		entries_max = TOKEN_CACHE_ENTRIES;
	must(entries_max < 1u << 28);
	while (buckets < entries_max * 2)
		buckets *= 2;
	if (c == NULL || (c->buckets = malloc(buckets * sizeof(*c->buckets))) == NULL ||
	    (c->slots = calloc(entries_max, sizeof(*c->slots))) == NULL)
		fatal("out of memory for the token cache");
	if (getrandom(c->secret, sizeof(c->secret), 0) != (ssize_t)sizeof(c->secret))
		fatal("getrandom: no random bytes for the token cache");
	memset(c->buckets, 0xff, buckets * sizeof(*c->buckets));
	c->obj.kind = KIND_TOKEN_CACHE;
	c->bucket_mask = buckets - 1;
	c->slots_max = (uint32_t)entries_max;
	c->free_slot = NO_SLOT;
	c->bytes_max = bytes_max > 0 ? bytes_max : TOKEN_CACHE_BYTES;
	return c;
}

static void forget_verdict(struct token_verdict *v)
{
	jwk_set_unref(&v->set);
	*v = (struct token_verdict){ 0 };
}

static uint32_t *bucket_of(struct token_cache *c, XXH128_hash_t hash)
{
	return &c->buckets[hash.low64 & c->bucket_mask];
}

static void evict(struct token_cache *c, uint32_t index)
{
	struct token_slot *slot = &c->slots[index];
	uint32_t *at = bucket_of(c, slot->hash);

	while (*at != index)
		at = &c->slots[*at].next;
	*at = slot->next;
	for (size_t i = 0; i < TOKEN_CACHE_VERDICTS; i++)
		forget_verdict(&slot->verdicts[i]);
	c->stats.bytes -= slot->token->bytes;
	c->stats.entries--;
	slot->token->cache_slot = NO_SLOT;
	token_unref(&slot->token);
	slot->next = c->free_slot;
	c->free_slot = index;
}

void token_cache_free(struct token_cache **cp)
{
	struct token_cache *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	object_must(c, KIND_TOKEN_CACHE);
	for (uint32_t i = 0; i < c->slots_used; i++)
		if (c->slots[i].token != NULL)
			evict(c, i);
	token_unref(&c->loose);
	free(c->slots);
	free(c->buckets);
	object_wipe(c);
	free(c);
}

static struct token_slot *find(struct token_cache *c, struct slice text, XXH128_hash_t hash)
{
	for (uint32_t i = *bucket_of(c, hash); i != NO_SLOT; i = c->slots[i].next)
		if (XXH128_isEqual(c->slots[i].hash, hash) && slice_eq(c->slots[i].token->text, text))
			return &c->slots[i];
	return NULL;
}

/* One turn of the clock at the most clears every mark, so the second one finds a slot. */
static void evict_one(struct token_cache *c, int64_t now_s)
{
	for (;;) {
		uint32_t index = c->hand;
		struct token_slot *slot = &c->slots[index];

		c->hand = index + 1 < c->slots_used ? index + 1 : 0;
		if (slot->token == NULL)
			continue;
		if (slot->asked_again && token_check_time(slot->token, now_s) != JWT_EXPIRED) {
			slot->asked_again = false;
			continue;
		}
		evict(c, index);
		c->stats.evictions++;
		return;
	}
}

/* A slot with room for `bytes` in the cache's account, or NO_SLOT where it cannot have it. */
static uint32_t take_slot(struct token_cache *c, size_t bytes, int64_t now_s)
{
	uint32_t index;

	if (bytes > c->bytes_max)
		return NO_SLOT;
	while (c->stats.entries == c->slots_max || c->stats.bytes + bytes > c->bytes_max)
		evict_one(c, now_s);
	index = c->free_slot;
	if (index == NO_SLOT)
		return c->slots_used++;
	c->free_slot = c->slots[index].next;
	return index;
}

/* Takes the reference. */
static void insert(struct token_cache *c, struct token *t, XXH128_hash_t hash, int64_t now_s)
{
	uint32_t index = take_slot(c, t->bytes, now_s), *bucket = bucket_of(c, hash);

	t->cache_slot = index;
	if (index == NO_SLOT) {
		c->loose = t;
		return;
	}
	c->slots[index] = (struct token_slot){ .token = t, .hash = hash, .next = *bucket };
	*bucket = index;
	c->stats.bytes += t->bytes;
	c->stats.entries++;
}

enum jwt_status token_cache_parse(struct token_cache *c, struct slice text, int64_t now_s,
				  struct token **out)
{
	enum jwt_status status;
	struct token_slot *slot;
	XXH128_hash_t hash;

	if (text.len == 0 || text.len > TOKEN_BYTES_MAX)
		return JWT_BAD_FORMAT;
	hash = XXH3_128bits_withSecret(text.at, text.len, c->secret, sizeof(c->secret));
	slot = find(c, text, hash);
	if (slot != NULL) {
		slot->asked_again = true;
		c->stats.parse_hits++;
		*out = slot->token;
		return JWT_OK;
	}
	c->stats.parse_misses++;
	token_unref(&c->loose);
	status = token_parse(text, out);
	if (status == JWT_OK)
		insert(c, *out, hash, now_s);
	return status;
}

/* A verdict is as old as its set: when the source has another one, it stands if the key that
 * verified is in there too. */
static bool still_stands(struct token_cache *c, struct token_verdict *v, struct jwks_source *source)
{
	enum jwt_status status;
	const struct jwk *key;
	struct jwk_set *set;

	if (jwks_is_current(source, v->set))
		return true;
	set = jwks_get(source, &status);
	key = set != NULL && v->key != NULL ? jwk_set_find_same(set, v->key->fingerprint) : NULL;
	if (key == NULL) {
		if (v->status == JWT_OK)
			c->stats.key_changes++;
		jwk_set_unref(&set);
		return false;
	}
	jwk_set_unref(&v->set);
	v->set = set;
	v->key = key;
	return true;
}

static struct token_verdict *find_verdict(struct token_cache *c, struct token_slot *slot,
					  struct jwks_source *source, int64_t now_s)
{
	uint64_t id = jwks_source_id(source);

	for (size_t i = 0; i < TOKEN_CACHE_VERDICTS; i++) {
		struct token_verdict *v = &slot->verdicts[i];

		if (v->source_id != id)
			continue;
		if (now_s <= v->until_s && still_stands(c, v, source))
			return v;
		forget_verdict(v);
		return NULL;
	}
	return NULL;
}

static struct token_verdict *free_verdict(struct token_slot *slot)
{
	struct token_verdict *v;

	for (size_t i = 0; i < TOKEN_CACHE_VERDICTS; i++)
		if (slot->verdicts[i].source_id == 0)
			return &slot->verdicts[i];
	v = &slot->verdicts[slot->next_verdict];
	slot->next_verdict = (uint8_t)((slot->next_verdict + 1) % TOKEN_CACHE_VERDICTS);
	forget_verdict(v);
	return v;
}

/* The last second in which a verdict may be repeated. token_check_time() says the rest. */
static int64_t verdict_until(const struct token *t, enum jwt_status status, int64_t now_s)
{
	if (status != JWT_OK)
		return now_s + TOKEN_CACHE_NEGATIVE_S;
	return t->exp != 0 ? INT64_MAX : now_s + TOKEN_CACHE_NO_EXP_S;
}

enum jwt_status token_cache_verify(struct token_cache *c, struct token *t,
				   struct jwks_source *source, int64_t now_s)
{
	struct token_slot *slot = t->cache_slot < c->slots_used ? &c->slots[t->cache_slot] : NULL;
	enum jwt_status status = token_check_time(t, now_s);
	const struct jwk *key = NULL;
	struct token_verdict *v;
	struct jwk_set *set;

	if (status != JWT_OK)
		return status;
	if (slot != NULL && slot->token != t)
		slot = NULL;
	v = slot != NULL ? find_verdict(c, slot, source, now_s) : NULL;
	if (v != NULL) {
		c->stats.verify_hits++;
		return v->status;
	}
	c->stats.verify_misses++;
	set = jwks_get(source, &status);
	if (set == NULL)
		return status;
	status = token_verify(t, set, &key);
	if (slot == NULL) {
		jwk_set_unref(&set);
		return status;
	}
	*free_verdict(slot) = (struct token_verdict){
		.source_id = jwks_source_id(source), .set = set, .key = key, .status = status,
		.until_s = verdict_until(t, status, now_s),
	};
	return status;
}

void token_cache_stats(const struct token_cache *c, struct token_cache_stats *out)
{
	object_must(c, KIND_TOKEN_CACHE);
	*out = c->stats;
}
