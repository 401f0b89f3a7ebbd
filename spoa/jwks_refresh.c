/* SPDX-License-Identifier: Apache-2.0
 *
 * jwks_refresh.c - the fetch thread's half of the store of keys: when to fetch, from where, and
 * what becomes of the answer (spec/request-authentication.md 10). */
#include "spoa/jwks_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "sallyport/clock.h"
#include "sallyport/strict_json.h"

#define DISCOVERY_PATH	"/.well-known/openid-configuration"

static void start(struct jwks_source *s);

static void lock(struct jwks_source *s)
{
	must(pthread_mutex_lock(&s->store->lock) == 0);
}

static void unlock(struct jwks_source *s)
{
	must(pthread_mutex_unlock(&s->store->lock) == 0);
}

/* ---- when ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct jwks_source *s = arg;

	(void)fd;
	(void)what;
	jwks_fetch_now(s);
}

static void plan(struct jwks_source *s, int64_t wait_ms)
{
	struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };

	evtimer_add(s->timer, &wait);
	lock(s);
	s->due_ms = clock_monotonic_ms() + wait_ms;
	unlock(s);
}

/* Between two cycles that failed. Without any keys the first waits are short: requests are being
 * refused, and an issuer that starts beside us is often there a moment later. */
static int64_t next_backoff(const struct jwks_source *s, bool has_keys)
{
	const struct jwks_config *c = &s->store->config;
	int64_t first = has_keys ? c->backoff_min_ms : c->retry_ms;
	int64_t most = has_keys ? c->backoff_max_ms : c->backoff_min_ms;
	int64_t next = s->backoff_ms > 0 ? s->backoff_ms * 2 : first;

	return next < first ? first : next < most ? next : most;
}

/* ---- how it ends ---- */

/* Whoever waits is woken in a loop of its own. The lock is held. */
static void wake_waiters(struct jwks_source *s)
{
	struct jwks_waiter *w;

	while ((w = TAILQ_FIRST(&s->waiters)) != NULL) {
		TAILQ_REMOVE(&s->waiters, w, entry);
		s->stats.waiters--;
		w->listed = false;
		event_active(w->event, EV_TIMEOUT, 0);
	}
}

static const char *url_of(const struct jwks_source *s)
{
	return s->uri[0] != '\0' ? s->uri : "its discovery document";
}

/* Keys that nobody has confirmed for a week are trusted no longer. */
static struct jwk_set *drop_if_stale(struct jwks_source *s)
{
	struct jwk_set *set = atomic_load(&s->set);

	if (set == NULL || clock_monotonic_ms() - s->fetched_ms <= s->store->config.stale_max_ms)
		return NULL;
	atomic_store(&s->set, NULL);
	log_error("jwks", "issuer %s: keys dropped: not refreshed for %lld s", s->issuer,
		  (long long)(s->store->config.stale_max_ms / 1000));
	return set;
}

static void fail(struct jwks_source *s, const char *why)
{
	bool again = s->retries_left > 0, has_keys;
	struct jwk_set *dropped;

	lock(s);
	s->tried = true;
	s->fetching = false;
	s->stats.failures++;
	snprintf(s->stats.error, sizeof(s->stats.error), "%s", why);
	dropped = drop_if_stale(s);
	has_keys = atomic_load(&s->set) != NULL;
	wake_waiters(s);
	unlock(s);
	jwk_set_unref(&dropped);
	if (again) {
		s->retries_left--;
		log_debug("jwks", "issuer %s: %s: %s; trying again", s->issuer, url_of(s), why);
		plan(s, s->store->config.retry_ms);
		return;
	}
	s->in_cycle = false;
	s->backoff_ms = next_backoff(s, has_keys);
	log_warn("jwks", "issuer %s: %s: %s; %s, next try in %lld s", s->issuer, url_of(s), why,
		 has_keys ? "the keys fetched before stay in use" : "its tokens are refused",
		 (long long)((s->backoff_ms + 999) / 1000));
	plan(s, s->backoff_ms);
}

