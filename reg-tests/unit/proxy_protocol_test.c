/* SPDX-License-Identifier: Apache-2.0
 * PROXY protocol headers: tables of good and bad ones, whole and cut at every byte, and what is written
 * here is read here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proxy/net/proxy_protocol.h"
#include "proxy/net/socket.h"
#include "sallyport/cidr.h"
#include "sallyport/object.h"

#define SIGNATURE	"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define REST		"GET / HTTP/1.1\r\n"

/* "1 9.8.7.6:1000 > 1.2.3.4:443", "2 local", "bad", "none", "more" */
static const char *told(struct slice in, size_t *len)
{
	static char out[400];
	char from[ADDRESS_TEXT_MAX], to[ADDRESS_TEXT_MAX];
	struct proxy_header h;

	switch (proxy_protocol_parse(in, &h)) {
	case PROXY_PROTOCOL_MORE:
		return "more";
	case PROXY_PROTOCOL_NONE:
		return "none";
	case PROXY_PROTOCOL_BAD:
		assert_int_equal(h.len, 0);
		return "bad";
	case PROXY_PROTOCOL_OK:
		break;
	}
	*len = h.len;
	if (h.local) {
		snprintf(out, sizeof(out), "%u local", h.version);
		return out;
	}
	snprintf(out, sizeof(out), "%u %.*s > %.*s", h.version,
		 (int)address_text((struct sockaddr *)&h.source, from), from,
		 (int)address_text((struct sockaddr *)&h.destination, to), to);
	return out;
}

struct header_case {
	struct slice in;
	const char *means;
};

/* A good header means the same with whatever behind it, and nothing before its last byte has come. */
static void check(const struct header_case *c)
{
	char bytes[PROXY_PROTOCOL_MAX + 64];
	size_t len = 0;
	const char *found = told(c->in, &len);

	if (strcmp(found, c->means) != 0)
		fail_msg("%.*s: %s, and not %s", SLICE_ARG(c->in), found, c->means);
	if (strcmp(found, "bad") == 0 || strcmp(found, "none") == 0 || strcmp(found, "more") == 0)
		return;
	assert_int_equal(len, c->in.len);
	for (size_t n = 0; n < c->in.len; n++) {
		char *cut = malloc(n + 1);	/* so that reading beyond is seen */

		memcpy(cut, c->in.at, n);
		assert_string_equal(told(slice_make(cut, n), &len), "more");
		free(cut);
	}
	memcpy(bytes, c->in.at, c->in.len);
	memcpy(bytes + c->in.len, REST, sizeof(REST) - 1);
	assert_string_equal(told(slice_make(bytes, c->in.len + sizeof(REST) - 1), &len), c->means);
	assert_int_equal(len, c->in.len);
}

#define CHECK_ALL(cases)	for (size_t i = 0; i < COUNT_OF(cases); i++) check(&(cases)[i])

#define LONG_UNKNOWN	"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535 and so on until it is full " \
			"to the brim, no mor"

