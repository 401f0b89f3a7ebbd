/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_words.c - the words of `explain` into a question. They come from a person at a shell, or from
 * whoever may write to the admin socket: nothing in them is trusted. */
#include "proxy/admin/explain.h"

#include <stdio.h>
#include <time.h>

#include "sallyport/cidr.h"
#include "sallyport/object.h"

const char explain_usage[] =
	"  -X, --request METHOD    GET where there is no body, else POST\n"
	"  -H, --header 'N: V'     a field, any number of times; host replaces the URL's\n"
	"  -d, --data BODY         a body, of which only the length counts\n"
	"      --body-bytes N      the same by its length\n"
	"      --http2             the client speaks HTTP/2\n"
	"      --client-ip ADDRESS who asks (default: " EXPLAIN_CLIENT_DEFAULT ")\n"
	"      --peer-id URI       of the client certificate that it shows\n"
	"      --token JWT         authorization: Bearer JWT\n"
	"      --claims JSON       of a token that was verified (with -f)\n"
	"      --at TIME           when, such as 2026-11-21T10:00:00Z (with -f)\n"
	"      --sni NAME          the server name in the TLS hello; '' for none\n"
	"      --connect-to A:PORT the address and port that is bound, not the URL's\n"
	"      --port PORT         the same without an address\n"
	"      --listener NAME     by its name, or what it is bound to\n";

struct parsing {
	struct explain_question *q;
	struct explain_desk *desk;	/* NULL: none of its options are known */
	struct arena *arena;
	const struct slice *words;
	size_t count, at;
	struct slice url;
	char *why;
	size_t why_bytes;
};

__attribute__((format(printf, 2, 3)))
static bool wrong(struct parsing *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->why, p->why_bytes, fmt, args);
	va_end(args);
	return false;
}

/* What would end a line, or look like another one. */
static bool has_controls(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (((unsigned char)s.at[i] < ' ' && s.at[i] != '\t') || s.at[i] == 0x7f)
			return true;
	return false;
}

/* ---- options ---- */

static bool take_method(struct parsing *p, struct slice value)
{
	p->q->method = value;
	return value.len > 0 || wrong(p, "-X: a method, such as POST");
}

static bool take_header(struct parsing *p, struct slice value)
{
	struct explain_header h = { .value = value };

	h.name = slice_cut(&h.value, ':');
	if (h.value.at == NULL || h.name.len == 0)
		return wrong(p, "-H: 'name: value', not '%.*s'", SLICE_ARG(value));
	h.value = slice_trim(h.value);
	p->q->headers.items[p->q->headers.count++] = h;
	return true;
}

static bool take_body(struct parsing *p, struct slice value)
{
	p->q->has_body = true;
	p->q->body_bytes += value.len;
	return true;
}

static bool take_body_bytes(struct parsing *p, struct slice value)
{
	p->q->has_body = true;
	return slice_to_u64(value, &p->q->body_bytes) ||
	       wrong(p, "--body-bytes: a number, not '%.*s'", SLICE_ARG(value));
}

static bool take_client(struct parsing *p, struct slice value)
{
	struct ip ip;

	p->q->client = value;
	return ip_parse(value, &ip) || wrong(p, "--client-ip: an address, not '%.*s'", SLICE_ARG(value));
}

static bool take_claims(struct parsing *p, struct slice value)
{
	p->q->claims = value;
	return true;
}

/* Seconds since 1970, or as documents and tokens print times. */
static bool take_time(struct parsing *p, struct slice value)
{
	struct tm tm = { 0 };
	uint64_t seconds;
	const char *end;

	if (slice_to_u64(value, &seconds) && seconds > 0 && seconds <= EXPLAIN_TIME_MAX) {
		p->q->at_s = (int64_t)seconds;
		return true;
	}
	end = strptime(arena_text(p->arena, value), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end != NULL && *end == '\0')
		p->q->at_s = timegm(&tm);
	return p->q->at_s > 0 ||
	       wrong(p, "--at: a time such as 2026-11-21T10:00:00Z, not '%.*s'", SLICE_ARG(value));
}

/* As curl would send it. */
static bool take_token(struct parsing *p, struct slice value)
{
	const struct explain_header h = { SLICE("authorization"),
					  slice_of(arena_printf(p->arena, "Bearer %.*s", SLICE_ARG(value))) };

	p->q->headers.items[p->q->headers.count++] = h;
	return true;
}

static bool take_peer(struct parsing *p, struct slice value)
{
	p->q->peer_id = value;
	return value.len > 0 || wrong(p, "--peer-id: the URI of a client certificate");
}

static bool take_sni(struct parsing *p, struct slice value)
{
	p->q->sni_set = true;
	p->q->sni = arena_lower(p->arena, value);
	return true;
}

static bool read_port(struct slice text, uint32_t *port)
{
	uint64_t number;

	if (!slice_to_u64(text, &number) || number == 0 || number > UINT16_MAX)
		return false;
	*port = (uint32_t)number;
	return true;
}

