/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_certificate.c - which names the certificates of a server are for: those that it serves, or at the
 * desk those that its secret has, where that is there. */
#include "proxy/stream/explain_priv.h"

#include <openssl/x509v3.h>

#include "proxy/tls/context.h"
#include "proxy/tls/tls_set.h"
#include "sallyport/cidr.h"

#define NAMES_MAX	256u	/* that are told */

static void ignore(void *arg, const char *path)
{
	(void)arg, (void)path;
}

/* As the server would; NULL: not by what is here. The caller's to free. */
static SSL_CTX *context_at_desk(const struct explaining *e)
{
	static const struct material_watch nobody = { .folder = ignore, .file = ignore };
	const struct chain *c = e->out->chain;
	struct material m;
	SSL_CTX *ctx = NULL;
	char why[300];

	if (material_read(e->out->snapshot, &c->tls_settings, &m, &nobody))
		ctx = tls_context_create(&c->tls_settings, &m, c->name, NULL, why, sizeof(why));
	material_fini(&m);
	return ctx;
}

static struct slice name_of(const GENERAL_NAME *n, struct arena *a)
{
	struct ip ip = { .v4 = n->type == GEN_IPADD && n->d.iPAddress->length == 4 };
	char text[IP_TEXT_BYTES];

	if (n->type == GEN_DNS)
		return arena_slice(a, slice_make(n->d.dNSName->data, (size_t)n->d.dNSName->length));
	if (n->type != GEN_IPADD || (!ip.v4 && n->d.iPAddress->length != 16))
		return NO_SLICE;
	memcpy(ip.bytes, n->d.iPAddress->data, (size_t)n->d.iPAddress->length);
	return arena_slice(a, slice_of(ip_format(&ip, text)));
}

static void add_names(struct explaining *e, const X509 *leaf)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	struct explained_certificate *out = &e->out->certificate;

	for (int i = 0; i < sk_GENERAL_NAME_num(all) && out->names.count < NAMES_MAX; i++) {
		struct slice name = name_of(sk_GENERAL_NAME_value(all, i), e->arena);

		if (name.at != NULL)
			out->names.items[out->names.count++] = name;
	}
	GENERAL_NAMES_free(all);
}

void explain_certificate(struct explaining *e)
{
	const struct chain *c = e->out->chain;
	const char *host = arena_text(e->arena, e->out->question->host);
	struct explained_certificate *out = &e->out->certificate;
	SSL_CTX *own = NULL, *ctx;
	const X509 *leaf;

	if (c == NULL || !c->tls || !e->out->question->tls)
		return;
	ctx = e->ground.tls != NULL ? tls_set_context(e->ground.tls, c->tls_slot) : (own = context_at_desk(e));
	out->known = ctx != NULL;
	out->names.items = arena_array(e->arena, struct slice, NAMES_MAX);
	for (unsigned i = 0; ctx != NULL && (leaf = tls_context_leaf(ctx, i)) != NULL; i++) {
		out->covers = out->covers || tls_leaf_covers(leaf, host);
		add_names(e, leaf);
	}
	SSL_CTX_free(own);
}
