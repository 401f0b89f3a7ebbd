/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/tls/material.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sallyport/hash.h"
#include "sallyport/resource/proxy_settings.h"
#include "sallyport/resource/secret.h"

#define PEM_FILE_MAX	(1u << 20)	/* of a certificate chain or key */
#define KEY_MODE_REFUSED	0007	/* readable by everyone: warned of */

/* What is looked for, in this order (11.2). */
static const struct { const char *certificate, *key, *staple; } pairs[] = {
	{ "cert", "key", NULL }, { "tls.crt", "tls.key", "tls.ocsp-staple" },
};

/* Likewise of a client CA (11.3). */
static const struct { const char *ca, *crl; } bundles[] = {
	{ "cacert", "crl" }, { "ca.crt", "ca.crl" },
};

#define CA_SUFFIX	"-cacert"

/* What a place had to say. */
enum found {
	FOUND_NOTHING,		/* look elsewhere */
	FOUND_IT,
	FOUND_BROKEN,		/* out->problem tells; nowhere else is looked */
};

/* One look-up: where, and for what. */
struct search {
	const struct snapshot *snapshot;
	struct material *out;
	struct material_pair *pair;	/* NULL: the client CA is looked for */
	bool is_config_map;
	const struct material_watch *watch;
};

static struct slice without_scheme(struct slice name)
{
	static const struct slice external = { "sds://", sizeof("sds://") - 1 };

	return slice_starts(name, external) ? slice_from(name, external.len) : name;
}

static void secret_text(struct slice ns, struct slice name, bool config_map, char *out, size_t bytes)
{
	if (name.at != NULL && slice_find(name, ':') >= 0)
		snprintf(out, bytes, "%.*s", SLICE_ARG(name));
	else
		snprintf(out, bytes, "%s://%.*s%s%.*s", config_map ? "configmap" : "kubernetes", SLICE_ARG(ns),
			 ns.len > 0 ? "/" : "", SLICE_ARG(name));
}

void credential_text(const struct tls_certificate *c, char *out, size_t bytes)
{
	if (c->credential_name.at == NULL)
		snprintf(out, bytes, "file:%.*s", SLICE_ARG(c->certificate_path));
	else
		secret_text(c->ns, c->credential_name, false, out, bytes);
}

void client_ca_text(const struct tls_client_settings *c, char *out, size_t bytes)
{
	if (c->credential_name.at == NULL)
		snprintf(out, bytes, "file:%.*s", SLICE_ARG(c->ca_path));
	else
		secret_text(c->ns, c->credential_name, c->is_config_map, out, bytes);
}

static void wipe(struct text *t)
{
	if (t->at != NULL)
		OPENSSL_cleanse(t->at, t->capacity);
	text_fini(t);
}

void material_fini(struct material *m)
{
	for (size_t i = 0; i < TLS_CERTIFICATES_MAX; i++) {
		wipe(&m->pairs[i].key);
		text_fini(&m->pairs[i].certificate);
		text_fini(&m->pairs[i].staple);
	}
	text_fini(&m->ca);
	text_fini(&m->crl);
}

uint64_t material_digest(const struct material *m)
{
	uint64_t parts[3 * TLS_CERTIFICATES_MAX + 2];
	size_t n = 0;

	for (size_t i = 0; i < TLS_CERTIFICATES_MAX; i++) {
		parts[n++] = hash_slice(text_slice(&m->pairs[i].certificate));
		parts[n++] = hash_slice(text_slice(&m->pairs[i].key));
		parts[n++] = hash_slice(text_slice(&m->pairs[i].staple));
	}
	parts[n++] = hash_slice(text_slice(&m->ca));
	parts[n++] = hash_slice(text_slice(&m->crl));
	return hash_bytes(parts, sizeof(parts));
}

/* False with errno; ENOENT is the usual one. */
static bool read_file(const char *path, struct text *out)
{
	char buffer[8192];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	text_clear(out);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)PEM_FILE_MAX) {
		close(fd);
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return false;
	}
	while ((n = read(fd, buffer, sizeof(buffer))) > 0 && out->len <= PEM_FILE_MAX)
		text_add(out, slice_make(buffer, (size_t)n));
	OPENSSL_cleanse(buffer, sizeof(buffer));
	close(fd);
	if (n == 0 && out->len == 0)
		errno = ENODATA;
	return n == 0 && out->len > 0;
}

static void warn_of_mode(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & KEY_MODE_REFUSED) != 0)
		log_warn("tls", "%s: every user of this host can read the key: chmod 640 it", path);
}

static bool read_watched(const struct search *q, const char *path, struct text *out)
{
	q->watch->file(q->watch->arg, path);
	return read_file(path, out);
}

/* ---- Secret and ConfigMap documents ---- */

static enum found broken(struct search *q, const char *why)
{
	snprintf(q->out->problem, sizeof(q->out->problem), "%s", why);
	return FOUND_BROKEN;
}

static const char *missing_keys(const struct search *q)
{
	return q->pair != NULL ? "holds neither tls.crt and tls.key nor cert and key" :
				 "holds no CA: neither ca.crt nor cacert";
}

