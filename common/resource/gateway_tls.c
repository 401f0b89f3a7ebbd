/* SPDX-License-Identifier: Apache-2.0
 *
 * servers[].tls of a Gateway: its fields and the rules among them (spec/gateway.md 2.4, 4, 10.5).
 * Rule numbers in comments are those of section 4. */
#include "common/resource/gateway_priv.h"

#include "sallyport/base64.h"
#include "sallyport/object.h"
#include "sallyport/text.h"

#define CERTIFICATES_MAX	2u
#define SHA256_BYTES		32u
#define SHA256_HEX		64u	/* characters of a pin by certificate, 95 with colons */

static const char *const modes[] = { "PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH",
				     "ISTIO_MUTUAL", "OPTIONAL_MUTUAL", NULL };
static const char *const versions[] = { "TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3", NULL };
static const char *const curves[] = { "P-224", "P-256", "P-384", "P-521", "X25519",
				      "X25519Kyber768Draft00", "X25519MLKEM768", NULL };
static const char *const ciphers[] = {
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
	"AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA", NULL
};

/* --- fields -------------------------------------------------------------------------------- */

static bool decode_mode(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_tls *tls = out;

	tls->mode_set = true;
	return decode_enum(d, n, &tls->mode, arg);
}

static bool decode_credential(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_tls *tls = out;

	tls->credential_where = n->where;
	return decode_string(d, n, &tls->credential_name, arg);
}

/* G40: one or two entries, in both lists of certificates. */
static bool one_or_two(struct decoder *d, const struct node *n)
{
	if (n->kind == NODE_SEQUENCE && (n->count == 0 || n->count > CERTIFICATES_MAX))
		return decode_error(d, n, "has %zu entries, needs 1 or 2", n->count);
	return true;
}

static bool decode_credentials(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct server_tls *tls = out;

	tls->credential_where = n->where;
	return one_or_two(d, n) && decode_string_list(d, n, &tls->credential_names, arg);
}

static bool decode_curve(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *l = out;
	int index;

	*l = (struct located_slice){ n->text, n->where };
	return decode_enum(d, n, &index, arg);
}

