/* SPDX-License-Identifier: Apache-2.0
 *
 * peer_identity.h - who the client of a TLS connection is, by the certificate it showed: what goes
 * upstream (x-forwarded-client-cert), to the agent and into the access log. Read once a connection.
 *
 * Spec     spec/gateway.md 10.4, spec/http.md 22.3, spec/observability.md 3.
 * Names    of the certificate are what somebody's CA signed: those with bytes that cannot stand in
 *          a header or a URI are left out here, and the agent gets the certificate itself.
 * Owner    the connection; all slices point into it. Thread: the connection's worker.
 * Blocks   computes only. Allocates once a connection that showed a certificate. */
#ifndef SALLYPORT_PROXY_TLS_PEER_IDENTITY_H
#define SALLYPORT_PROXY_TLS_PEER_IDENTITY_H

#include <openssl/ssl.h>

#include "sallyport/slice.h"
#include "sallyport/text.h"

struct peer_identity {
	bool verified;			/* its chain, names and pins passed what the server asks for */
	struct slice forwarded;		/* element of x-forwarded-client-cert */
	struct slice agent_id;		/* URI SANs, comma list; absent: the agent reads `der` */
	struct slice der;
	struct slice subject, issuer;	/* RFC 2253 */
	struct slice serial;		/* lower-case hex */
	struct slice uri_names, dns_names;	/* comma lists; empty: none */
	struct slice fingerprint;	/* SHA-256, lower-case hex */
	struct slice certificate;	/* PEM, URL-encoded */
	int64_t valid_from_us, valid_until_us;	/* since 1970 */
	struct text bytes;		/* owns all of the above */
};

/* NULL: the client showed no certificate. */
struct peer_identity *peer_identity_of(SSL *ssl);
/* The same for a certificate `peer` shown to a server with the certificate `own` (NULL: none). */
struct peer_identity *peer_identity_create(X509 *peer, X509 *own, bool verified);
void peer_identity_free(struct peer_identity **pp);

#endif
