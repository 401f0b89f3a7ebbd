/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/websocket.h"

#include <openssl/sha.h>

#include "sallyport/base64.h"

bool websocket_key_is_valid(struct slice key)
{
	unsigned char raw[BASE64_DECODED_MAX(WEBSOCKET_KEY_BYTES)];

	return key.len == WEBSOCKET_KEY_BYTES && base64_decode(key, raw) == WEBSOCKET_NONCE_BYTES;
}

void websocket_key(const unsigned char *nonce, char *out)
{
	base64_encode(slice_make(nonce, WEBSOCKET_NONCE_BYTES), out);
}

void websocket_accept(struct slice key, char *out)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[SHA_DIGEST_LENGTH], text[WEBSOCKET_KEY_BYTES + sizeof(guid) - 1];
	size_t len = key.len < WEBSOCKET_KEY_BYTES ? key.len : WEBSOCKET_KEY_BYTES;

	memcpy(text, key.at, len);
	memcpy(text + len, guid, sizeof(guid) - 1);
	SHA1(text, len + sizeof(guid) - 1, digest);
	base64_encode(slice_make(digest, sizeof(digest)), out);
}