static const struct field certificate_fields[] = {
	FIELD(struct certificate_files, "serverCertificate", certificate, decode_string, FIELD_OPTIONAL),
	FIELD(struct certificate_files, "privateKey", key, decode_string, FIELD_OPTIONAL),
	FIELD(struct certificate_files, "caCertificates", ca, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_certificate(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	((struct certificate_files *)out)->where = n->where;
	return decode_mapping(d, n, arg, out);
}

static bool decode_certificates(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const struct decode_list row = { sizeof(struct certificate_files), decode_certificate,
						certificate_fields, 0 };

	(void)arg;
	return one_or_two(d, n) && decode_list(d, n, out, &row);
}

static const struct decode_list curve_list = { sizeof(struct located_slice), decode_curve, curves, 0 };
static const struct decode_nullable nullable_bool = { decode_bool, 1, NULL };
_Static_assert(offsetof(__typeof__(((struct server_tls *)0)->insecure_skip_verify), value) == 1,
	      "nullable_bool writes behind the flag");

static const struct field tls_fields[] = {
	FIELD(struct server_tls, "httpsRedirect", https_redirect, decode_bool, FIELD_OPTIONAL),
	{ "mode", decode_mode, 0, FIELD_OPTIONAL, modes },
	FIELD(struct server_tls, "serverCertificate", files.certificate, decode_string, FIELD_OPTIONAL),
	FIELD(struct server_tls, "privateKey", files.key, decode_string, FIELD_OPTIONAL),
	FIELD(struct server_tls, "caCertificates", files.ca, decode_string, FIELD_OPTIONAL),
	FIELD(struct server_tls, "caCrl", ca_crl, decode_string, FIELD_OPTIONAL),
	FIELD(struct server_tls, "tlsCertificates", certificates, decode_certificates, FIELD_OPTIONAL),
	{ "credentialName", decode_credential, 0, FIELD_OPTIONAL, NULL },
	{ "credentialNames", decode_credentials, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct server_tls, "caCertCredentialName", ca_credential_name, decode_string, FIELD_OPTIONAL),
	FIELD(struct server_tls, "subjectAltNames", subject_alt_names, decode_string_list, FIELD_OPTIONAL),
	FIELD(struct server_tls, "verifyCertificateSpki", spki_pins, decode_string_list, FIELD_OPTIONAL),
	FIELD(struct server_tls, "verifyCertificateHash", hash_pins, decode_string_list, FIELD_OPTIONAL),
	FIELD_ARG(struct server_tls, "minProtocolVersion", min_version, decode_enum, FIELD_OPTIONAL, versions),
	FIELD_ARG(struct server_tls, "maxProtocolVersion", max_version, decode_enum, FIELD_OPTIONAL, versions),
	FIELD(struct server_tls, "cipherSuites", cipher_suites, decode_string_list, FIELD_OPTIONAL),
	FIELD_ARG(struct server_tls, "ecdhCurves", ecdh_curves, decode_list, FIELD_OPTIONAL, &curve_list),
	FIELD_ARG(struct server_tls, "insecureSkipVerify", insecure_skip_verify, decode_nullable,
		  FIELD_OPTIONAL, &nullable_bool),
	FIELDS_END
};

/* --- rules --------------------------------------------------------------------------------- */

static bool has(struct slice s)
{
	return s.len > 0;
}

static bool is_terminating(int mode)
{
	return mode != SERVER_TLS_PASSTHROUGH && mode != SERVER_TLS_AUTO_PASSTHROUGH;
}

static bool asks_client(int mode)
{
	return mode == SERVER_TLS_MUTUAL || mode == SERVER_TLS_OPTIONAL_MUTUAL ||
	       mode == SERVER_TLS_ISTIO_MUTUAL;
}

bool server_tls_terminates(const struct server_tls *tls)
{
	return tls != NULL && is_terminating(tls->mode);
}

bool server_tls_has_files(const struct server_tls *tls)
{
	return has(tls->files.certificate) || has(tls->files.key) || has(tls->files.ca);
}

static bool has_credentials(const struct server_tls *tls)
{
	return has(tls->credential_name) || tls->credential_names.count > 0;
}

static bool has_certificates(const struct server_tls *tls)
{
	return server_tls_has_files(tls) || tls->certificates.count > 0 || has_credentials(tls);
}

static const struct { const char *name; } used_by_no_one[] = {
	{ "serverCertificate" }, { "privateKey" }, { "caCertificates" }, { "tlsCertificates" },
	{ "credentialName" }, { "credentialNames" }, { "caCrl" },
};

static bool is_used(const struct server_tls *tls, size_t i)
{
	switch (i) {
	case 0:	return has(tls->files.certificate);
	case 1:	return has(tls->files.key);
	case 2:	return has(tls->files.ca);
	case 3:	return tls->certificates.count > 0;
	case 4:	return has(tls->credential_name);
	case 5:	return tls->credential_names.count > 0;
	default: return has(tls->ca_crl);
	}
}

/* G28; false: one of the fields is there. */
static bool check_istio_mutual(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	bool ok = true;

	for (size_t i = 0; i < 6; i++)
		if (is_used(tls, i))
			ok = decode_error(d, node_get(n, used_by_no_one[i].name),
					  "ISTIO_MUTUAL does not take %s: the certificate is the "
					  "workload's own", used_by_no_one[i].name);
	return ok;
}

/* G29 */
static void check_passthrough(struct decoder *d, const struct node *n, const struct server_tls *tls,
			      bool on_tls_port)
{
	struct text list;

	text_init(&list);
	for (size_t i = 0; i < COUNT_OF(used_by_no_one); i++)
		if (is_used(tls, i))
			text_printf(&list, "%s%s", list.len > 0 ? ", " : "", used_by_no_one[i].name);
	/* A TLS port without a mode gets a warning of its own (G51). */
	if (list.len > 0 && (tls->mode_set || !on_tls_port))
		decode_warning(d, n, "%s uses no certificates, they are ignored: %s", modes[tls->mode],
			       list.at);
	text_fini(&list);
}

/* G30, G38, G39: presence of a key counts, even with an empty value. */
static bool check_one_source(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	bool files = has(tls->files.certificate) && has(tls->files.key);
	unsigned sources = files + (node_get(n, "credentialName") != NULL) +
			   (node_get(n, "credentialNames") != NULL) +
			   (node_get(n, "tlsCertificates") != NULL);

	if (sources <= 1)
		return true;
	return decode_error(d, n, "choose one certificate source: serverCertificate with privateKey, "
			    "tlsCertificates, credentialName or credentialNames");
}

static bool check_pair(struct decoder *d, const struct node *n, const struct certificate_files *f)
{
	bool ok = true;

	if (!has(f->certificate))	/* G34 */
		ok = decode_error(d, n, "server certificate path missing: set serverCertificate or "
				  "credentialName");
	if (!has(f->key))		/* G35 */
		ok = decode_error(d, n, "private key path missing: set privateKey or credentialName");
	return ok;
}

/* G31-G37 for the modes that end TLS here. */
static bool check_files(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	bool ok = true;

	if (has_credentials(tls)) {	/* G31, and G50 in Istio's silence */
		if (has(tls->files.ca) || has(tls->ca_crl))
			decode_warning(d, node_get(n, has(tls->files.ca) ? "caCertificates" : "caCrl"),
				       "%s is ignored beside a credential: put it into the Secret",
				       has(tls->files.ca) ? "caCertificates" : "caCrl");
		return true;
	}
	if (tls->mode != SERVER_TLS_SIMPLE && !has(tls->files.ca) && !has(tls->ca_credential_name))
		ok = decode_error(d, n, "%s needs a client CA bundle: set caCertificates or use "
				  "credentialName", modes[tls->mode]);	/* G32 */
	if (tls->certificates.count == 0)
		ok = check_pair(d, n, &tls->files) && ok;
	for (size_t i = 0; i < tls->certificates.count; i++) {
		const struct node *list = node_get(n, "tlsCertificates");
		size_t mark = decode_push(d, "tlsCertificates"), inner = decode_push_index(d, i);

		ok = check_pair(d, i < list->count ? list->items[i] : list,
				&tls->certificates.items[i]) && ok;
		decode_pop(d, inner);
		decode_pop(d, mark);
	}
	if (has(tls->ca_crl) && tls->mode == SERVER_TLS_SIMPLE)	/* G37 */
		ok = decode_error(d, node_get(n, "caCrl"), "a CRL has no use in SIMPLE mode, where clients "
				  "show no certificate");
	return ok;
}

/* G25, G54 */
static bool check_versions(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	static const int built_in_min = TLS_VERSION_1_2, built_in_max = TLS_VERSION_1_3;
	int min = tls->min_version != TLS_VERSION_AUTO ? tls->min_version : built_in_min;
	int max = tls->max_version != TLS_VERSION_AUTO ? tls->max_version : built_in_max;

	if (tls->min_version != TLS_VERSION_AUTO && tls->min_version < TLS_VERSION_1_2 &&
	    tls->cipher_suites.count == 0)
		decode_warning(d, node_get(n, "minProtocolVersion"), "versions below 1.2 need an explicit "
			       "cipher list: without one no client of theirs can connect");
	/* Only an upper bound below 1.2 lowers the default lower one. */
	if (tls->min_version == TLS_VERSION_AUTO && max < min)
		min = max;
	if (min > max)
		return decode_error(d, node_get(n, "minProtocolVersion"), "minProtocolVersion %s is above "
				    "maxProtocolVersion %s", versions[min], versions[max]);
	return true;
}

static bool is_expression(struct slice s)
{
	return s.len == 0 || slice_eq(s, SLICE("ALL")) || !ascii_is_alnum(s.at[0]);
}

static bool listed_before(const struct located_slice *items, size_t count, struct slice s)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(items[i].text, s))
			return true;
	return false;
}

