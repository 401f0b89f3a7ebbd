/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_settings.c - a Gateway server's `tls` in the terms of OpenSSL (spec/gateway.md 10.5, 11.1). */
#include "proxy/snapshot/build_priv.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sallyport/text.h"

/* SHA-1 signatures, which versions before 1.2 need, are below OpenSSL's default level. */
#define OLD_VERSIONS_LEVEL	":@SECLEVEL=0"

static int openssl_version(int v, int preset)
{
	switch (v) {
	case TLS_VERSION_1_0:	return TLS1_VERSION;
	case TLS_VERSION_1_1:	return TLS1_1_VERSION;
	case TLS_VERSION_1_2:	return TLS1_2_VERSION;
	case TLS_VERSION_1_3:	return TLS1_3_VERSION;
	default:		return preset;
	}
}

/* The names of the documents are those of OpenSSL. Absent: the default list. */
static struct slice cipher_list(struct arena *a, const struct server_tls *tls, bool old_versions)
{
	struct slice list;
	struct text t;

	text_init(&t);
	for (size_t i = 0; i < tls->cipher_suites.count; i++) {
		struct slice name = tls->cipher_suites.items[i].text;

		if (name.len == 0)
			continue;
		if (t.len != 0)
			text_add_char(&t, ':');
		text_add(&t, name);
	}
	if (t.len != 0 && old_versions)
		text_add(&t, SLICE(OLD_VERSIONS_LEVEL));
	list = t.len != 0 ? arena_slice(a, text_slice(&t)) : NO_SLICE;
	text_fini(&t);
	return list;
}

/* Curves that this OpenSSL does not know are left out. Absent: the default list. */
static struct slice group_list(struct snapshot_builder *b, const struct server_use *u)
{
	const struct server_tls *tls = u->server->tls;
	SSL_CTX *probe = SSL_CTX_new(TLS_server_method());
	struct slice list;
	struct text t;

	must(probe != NULL);
	text_init(&t);
	for (size_t i = 0; i < tls->ecdh_curves.count; i++) {
		const struct located_slice *curve = &tls->ecdh_curves.items[i];

		if (SSL_CTX_set1_groups_list(probe, curve->text.at) == 1)
			text_printf(&t, "%s%.*s", t.len != 0 ? ":" : "", SLICE_ARG(curve->text));
		else
			build_warning(b, u->gateway->gateway->meta, curve->where, "ecdhCurves: %.*s is unknown "
				      "to this OpenSSL, it is left out", SLICE_ARG(curve->text));
	}
	ERR_clear_error();
	SSL_CTX_free(probe);
	list = t.len != 0 ? arena_slice(b->arena, text_slice(&t)) : NO_SLICE;
	text_fini(&t);
	return list;
}

static struct slice after_scheme(struct slice name, struct slice scheme)
{
	return slice_starts(name, scheme) ? slice_from(name, scheme.len) : name;
}

static bool has_scheme(struct slice name)
{
	return slice_find(name, ':') >= 0;
}

/* `name`, `ns/name`, with or without kubernetes:// before it; kubernetes-gateway:// wants both parts; behind
 * sds:// is the secrets directory (11.1). Other schemes have nobody behind them here: the name stays as it is
 * and is never found. */
static void name_secret(struct snapshot_builder *b, const struct server_use *u, struct slice written,
			struct where where, struct slice *ns, struct slice *out)
{
	struct slice name = after_scheme(written, SLICE("kubernetes://"));
	struct slice both = after_scheme(name, SLICE("kubernetes-gateway://"));
	ptrdiff_t slash;

	if (slice_find(both, '/') > 0)
		name = both;
	slash = slice_find(name, '/');
	*ns = NO_SLICE;
	*out = name;
	if (slash > 0 && !has_scheme(name)) {
		*ns = slice_first(name, (size_t)slash);
		*out = slice_from(name, (size_t)slash + 1);
	}
	if (has_scheme(name) && !slice_starts(name, SLICE("sds://")))
		build_warning(b, u->gateway->gateway->meta, where,
			      "credentialName \"%.*s\": write NAME or NAMESPACE/NAME of a Secret; this one is never "
			      "found", SLICE_ARG(written));
}

static struct tls_certificate *next_certificate(struct tls_settings *out)
{
	return &out->certificates[out->certificate_count++];
}

static void add_secret(struct snapshot_builder *b, const struct server_use *u, struct slice name,
		       struct where where, struct tls_settings *out)
{
	struct tls_certificate *c = next_certificate(out);

	name_secret(b, u, name, where, &c->ns, &c->credential_name);
}

