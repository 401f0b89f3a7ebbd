/* SPDX-License-Identifier: Apache-2.0
 * Requests of HTTP/1.1: every row of spec/http.md 2-7, 9-11 and 16, delivered whole and one byte at
 * a time with the same events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http1_peer.h"

static struct worker *worker;

struct request_case {
	const char *name;
	const char *bytes;
	const char *events;		/* how the events must begin */
};

#define GOOD(path)	"head GET http a " path " none end\nidle\n"
#define BAD(status, body, details) \
	"refused " #status " [" body "] " details "\nclose lingering\n"
#define BAD_400		BAD(400, "Bad Request", "http1.codec_error")
#define HOST		"Host: a\r\n"

static void check_bytes(const char *name, struct slice bytes, const char *events,
			const struct codec_settings *settings)
{
	struct peer whole, cut;

	peer_open(&whole, worker, true);
	peer_open(&cut, worker, true);
	if (settings != NULL)
		whole.settings = cut.settings = *settings;
	peer_feed(&whole, bytes);
	peer_feed_bytewise(&cut, bytes);
	if (strncmp(peer_events(&whole), events, strlen(events)) != 0)
		fail_msg("%s\nexpected:\n%s\ngot:\n%s", name, events, peer_events(&whole));
	if (strcmp(peer_events(&whole), peer_events(&cut)) != 0)
		fail_msg("%s\nwhole:\n%s\none byte at a time:\n%s", name, peer_events(&whole),
			 peer_events(&cut));
	assert_string_equal(peer_written(&whole), peer_written(&cut));
	peer_close(&whole);
	peer_close(&cut);
}

static void check_with(const struct request_case *c, const struct codec_settings *settings)
{
	check_bytes(c->name, slice_of(c->bytes), c->events, settings);
}

static void check_all(const struct request_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_with(&cases[i], NULL);
}

#define CHECK_ALL(cases)	check_all(cases, sizeof(cases) / sizeof((cases)[0]))