static bool take_address(struct parsing *p, struct slice value)
{
	uint32_t port;

	p->q->address = value;
	return slice_starts(value, SLICE("unix:")) || read_port(authority_port(value), &port) ||
	       wrong(p, "--connect-to: ADDRESS:PORT, not '%.*s'", SLICE_ARG(value));
}

static bool take_port(struct parsing *p, struct slice value)
{
	return read_port(value, &p->q->port) || wrong(p, "--port: 1 to 65535, not '%.*s'", SLICE_ARG(value));
}

static bool take_listener(struct parsing *p, struct slice value)
{
	p->q->listener = value;
	return true;
}

static bool take_http2(struct parsing *p, struct slice value)
{
	(void)value;
	p->q->http2 = true;
	return true;
}

static bool take_file(struct parsing *p, struct slice value)
{
	p->desk->files.items[p->desk->files.count++] = arena_text(p->arena, value);
	return true;
}

static bool take_jwks(struct parsing *p, struct slice value)
{
	p->desk->jwks = arena_text(p->arena, value);
	return true;
}

static bool take_socket(struct parsing *p, struct slice value)
{
	p->desk->socket = arena_text(p->arena, value);
	return true;
}

static bool take_output(struct parsing *p, struct slice value)
{
	p->desk->json = slice_eq(value, SLICE("json"));
	return p->desk->json || slice_eq(value, SLICE("text")) || wrong(p, "-o takes text or json");
}

static bool take_help(struct parsing *p, struct slice value)
{
	(void)value;
	p->desk->help = true;
	return true;
}

static const struct word_option {
	char letter;
	bool alone;			/* no value follows */
	const char *name;
	bool (*take)(struct parsing *p, struct slice value);
} options[] = {
	{ 'X', false, "request", take_method },
	{ 'H', false, "header", take_header },
	{ 'd', false, "data", take_body },
	{ '\0', false, "body-bytes", take_body_bytes },
	{ '\0', true, "http2", take_http2 },
	{ '\0', false, "client-ip", take_client },
	{ '\0', false, "token", take_token },
	{ '\0', false, "claims", take_claims },
	{ '\0', false, "at", take_time },
	{ '\0', false, "peer-id", take_peer },
	{ '\0', false, "sni", take_sni },
	{ '\0', false, "connect-to", take_address },
	{ '\0', false, "port", take_port },
	{ '\0', false, "listener", take_listener },
}, desk_options[] = {
	{ 'f', false, "file", take_file },
	{ 's', false, "socket", take_socket },
	{ '\0', false, "jwks", take_jwks },
	{ 'o', false, "output", take_output },
	{ 'h', true, "help", take_help },
};

static bool is_named(const struct word_option *o, char letter, struct slice name)
{
	return name.at != NULL ? slice_eq(slice_of(o->name), name) : o->letter != '\0' && o->letter == letter;
}

/* `--name`, `--name=value`, `-Xvalue`: *value absent where the next word is it. */
static const struct word_option *find_option(const struct parsing *p, struct slice word, struct slice *value)
{
	struct slice name;
	bool is_long = slice_starts(word, SLICE("--"));

	*value = slice_from(word, 2);
	name = is_long ? slice_cut(value, '=') : NO_SLICE;
	if (!is_long && value->len == 0)
		*value = NO_SLICE;
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (is_named(&options[i], word.at[1], name))
			return &options[i];
	for (size_t i = 0; i < COUNT_OF(desk_options) && p->desk != NULL; i++)
		if (is_named(&desk_options[i], word.at[1], name))
			return &desk_options[i];
	return NULL;
}

static bool take_option(struct parsing *p, struct slice word)
{
	struct slice value;
	const struct word_option *o = find_option(p, word, &value);

	if (o == NULL)
		return wrong(p, "no such option: %.*s", SLICE_ARG(word));
	if (o->alone && value.at != NULL)
		return wrong(p, "--%s takes no value", o->name);
	if (!o->alone && value.at == NULL) {
		if (p->at == p->count)
			return wrong(p, "%.*s: a value is missing", SLICE_ARG(word));
		value = p->words[p->at++];
	}
	if (o->take != take_body && has_controls(value))
		return wrong(p, "--%s: control characters cannot be sent", o->name);
	return o->take(p, value);
}

/* ---- the URL ---- */

static bool take_scheme(struct parsing *p, struct slice *rest)
{
	p->q->tls = slice_starts_nocase(*rest, SLICE("https://"));
	if (!p->q->tls && !slice_starts_nocase(*rest, SLICE("http://")))
		return wrong(p, "a URL begins with http:// or https://, not '%.*s'", SLICE_ARG(*rest));
	*rest = slice_from(*rest, p->q->tls ? 8 : 7);
	return true;
}