static enum found pair_of_secret(struct search *q, const struct secret *secret)
{
	for (size_t p = 0; p < COUNT_OF(pairs); p++) {
		struct slice certificate = secret_value(secret, pairs[p].certificate);
		struct slice key = secret_value(secret, pairs[p].key);

		if (certificate.len == 0 || key.len == 0)
			continue;
		text_add(&q->pair->certificate, certificate);
		text_add(&q->pair->key, key);
		if (pairs[p].staple != NULL)
			text_add(&q->pair->staple, secret_value(secret, pairs[p].staple));
		return FOUND_IT;
	}
	return broken(q, missing_keys(q));
}

static struct slice document_value(const struct secret *secret, const struct config_map *map, const char *key)
{
	return secret != NULL ? secret_value(secret, key) : config_map_value(map, key);
}

static enum found ca_of_document(struct search *q, const struct secret *secret, const struct config_map *map)
{
	for (size_t p = 0; p < COUNT_OF(bundles); p++) {
		struct slice ca = document_value(secret, map, bundles[p].ca);

		if (ca.len == 0)
			continue;
		text_add(&q->out->ca, ca);
		text_add(&q->out->crl, document_value(secret, map, bundles[p].crl));
		return FOUND_IT;
	}
	return broken(q, missing_keys(q));
}

static bool is_named(const struct meta *m, struct slice ns, struct slice name)
{
	return slice_eq(m->ns, ns) && slice_eq(m->name, name);
}

static enum found in_documents(struct search *q, struct slice ns, struct slice name)
{
	const struct resource_set *set = q->snapshot->resources;

	for (size_t i = 0; q->is_config_map && i < set->config_maps.count; i++)
		if (is_named(set->config_maps.items[i]->meta, ns, name))
			return ca_of_document(q, NULL, set->config_maps.items[i]);
	for (size_t i = 0; !q->is_config_map && i < set->secrets.count; i++) {
		if (!is_named(set->secrets.items[i]->meta, ns, name))
			continue;
		if (q->pair == NULL)
			return ca_of_document(q, set->secrets.items[i], NULL);
		snprintf(q->out->source, sizeof(q->out->source), "Secret %.*s/%.*s", SLICE_ARG(ns),
			 SLICE_ARG(name));
		return pair_of_secret(q, set->secrets.items[i]);
	}
	return FOUND_NOTHING;
}

/* ---- the secrets directory ---- */

static bool read_in(const struct search *q, const char *folder, const char *name, struct text *out, char *path)
{
	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return read_watched(q, path, out);
}

/* A file that is there and cannot be read must not count as none. */
static enum found unreadable(struct search *q, const char *path)
{
	char why[256];

	snprintf(why, sizeof(why), "%.200s: %s", path, strerror(errno));
	return broken(q, why);
}

static enum found pair_in_folder(struct search *q, const char *folder)
{
	char path[PATH_MAX];

	for (size_t p = 0; p < COUNT_OF(pairs); p++) {
		if (!read_in(q, folder, pairs[p].certificate, &q->pair->certificate, path) ||
		    !read_in(q, folder, pairs[p].key, &q->pair->key, path)) {
			if (errno == EACCES)
				return unreadable(q, path);
			continue;
		}
		warn_of_mode(path);
		if (pairs[p].staple != NULL &&
		    !read_in(q, folder, pairs[p].staple, &q->pair->staple, path) && errno != ENOENT)
			log_warn("tls", "%s: %s; served without it", path, strerror(errno));
		snprintf(q->out->source, sizeof(q->out->source), "%s", folder);
		return FOUND_IT;
	}
	return FOUND_NOTHING;
}

static enum found ca_in_folder(struct search *q, const char *folder)
{
	char path[PATH_MAX];

	for (size_t p = 0; p < COUNT_OF(bundles); p++) {
		if (!read_in(q, folder, bundles[p].ca, &q->out->ca, path)) {
			if (errno == EACCES)
				return unreadable(q, path);
			continue;
		}
		if (!read_in(q, folder, bundles[p].crl, &q->out->crl, path) && errno != ENOENT)
			return unreadable(q, path);
		return FOUND_IT;
	}
	/* The Secret exists: there is no fall-back (11.3). */
	return access(folder, F_OK) == 0 ? broken(q, missing_keys(q)) : FOUND_NOTHING;
}

static enum found in_folder(struct search *q, const char *folder)
{
	size_t len = strlen(folder);

	if (strstr(folder, "/../") != NULL || (len >= 3 && strcmp(folder + len - 3, "/..") == 0))
		return FOUND_NOTHING;
	q->watch->folder(q->watch->arg, folder);
	return q->pair != NULL ? pair_in_folder(q, folder) : ca_in_folder(q, folder);
}

static enum found in_namespace(struct search *q, struct slice ns, struct slice name)
{
	struct slice root = q->snapshot->settings->secrets.directory;
	enum found found = in_documents(q, ns, name);
	char folder[PATH_MAX];

