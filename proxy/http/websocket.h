/* SPDX-License-Identifier: Apache-2.0
 *
 * websocket.h - the key of a WebSocket handshake and the answer to it (RFC 6455 4.1, 4.2.2). */
#ifndef SALLYPORT_PROXY_WEBSOCKET_H
#define SALLYPORT_PROXY_WEBSOCKET_H

#include "sallyport/slice.h"

#define WEBSOCKET_NONCE_BYTES	16u
#define WEBSOCKET_KEY_BYTES	24u	/* base64 of the nonce */
#define WEBSOCKET_ACCEPT_BYTES	28u	/* base64 of a SHA-1 */

bool websocket_key_is_valid(struct slice key);
/* WEBSOCKET_KEY_BYTES at `out` for WEBSOCKET_NONCE_BYTES of chance. */
void websocket_key(const unsigned char *nonce, char *out);
/* WEBSOCKET_ACCEPT_BYTES at `out` for a valid key. */
void websocket_accept(struct slice key, char *out);

#endif
