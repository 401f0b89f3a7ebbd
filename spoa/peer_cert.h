/* SPDX-License-Identifier: Apache-2.0
 *
 * peer_cert.h - who a client certificate says its holder is: URI SANs, else DNS SANs, else the
 * subject (spec/authorization-policy.md, source principals).
 *
 * Thread   any; no state. Fails: a certificate that cannot be read names nobody. */
#ifndef SALLYPORT_SPOA_PEER_CERT_H
#define SALLYPORT_SPOA_PEER_CERT_H

#include "sallyport/arena.h"

/* `der` belongs to a certificate that was verified. Fills at most `max` names, copied to the
 * arena; returns how many. A name with an embedded NUL is left out. */
size_t peer_cert_ids(struct slice der, struct arena *a, struct slice *ids, size_t max);

#endif