static void version_1_is_one_line(void **state)
{
	static const struct header_case cases[] = {
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000 443\r\n"), "1 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE("PROXY TCP4 255.255.255.254 1.2.3.4 65535 0\r\n"), "1 255.255.255.254:65535 > 1.2.3.4:0" },
		{ SLICE("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), "1 [2001:db8::1]:1 > [::1]:2" },
		{ SLICE("PROXY TCP6 ::ffff:9.8.7.6 ::1 1 2\r\n"), "1 9.8.7.6:1 > [::1]:2" },
		{ SLICE("PROXY UNKNOWN\r\n"), "1 local" },
		{ SLICE("PROXY UNKNOWN what ever 1 2\r\n"), "1 local" },
		{ SLICE(LONG_UNKNOWN "e\r\n"), "1 local" },
		{ SLICE(LONG_UNKNOWN "e!\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000 443\n"), "more" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000 443\r\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000 443 \r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000 443 1\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1000\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4\r\n"), "bad" },
		{ SLICE("PROXY TCP4\r\n"), "bad" },
		{ SLICE("PROXY \r\n"), "bad" },
		{ SLICE("PROXY  TCP4 9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4  9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4\t9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY TCP5 9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY tcp4 9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY TCP6 9.8.7.6 1.2.3.4 1000 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4 2001:db8::1 ::1 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 65536 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 +1 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 -1 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 01 443\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 1.2.3.4 1 0x1\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.06 1.2.3.4 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7 1.2.3.4 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6\0 1.2.3.4 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP6 fe80::1%lo ::1 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 224.0.0.1 1.2.3.4 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 9.8.7.6 255.255.255.255 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP4 0.0.0.0 1.2.3.4 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP6 ff02::1 ::1 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP6 ::1 :: 1 2\r\n"), "bad" },
		{ SLICE("PROXY TCP6 ::ffff:224.0.0.1 ::1 1 2\r\n"), "bad" },
		{ SLICE("PROXY\r\n"), "none" },
		{ SLICE("proxy TCP4 9.8.7.6 1.2.3.4 1000 443\r\n"), "none" },
		{ SLICE("GET / HTTP/1.1\r\n"), "none" },
		{ SLICE("\x16\x03\x01"), "none" },
		{ SLICE("PRI * HTTP/2.0\r\n"), "none" },
	};

	(void)state;
	CHECK_ALL(cases);
}

#define V2(command, family, length)	SIGNATURE command family length
#define PAIR4	"\x09\x08\x07\x06\x01\x02\x03\x04\x03\xe8\x01\xbb"
#define ONE6	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define TWO6	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
#define MANY6	"\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"
#define PORTS	"\0\x01\0\x02"

static void version_2_is_binary(void **state)
{
	static const struct header_case cases[] = {
		{ SLICE(V2("\x21", "\x11", "\0\x0c") PAIR4), "2 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE(V2("\x21", "\x12", "\0\x0c") PAIR4), "2 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE(V2("\x21", "\x21", "\0\x24") ONE6 TWO6 PORTS), "2 [2001:db8::1]:1 > [::1]:2" },
		{ SLICE(V2("\x21", "\x11", "\0\x12") PAIR4 "\x04\0\x03\0\0\0"), "2 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE(V2("\x21", "\x11", "\0\x0f") PAIR4 "\x04\0\0"), "2 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE(V2("\x20", "\x00", "\0\0")), "2 local" },
		{ SLICE(V2("\x20", "\x11", "\0\x0c") PAIR4), "2 local" },
		{ SLICE(V2("\x20", "\xff", "\0\x02") "zz"), "2 local" },
		/* the sum of the bytes as they stand, by an implementation that is not this one */
		{ SLICE(V2("\x21", "\x11", "\0\x13") PAIR4 "\x03\0\x04\x2c\xd0\xd3\x3e"), "2 9.8.7.6:1000 > 1.2.3.4:443" },
		{ SLICE(V2("\x21", "\x11", "\0\x13") PAIR4 "\x03\0\x04\x2c\xd0\xd3\x3f"), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x13") PAIR4 "\x03\0\x03\x2c\xd0\xd3\x3e"), "bad" },
		{ SLICE(V2("\x31", "\x11", "\0\x0c")), "bad" },
		{ SLICE(V2("\x11", "\x11", "\0\x0c")), "bad" },
		{ SLICE(V2("\x22", "\x11", "\0\x0c")), "bad" },
		{ SLICE(V2("\x21", "\x00", "\0\0")), "bad" },
		{ SLICE(V2("\x21", "\x10", "\0\x0c") PAIR4), "bad" },
		{ SLICE(V2("\x21", "\x13", "\0\x0c") PAIR4), "bad" },
		{ SLICE(V2("\x21", "\x31", "\0\x02") "zz"), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x0b") "\x09\x08\x07\x06\x01\x02\x03\x04\x03\xe8\x01"), "bad" },
		{ SLICE(V2("\x21", "\x21", "\0\x0c") PAIR4), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x0d") PAIR4 "\x04"), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x0f") PAIR4 "\x04\0\x01"), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x0f") PAIR4 "\x04\xff\xff"), "bad" },
		{ SLICE(V2("\x21", "\x11", "\x10\x01")), "bad" },
		{ SLICE(V2("\x21", "\x11", "\xff\xff")), "bad" },
		{ SLICE(V2("\x20", "\x00", "\xff\xff")), "bad" },
		{ SLICE(V2("\x21", "\x21", "\0\x24") MANY6 TWO6 PORTS), "bad" },
		{ SLICE(V2("\x21", "\x11", "\0\x0c") "\xff\xff\xff\xff\x01\x02\x03\x04\0\1\0\1"), "bad" },
		{ SLICE("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0d"), "none" },
		{ SLICE("\r\nGET / HTTP/1.1"), "none" },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* The most that a header may declare is read; PROXY_PROTOCOL_MAX is the peek that suffices. */
static void the_longest_header_fits_one_peek(void **state)
{
	static char bytes[PROXY_PROTOCOL_MAX + sizeof(REST)] = V2("\x21", "\x11", "\x10\x00") PAIR4 "\x04\x0f\xf1";

	(void)state;
	check(&(struct header_case){ slice_make(bytes, PROXY_PROTOCOL_MAX), "2 9.8.7.6:1000 > 1.2.3.4:443" });
}

static struct sockaddr_storage address(const char *ip, uint16_t port)
{
	struct sockaddr_storage a;

	assert_true(ip_sockaddr(slice_of(ip), port, &a) > 0);
	return a;
}

static size_t header(unsigned version, struct sockaddr_storage *from, struct sockaddr_storage *to, char *out)
{
	return proxy_protocol_write(version, (struct sockaddr *)from, (struct sockaddr *)to, out);
}

static void what_is_written_is_read(void **state)
{
	static const struct {
		const char *from, *to;
		const char *line, *means;
	} cases[] = {
		{ "9.8.7.6", "1.2.3.4", "PROXY TCP4 9.8.7.6 1.2.3.4 1000 443\r\n", "9.8.7.6:1000 > 1.2.3.4:443" },
		{ "2001:db8::1", "::1", "PROXY TCP6 2001:db8::1 ::1 1000 443\r\n",
		  "[2001:db8::1]:1000 > [::1]:443" },
		{ "::ffff:9.8.7.6", "::ffff:1.2.3.4", "PROXY TCP4 9.8.7.6 1.2.3.4 1000 443\r\n",
		  "9.8.7.6:1000 > 1.2.3.4:443" },
		{ "9.8.7.6", "::1", "PROXY TCP6 ::ffff:9.8.7.6 ::1 1000 443\r\n", "9.8.7.6:1000 > [::1]:443" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
		  "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe "
		  "1000 443\r\n", NULL },
	};
	char out[PROXY_PROTOCOL_WRITTEN_MAX];
	size_t n, len;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct sockaddr_storage from = address(cases[i].from, 1000), to = address(cases[i].to, 443);

		n = header(1, &from, &to, out);
		assert_int_equal(n, strlen(cases[i].line));
		assert_memory_equal(out, cases[i].line, n);
		n = header(2, &from, &to, out);
		assert_true(n <= sizeof(out));
		if (cases[i].means == NULL)
			continue;
		assert_string_equal(told(slice_make(out, n), &len) + 2, cases[i].means);
		assert_int_equal(len, n);
	}
}

static void who_has_no_address_speaks_for_itself(void **state)
{
	struct sockaddr_storage ip = address("1.2.3.4", 1), unix_socket = { .ss_family = AF_UNIX };
	char out[PROXY_PROTOCOL_WRITTEN_MAX];
	size_t len;

	(void)state;
	assert_string_equal(told(slice_make(out, proxy_protocol_write(1, NULL, NULL, out)), &len), "1 local");
	assert_string_equal(told(slice_make(out, proxy_protocol_write(2, NULL, NULL, out)), &len), "2 local");
	assert_string_equal(told(slice_make(out, header(1, &unix_socket, &ip, out)), &len), "1 local");
	assert_string_equal(told(slice_make(out, header(2, &ip, &unix_socket, out)), &len), "2 local");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_one_line),
		cmocka_unit_test(version_2_is_binary),
		cmocka_unit_test(the_longest_header_fits_one_peek),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(who_has_no_address_speaks_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