	if (found != FOUND_NOTHING || root.len == 0)
		return found;
	snprintf(folder, sizeof(folder), "%.*s/%.*s/%.*s", SLICE_ARG(root), SLICE_ARG(ns), SLICE_ARG(name));
	return in_folder(q, folder);
}

static enum found outside_namespaces(struct search *q, struct slice name)
{
	struct slice root = q->snapshot->settings->secrets.directory;
	char folder[PATH_MAX];

	if (root.len == 0)
		return FOUND_NOTHING;
	snprintf(folder, sizeof(folder), "%.*s/%.*s", SLICE_ARG(root), SLICE_ARG(name));
	return in_folder(q, folder);
}

/* NAME-cacert that does not exist stands for NAME itself (11.3). */
static struct slice second_name(const struct search *q, struct slice name)
{
	const size_t suffix = sizeof(CA_SUFFIX) - 1;

	if (q->pair != NULL || q->is_config_map || name.len <= suffix ||
	    !slice_eq(slice_from(name, name.len - suffix), SLICE(CA_SUFFIX)))
		return NO_SLICE;
	return slice_first(name, name.len - suffix);
}

static enum found by_both_names(struct search *q, struct slice ns, struct slice name)
{
	struct slice second = second_name(q, name);
	enum found found = ns.at != NULL ? in_namespace(q, ns, name) : outside_namespaces(q, name);

	if (found != FOUND_NOTHING || second.at == NULL)
		return found;
	return ns.at != NULL ? in_namespace(q, ns, second) : outside_namespaces(q, second);
}

/* The namespace that was written, or the proxy's and then the Gateway's; then <secrets>/<name> (11.1). */
static bool search_all(struct search *q, struct slice ns, struct slice gateway_ns, struct slice written)
{
	struct slice name = without_scheme(written), own = q->snapshot->settings->meta->ns;
	enum found found = by_both_names(q, ns.at != NULL ? ns : own, name);

	if (found == FOUND_NOTHING && ns.at == NULL && !slice_eq(gateway_ns, own))
		found = by_both_names(q, gateway_ns, name);
	if (found == FOUND_NOTHING)
		found = by_both_names(q, NO_SLICE, name);
	if (found == FOUND_NOTHING) {
		ns = ns.at != NULL ? ns : own;
		snprintf(q->out->problem, sizeof(q->out->problem), "no %s %.*s/%.*s, and no %.*s/%.*s/%.*s/%s",
			 q->is_config_map ? "ConfigMap" : "Secret", SLICE_ARG(ns), SLICE_ARG(name),
			 SLICE_ARG(q->snapshot->settings->secrets.directory), SLICE_ARG(ns), SLICE_ARG(name),
			 q->pair != NULL ? "tls.crt with tls.key" : "ca.crt");
	}
	return found == FOUND_IT;
}

/* ---- files ---- */

static bool read_path(struct search *q, struct slice path, struct text *out)
{
	if (read_watched(q, path.at, out))
		return true;
	snprintf(q->out->problem, sizeof(q->out->problem), "%.200s: %s", path.at, strerror(errno));
	return false;
}

static bool read_pair(struct search *q, const struct tls_settings *t, const struct tls_certificate *c)
{
	if (c->credential_name.len > 0)
		return search_all(q, c->ns, t->gateway_ns, c->credential_name);
	if (c->certificate_path.len == 0 || c->key_path.len == 0) {
		broken(q, "the server names no certificate");
		return false;
	}
	q->watch->file(q->watch->arg, c->key_path.at);	/* also while the certificate is missing */
	snprintf(q->out->source, sizeof(q->out->source), "%s", c->certificate_path.at);
	if (!read_path(q, c->certificate_path, &q->pair->certificate) || !read_path(q, c->key_path, &q->pair->key))
		return false;
	warn_of_mode(c->key_path.at);
	return true;
}

static bool read_ca(struct search *q, const struct tls_settings *t)
{
	const struct tls_client_settings *c = &t->client;

	q->pair = NULL;
	q->is_config_map = c->is_config_map;
	if (c->credential_name.len > 0) {
		if (search_all(q, c->ns, t->gateway_ns, c->credential_name))
			return true;
	} else if (c->ca_path.len == 0) {
		broken(q, "the server names no CA");
	} else if (read_path(q, c->ca_path, &q->out->ca) &&
		   (c->crl_path.len == 0 || read_path(q, c->crl_path, &q->out->crl))) {
		return true;
	}
	return false;
}

bool material_read(const struct snapshot *s, const struct tls_settings *t, struct material *out,
		   const struct material_watch *watch)
{
	struct search q = { .snapshot = s, .out = out, .watch = watch };

	*out = (struct material){ 0 };
	for (unsigned i = 0; i < t->certificate_count; i++) {
		q.pair = &out->pairs[i];
		if (!read_pair(&q, t, &t->certificates[i]))
			return false;
	}
	if (t->client.certificate == TLS_CLIENT_NONE || read_ca(&q, t))
		return true;
	char why[sizeof(out->problem)];

	snprintf(why, sizeof(why), "client CA: %.240s", out->problem);
	memcpy(out->problem, why, sizeof(why));
	return false;
}