static void add_files(const struct certificate_files *files, struct tls_settings *out)
{
	*next_certificate(out) = (struct tls_certificate){ .certificate_path = files->certificate,
							   .key_path = files->key };
}

/* The document has exactly one source, with one or two certificates (G30, G40). */
static void name_certificates(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out)
{
	const struct server_tls *tls = u->server->tls;

	if (tls->credential_name.len != 0)
		add_secret(b, u, tls->credential_name, tls->credential_where, out);
	for (size_t i = 0; i < tls->credential_names.count && out->certificate_count < TLS_CERTIFICATES_MAX; i++)
		if (tls->credential_names.items[i].text.len != 0)
			add_secret(b, u, tls->credential_names.items[i].text,
				   tls->credential_names.items[i].where, out);
	if (out->certificate_count != 0) {
		if (tls->credential_where.file != NULL)
			out->where = tls->credential_where;
		return;
	}
	for (size_t i = 0; i < tls->certificates.count && i < TLS_CERTIFICATES_MAX; i++)
		add_files(&tls->certificates.items[i], out);
	if (out->certificate_count == 0)
		add_files(&tls->files, out);
}

/* configmap://ns/name; false: it is none. */
static bool name_config_map(struct slice written, struct tls_client_settings *out)
{
	struct slice name = after_scheme(written, SLICE("configmap://"));
	ptrdiff_t slash = slice_find(name, '/');

	if (name.len == written.len)
		return false;
	out->is_config_map = true;
	out->ns = slash > 0 ? slice_first(name, (size_t)slash) : NO_SLICE;
	out->credential_name = slash > 0 ? slice_from(name, (size_t)slash + 1) : name;
	return true;
}

/* 11.3, 11.4: beside a credential the CA comes from credentials alone, beside files from files. */
static void name_ca(struct snapshot_builder *b, const struct server_use *u, const struct tls_settings *t,
		    struct tls_client_settings *out)
{
	const struct server_tls *tls = u->server->tls;
	const struct tls_certificate *first = &t->certificates[0];

	if (first->credential_name.len == 0 && tls->files.ca.len != 0) {
		out->ca_path = tls->files.ca;
		out->crl_path = tls->ca_crl;
	} else if (tls->ca_credential_name.len != 0) {
		if (!name_config_map(tls->ca_credential_name, out))
			name_secret(b, u, tls->ca_credential_name, tls->where, &out->ns,
				    &out->credential_name);
	} else {
		out->ns = first->ns;
		out->credential_name = slice_of(arena_printf(b->arena, "%.*s-cacert",
							     SLICE_ARG(first->credential_name)));
	}
}

static void copy_texts(struct arena *a, const struct located_slice *from, size_t count, slice_list *out)
{
	out->items = arena_array(a, struct slice, count);
	for (size_t i = 0; i < count; i++)
		if (from[i].text.len != 0)
			out->items[out->count++] = from[i].text;
}

#define COPY_TEXTS(a, from, to) do { \
	slice_list list = { 0 }; \
	copy_texts((a), (from).items, (from).count, &list); \
	(to).items = list.items; \
	(to).count = list.count; \
} while (0)

/* Files of the folder with the proxy's own identity (gateway.md 10.1). */
static void name_workload(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out)
{
	struct slice folder = b->set->proxy->workload_credentials.directory;
	struct tls_certificate *c = next_certificate(out);

	c->certificate_path = slice_of(arena_printf(b->arena, "%.*s/cert-chain.pem", SLICE_ARG(folder)));
	c->key_path = slice_of(arena_printf(b->arena, "%.*s/key.pem", SLICE_ARG(folder)));
	out->client.ca_path = slice_of(arena_printf(b->arena, "%.*s/root-cert.pem", SLICE_ARG(folder)));
	out->client.crl_path = u->server->tls->ca_crl;
	out->client.certificate = TLS_CLIENT_REQUIRED;
}

/* Whom a client may be, whoever vouches for it. */
static void name_clients(struct arena *a, const struct server_tls *tls, struct tls_client_settings *out)
{
	COPY_TEXTS(a, tls->subject_alt_names, out->names);
	COPY_TEXTS(a, tls->spki_pins, out->spki_pins);
	COPY_TEXTS(a, tls->hash_pins, out->hash_pins);
}

static void demand_of_clients(struct snapshot_builder *b, const struct server_use *u, const struct tls_settings *t,
			      struct tls_client_settings *out)
{
	const struct server_tls *tls = u->server->tls;