/* As long as the issuer says, within bounds. */
static int64_t refresh_in(const struct jwks_config *c, int64_t max_age_s)
{
	int64_t wait_ms = max_age_s >= 0 && max_age_s * 1000 < c->refresh_ms ? max_age_s * 1000 : c->refresh_ms;
	int64_t least_ms = c->refresh_min_ms < c->refresh_ms ? c->refresh_min_ms : c->refresh_ms;

	return wait_ms > least_ms ? wait_ms : least_ms;
}

/* `set` becomes the current one, unless it says the same as that. */
static void succeed(struct jwks_source *s, struct jwk_set *set, int64_t max_age_s)
{
	struct jwk_set *old, *unused = set;
	bool healed;

	lock(s);
	old = atomic_load(&s->set);
	if (old == NULL || !jwk_set_equal(old, set)) {
		atomic_store_explicit(&s->set, set, memory_order_release);
		s->stats.changes++;
		unused = old;
	}
	healed = s->stats.error[0] != '\0';
	s->stats.error[0] = '\0';
	s->fetched_ms = clock_monotonic_ms();
	s->stats.kept = false;
	s->tried = true;
	s->fetching = false;
	wake_waiters(s);
	unlock(s);
	if (unused != set)
		log_info("jwks", "issuer %s: %zu keys from %s", s->issuer, jwk_set_count(set), url_of(s));
	else if (healed)
		log_info("jwks", "issuer %s: %s answers again", s->issuer, url_of(s));
	jwk_set_unref(&unused);
	s->in_cycle = false;
	s->backoff_ms = 0;
	plan(s, refresh_in(&s->store->config, max_age_s));
}

/* ---- what comes ---- */

static void on_key_note(void *arg, size_t index, struct slice kid, enum jwt_status status,
			const char *text)
{
	const struct jwks_source *s = arg;

	if (status != JWT_OK)
		log_debug("jwks", "issuer %s: key at index %zu (kid \"%.*s\") is not used: %s", s->issuer,
			  index, SLICE_ARG(kid), text);
	else
		log_warn("jwks", "issuer %s: key at index %zu (kid \"%.*s\") %s", s->issuer, index,
			 SLICE_ARG(kid), text);
}

/* A document that is a key set replaces the old one even if no key of it is usable: that is how
 * an issuer takes its keys back. One that is none counts as a failed fetch. */
static void on_keys(void *arg, const struct fetch_reply *reply)
{
	struct jwks_source *s = arg;
	struct jwk_set *set;

	s->fetch = NULL;
	if (reply->error != NULL) {
		fail(s, reply->error);
		return;
	}
	set = jwk_set_parse(reply->body, on_key_note, s);
	switch (jwk_set_status(set)) {
	case JWKS_PARSE_ERROR:
	case JWKS_NO_KEYS:
	case JWKS_BAD_KEYS:
		fail(s, jwt_status_text(jwk_set_status(set)));
		jwk_set_unref(&set);
		return;
	default:
		if (s->store->disk != NULL)
			jwks_disk_write(s->store->disk, s->issuer, s->uri, reply->body);
		succeed(s, set, reply->max_age_s);
	}
}

static void fetch_keys(struct jwks_source *s, const char *url)
{
	lock(s);
	s->stats.fetches++;
	unlock(s);
	s->fetch = fetch_start(s->store->fetcher, url, s->timeout_ms, on_keys, s);
}

/* NULL or why this is no discovery document to follow. */
static const char *check_discovery(const struct jwks_source *s, const json_t *document,
				   struct slice *uri)
{
	struct slice issuer;