static bool take_url(struct parsing *p)
{
	struct explain_question *q = p->q;
	struct slice rest = p->url;
	uint32_t port;
	size_t end = 0;

	if (has_controls(rest) || slice_find(rest, ' ') >= 0)
		return wrong(p, "a URL has neither blanks nor control characters");
	if (!take_scheme(p, &rest))
		return false;
	q->url = p->url;
	rest = slice_cut(&rest, '#');
	while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
		end++;
	q->authority = slice_first(rest, end);
	q->host = authority_host(q->authority);
	q->target = slice_from(rest, end);
	if (q->target.len == 0 || q->target.at[0] != '/')
		q->target = slice_of(arena_printf(p->arena, "/%.*s", SLICE_ARG(q->target)));
	if (q->host.len == 0 || slice_find(q->authority, '@') >= 0)
		return wrong(p, "no host that is served: '%.*s'", SLICE_ARG(p->url));
	port = q->tls ? 443 : 80;
	if (authority_port(q->authority).at != NULL && !read_port(authority_port(q->authority), &port))
		return wrong(p, "no port: '%.*s'", SLICE_ARG(authority_port(q->authority)));
	if (q->port == 0)
		q->port = port;
	return true;
}

bool explain_is_for_desk(const struct explain_question *q)
{
	return q->claims.at != NULL || q->at_s != 0;
}

enum outcome explain_parse(const struct slice *words, size_t count, struct arena *a,
			   struct explain_question *q, struct explain_desk *desk, char *why,
			   size_t why_bytes)
{
	struct parsing p = { .q = q, .desk = desk, .arena = a, .words = words, .count = count, .why = why,
			     .why_bytes = why_bytes };
	bool sound = true;

	*q = (struct explain_question){ 0 };
	q->headers.items = arena_array(a, struct explain_header, count);
	if (desk != NULL) {
		*desk = (struct explain_desk){ 0 };
		desk->files.items = arena_array(a, const char *, count);
	}
	if (count > EXPLAIN_WORDS_MAX)
		sound = wrong(&p, "more than %u words", EXPLAIN_WORDS_MAX);
	while (sound && p.at < count) {
		struct slice word = words[p.at++];

		if (word.len > 1 && word.at[0] == '-')
			sound = take_option(&p, word);
		else if (p.url.at != NULL)
			sound = wrong(&p, "one URL at a time: '%.*s'", SLICE_ARG(word));
		else
			p.url = word;
	}
	if (sound && desk != NULL && desk->help)
		return OK;
	if (sound && p.url.at == NULL)
		sound = wrong(&p, "which URL?");
	if (sound && desk != NULL && desk->files.count == 0 && (explain_is_for_desk(q) || desk->jwks != NULL))
		sound = wrong(&p, EXPLAIN_AT_DESK_ONLY);
	return sound && take_url(&p) ? OK : FAILED;
}

/* ---- lines ---- */

size_t explain_split(struct slice line, struct arena *a, struct slice **words)
{
	char *to = arena_alloc(a, line.len + 1);
	size_t count = 0, i = 0;

	*words = arena_array(a, struct slice, EXPLAIN_WORDS_MAX + 1);
	while (count <= EXPLAIN_WORDS_MAX) {
		char *start = to;

		while (i < line.len && line.at[i] == ' ')
			i++;
		if (i == line.len)
			break;
		if (slice_eq(slice_cut(&(struct slice){ line.at + i, line.len - i }, ' '), SLICE("\"\"")))
			i += 2;
		for (; i < line.len && line.at[i] != ' '; i++) {
			if (line.at[i] == '\\' && i + 1 < line.len)
				i++;
			*to++ = line.at[i];
		}
		(*words)[count++] = slice_make(start, (size_t)(to - start));
	}
	return count;
}

/* `json` alone would be taken for the form of the answer. */
static void write_word(struct slice word, struct text *line)
{
	text_add_char(line, ' ');
	if (word.len == 0)
		text_add(line, SLICE("\"\""));
	for (size_t i = 0; i < word.len; i++) {
		if (i == 0 || word.at[i] == ' ' || word.at[i] == '\\' || word.at[i] == ';')
			text_add_char(line, '\\');
		text_add_char(line, word.at[i]);
	}
}

static void write_option(const char *option, struct slice value, struct text *line)
{
	if (value.at == NULL)
		return;
	text_printf(line, " %s", option);
	write_word(value, line);
}

void explain_write(const struct explain_question *q, struct text *line)
{
	char number[24];
	struct text field;

	write_option("-X", q->method, line);
	for (size_t i = 0; i < q->headers.count; i++) {
		text_init(&field);
		text_printf(&field, "%.*s: %.*s", SLICE_ARG(q->headers.items[i].name),
			    SLICE_ARG(q->headers.items[i].value));
		write_option("-H", text_slice(&field), line);
		text_fini(&field);
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)q->body_bytes);
	write_option("--body-bytes", q->has_body ? slice_of(number) : NO_SLICE, line);
	if (q->http2)
		text_add(line, SLICE(" --http2"));
	write_option("--claims", q->claims, line);
	snprintf(number, sizeof(number), "%lld", (long long)q->at_s);
	write_option("--at", q->at_s != 0 ? slice_of(number) : NO_SLICE, line);
	write_option("--client-ip", q->client, line);
	write_option("--peer-id", q->peer_id, line);
	write_option("--sni", q->sni_set ? q->sni : NO_SLICE, line);
	write_option("--connect-to", q->address, line);
	snprintf(number, sizeof(number), "%u", q->port);
	write_option("--port", slice_of(number), line);
	write_option("--listener", q->listener, line);
	write_word(q->url, line);
}
