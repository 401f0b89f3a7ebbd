/* SPDX-License-Identifier: Apache-2.0
 *
 * client_hello.h - what the first flight of a TLS client says, read without consuming it.
 *
 * Own bounded parser, no allocation (spec/hardening.md T-19; RFC 8446 4.1.2, RFC 6066 3,
 * RFC 7301). Input is what a peek at the socket gave; output points into it or into `name`. */
#ifndef SALLYPORT_PROXY_CLIENT_HELLO_H
#define SALLYPORT_PROXY_CLIENT_HELLO_H

#include "sallyport/slice.h"

#define CLIENT_HELLO_MAX	(16u * 1024)	/* larger ones are refused */
#define SERVER_NAME_MAX		255u

enum client_hello_result {
	CLIENT_HELLO_OK,
	CLIENT_HELLO_MORE,		/* the message is not complete yet */
	CLIENT_HELLO_NOT_TLS,		/* no TLS handshake record: counts as "no SNI" */
	CLIENT_HELLO_BAD,		/* broken or too large: close */
};

struct client_hello {
	char name[SERVER_NAME_MAX + 1];	/* lower case, NUL-terminated; "" none */
	uint8_t name_len;
	bool offers_h2, offers_http11;	/* ALPN */
	bool offers_mesh;		/* one of the names that proxies of a mesh offer each other: istio,
					 * istio-peer-exchange, istio-http/1.0, istio-http/1.1, istio-h2 */
};

enum client_hello_result client_hello_parse(struct slice peeked, struct client_hello *out);

#endif