	if (document == NULL)
		return "discovery document is an invalid JSON";
	if (json_string_field(document, "jwks_uri", uri) != JSON_FIELD_FOUND || uri->len == 0)
		return "discovery document has no jwks_uri";
	if (!slice_starts(*uri, SLICE("https://")) &&
	    (!slice_starts(*uri, SLICE("http://")) || slice_starts(slice_of(s->issuer),
								   SLICE("https:"))))
		return "jwks_uri of the discovery document is not https";
	if (json_string_field(document, "issuer", &issuer) != JSON_FIELD_FOUND ||
	    !slice_eq(issuer, slice_of(s->issuer)))
		log_warn("jwks", "issuer %s: its discovery document is of another issuer", s->issuer);
	return NULL;
}

static void on_discovery(void *arg, const struct fetch_reply *reply)
{
	struct jwks_source *s = arg;
	const char *error = reply->error;
	json_t *document = NULL;
	struct slice uri;

	s->fetch = NULL;
	if (error == NULL) {
		document = strict_json_object(reply->body, JWKS_JSON_DEPTH_MAX);
		error = check_discovery(s, document, &uri);
	}
	if (error != NULL)
		fail(s, error);
	else
		fetch_keys(s, uri.at);
	json_decref(document);
}

/* The issuer without one slash at its end, and the well-known path. */
static void discover(struct jwks_source *s)
{
	size_t len = strlen(s->issuer);
	char url[4096];

	if (len > 0 && s->issuer[len - 1] == '/')
		len--;
	if ((size_t)snprintf(url, sizeof(url), "%.*s" DISCOVERY_PATH, (int)len, s->issuer) >= sizeof(url) ||
	    (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)) {
		fail(s, "the issuer is no URL to discover keys from: set jwksUri");
		return;
	}
	lock(s);
	s->stats.discoveries++;
	unlock(s);
	s->fetch = fetch_start(s->store->fetcher, url, s->timeout_ms, on_discovery, s);
}

static void start(struct jwks_source *s)
{
	lock(s);
	s->fetching = true;
	s->due_ms = 0;
	unlock(s);
	if (s->uri[0] != '\0')
		fetch_keys(s, s->uri);
	else
		discover(s);
}

/* The keys of before a restart serve until the first fetch says better. */
static void recall(struct jwks_source *s)
{
	struct text document;
	struct jwk_set *set;
	int64_t age_ms;

	s->recalled = true;
	text_init(&document);
	if (jwks_disk_read(s->store->disk, s->issuer, s->uri, &document, &age_ms)) {
		set = jwk_set_parse(text_slice(&document), on_key_note, s);
		log_info("jwks", "issuer %s: %zu keys of %lld s ago, from disk", s->issuer,
			 jwk_set_count(set), (long long)(age_ms / 1000));
		lock(s);
		atomic_store_explicit(&s->set, set, memory_order_release);
		s->fetched_ms = clock_monotonic_ms() - age_ms;
		s->stats.kept = true;
		wake_waiters(s);
		unlock(s);
	}
	text_fini(&document);
}

void jwks_fetch_now(struct jwks_source *s)
{
	if (s->fetch != NULL)
		return;
	if (s->timer == NULL && (s->timer = evtimer_new(s->store->base, on_timer, s)) == NULL)
		fatal("out of memory for a source's timer");
	if (s->store->disk != NULL && !s->recalled)
		recall(s);
	/* The very first fetch is not repeated at once; a refresh is. */
	if (!s->in_cycle)
		s->retries_left = atomic_load(&s->set) != NULL ? s->store->config.refresh_retries : 0;
	s->in_cycle = true;
	evtimer_del(s->timer);
	start(s);
}

void jwks_source_destroy(struct jwks_source *s)
{
	struct jwk_set *set = atomic_load(&s->set);

	object_must(s, KIND_JWKS_SOURCE);
	fetch_cancel(&s->fetch);
	if (s->timer != NULL)
		event_free(s->timer);
	jwk_set_unref(&set);
	free(s->key);
	free(s->issuer);
	free(s->uri);
	object_wipe(s);
	free(s);
}
