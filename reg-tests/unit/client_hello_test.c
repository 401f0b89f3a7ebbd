/* SPDX-License-Identifier: Apache-2.0
 * ClientHellos as OpenSSL makes them, whole and cut at every byte, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/ssl.h>

#include "proxy/net/client_hello.h"

/* The first flight of a real client; returns its length. */
static size_t make_hello(const char *name, const char *alpn, unsigned char *out, size_t room)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(ssl, in, to);
	if (name != NULL)
		SSL_set_tlsext_host_name(ssl, name);
	if (alpn != NULL)
		SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
	SSL_connect(ssl);
	n = BIO_read(to, out, (int)room);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	assert_true(n > 0);
	return (size_t)n;
}

static void a_real_hello_tells_name_and_protocols(void **state)
{
	unsigned char bytes[4096];
	struct client_hello hello;
	size_t len = make_hello("Shop.EXAMPLE.com", "\x02h2\x08http/1.1", bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(client_hello_parse(slice_make(bytes, len), &hello), CLIENT_HELLO_OK);
	assert_string_equal(hello.name, "shop.example.com");
	assert_true(hello.offers_h2 && hello.offers_http11);
	len = make_hello(NULL, NULL, bytes, sizeof(bytes));
	assert_int_equal(client_hello_parse(slice_make(bytes, len), &hello), CLIENT_HELLO_OK);
	assert_int_equal(hello.name_len, 0);
	assert_false(hello.offers_h2 || hello.offers_http11);
}

/* spec/gateway.md 14.2: the whole name, and no other. */
static void the_protocols_of_a_mesh_are_known(void **state)
{
	static const struct { const char *alpn; bool mesh; } rows[] = {
		{ "\x05istio", true }, { "\x13istio-peer-exchange", true }, { "\x0eistio-http/1.0", true },
		{ "\x0eistio-http/1.1", true }, { "\x08istio-h2", true }, { "\x02h2\x05istio", true },
		{ "\x02h2\x08http/1.1", false }, { "\x04isti", false }, { "\x06istio-", false },
		{ "\x05Istio", false }, { "\x09istio-h2x", false }, { NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned char bytes[4096];
		struct client_hello hello;
		size_t len = make_hello("a.example", rows[i].alpn, bytes, sizeof(bytes));

		assert_int_equal(client_hello_parse(slice_make(bytes, len), &hello), CLIENT_HELLO_OK);
		if (hello.offers_mesh != rows[i].mesh)
			fail_msg("row %zu", i);
	}
}

static void every_beginning_of_it_asks_for_more(void **state)
{
	unsigned char bytes[4096];
	struct client_hello hello;
	size_t len = make_hello("a.example", NULL, bytes, sizeof(bytes));

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_int_equal(client_hello_parse(slice_make(bytes, n), &hello), CLIENT_HELLO_MORE);
}

static void records_may_be_cut_anywhere(void **state)
{
	unsigned char bytes[4096], cut[8192];
	struct client_hello hello;
	size_t len = make_hello("b.example", NULL, bytes, sizeof(bytes)), n = 0;

	(void)state;
	for (size_t at = 5; at < len; at += 7) {
		size_t piece = len - at < 7 ? len - at : 7;

		memcpy(cut + n, "\x16\x03\x01\x00", 4);
		cut[n + 4] = (unsigned char)piece;
		memcpy(cut + n + 5, bytes + at, piece);
		n += 5 + piece;
	}
	assert_int_equal(client_hello_parse(slice_make(cut, n), &hello), CLIENT_HELLO_OK);
	assert_string_equal(hello.name, "b.example");
}

static void what_is_no_hello_is_told_apart(void **state)
{
	struct client_hello hello;
	unsigned char bytes[4096];
	size_t len = make_hello("c.example", NULL, bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(client_hello_parse(SLICE("GET / HTTP/1.1\r\n"), &hello), CLIENT_HELLO_NOT_TLS);
	assert_int_equal(client_hello_parse(SLICE("\x16\x02\x01\x00\x05hello"), &hello), CLIENT_HELLO_NOT_TLS);
	assert_int_equal(client_hello_parse(SLICE("\x16\x03\x01\x00\x00"), &hello), CLIENT_HELLO_BAD);
	assert_int_equal(client_hello_parse(SLICE("\x16\x03\x01\xff\xff\x01"), &hello), CLIENT_HELLO_BAD);
	assert_int_equal(client_hello_parse(SLICE("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), &hello), CLIENT_HELLO_BAD);
	bytes[8]--;	/* the message says that it is shorter than its parts */
	assert_int_equal(client_hello_parse(slice_make(bytes, len), &hello), CLIENT_HELLO_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_real_hello_tells_name_and_protocols),
		cmocka_unit_test(the_protocols_of_a_mesh_are_known),
		cmocka_unit_test(every_beginning_of_it_asks_for_more),
		cmocka_unit_test(records_may_be_cut_anywhere),
		cmocka_unit_test(what_is_no_hello_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
