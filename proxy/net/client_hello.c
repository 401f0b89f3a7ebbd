/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/client_hello.h"

#include <string.h>

#define RECORD_HANDSHAKE	22
#define MESSAGE_CLIENT_HELLO	1
#define EXTENSION_SERVER_NAME	0
#define EXTENSION_ALPN		16

/* Bytes that are left to read; `short_of` once more was asked for than there is. */
struct cursor {
	const unsigned char *at;
	size_t left;
	bool short_of;
};

static uint32_t take_number(struct cursor *c, unsigned bytes)
{
	uint32_t n = 0;

	if (c->left < bytes) {
		c->short_of = true;
		c->left = 0;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		n = n << 8 | c->at[i];
	c->at += bytes;
	c->left -= bytes;
	return n;
}

static struct cursor take_bytes(struct cursor *c, size_t bytes)
{
	struct cursor part = { c->at, bytes, false };

	if (c->left < bytes) {
		c->short_of = true;
		c->left = 0;
		return (struct cursor){ c->at, 0, true };
	}
	c->at += bytes;
	c->left -= bytes;
	return part;
}

/* A vector with its length in front, of `width` bytes. */
static struct cursor take_vector(struct cursor *c, unsigned width)
{
	uint32_t bytes = take_number(c, width);

	return take_bytes(c, bytes);
}

/* Length of the whole handshake message, once its header is there; 0: not yet. */
static size_t message_length(const unsigned char *joined, size_t len)
{
	return len < 4 ? 0 : 4 + ((size_t)joined[1] << 16 | (size_t)joined[2] << 8 | joined[3]);
}

/* The handshake message may be cut into several records: joins what is there into `joined`. */
static enum client_hello_result join_records(struct slice peeked, unsigned char *joined, size_t *len)
{
	struct cursor in = { (const unsigned char *)peeked.at, peeked.len, false };

	*len = 0;
	while (in.left > 0) {
		const enum client_hello_result no_record = *len == 0 ? CLIENT_HELLO_NOT_TLS : CLIENT_HELLO_BAD;
		uint32_t type, version, bytes;
		size_t here;

		if (in.at[0] != RECORD_HANDSHAKE)
			return no_record;
		type = take_number(&in, 1);
		version = take_number(&in, 2);
		bytes = take_number(&in, 2);
		if (in.short_of)
			return CLIENT_HELLO_MORE;
		if (type != RECORD_HANDSHAKE || version >> 8 != 3)
			return no_record;
		if (bytes == 0 || *len + bytes > CLIENT_HELLO_MAX)
			return CLIENT_HELLO_BAD;
		here = bytes < in.left ? bytes : in.left;
		memcpy(joined + *len, take_bytes(&in, here).at, here);
		*len += here;
		if (*len == 0)
			break;
		if (joined[0] != MESSAGE_CLIENT_HELLO || message_length(joined, *len) > CLIENT_HELLO_MAX)
			return CLIENT_HELLO_BAD;
		if (message_length(joined, *len) > 0 && message_length(joined, *len) <= *len) {
			*len = message_length(joined, *len);
			return CLIENT_HELLO_OK;
		}
	}
	return CLIENT_HELLO_MORE;
}

/* RFC 6066 3: the one host_name. False: broken. */
static bool read_server_name(struct cursor body, struct client_hello *out)
{
	struct cursor list = take_vector(&body, 2);

	while (list.left > 0) {
		uint32_t type = take_number(&list, 1);
		struct cursor name = take_vector(&list, 2);

		if (list.short_of || name.left == 0 || name.left > SERVER_NAME_MAX || out->name_len > 0)
			return false;
		if (type != 0)
			continue;
		for (size_t i = 0; i < name.left; i++) {
			if (name.at[i] <= 0x20 || name.at[i] >= 0x7f)
				return false;
			out->name[i] = ascii_lower((char)name.at[i]);
		}
		out->name_len = (uint8_t)name.left;
		out->name[name.left] = '\0';
	}
	return !body.short_of;
}

/* spec/gateway.md 14.2 */
static bool is_mesh_protocol(struct slice name)
{
	static const struct slice names[] = { SLICE("istio"), SLICE("istio-peer-exchange"),
					      SLICE("istio-http/1.0"), SLICE("istio-http/1.1"),
					      SLICE("istio-h2") };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_eq(name, names[i]))
			return true;
	return false;
}

/* RFC 7301 3.1 */
static bool read_alpn(struct cursor body, struct client_hello *out)
{
	struct cursor list = take_vector(&body, 2);

	while (list.left > 0) {
		struct cursor name = take_vector(&list, 1);
		struct slice text = slice_make(name.at, name.left);

		if (list.short_of || name.left == 0)
			return false;
		out->offers_h2 |= slice_eq(text, SLICE("h2"));
		out->offers_http11 |= slice_eq(text, SLICE("http/1.1"));
		out->offers_mesh |= is_mesh_protocol(text);
	}
	return !body.short_of;
}

static bool read_extensions(struct cursor list, struct client_hello *out)
{
	while (list.left > 0) {
		uint32_t type = take_number(&list, 2);
		struct cursor body = take_vector(&list, 2);

		if (list.short_of)
			return false;
		if (type == EXTENSION_SERVER_NAME && !read_server_name(body, out))
			return false;
		if (type == EXTENSION_ALPN && !read_alpn(body, out))
			return false;
	}
	return true;
}

enum client_hello_result client_hello_parse(struct slice peeked, struct client_hello *out)
{
	unsigned char joined[CLIENT_HELLO_MAX];
	size_t len;
	enum client_hello_result how;
	struct cursor body, extensions;

	*out = (struct client_hello){ 0 };
	how = join_records(peeked, joined, &len);
	if (how == CLIENT_HELLO_MORE && peeked.len >= CLIENT_HELLO_MAX)
		return CLIENT_HELLO_BAD;
	if (how != CLIENT_HELLO_OK)
		return how;
	body = (struct cursor){ joined + 4, len - 4, false };
	take_bytes(&body, 2 + 32);	/* legacy_version, random */
	take_vector(&body, 1);		/* legacy_session_id */
	take_vector(&body, 2);		/* cipher_suites */
	take_vector(&body, 1);		/* legacy_compression_methods */
	if (body.short_of)
		return CLIENT_HELLO_BAD;
	if (body.left == 0)
		return CLIENT_HELLO_OK;	/* no extensions: TLS 1.2 and before */
	extensions = take_vector(&body, 2);
	if (body.short_of || body.left > 0 || !read_extensions(extensions, out)) {
		*out = (struct client_hello){ 0 };
		return CLIENT_HELLO_BAD;
	}
	return CLIENT_HELLO_OK;
}
