/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_show.c - what is served, for people: `show secrets` and `show tls`. */
#include <inttypes.h>
#include <openssl/bn.h>
#include <stdio.h>
#include <time.h>

#include "proxy/tls/context.h"
#include "proxy/tls/staple.h"
#include "proxy/tls/tls_set_priv.h"
#include "sallyport/table.h"

/* A row of `show secrets`. */
struct secret_row {
	char name[300];
	const char *type;		/* as istioctl says it, and CRL and OCSP */
	bool active;			/* ACTIVE, else WARMING */
	bool valid;			/* now */
	char serial[80], not_after[32], not_before[32];
};

struct secret_table {
	struct table table;
	struct text *out;
	bool json, any;
};

static void time_text(const ASN1_TIME *t, char *out, size_t bytes)
{
	struct tm tm = { 0 };

	if (t != NULL && ASN1_TIME_to_tm(t, &tm) == 1)
		strftime(out, bytes, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void number_text(const ASN1_INTEGER *n, char *out, size_t bytes)
{
	BIGNUM *number = ASN1_INTEGER_to_BN(n, NULL);
	char *hex = number != NULL ? BN_bn2hex(number) : NULL;

	for (size_t i = 0; hex != NULL && hex[i] != '\0' && i + 1 < bytes; i++)
		out[i] = ascii_lower(hex[i]);
	OPENSSL_free(hex);
	BN_free(number);
}

static void fill_times(struct secret_row *row, const ASN1_TIME *from, const ASN1_TIME *until)
{
	time_text(until, row->not_after, sizeof(row->not_after));
	time_text(from, row->not_before, sizeof(row->not_before));
	row->valid = X509_cmp_current_time(from) < 0 && (until == NULL || X509_cmp_current_time(until) > 0);
}

static void add_json(struct secret_table *t, const struct secret_row *row)
{
	text_printf(t->out, "%s{\"name\":", t->any ? "," : "");
	text_add_json(t->out, slice_of(row->name));
	text_printf(t->out, ",\"type\":\"%s\",\"status\":\"%s\",\"valid\":%s,\"serial\":\"%s\","
		    "\"notAfter\":\"%s\",\"notBefore\":\"%s\"}", row->type, row->active ? "ACTIVE" : "WARMING",
		    row->valid ? "true" : "false", row->serial, row->not_after, row->not_before);
}

static void add_row(struct secret_table *t, const struct secret_row *row)
{
	if (t->json)
		add_json(t, row);
	else
		table_row(&t->table, row->name, row->type, row->active ? "ACTIVE" : "WARMING",
			  row->valid ? "true" : "false", row->serial, row->not_after, row->not_before);
	t->any = true;
}

static void add_certificate(struct secret_table *t, struct secret_row row, const X509 *cert)
{
	number_text(X509_get0_serialNumber((X509 *)cert), row.serial, sizeof(row.serial));
	fill_times(&row, X509_get0_notBefore(cert), X509_get0_notAfter(cert));
	add_row(t, &row);
}

static void add_list(struct secret_table *t, struct secret_row row, const X509_CRL *crl)
{
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);

	row.type = "CRL";
	if (number != NULL)
		number_text(number, row.serial, sizeof(row.serial));
	ASN1_INTEGER_free(number);
	fill_times(&row, X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl));
	add_row(t, &row);
}

static void add_staple(struct secret_table *t, struct secret_row row, int64_t until_s)
{
	time_t until = (time_t)until_s;
	struct tm tm;

	row.type = "OCSP";
	row.valid = until_s > time(NULL);
	if (until_s != INT64_MAX && gmtime_r(&until, &tm) != NULL)
		strftime(row.not_after, sizeof(row.not_after), "%Y-%m-%dT%H:%M:%SZ", &tm);
	add_row(t, &row);
}

/* Also those that a worker's verification has just sorted: under the lock. */
static void add_authorities(struct secret_table *t, const struct secret_row *row, X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects;

	X509_STORE_lock(store);
	objects = X509_STORE_get0_objects(store);
	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_OBJECT *o = sk_X509_OBJECT_value(objects, i);

		if (X509_OBJECT_get_type(o) == X509_LU_X509)
			add_certificate(t, *row, X509_OBJECT_get0_X509(o));
		else if (X509_OBJECT_get_type(o) == X509_LU_CRL)
			add_list(t, *row, X509_OBJECT_get0_X509_CRL(o));
	}
	X509_STORE_unlock(store);
}

static void add_server(struct secret_table *t, const struct tls_settings *s, SSL_CTX *ctx)
{
	struct secret_row row = { .active = ctx != NULL };
	X509_STORE *store = NULL;

	for (unsigned i = 0; i < s->certificate_count; i++) {
		const X509 *leaf = ctx != NULL ? tls_context_leaf(ctx, i) : NULL;
		int64_t stapled = leaf != NULL ? staple_until(ctx, leaf) : 0;

		row.type = "Cert Chain";
		credential_text(&s->certificates[i], row.name, sizeof(row.name));
		if (leaf == NULL)
			add_row(t, &row);
		else
			add_certificate(t, row, leaf);
		if (stapled != 0)
			add_staple(t, row, stapled);
	}
	if (s->client.certificate == TLS_CLIENT_NONE)
		return;
	row.type = "CA";
	client_ca_text(&s->client, row.name, sizeof(row.name));
	if (ctx != NULL && SSL_CTX_get0_verify_cert_store(ctx, &store) == 1 && store != NULL)
		add_authorities(t, &row, store);
	else
		add_row(t, &row);
}

void tls_store_show(const struct tls_store *store, struct text *out, bool json)
{
	static const char *const heads[] = { "RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER",
					     "NOT AFTER", "NOT BEFORE", NULL };
	const struct tls_set *set = store->current;
	struct secret_table t = { .out = out, .json = json };

	if (!json && (set == NULL || set->count == 0)) {
		text_add(out, SLICE("No secret items to show.\n"));
		return;
	}
	if (json)
		text_add_char(out, '[');
	else
		table_begin(&t.table, out, heads, false);
	for (uint32_t i = 0; set != NULL && i < set->count; i++)
		add_server(&t, &set->snapshot->tls_chains.items[i]->tls_settings,
			   atomic_load(&set->slots[i].context));
	if (json)
		text_add(out, SLICE("]\n"));
	else
		table_end(&t.table);
}

void tls_store_show_tickets(const struct tls_store *store, struct text *out, bool json)
{
	const struct ticket_keys_state s = ticket_keys_state(store->ticket_keys);

	text_printf(out, json ? "{\"Ticket_key_age_sec\":%" PRId64 ",\"Ticket_key_rotation_sec\":%" PRId64
		    ",\"Ticket_keys\":%u,\"Ticket_key_rotations\":%lu}\n" :
		    "Ticket_key_age_sec: %" PRId64 "\nTicket_key_rotation_sec: %" PRId64
		    "\nTicket_keys: %u\nTicket_key_rotations: %lu\n",
		    s.age_ms / 1000, s.rotation_ms / 1000, s.generations, s.rotations);
}
