/* SPDX-License-Identifier: Apache-2.0
 *
 * gateway_priv.h - between the two halves of the Gateway decoder: gateway.c and gateway_tls.c. */
#ifndef SALLYPORT_RESOURCE_GATEWAY_PRIV_H
#define SALLYPORT_RESOURCE_GATEWAY_PRIV_H

#include "sallyport/resource/gateway.h"

/* The fields of a `tls` block. False: a problem was added. */
bool server_tls_decode(struct decoder *d, const struct node *n, struct server_tls *tls);
/* The rules among them. `on_tls_port`: the server's protocol is HTTPS or TLS, or read as one. */
bool server_tls_check(struct decoder *d, const struct node *n, struct server_tls *tls,
		      bool on_tls_port);
/* Does TLS end here (NULL: no)? */
bool server_tls_terminates(const struct server_tls *tls);
bool server_tls_has_files(const struct server_tls *tls);

#endif
