/* SPDX-License-Identifier: Apache-2.0
 *
 * tls of a traffic policy: TLS towards endpoints (spec/destination-rule.md 2.6, 3.2). */
#include "common/resource/destination_rule_priv.h"

#define CONFIG_MAP	"configmap://"

static const char *const mode_names[] = { "DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", NULL };

static const struct field tls_fields[] = {
	FIELD_ARG(struct client_tls, "mode", mode, decode_enum, FIELD_OPTIONAL, mode_names),
	FIELD(struct client_tls, "clientCertificate", client_certificate, decode_string,
	      FIELD_OPTIONAL),
	FIELD(struct client_tls, "privateKey", private_key, decode_string, FIELD_OPTIONAL),
	FIELD(struct client_tls, "caCertificates", ca_certificates, decode_string, FIELD_OPTIONAL),
	FIELD(struct client_tls, "caCrl", ca_crl, decode_string, FIELD_OPTIONAL),
	FIELD(struct client_tls, "credentialName", credential_name, decode_string, FIELD_OPTIONAL),
	FIELD(struct client_tls, "subjectAltNames", subject_alt_names, decode_string_list,
	      FIELD_OPTIONAL),
	FIELD(struct client_tls, "sni", sni, decode_string, FIELD_OPTIONAL),
	FIELD(struct client_tls, "insecureSkipVerify", insecure_skip_verify, decode_bool,
	      FIELD_OPTIONAL),
	FIELDS_END
};

/* Nobody verifies, so what verification needs must not stand there. */
static bool check_skip_verify(struct decoder *d, const struct node *n, const struct client_tls *t)
{
	bool credential = t->mode == CLIENT_TLS_SIMPLE && t->credential_name.len > 0;

	if (!t->insecure_skip_verify)
		return true;
	if (t->ca_certificates.len == 0 && t->subject_alt_names.count == 0 && !credential)
		return true;
	return decode_error(d, n,
			    "cannot specify caCertificates%s or subjectAltNames when "
			    "insecureSkipVerify is true",
			    t->mode == CLIENT_TLS_SIMPLE ? " or credentialName" : "");
}

static bool check_credential(struct decoder *d, const struct node *n, const struct client_tls *t)
{
	struct slice rest, ns;

	if (t->client_certificate.len > 0 || t->private_key.len > 0 || t->ca_certificates.len > 0 ||
	    t->ca_crl.len > 0)
		return decode_error(
			d, n,
			"cannot specify client certificates, CA certificate or CA CRL if "
			"credentialName is set");
	if (!slice_starts(t->credential_name, SLICE(CONFIG_MAP)))
		return true;
	rest = slice_from(t->credential_name, strlen(CONFIG_MAP));
	ns = slice_cut(&rest, '/');
	/* Without a slash it is a name in the rule's own namespace. */
	return rest.at == NULL || slice_eq(ns, slice_of(d->ns)) ||
	       decode_error(d, node_get(n, "credentialName"),
			    "invalid credentialName \"%.*s\": a ConfigMap must be in "
			    "the rule's namespace",
			    SLICE_ARG(t->credential_name));
}

static bool check_files(struct decoder *d, const struct node *n, const struct client_tls *t)
{
	bool ok = true;

	if (t->mode != CLIENT_TLS_MUTUAL)
		return true;
	if (t->client_certificate.len == 0)
		ok = decode_error(
			d, n,
			"client certificate required for mutual tls: give clientCertificate or "
			"credentialName");
	if (t->private_key.len == 0)
		ok = decode_error(
			d, n,
			"private key required for mutual tls: give privateKey or credentialName");
	return ok;
}

bool dr_decode_client_tls(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct client_tls *t = out;
	bool ok;

	(void)arg;
	t->where = n->where;
	ok = decode_mapping(d, n, tls_fields, t);
	if (t->mode == CLIENT_TLS_SIMPLE || t->mode == CLIENT_TLS_MUTUAL) {
		ok = check_skip_verify(d, n, t) && ok;
		ok = (t->credential_name.len > 0 ? check_credential(d, n, t)
						 : check_files(d, n, t)) &&
		     ok;
	}
	if (ok && t->mode != CLIENT_TLS_DISABLE)
		decode_warning(d, node_get(n, "mode"), "mode %s " DECODE_NOT_OBEYED,
			       mode_names[t->mode]);
	return ok;
}