	if (tls->mode != SERVER_TLS_MUTUAL && tls->mode != SERVER_TLS_OPTIONAL_MUTUAL)
		return;
	out->certificate = tls->mode == SERVER_TLS_MUTUAL ? TLS_CLIENT_REQUIRED : TLS_CLIENT_OPTIONAL;
	out->skip_verify = tls->insecure_skip_verify.set && tls->insecure_skip_verify.value;
	name_ca(b, u, t, out);
	name_clients(b->arena, tls, out);
}

/* 10.6: offered to clients of opaque TCP as well. */
static void offer_protocols(struct snapshot_builder *b, const struct server *s, struct tls_settings *out)
{
	out->http2 = b->set->proxy->http.http2 || s->family == SERVER_TLS;
	out->peer_exchange = s->family == SERVER_TLS && s->tls->mode == SERVER_TLS_ISTIO_MUTUAL;
}

/* 10.1: versions, suites and groups of the document have no effect. */
static void make_mesh_settings(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out)
{
	out->workload = true;
	name_workload(b, u, out);
	name_clients(b->arena, u->server->tls, &out->client);
	out->min_version = TLS1_2_VERSION;
	out->max_version = TLS1_3_VERSION;
}

void tls_settings_make(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out)
{
	const struct server_tls *tls = u->server->tls;

	*out = (struct tls_settings){ .where = tls->where, .gateway_ns = u->gateway->gateway->meta->ns };
	offer_protocols(b, u->server, out);
	if (tls->mode == SERVER_TLS_ISTIO_MUTUAL) {
		make_mesh_settings(b, u, out);
		return;
	}
	name_certificates(b, u, out);
	demand_of_clients(b, u, out, &out->client);
	out->min_version = openssl_version(tls->min_version, TLS1_2_VERSION);
	out->max_version = openssl_version(tls->max_version, TLS1_3_VERSION);
	out->cipher_list = cipher_list(b->arena, tls, out->min_version < TLS1_2_VERSION);
	out->groups = group_list(b, u);
}

/* ---- sameness ---- */

/* A bare name may mean another Secret from another Gateway's namespace. */
static bool same_place(struct slice ns_a, struct slice ns_b, const struct tls_settings *a,
		       const struct tls_settings *b)
{
	return slice_eq(ns_a, ns_b) && (ns_a.at != NULL || slice_eq(a->gateway_ns, b->gateway_ns));
}

static bool same_lists(const struct slice *a, size_t a_count, const struct slice *b, size_t b_count)
{
	if (a_count != b_count)
		return false;
	for (size_t i = 0; i < a_count; i++)
		if (!slice_eq(a[i], b[i]))
			return false;
	return true;
}

bool tls_clients_same(const struct tls_settings *a, const struct tls_settings *b)
{
	const struct tls_client_settings *x = &a->client, *y = &b->client;

	if (x->certificate != y->certificate)
		return false;
	if (x->certificate == TLS_CLIENT_NONE)
		return true;
	return slice_eq(x->credential_name, y->credential_name) && x->is_config_map == y->is_config_map &&
	       (x->credential_name.len == 0 || same_place(x->ns, y->ns, a, b)) &&
	       slice_eq(x->ca_path, y->ca_path) && slice_eq(x->crl_path, y->crl_path) &&
	       x->skip_verify == y->skip_verify &&
	       same_lists(x->names.items, x->names.count, y->names.items, y->names.count) &&
	       same_lists(x->spki_pins.items, x->spki_pins.count, y->spki_pins.items, y->spki_pins.count) &&
	       same_lists(x->hash_pins.items, x->hash_pins.count, y->hash_pins.items, y->hash_pins.count);
}

static bool same_certificates(const struct tls_settings *a, const struct tls_settings *b)
{
	if (a->certificate_count != b->certificate_count)
		return false;
	for (unsigned i = 0; i < a->certificate_count; i++) {
		const struct tls_certificate *x = &a->certificates[i], *y = &b->certificates[i];

		if (!slice_eq(x->credential_name, y->credential_name) ||
		    !slice_eq(x->certificate_path, y->certificate_path) ||
		    !slice_eq(x->key_path, y->key_path) ||
		    (x->credential_name.len != 0 && !same_place(x->ns, y->ns, a, b)))
			return false;
	}
	return true;
}

bool tls_settings_same(const struct tls_settings *a, const struct tls_settings *b)
{
	return same_certificates(a, b) && tls_clients_same(a, b) && a->http2 == b->http2 &&
	       a->peer_exchange == b->peer_exchange && a->min_version == b->min_version &&
	       a->max_version == b->max_version && slice_eq(a->cipher_list, b->cipher_list) &&
	       slice_eq(a->groups, b->groups);
}