static void request_lines(void **state)
{
	static const struct request_case cases[] = {
		{ "plain", "GET / HTTP/1.1\r\n" HOST "\r\n", GOOD("/") },
		{ "one empty line before", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", GOOD("/") },
		{ "two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "bare LF before", "\nGET / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "bare CR before", "\rGET / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "method no token", "G(T / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "no method", " / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "unknown method", "FOO / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "unknown method with dash", "M-SEARCH / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "known rare method", "UNSUBSCRIBE / HTTP/1.1\r\n" HOST "\r\n",
		  "head UNSUBSCRIBE http a / none end\nidle\n" },
		{ "method in lower case", "get / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "method of 65 bytes",
		  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", BAD_400 },
		{ "empty target", "GET  HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "two spaces after the method", "GET  / HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "two spaces after the target", "GET /  HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "tab after the method", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "tab after the target", "GET /\tHTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "trailing space", "GET / HTTP/1.1 \r\n" HOST "\r\n", BAD_400 },
		{ "bare LF ends the line", "GET / HTTP/1.1\n" HOST "\r\n", BAD_400 },
		{ "CR without LF", "GET / HTTP/1.1\rX" HOST "\r\n", BAD_400 },
		{ "control in the target", "GET /a\x01" "b HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "DEL in the target", "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "byte above 0x7e in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "form feed in the target", "GET /aaaaaaaaaaaaaa\x0c HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "all of VCHAR in a long target",
		  "GET /!\"$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ HTTP/1.1\r\n" HOST "\r\n",
		  GOOD("/!\"$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~") },
		{ "no such version", "GET / HTTP/1.x\r\n" HOST "\r\n", BAD_400 },
		{ "version of two digits", "GET / HTTP/1.11\r\n" HOST "\r\n", BAD_400 },
		{ "other protocol", "GET / ICY/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "no version", "GET /\r\n" HOST "\r\n", BAD_400 },
		{ "HTTP/0.9", "GET / HTTP/0.9\r\n" HOST "\r\n", BAD_400 },
		{ "HTTP/1.0", "GET / HTTP/1.0\r\n" HOST "\r\n",
		  BAD(426, "Upgrade Required", "low_version") },
		{ "HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n",
		  BAD(426, "Upgrade Required", "low_version") },
		{ "HTTP/1.9", "GET / HTTP/1.9\r\n" HOST "\r\n",
		  BAD(426, "Upgrade Required", "low_version") },
		{ "HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n",
		  BAD(505, "", "http1.unsupported_version") },
		{ "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD_400 },
		{ "version in lower case", "GET / http/1.1\r\n" HOST "\r\n", BAD_400 },
	};

	(void)state;
	CHECK_ALL(cases);
	check_bytes("NUL in the target", SLICE("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), BAD_400, NULL);
	check_bytes("a TLS ClientHello is refused at its first byte", SLICE("\x16\x03\x01\x02\x00"),
		    BAD_400, NULL);
}

static void targets(void **state)
{
	static const struct request_case cases[] = {
		{ "fragment", "GET /a?b#c HTTP/1.1\r\n" HOST "\r\n", GOOD("/a?b") },
		{ "fragment alone", "GET #c HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "absolute", "GET http://a/b?c HTTP/1.1\r\n" HOST "\r\n", GOOD("/b?c") },
		{ "absolute, scheme in capitals", "GET HTTP://a/b HTTP/1.1\r\n" HOST "\r\n", GOOD("/b") },
		{ "absolute without path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", GOOD("/") },
		{ "absolute, query alone", "GET http://a?q HTTP/1.1\r\n" HOST "\r\n", GOOD("/?q") },
		{ "absolute, fragment", "GET http://a#q HTTP/1.1\r\n" HOST "\r\n", GOOD("/") },
		{ "absolute, default port in Host", "GET http://a/ HTTP/1.1\r\nHost: A:80\r\n\r\n", GOOD("/") },
		{ "absolute, other Host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", BAD_400 },
		{ "absolute, empty Host", "GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", BAD_400 },
		{ "absolute, no Host", "GET http://a/ HTTP/1.1\r\n\r\n",
		  BAD(400, "", "missing_host_header") },
		{ "absolute, other scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n",
		  BAD(400, "Bad Request", "http1.invalid_scheme") },
		{ "absolute https in clear", "GET https://a/ HTTP/1.1\r\n" HOST "\r\n",
		  BAD(403, "Forbidden", "http1.https_url_on_plaintext_connection") },
		{ "absolute with user", "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n",
		  BAD(400, "Bad Request", "http.invalid_authority") },
		{ "absolute without host", "GET http:///b HTTP/1.1\r\n" HOST "\r\n",
		  BAD(400, "Bad Request", "http.invalid_authority") },
		{ "asterisk", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
		  "head OPTIONS http a * none end\nidle\n" },
		{ "asterisk of GET", "GET * HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "asterisk and more", "OPTIONS *a HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "authority of GET", "GET a:80 HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "name of GET", "GET admin HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "CONNECT is handed up, and nothing behind it is parsed",
		  "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET /admin HTTP/1.1\r\n" HOST "\r\n",
		  "head CONNECT http a:443  none end\nclose lingering\n" },
		{ "CONNECT without port", "CONNECT a HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "CONNECT with path", "CONNECT a:443/x HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
		{ "CONNECT with scheme", "CONNECT http://a:443 HTTP/1.1\r\n" HOST "\r\n", BAD_400 },
	};
	struct request_case secure = {
		"absolute https on TLS", "GET https://a:443/x HTTP/1.1\r\n" HOST "\r\n",
		"head GET https a:443 /x none end\nidle\n" };
	struct codec_settings settings = peer_settings(true);

	(void)state;
	CHECK_ALL(cases);
	settings.tls = true;
	check_with(&secure, &settings);
}

#define GET_WITH(fields)	"GET / HTTP/1.1\r\n" HOST fields "\r\n"
#define GOOD_WITH(fields)	"head GET http a / none" fields " end\nidle\n"

static void field_lines(void **state)
{
	static const struct request_case cases[] = {
		{ "names in lower case, values trimmed", GET_WITH("X-One: \t v w \t\r\nX-TWO:2\r\n"),
		  GOOD_WITH(" | x-one: v w | x-two: 2") },
		{ "all tchars", GET_WITH("!#$%&'*+-.^_`|~09azAZ: v\r\n"),
		  GOOD_WITH(" | !#$%&'*+-.^_`|~09azaz: v") },
		{ "name with space", GET_WITH("X One: v\r\n"), BAD_400 },
		{ "name with obs-text", GET_WITH("X\xe4: v\r\n"), BAD_400 },
		{ "empty name", GET_WITH(": v\r\n"), BAD_400 },
		{ "no colon", GET_WITH("X-One\r\n"), BAD_400 },
		{ "space before the colon", GET_WITH("X-One : v\r\n"), BAD_400 },
		{ "tab before the colon", GET_WITH("X-One\t: v\r\n"), BAD_400 },
		{ "first line begins with space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD_400 },
		{ "first line begins with tab", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", BAD_400 },
		{ "obs-fold", GET_WITH("X-One: v\r\n w\r\n"), BAD_400 },
		{ "obs-fold by tab", GET_WITH("X-One: v\r\n\tw\r\n"), BAD_400 },
		{ "bare LF", GET_WITH("X-One: v\nX-Two: w\r\n"), BAD_400 },
		{ "bare LF at the end", "GET / HTTP/1.1\r\n" HOST "\n", BAD_400 },
		{ "bare CR in the value", GET_WITH("X-One: v\rw\r\n"), BAD_400 },
		{ "CR CR LF", GET_WITH("X-One: v\r\r\n"), BAD_400 },
		{ "control in a long value", GET_WITH("X-One: 0123456789\x01" "0123456789\r\n"),
		  BAD(400, "Bad Request", "http1.invalid_characters") },
		{ "vertical tab", GET_WITH("X-One: \x0b\r\n"),
		  BAD(400, "Bad Request", "http1.invalid_characters") },
		{ "escape", GET_WITH("X-One: \x1b[0m\r\n"),
		  BAD(400, "Bad Request", "http1.invalid_characters") },
		{ "DEL", GET_WITH("X-One: \x7f\r\n"),
		  BAD(400, "Bad Request", "http1.invalid_characters") },
		{ "obs-text is kept", GET_WITH("X-One: \x80\xff 0123456789\xe4\r\n"),
		  GOOD_WITH(" | x-one: \x80\xff 0123456789\xe4") },
		{ "tab inside is kept", GET_WITH("X-One: 01234567\t89\r\n"),
		  GOOD_WITH(" | x-one: 01234567\t89") },
		{ "empty value is kept", GET_WITH("X-One:\r\nX-Two:  \r\n"),
		  GOOD_WITH(" | x-one:  | x-two: ") },
		{ "underscore", GET_WITH("X_One: v\r\n"), GOOD_WITH(" | x_one: v") },
		{ "repeats stay lines in order", GET_WITH("Cookie: a\r\nX: 1\r\nCookie: b\r\nX: 2\r\n"),
		  GOOD_WITH(" | cookie: a | x: 1 | cookie: b | x: 2") },
		{ "host twice", GET_WITH(HOST), BAD_400 },
		{ "authorization twice", GET_WITH("Authorization: a\r\nAuthorization: a\r\n"), BAD_400 },
	};
	struct codec_settings settings = peer_settings(true);
	struct request_case rejected = { "underscores rejected", GET_WITH("x_forwarded_for: 1\r\n"),
		BAD(400, "Bad Request", "http1.unexpected_underscore") };
	struct request_case dropped = { "underscores dropped",
		GET_WITH("x_forwarded_for: 1\r\nb: 2\r\n"), GOOD_WITH(" | b: 2") };

	(void)state;
	CHECK_ALL(cases);
	check_bytes("NUL in the value", SLICE(GET_WITH("X-One: v\0w\r\n")),
		    BAD(400, "Bad Request", "http1.invalid_characters"), NULL);
	settings.underscores = UNDERSCORES_REJECT;
	check_with(&rejected, &settings);
	settings.underscores = UNDERSCORES_DROP;
	check_with(&dropped, &settings);
}

static void hosts(void **state)
{
	static const struct { const char *host; bool good; } cases[] = {
		{ "example.com", true }, { "EXAMPLE.com.", true }, { "example.com:80", true },
		{ "a:0", true }, { "a:65535", true }, { "a!$%&'()*+,-.;=_~", true },
		{ "127.0.0.1", true }, { "[::1]", true }, { "[::1]:8080", true }, { "[fe80::1]", true },
		{ "", false }, { ":80", false }, { "a:", false }, { "a:x", false }, { "a:-1", false },
		{ "a:65536", false }, { "a:000080", false }, { "a:00080", true }, { "a:80:80", false },
		{ "a/b", false }, { "a?b", false }, { "a#b", false }, { "u@a", false }, { "a\\b", false },
		{ "a<b", false }, { "a>b", false }, { "a\"b", false }, { "a^b", false }, { "a`b", false },
		{ "a{b", false }, { "a}b", false }, { "a|b", false }, { "a b", false }, { "a\xe4", false },
		{ "[::1", false }, { "::1", false }, { "[]", false }, { "[::1]x", false },
		{ "[::1]:", false }, { "[::g]", false }, { "[fe80::1%eth0]", false }, { "a[b]", false },
		{ "a]", false }, { "[1.2.3.4]", false },
	};
	char bytes[600], events[600];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request_case c = { cases[i].host, bytes, events };

		snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
		if (cases[i].good)
			snprintf(events, sizeof(events), "head GET http %s / none end\nidle\n", cases[i].host);
		else
			snprintf(events, sizeof(events), BAD(400, "Bad Request", "http.invalid_authority"));
		check_with(&c, NULL);
	}
	for (int len = 255; len <= 256; len++) {
		struct request_case c = { "length of the host", bytes, events };

		snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: %0*d:80\r\n\r\n", len, 1);
		snprintf(events, sizeof(events), "%s", len == 255 ? "head GET http 0" :
			 BAD(400, "Bad Request", "http.invalid_authority"));
		check_with(&c, NULL);
	}
	check_with(&(struct request_case){ "no host", "GET / HTTP/1.1\r\n\r\n",
		   BAD(400, "", "missing_host_header") }, NULL);
}

#define POST_WITH(fields)	"POST / HTTP/1.1\r\n" HOST fields "\r\n"
#define TE_501			BAD(501, "Not Implemented", "http1.invalid_transfer_encoding")

static void framing(void **state)
{
	static const struct request_case cases[] = {
		{ "length", POST_WITH("Content-Length: 5\r\n") "hello",
		  "head POST http a / length=5 | content-length: 5\ndata hello\nend\nidle\n" },
		{ "length 0", POST_WITH("Content-Length: 0\r\n"),
		  "head POST http a / length=0 | content-length: 0 end\nidle\n" },
		{ "leading zeros of a length", POST_WITH("Content-Length: 0005\r\n") "hello",
		  "head POST http a / length=5 | content-length: 0005\ndata hello\nend\nidle\n" },
		{ "chunked", POST_WITH("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\n\r\n",
		  "head POST http a / chunked\ndata hello\nend\nidle\n" },
		{ "chunked in capitals", POST_WITH("Transfer-Encoding:  CHUNKED \r\n") "0\r\n\r\n",
		  "head POST http a / chunked\nend\nidle\n" },
		{ "GET with a body", "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx",
		  "head GET http a / length=1 | content-length: 1\ndata x\nend\nidle\n" },
		{ "both", POST_WITH("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
		  BAD(400, "Bad Request", "http1.content_length_and_chunked_not_allowed") },
		{ "both, other order", POST_WITH("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
		  BAD(400, "Bad Request", "http1.content_length_and_chunked_not_allowed") },
		{ "coding gzip", POST_WITH("Transfer-Encoding: gzip\r\n"), TE_501 },
		{ "gzip, chunked", POST_WITH("Transfer-Encoding: gzip, chunked\r\n"), TE_501 },
		{ "chunked, chunked", POST_WITH("Transfer-Encoding: chunked, chunked\r\n"), TE_501 },
		{ "identity", POST_WITH("Transfer-Encoding: identity\r\n"), TE_501 },
		{ "xchunked", POST_WITH("Transfer-Encoding: xchunked\r\n"), TE_501 },
		{ "chunked;q=1", POST_WITH("Transfer-Encoding: chunked;q=1\r\n"), TE_501 },
		{ "quoted", POST_WITH("Transfer-Encoding: \"chunked\"\r\n"), TE_501 },
		{ "empty coding", POST_WITH("Transfer-Encoding:\r\n"), TE_501 },
		{ "trailing comma", POST_WITH("Transfer-Encoding: chunked,\r\n"), TE_501 },
		{ "vertical tab", POST_WITH("Transfer-Encoding: \x0b" "chunked\r\n"),
		  BAD(400, "Bad Request", "http1.invalid_characters") },
		{ "coding twice", POST_WITH("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
		  BAD_400 },
		{ "length twice, equal", POST_WITH("Content-Length: 5\r\nContent-Length: 5\r\n"), BAD_400 },
		{ "length twice", POST_WITH("Content-Length: 5\r\nContent-Length: 6\r\n"), BAD_400 },
		{ "length +5", POST_WITH("Content-Length: +5\r\n"), BAD_400 },
		{ "length -1", POST_WITH("Content-Length: -1\r\n"), BAD_400 },
		{ "length 5 5", POST_WITH("Content-Length: 5 5\r\n"), BAD_400 },
		{ "length 5,5", POST_WITH("Content-Length: 5,5\r\n"), BAD_400 },
		{ "length 0x5", POST_WITH("Content-Length: 0x5\r\n"), BAD_400 },
		{ "length empty", POST_WITH("Content-Length:\r\n"), BAD_400 },
		{ "length 2^63-1", POST_WITH("Content-Length: 9223372036854775807\r\n"),
		  "head POST http a / length=9223372036854775807" },
		{ "length 2^63", POST_WITH("Content-Length: 9223372036854775808\r\n"), BAD_400 },
		{ "length 2^64+5", POST_WITH("Content-Length: 18446744073709551621\r\n"), BAD_400 },
		{ "CONNECT with coding",
		  "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", TE_501 },
		{ "CONNECT with length", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n",
		  BAD(400, "Bad Request", "http1.body_disallowed") },
		{ "CONNECT with length 0",
		  "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n",
		  "head CONNECT http a:1  length=0 | content-length: 0 end\nclose lingering\n" },
		{ "TRACE with body", "TRACE / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", BAD_400 },
		{ "TRACE", "TRACE / HTTP/1.1\r\n" HOST "\r\n", "head TRACE http a / none end\nidle\n" },
	};

	(void)state;
	CHECK_ALL(cases);
}

#define CHUNKS(body)		POST_WITH("Transfer-Encoding: chunked\r\n") body
#define CHUNKED_HEAD		"head POST http a / chunked\n"
#define CHUNKS_BAD		CHUNKED_HEAD BAD_400

static void chunks(void **state)
{
	static const struct request_case cases[] = {
		{ "several, any case", CHUNKS("a\r\n0123456789\r\nA\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"),
		  CHUNKED_HEAD "data 01234567890123456789x\nend\nidle\n" },
		{ "leading zeros", CHUNKS("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n"),
		  CHUNKED_HEAD "data x\nend\nidle\n" },
		{ "17 digits", CHUNKS("00000000000000001\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "2^63", CHUNKS("8000000000000000\r\n"), CHUNKS_BAD },
		{ "2^63-1 waits", CHUNKS("7fffffffffffffff\r\nx"), CHUNKED_HEAD "data x\n" },
		{ "0x", CHUNKS("0x1\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "plus", CHUNKS("+1\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "minus", CHUNKS("-1\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "underscore", CHUNKS("1_0\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "leading space", CHUNKS(" 1\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "trailing space", CHUNKS("1 \r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "trailing tab", CHUNKS("1\t\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "empty size", CHUNKS("\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "only an extension", CHUNKS(";a\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "bare LF", CHUNKS("1\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "extensions are dropped", CHUNKS("1;a;b=c;d=\"e f\xe4\"\r\nx\r\n0;z\r\n\r\n"),
		  CHUNKED_HEAD "data x\nend\nidle\n" },
		{ "lone CR in an extension", CHUNKS("1;a\rb\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "LF in an extension", CHUNKS("1;a\nb\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "control in an extension", CHUNKS("1;\x01\r\nx\r\n0\r\n\r\n"), CHUNKS_BAD },
		{ "data longer than its size", CHUNKS("1\r\nxy\r\n0\r\n\r\n"),
		  CHUNKED_HEAD "data x\n" BAD_400 },
		{ "bare LF after data", CHUNKS("1\r\nx\n0\r\n\r\n"), CHUNKED_HEAD "data x\n" BAD_400 },
		{ "last chunk 00", CHUNKS("00\r\n\r\n"), CHUNKED_HEAD "end\nidle\n" },
		{ "trailers are dropped", CHUNKS("0\r\nX: y\r\nZ: 1\r\n\r\n"),
		  CHUNKED_HEAD "end\nidle\n" },
		{ "bad trailer", CHUNKS("0\r\nX y: z\r\n\r\n"), CHUNKS_BAD },
		{ "obs-fold in trailers", CHUNKS("0\r\nX: y\r\n z\r\n\r\n"), CHUNKS_BAD },
		{ "bare LF ends trailers", CHUNKS("0\r\n\n"), CHUNKS_BAD },
		{ "request behind", CHUNKS("1\r\nx\r\n0\r\n\r\n") "GET /2 HTTP/1.1\r\n" HOST "\r\n",
		  CHUNKED_HEAD "data x\nend\nidle\n" GOOD("/2") },
	};

	(void)state;
	CHECK_ALL(cases);
}

/* 4096 bytes of a size line; 16 KiB and a tenth of the body in all. */
static void chunk_overhead_is_bounded(void **state)
{
	char *bytes = malloc(200000);
	size_t head = (size_t)sprintf(bytes, CHUNKS("")), at;
	struct request_case c;

	(void)state;
	at = head + (size_t)sprintf(bytes + head, "1;%0*d\r\nx\r\n0\r\n\r\n", 4096 - 4, 0);
	c = (struct request_case){ "line of 4096", bytes, CHUNKED_HEAD "data x\nend\n" };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	at = head + (size_t)sprintf(bytes + head, "1;%0*d\r\nx\r\n0\r\n\r\n", 4097 - 4, 0);
	c = (struct request_case){ "line of 4097", bytes, CHUNKS_BAD };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	at = head;
	for (int i = 0; i < 6; i++)
		at += (size_t)sprintf(bytes + at, "1;%0*d\r\nx\r\n", 3000, 0);
	c = (struct request_case){ "long extensions", bytes, CHUNKED_HEAD "data xxxxx\n" BAD_400 };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	at = head;
	for (int i = 0; i < 8000; i++)
		at += (size_t)sprintf(bytes + at, "1\r\nx\r\n");
	c = (struct request_case){ "tiny chunks", bytes, CHUNKED_HEAD "data xxxx" };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	{
		struct peer p;

		peer_open(&p, worker, true);
		peer_feed(&p, slice_make(bytes, at));
		assert_non_null(strstr(peer_events(&p), "\n" BAD_400));
		peer_close(&p);
	}
	free(bytes);
}

static void trailers_are_handed_up_where_wanted(void **state)
{
	struct codec_settings settings = peer_settings(true);
	struct request_case c = { "kept trailers",
		CHUNKS("0\r\nX-Sum: 1\r\nContent-Length: 7\r\nHost: b\r\nSet-Cookie: c\r\n"
		       "Authorization: d\r\nTE: e\r\nGrpc-Status: 0\r\n\r\n"),
		CHUNKED_HEAD "end | x-sum: 1 | grpc-status: 0\nidle\n" };

	(void)state;
	settings.keep_trailers = true;
	check_with(&c, &settings);
}

static void limits(void **state)
{
	static char bytes[200000];
	struct codec_settings settings = peer_settings(true);
	size_t at, fixed = strlen(GET_WITH("X: \r\n"));
	struct request_case c;

	(void)state;
	at = (size_t)sprintf(bytes, GET_WITH("X: %0*d\r\n"), (int)(61440 - fixed), 1);
	c = (struct request_case){ "a head of 60 KiB", bytes, "head GET http a / none | x: 000" };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	at = (size_t)sprintf(bytes, GET_WITH("X: %0*d\r\n"), (int)(61441 - fixed), 1);
	c = (struct request_case){ "one byte more", bytes,
		BAD(431, "Request Header Fields Too Large", "http1.headers_too_large") };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	at = (size_t)sprintf(bytes, "GET /%0*d", 70000, 1);
	c = (struct request_case){ "a target without end", bytes,
		BAD(431, "Request Header Fields Too Large", "http1.headers_too_large") };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	for (int count = 100; count <= 101; count++) {
		at = (size_t)sprintf(bytes, "GET / HTTP/1.1\r\n" HOST);
		for (int i = 1; i < count; i++)
			at += (size_t)sprintf(bytes + at, "X-%d: v\r\n", i);
		at += (size_t)sprintf(bytes + at, "\r\n");
		c = (struct request_case){ "number of fields", bytes, count == 100 ? "head GET http a /" :
			BAD(431, "Request Header Fields Too Large", "http1.too_many_headers") };
		check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
	}
	settings.uri_bytes_max = 8;
	c = (struct request_case){ "target of 8", "GET /2345678 HTTP/1.1\r\n" HOST "\r\n",
		GOOD("/2345678") };
	check_with(&c, &settings);
	c = (struct request_case){ "target of 9", "GET /23456789 HTTP/1.1\r\n" HOST "\r\n",
		BAD(414, "URI Too Long", "http1.uri_too_long") };
	check_with(&c, &settings);
	at = (size_t)sprintf(bytes, CHUNKS("0\r\n"));
	for (int i = 0; i < 101; i++)
		at += (size_t)sprintf(bytes + at, "X-%d: v\r\n", i);
	c = (struct request_case){ "number of trailers", bytes,
		CHUNKED_HEAD BAD(431, "Request Header Fields Too Large", "http1.too_many_headers") };
	check_bytes(c.name, slice_make(bytes, at), c.events, NULL);
}

#define CONNECTION_400	BAD(400, "Bad Request", "http1.connection_header_rejected")

static void hop_by_hop(void **state)
{
	static const struct request_case cases[] = {
		{ "named fields go", GET_WITH("Connection: X-One, x-two\r\nX-ONE: 1\r\nX-Two: 2\r\nY: 3\r\n"),
		  GOOD_WITH(" | y: 3") },
		{ "named on several lines",
		  GET_WITH("X-One: 1\r\nX-Two: 2\r\nConnection: X-One\r\nConnection: X-Two\r\n"),
		  GOOD_WITH("") },
		{ "known fields go",
		  GET_WITH("Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nHTTP2-Settings: x\r\n"
			   "Connection: keep-alive\r\n"), GOOD_WITH("") },
		{ "nine tokens", GET_WITH("Connection: a,b,c,d,e,f,g,h,i\r\n"), GOOD_WITH("") },
		{ "ten tokens", GET_WITH("Connection: a,b,c,d,e,f,g,h,i,j\r\n"), CONNECTION_400 },
		{ "ten tokens on two lines",
		  GET_WITH("Connection: a,b,c,d,e\r\nConnection: f,g,h,i,j\r\n"), CONNECTION_400 },
		{ "x-forwarded-for", GET_WITH("Connection: X-Forwarded-For\r\n"), CONNECTION_400 },
		{ "x-forwarded-host", GET_WITH("Connection: close, X-Forwarded-Host\r\n"), CONNECTION_400 },
		{ "x-forwarded-proto", GET_WITH("Connection: x-forwarded-proto\r\n"), CONNECTION_400 },
		{ "pseudo", GET_WITH("Connection: :path\r\n"), CONNECTION_400 },
		{ "host", GET_WITH("Connection: host\r\n"), CONNECTION_400 },
		{ "content-length", GET_WITH("Connection: content-length\r\n"), CONNECTION_400 },
		{ "transfer-encoding", GET_WITH("Connection: transfer-encoding\r\n"), CONNECTION_400 },
		{ "authorization", GET_WITH("Connection: Authorization\r\n"), CONNECTION_400 },
		{ "cookie", GET_WITH("Connection: cookie\r\n"), CONNECTION_400 },
		{ "x-request-id", GET_WITH("Connection: x-request-id\r\n"), CONNECTION_400 },
		{ "x-forwarded-client-cert", GET_WITH("Connection: x-forwarded-client-cert\r\n"),
		  CONNECTION_400 },
		{ "forwarded", GET_WITH("Connection: forwarded\r\n"), CONNECTION_400 },
		{ "te is reduced", GET_WITH("TE: gzip, Trailers ;q=1, trailers\r\nConnection: te\r\n"),
		  GOOD_WITH(" | te: trailers") },
		{ "te without trailers", GET_WITH("TE: gzip\r\n"), GOOD_WITH("") },
		{ "trailer is forwarded", GET_WITH("Trailer: x\r\n"), GOOD_WITH(" | trailer: x") },
	};
	static char bytes[1000];
	struct request_case c;

	(void)state;
	CHECK_ALL(cases);
	for (int len = 255; len <= 256; len++) {
		sprintf(bytes, GET_WITH("Connection: te\r\nTE: %0*d\r\n"), len, 1);
		c = (struct request_case){ "long te", bytes, len == 255 ? GOOD_WITH("") : CONNECTION_400 };
		check_with(&c, NULL);
	}
}

#define KEY	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define WS_400	BAD(400, "Bad Request", "http1.invalid_websocket_handshake")

static void upgrades_and_expect(void **state)
{
	static const struct request_case cases[] = {
		{ "websocket", GET_WITH("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" KEY),
		  "head GET http a / none upgrade | upgrade: WebSocket | "
		  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n" },
		{ "other upgrades are the owner's to refuse",
		  GET_WITH("Connection: upgrade\r\nUpgrade: foo\r\nUpgrade: bar\r\n"),
		  "head GET http a / none upgrade | upgrade: foo,bar\n" },
		{ "h2c is not heard", GET_WITH("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
					       "HTTP2-Settings: AAMAAABk\r\n"), GOOD_WITH("") },
		{ "upgrade without connection", GET_WITH("Upgrade: websocket\r\n" KEY),
		  GOOD_WITH(" | sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==") },
		{ "websocket without key", GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n"), WS_400 },
		{ "websocket with a short key", GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n"
							 "Sec-WebSocket-Key: dGhlIHNh\r\n"), WS_400 },
		{ "websocket by POST", POST_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n" KEY), WS_400 },
		{ "websocket with body", GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n" KEY
						  "Content-Length: 1\r\n"), WS_400 },
		{ "expect", POST_WITH("Expect: 100-Continue\r\nContent-Length: 1\r\n") "x",
		  "head POST http a / length=1 expect | expect: 100-Continue | content-length: 1\n"
		  "data x\nend\nidle\n" },
		{ "expect without body", GET_WITH("Expect: 100-continue\r\n"), GOOD_WITH("") },
		{ "expect, length 0", POST_WITH("Expect: 100-continue\r\nContent-Length: 0\r\n"),
		  "head POST http a / length=0 | content-length: 0 end\nidle\n" },
		{ "other expectation", POST_WITH("Expect: 200-ok\r\nContent-Length: 1\r\n"),
		  BAD(417, "", "http1.expectation_failed") },
		{ "expect twice",
		  POST_WITH("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n"),
		  BAD(417, "", "http1.expectation_failed") },
	};

	(void)state;
	CHECK_ALL(cases);
}

static void http10_when_accepted(void **state)
{
	static const struct request_case cases[] = {
		{ "closes", "GET / HTTP/1.0\r\n" HOST "\r\n",
		  "head GET http a / none 1.0 end\nclose lingering\n" },
		{ "keep-alive", "GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n",
		  "head GET http a / none 1.0 end\nidle\n" },
		{ "no host", "GET / HTTP/1.0\r\n\r\n", BAD(400, "", "missing_host_header") },
		{ "coding", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", BAD_400 },
		{ "expect is not heard",
		  "POST / HTTP/1.0\r\n" HOST "Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx",
		  "head POST http a / length=1 1.0 | content-length: 1\ndata x\nend\nclose lingering\n" },
		{ "1.2 is still refused", "GET / HTTP/1.2\r\n" HOST "\r\n",
		  BAD(426, "Upgrade Required", "low_version") },
	};
	struct codec_settings settings = peer_settings(true);

	(void)state;
	settings.accept_http10 = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_with(&cases[i], &settings);
}

static void more_methods_by_setting(void **state)
{
	static const struct slice more[] = { { "M-SEARCH", 8 }, { "QUERY", 5 } };
	struct codec_settings settings = peer_settings(true);
	struct request_case c = { "QUERY", "QUERY / HTTP/1.1\r\n" HOST "\r\n",
		"head QUERY http a / none end\nidle\n" };

	(void)state;
	settings.extra_methods = more;
	settings.extra_method_count = 2;
	check_with(&c, &settings);
}

/* ---- persistence ---- */

static void pipelined_requests_are_answered_in_order(void **state)
{
	static const struct request_case c = { "pipelined",
		"GET /1 HTTP/1.1\r\n" HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab"
		"GET /3 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /4 HTTP/1.1\r\n" HOST "\r\n",
		GOOD("/1") "head POST http a /2 length=2 | content-length: 2\ndata ab\nend\nidle\n"
		"head GET http a /3 none end\nclose lingering\n" };
	struct peer p;

	(void)state;
	check_with(&c, NULL);
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, slice_of(c.bytes));
	assert_string_equal(peer_events(&p), "head GET http a /1 none end\n");
	peer_feed(&p, SLICE("GET /5 HTTP/1.1\r\n"));
	assert_string_equal(peer_events(&p), "head GET http a /1 none end\n");
	peer_answer(&p, 200);	/* the next one opens inside this call */
	assert_non_null(strstr(peer_events(&p), "idle\nhead POST http a /2"));
	peer_close(&p);
}

static void reading_pauses_behind_a_request_in_progress(void **state)
{
	static char more[BUFFER_BYTES];
	struct peer p;

	(void)state;
	memset(more, 'x', sizeof(more));
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE("GET / HTTP/1.1\r\n" HOST "\r\n"));
	assert_true(p.codec->ops->wants_input(p.codec));
	peer_feed(&p, slice_make(more, sizeof(more)));
	assert_false(p.codec->ops->wants_input(p.codec));
	p.quiet = false;
	peer_answer(&p, 200);
	assert_string_equal(peer_events(&p), GOOD("/") BAD_400);
	assert_true(p.codec->ops->wants_input(p.codec));
	peer_close(&p);
}

static void data_not_taken_is_offered_again(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.take_most = 3;
	peer_feed(&p, SLICE(POST_WITH("Content-Length: 10\r\n") "0123456789"));
	assert_false(p.codec->ops->wants_input(p.codec));
	assert_non_null(strstr(peer_events(&p), "data 012\n"));
	peer_feed(&p, SLICE(""));
	assert_null(strstr(peer_events(&p), "data 345"));
	for (int i = 0; i < 3; i++)
		codec_resume(p.stream);
	assert_int_equal(p.wants_input_calls, 1);
	assert_non_null(strstr(peer_events(&p), "data 3456789\nend\nidle\n"));
	peer_close(&p);
	/* the end of input waits for it as well */
	peer_open(&p, worker, true);
	p.take_nothing = true;
	peer_feed(&p, SLICE(POST_WITH("Content-Length: 2\r\n") "01"));
	peer_eof(&p);
	p.take_nothing = false;
	codec_resume(p.stream);
	assert_non_null(strstr(peer_events(&p), "data 01\nend\nidle\nclose\n"));
	peer_close(&p);
}

static void an_early_answer_ends_the_connection(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	peer_feed(&p, SLICE(POST_WITH("Content-Length: 10\r\n") "01"));
	peer_answer(&p, 401);
	assert_string_equal(peer_written(&p),
		"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	assert_non_null(strstr(peer_events(&p), "close lingering\n"));
	peer_feed(&p, SLICE("23456789GET /admin HTTP/1.1\r\n" HOST "\r\n"));
	assert_null(strstr(peer_events(&p), "/admin"));
	peer_close(&p);
	/* but not where all of the body is here already */
	peer_open(&p, worker, true);
	p.take_nothing = true;
	peer_feed(&p, SLICE(POST_WITH("Content-Length: 2\r\n") "01GET /2 HTTP/1.1\r\n" HOST "\r\n"));
	peer_answer(&p, 401);
	assert_string_equal(peer_written(&p), "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"
			    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
	peer_close(&p);
}

static void the_client_closes(void **state)
{
	static const struct { const char *bytes, *events; } cases[] = {
		{ "", "close\n" },
		{ "GET / HT", "close\n" },
		{ "GET / HTTP/1.1\r\n" HOST "\r\n", GOOD("/") "close\n" },
		{ POST_WITH("Content-Length: 5\r\n") "he",
		  "head POST http a / length=5 | content-length: 5\ndata he\n"
		  "reset connection termination, downstream_remote_disconnect\nclose\n" },
		{ CHUNKS("5\r\nhello\r\n"), CHUNKED_HEAD "data hello\n"
		  "reset connection termination, downstream_remote_disconnect\nclose\n" },
		{ CHUNKS("0\r\n"), CHUNKED_HEAD
		  "reset connection termination, downstream_remote_disconnect\nclose\n" },
	};
	struct peer p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		peer_open(&p, worker, true);
		peer_feed(&p, slice_of(cases[i].bytes));
		peer_eof(&p);
		assert_string_equal(peer_events(&p), cases[i].events);
		peer_close(&p);
	}
	/* half-closed behind complete requests: all are answered */
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n"));
	peer_eof(&p);
	peer_answer(&p, 200);
	peer_answer(&p, 200);
	assert_string_equal(peer_events(&p), GOOD("/1") GOOD("/2") "close\n");
	peer_close(&p);
}

static void draining(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.codec->ops->drain(p.codec);
	assert_string_equal(peer_events(&p), "close lingering\n");
	peer_close(&p);
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE("GET / HTTP/1.1\r\n" HOST "\r\n"));
	p.codec->ops->drain(p.codec);
	peer_answer(&p, 200);
	assert_string_equal(peer_written(&p),
			    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
	assert_string_equal(peer_events(&p), "head GET http a / none end\nclose lingering\n");
	peer_close(&p);
}

static void a_head_that_does_not_come_expires(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	peer_feed(&p, SLICE("GET /slow HTTP/1.1\r\nHost: "));
	p.codec->ops->expire(p.codec);
	assert_string_equal(peer_events(&p),
			    BAD(408, "request header timeout", "request_header_timeout"));
	assert_true(slice_eq(p.message->path, SLICE("/slow")));
	peer_close(&p);
}

static void a_failed_connection_resets(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	p.quiet = true;
	peer_feed(&p, SLICE("GET / HTTP/1.1\r\n" HOST "\r\n"));
	p.codec->ops->failed(p.codec, RESET_CONNECTION_TERMINATION);
	p.codec->ops->failed(p.codec, RESET_CONNECTION_TERMINATION);
	assert_string_equal(peer_events(&p), "head GET http a / none end\n"
			    "reset connection termination, downstream_remote_disconnect\n");
	peer_close(&p);
}

/* Nothing that comes for the new protocol is ever parsed. */
static struct codec_stream *open_tunnel(struct peer *p)
{
	struct message switched = { .status = 101, .upgrade = true };
	struct codec_stream *cs;

	peer_open(p, worker, true);
	peer_feed(p, SLICE(GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n" KEY)));
	headers_init(&switched.headers, p->arena, 0);
	cs = p->stream;
	codec_send_head(cs, &switched, false);
	return cs;
}

/* Whichever direction ends first, the other goes on; the connection ends with both. */
static void a_tunnel_ends_twice(void **state)
{
	struct codec_stream *cs;
	struct peer p;

	(void)state;
	cs = open_tunnel(&p);
	peer_eof(&p);
	assert_non_null(strstr(peer_events(&p), "\nend\n"));
	assert_null(strstr(peer_events(&p), "close"));
	assert_int_equal(codec_send_data(cs, SLICE("down")), 4);
	codec_send_end(cs, NULL);
	assert_true(p.transport.shut);
	assert_non_null(strstr(peer_events(&p), "close lingering\n"));
	peer_close(&p);

	cs = open_tunnel(&p);
	codec_send_end(cs, NULL);
	assert_true(p.transport.shut);
	peer_feed(&p, SLICE("up"));
	assert_null(strstr(peer_events(&p), "close"));
	peer_eof(&p);
	assert_non_null(strstr(peer_events(&p), "data up\nend\nclose lingering\n"));
	peer_close(&p);
}

/* Given up it ends with what was sent; cut short for any other reason it does not look like an end. */
static void a_tunnel_is_cut_short_aloud(void **state)
{
	struct codec_stream *cs;
	struct peer p;

	(void)state;
	cs = open_tunnel(&p);
	codec_reset(cs, RESET_LOCAL_RESET);
	assert_false(p.transport.dead);
	peer_close(&p);

	cs = open_tunnel(&p);
	codec_reset(cs, RESET_CONNECTION_TERMINATION);
	assert_true(p.transport.dead);
	peer_close(&p);
}

static void upgrade_bytes_are_held(void **state)
{
	struct message switched = { .status = 101, .upgrade = true };
	struct peer p;

	(void)state;
	peer_open(&p, worker, true);
	peer_feed(&p, SLICE(GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n" KEY)
			    "GET /admin HTTP/1.1\r\n" HOST "\r\n"));
	assert_null(strstr(peer_events(&p), "/admin"));
	peer_answer(&p, 403);
	assert_null(strstr(peer_events(&p), "/admin"));
	assert_non_null(strstr(peer_events(&p), "close lingering\n"));
	peer_close(&p);

	peer_open(&p, worker, true);
	peer_feed(&p, SLICE(GET_WITH("Connection: upgrade\r\nUpgrade: websocket\r\n" KEY) "early"));
	headers_init(&switched.headers, p.arena, 0);
	headers_add_id(&switched.headers, HEADER_UPGRADE, SLICE("websocket"));
	codec_send_head(p.stream, &switched, false);
	peer_feed(&p, SLICE("+late"));
	assert_int_equal(codec_send_data(p.stream, SLICE("raw")), 3);
	assert_non_null(strstr(peer_events(&p), "data early+late\n"));
	assert_string_equal(peer_written(&p), "HTTP/1.1 101 Switching Protocols\r\n"
			    "connection: Upgrade\r\nupgrade: websocket\r\n\r\nraw");
	peer_close(&p);
}

/* A client that sends requests and never reads holds up its own next request. */
static void unread_responses_hold_up_requests(void **state)
{
	struct slice request = SLICE("GET / HTTP/1.1\r\n" HOST "\r\n");
	struct peer p;
	unsigned sent = 0;

	(void)state;
	peer_open(&p, worker, true);
	while (p.codec->ops->wants_input(p.codec) && ++sent < 100000)
		peer_feed(&p, request);
	assert_true(sent < 100000);
	assert_true(buffer_len(&p.transport.out) < 2 * BUFFER_BYTES);
	(void)peer_written(&p);
	p.codec->ops->writable(p.codec);
	assert_true(p.codec->ops->wants_input(p.codec));
	peer_close(&p);
}

/* Each byte is looked at once: a head in single bytes costs about what it costs in one piece. */
static void a_head_in_single_bytes_is_not_scanned_again(void **state)
{
	static char bytes[61440];
	struct peer p;
	int at = sprintf(bytes, "GET / HTTP/1.1\r\n" HOST "X: ");

	(void)state;
	memset(bytes + at, 'v', sizeof(bytes) - (size_t)at - 4);
	memcpy(bytes + sizeof(bytes) - 4, "\r\n\r\n", 4);
	peer_open(&p, worker, true);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		buffer_append(worker, &p.transport.in, slice_make(bytes + i, 1));
		p.codec->ops->feed(p.codec);
		/* what was looked at may change: nobody looks again before the head is complete */
		if (i > 100)
			p.transport.in.base[p.transport.in.start + 60] = '\x01';
	}
	p.transport.in.base[p.transport.in.start + 60] = 'v';
	assert_string_equal(peer_events(&p) != NULL ? peer_events(&p) : "", "");
	peer_feed(&p, slice_make(bytes + sizeof(bytes) - 1, 1));
	assert_non_null(strstr(peer_events(&p), "head GET http a / none | x: vvv"));
	peer_close(&p);
}

static bool is_accepted(const char *bytes, size_t len)
{
	struct peer p;
	bool accepted;

	peer_open(&p, worker, true);
	peer_feed(&p, slice_make(bytes, len));
	accepted = strncmp(peer_events(&p), "head ", 5) == 0;
	peer_close(&p);
	return accepted;
}

/* Bytes are looked at by eights and sixteens: none may slip through at any place. */
static void every_byte_at_every_place(void **state)
{
	static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char request[] = "GET /abcdefghijklmnopqrst HTTP/1.1\r\n" HOST
				      "abc-efghijklmnopqrst: v\r\ny: 0123456789abcdefghijklmnopqrstu\r\n\r\n";
	char bytes[sizeof(request)];
	size_t target = 5, name = strstr(request, "abc-") - request, value = strstr(request, "0123") - request;

	(void)state;
	for (int c = 0; c < 256; c++) {
		bool tchar = c != 0 && strchr(tchars, c) != NULL;

		for (size_t at = 0; at < 20; at++) {
			memcpy(bytes, request, sizeof(request));
			bytes[target + at] = (char)c;
			assert_int_equal(is_accepted(bytes, sizeof(bytes) - 1), c > 0x20 && c < 0x7f);
			memcpy(bytes, request, sizeof(request));
			bytes[name + at] = (char)c;
			assert_int_equal(is_accepted(bytes, sizeof(bytes) - 1), tchar || (c == ':' && at > 0));
		}
		for (size_t at = 0; at < 31; at++) {
			memcpy(bytes, request, sizeof(request));
			bytes[value + at] = (char)c;
			assert_int_equal(is_accepted(bytes, sizeof(bytes) - 1),
					 c == '\t' || (c >= 0x20 && c != 0x7f));
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	worker = worker_create(0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	worker_free(&worker);
	return 0;
}

#define TEST(f)	cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request_lines),
		TEST(targets),
		TEST(field_lines),
		TEST(hosts),
		TEST(framing),
		TEST(chunks),
		TEST(chunk_overhead_is_bounded),
		TEST(trailers_are_handed_up_where_wanted),
		TEST(limits),
		TEST(hop_by_hop),
		TEST(upgrades_and_expect),
		TEST(http10_when_accepted),
		TEST(more_methods_by_setting),
		TEST(pipelined_requests_are_answered_in_order),
		TEST(reading_pauses_behind_a_request_in_progress),
		TEST(data_not_taken_is_offered_again),
		TEST(an_early_answer_ends_the_connection),
		TEST(the_client_closes),
		TEST(draining),
		TEST(a_head_that_does_not_come_expires),
		TEST(a_failed_connection_resets),
		TEST(upgrade_bytes_are_held),
		TEST(a_tunnel_ends_twice),
		TEST(a_tunnel_is_cut_short_aloud),
		TEST(unread_responses_hold_up_requests),
		TEST(a_head_in_single_bytes_is_not_scanned_again),
		TEST(every_byte_at_every_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