/* G26, G27: leaves known names and expressions in the list, each once. */
static void check_ciphers(struct decoder *d, const struct node *n, struct server_tls *tls)
{
	struct text unknown, twice;
	size_t kept = 0;

	text_init(&unknown);
	text_init(&twice);
	for (size_t i = 0; i < tls->cipher_suites.count; i++) {
		struct located_slice l = tls->cipher_suites.items[i];
		struct text *where = NULL;

		if (l.text.at == NULL)
			continue;
		if (!slice_is_among(l.text, ciphers) && !is_expression(l.text))
			where = &unknown;
		else if (listed_before(tls->cipher_suites.items, kept, l.text))
			where = &twice;
		if (where != NULL)
			text_printf(where, "%s%.*s", where->len > 0 ? ", " : "", SLICE_ARG(l.text));
		else
			tls->cipher_suites.items[kept++] = l;
	}
	tls->cipher_suites.count = kept;
	if (unknown.len > 0)
		decode_warning(d, node_get(n, "cipherSuites"), "ignoring unknown ciphers %s%s", unknown.at,
			       kept == 0 ? "; none is left, the default list is in force" : "");
	if (twice.len > 0)
		decode_warning(d, node_get(n, "cipherSuites"), "ignoring duplicate ciphers %s", twice.at);
	text_fini(&unknown);
	text_fini(&twice);
}

static bool is_spki_pin(struct slice s)
{
	unsigned char out[BASE64_DECODED_MAX(64)];

	return s.len == BASE64_ENCODED_MAX(SHA256_BYTES) &&
	       base64_decode(s, out) == (ptrdiff_t)SHA256_BYTES;
}

