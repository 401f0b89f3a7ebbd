/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_settings.c - a Gateway server's `tls` in the terms of OpenSSL (spec/gateway.md 10.5, 11.1). */
#include "proxy/snapshot/build_priv.h"

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

static struct slice after_scheme(struct slice name, struct slice scheme)
{
	return slice_starts(name, scheme) ? slice_from(name, scheme.len) : name;
}

/* `name`, `ns/name`, with or without kubernetes:// or kubernetes-gateway:// before it (11.1). Other
 * schemes have nobody behind them here: the name stays as it is and is never found. */
static void name_secret(struct snapshot_builder *b, const struct server_use *u, struct slice written,
			struct tls_settings *out)
{
	struct slice name = after_scheme(after_scheme(written, SLICE("kubernetes://")),
					 SLICE("kubernetes-gateway://"));
	ptrdiff_t slash = slice_find(name, '/');

	out->credential_name = name;
	if (slash > 0 && slice_find(name, ':') < 0) {
		out->ns = slice_first(name, (size_t)slash);
		out->credential_name = slice_from(name, (size_t)slash + 1);
	}
	if (slice_find(name, ':') >= 0)
		build_warning(b, u->gateway->gateway->meta, u->server->tls->credential_where,
			      "credentialName \"%.*s\": only Secrets can be named here, this one is never found",
			      SLICE_ARG(written));
}

static void tell_second_certificate(struct snapshot_builder *b, const struct server_use *u)
{
	const struct server_tls *tls = u->server->tls;

	if (tls->credential_names.count > 1)
		build_warning(b, u->gateway->gateway->meta, tls->credential_names.items[1].where,
			      "a second certificate " DECODE_NOT_OBEYED ": \"%.*s\" is not presented",
			      SLICE_ARG(tls->credential_names.items[1].text));
	if (tls->certificates.count > 1)
		build_warning(b, u->gateway->gateway->meta, tls->certificates.items[1].where,
			      "a second certificate " DECODE_NOT_OBEYED ": it is not presented");
}

void tls_settings_make(struct snapshot_builder *b, const struct server_use *u, struct tls_settings *out)
{
	const struct server_tls *tls = u->server->tls;
	const struct certificate_files *files = tls->certificates.count != 0 ? &tls->certificates.items[0] :
									       &tls->files;

	*out = (struct tls_settings){ .where = tls->where, .gateway_ns = u->gateway->gateway->meta->ns };
	if (tls->credential_name.len != 0)
		name_secret(b, u, tls->credential_name, out);
	else if (tls->credential_names.count != 0)
		name_secret(b, u, tls->credential_names.items[0].text, out);
	if (out->credential_name.len != 0) {
		if (tls->credential_where.file != NULL)
			out->where = tls->credential_where;
	} else {
		out->certificate_path = files->certificate;
		out->key_path = files->key;
	}
	tell_second_certificate(b, u);
	out->min_version = openssl_version(tls->min_version, TLS1_2_VERSION);
	out->max_version = openssl_version(tls->max_version, TLS1_3_VERSION);
	out->cipher_list = cipher_list(b->arena, tls, out->min_version < TLS1_2_VERSION);
}

bool tls_settings_same(const struct tls_settings *a, const struct tls_settings *b)
{
	if (!slice_eq(a->credential_name, b->credential_name) || !slice_eq(a->ns, b->ns) ||
	    !slice_eq(a->certificate_path, b->certificate_path) || !slice_eq(a->key_path, b->key_path))
		return false;
	/* A bare name may mean another Secret from another Gateway's namespace. */
	if (a->credential_name.len != 0 && a->ns.at == NULL && !slice_eq(a->gateway_ns, b->gateway_ns))
		return false;
	return a->min_version == b->min_version && a->max_version == b->max_version &&
	       slice_eq(a->cipher_list, b->cipher_list);
}