/* 64 hex digits, or pairs of them with colons between. */
static bool is_hash_pin(struct slice s)
{
	bool colons = s.len == SHA256_HEX + SHA256_BYTES - 1;

	if (s.len != SHA256_HEX && !colons)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (colons && i % 3 == 2) {
			if (s.at[i] != ':')
				return false;
		} else if (ascii_hex_value(s.at[i]) < 0) {
			return false;
		}
	}
	return true;
}

/* G53 */
static bool check_pins(struct decoder *d, const struct server_tls *tls)
{
	bool ok = true;

	for (size_t i = 0; i < tls->spki_pins.count; i++)
		if (tls->spki_pins.items[i].text.at != NULL && !is_spki_pin(tls->spki_pins.items[i].text))
			ok = decode_problem_item(d, SEVERITY_ERROR, tls->spki_pins.items[i].where,
						 "verifyCertificateSpki", i, "no base64 of a SHA-256: 44 "
						 "characters are needed");
	for (size_t i = 0; i < tls->hash_pins.count; i++)
		if (tls->hash_pins.items[i].text.at != NULL && !is_hash_pin(tls->hash_pins.items[i].text))
			ok = decode_problem_item(d, SEVERITY_ERROR, tls->hash_pins.items[i].where,
						 "verifyCertificateHash", i, "no SHA-256 in hex: 64 digits, or "
						 "95 characters with colons, are needed");
	return ok;
}

/* G52 */
static void check_client_settings(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	static const char *const names[] = { "subjectAltNames", "verifyCertificateSpki",
					     "verifyCertificateHash", "insecureSkipVerify",
					     "caCertCredentialName" };
	bool set[] = { tls->subject_alt_names.count > 0, tls->spki_pins.count > 0,
		       tls->hash_pins.count > 0, tls->insecure_skip_verify.set,
		       has(tls->ca_credential_name) };

	if (asks_client(tls->mode))
		return;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (set[i])
			decode_warning(d, node_get(n, names[i]), "%s has no effect: %s asks for no client "
				       "certificate", names[i], modes[tls->mode]);
}

/* 10.1: the mesh has one way to speak TLS, whatever a server says. */
static void tell_mesh_settings(struct decoder *d, const struct node *n, const struct server_tls *tls)
{
	static const char *const names[] = { "minProtocolVersion", "maxProtocolVersion", "cipherSuites",
					     "ecdhCurves", "insecureSkipVerify", "caCertCredentialName" };
	bool set[] = { tls->min_version != TLS_VERSION_AUTO, tls->max_version != TLS_VERSION_AUTO,
		       tls->cipher_suites.count > 0, tls->ecdh_curves.count > 0,
		       tls->insecure_skip_verify.set && tls->insecure_skip_verify.value,
		       has(tls->ca_credential_name) };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (set[i])
			decode_warning(d, node_get(n, names[i]), "%s has no effect in ISTIO_MUTUAL", names[i]);
}

/* False: the mapping itself is bad, and rules about it would only repeat that. */
bool server_tls_decode(struct decoder *d, const struct node *n, struct server_tls *tls)
{
	tls->where = n->where;
	return decode_mapping(d, n, tls_fields, tls);
}

bool server_tls_check(struct decoder *d, const struct node *n, struct server_tls *tls, bool on_tls_port)
{
	bool ok = true;

	check_ciphers(d, n, tls);
	if (tls->mode == SERVER_TLS_ISTIO_MUTUAL) {
		ok = check_istio_mutual(d, n, tls) && check_pins(d, tls);
		if (ok)
			tell_mesh_settings(d, n, tls);
	} else {
		if (!is_terminating(tls->mode))
			check_passthrough(d, n, tls, on_tls_port);
		ok = check_one_source(d, n, tls);
		if (is_terminating(tls->mode))
			ok = check_files(d, n, tls) && ok;
		else if (has(tls->ca_crl) && has(tls->credential_name))	/* G36 */
			ok = decode_error(d, node_get(n, "caCrl"), "put the CRL into the credential's Secret");
		ok = check_versions(d, n, tls) && ok;
		ok = check_pins(d, tls) && ok;
		check_client_settings(d, n, tls);
	}
	if (on_tls_port && !tls->mode_set && has_certificates(tls))	/* G51 */
		decode_warning(d, n, "mode is not set and defaults to PASSTHROUGH, which serves none of "
			       "these certificates: write mode: SIMPLE");
	return ok;
}
