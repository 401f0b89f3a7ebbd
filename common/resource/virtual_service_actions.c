/* SPDX-License-Identifier: Apache-2.0
 *
 * redirect, directResponse and rewrite (spec 2.5-2.7, V70-V80). */
#include "common/resource/virtual_service_priv.h"
#include "sallyport/base64.h"

#define BODY_BYTES_MAX		1048576u
#define BODY_BYTES_LARGE	102400u
#define REDIRECT_CODE_DEFAULT	301

static bool is_one_line(struct slice s)
{
	return slice_find(s, '\r') < 0 && slice_find(s, '\n') < 0 && slice_find(s, '\0') < 0;
}

/* Text that ends up in a start line or a header; an empty one counts as not written. */
static bool decode_line(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *text = out;

	if (!decode_string(d, n, text, arg))
		return false;
	if (!is_one_line(*text))
		return decode_error(d, n, "CR, LF or NUL in it, write a single line");
	if (text->len == 0)
		*text = NO_SLICE;
	return true;
}

/* --- redirect ------------------------------------------------------------------------------ */

static bool decode_scheme(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *scheme = out;

	if (!decode_line(d, n, out, arg))
		return false;
	return scheme->at == NULL || slice_eq(*scheme, SLICE("http")) ||
	       slice_eq(*scheme, SLICE("https")) ||
	       decode_error(d, n, "scheme \"%.*s\", write http or https", SLICE_ARG(*scheme));
}

static bool decode_derive_port(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	static const char *const names[] = { "FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT", NULL };
	int index;

	(void)arg;
	if (!decode_enum(d, n, &index, names))
		return false;
	*(enum derive_port *)out = index == 0 ? DERIVE_PORT_PROTOCOL_DEFAULT : DERIVE_PORT_REQUEST;
	return true;
}

static bool decode_redirect_code(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	uint32_t code;

	if (!decode_u32(d, n, &code, arg))
		return false;
	if (code == 0)
		code = REDIRECT_CODE_DEFAULT;
	if (code != 301 && code != 302 && code != 303 && code != 307 && code != 308)
		return decode_error(d, n, "%u is no redirect, use 301, 302, 303, 307 or 308", code);
	*(unsigned *)out = code;
	return true;
}

static const struct field redirect_fields[] = {
	FIELD(struct http_redirect, "uri", uri, decode_line, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "prefixRewrite", prefix_rewrite, decode_line, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "authority", authority, decode_line, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "port", port, vs_decode_match_port, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "derivePort", derive_port, decode_derive_port, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "scheme", scheme, decode_scheme, FIELD_OPTIONAL),
	FIELD(struct http_redirect, "redirectCode", code, decode_redirect_code, FIELD_OPTIONAL),
	FIELDS_END
};

bool vs_decode_redirect(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct http_redirect *r = out;
	bool ok;

	(void)arg;
	r->code = REDIRECT_CODE_DEFAULT;
	ok = decode_mapping(d, n, redirect_fields, r);
	if (r->uri.at != NULL && r->prefix_rewrite.at != NULL)
		ok = decode_error(d, n, "uri and prefixRewrite both: choose one");
	if (node_has(n, "port") && r->derive_port != DERIVE_PORT_UNSET)
		ok = decode_error(d, n, "port and derivePort both: choose one");
	if (ok && r->uri.at == NULL && r->prefix_rewrite.at == NULL && r->authority.at == NULL &&
	    r->scheme.at == NULL && r->port == 0 && r->derive_port == DERIVE_PORT_UNSET)
		ok = decode_error(
			d, n,
			"redirects to where it came from: give uri, prefixRewrite, authority, "
			"scheme, port or derivePort");
	return ok;
}

/* --- direct response ----------------------------------------------------------------------- */

struct body {
	struct slice string, bytes;
};

static const struct field body_fields[] = {
	FIELD(struct body, "string",	string,	decode_string,	FIELD_OPTIONAL),
	FIELD(struct body, "bytes",	bytes,	decode_string,	FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_base64(struct decoder *d, const struct node *n, struct slice text,
			  struct slice *out)
{
	unsigned char *bytes;
	ptrdiff_t len;

	if (text.len / 4 > BODY_BYTES_MAX)
		return decode_error(d, n, "a body of more than %u bytes", BODY_BYTES_MAX);
	bytes = arena_alloc(d->arena, BASE64_DECODED_MAX(text.len));
	len = base64_decode(text, bytes);
	if (len < 0)
		return decode_error(d, n, "is no base64 (standard alphabet, padded with =)");
	*out = slice_make(bytes, (size_t)len);
	return true;
}

static bool decode_body(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *body = out;
	struct body written = { 0 };

	(void)arg;
	if (!decode_mapping(d, n, body_fields, &written))
		return false;
	if (written.string.at != NULL && written.bytes.at != NULL)
		return decode_error(d, n, "string and bytes both: choose one");
	*body = written.string;
	if (written.bytes.at != NULL &&
	    !decode_base64(d, node_get(n, "bytes"), written.bytes, body))
		return false;
	if (body->len > BODY_BYTES_MAX)
		return decode_error(d, n, "a body of %zu bytes, at most %u are allowed", body->len,
				    BODY_BYTES_MAX);
	if (body->len > BODY_BYTES_LARGE)
		decode_warning(d, n, "a body of %zu bytes is kept in memory by every configuration",
			       body->len);
	return true;
}

static bool decode_status(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	uint32_t status;

	if (!decode_u32(d, n, &status, arg))
		return false;
	if (status < 200 || status > 599)
		return decode_error(d, n, "status %u, write 200 to 599", status);
	*(unsigned *)out = status;
	return true;
}

static const struct field direct_response_fields[] = {
	FIELD(struct direct_response, "status",	status,	decode_status,	FIELD_REQUIRED),
	FIELD(struct direct_response, "body",	body,	decode_body,	FIELD_OPTIONAL),
	FIELDS_END
};

bool vs_decode_direct_response(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	return decode_mapping(d, n, direct_response_fields, out);
}

/* --- rewrite ------------------------------------------------------------------------------- */

struct regex_rewrite {
	struct slice match, rewrite;
};

/* V79: a pattern, and references to groups that it has. */
static bool check_replacement(struct decoder *d, const struct node *n,
			      const struct regex_rewrite *w)
{
	size_t mark = decode_push(d, "rewrite");
	struct regex_error why;
	struct regex *r = regex_create(w->match, REGEX_SEARCH, &why);
	bool ok = regex_check_replacement(w->rewrite, regex_groups(r), &why);

	if (!ok)
		decode_error(d, node_get(n, "rewrite"), "\"%.*s\" at offset %zu: %s",
			     SLICE_ARG(w->rewrite), why.offset, why.text);
	regex_free(&r);
	decode_pop(d, mark);
	return ok;
}

static bool decode_pattern(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	return decode_string(d, n, out, arg) && vs_check_regex(d, n, *(struct slice *)out);
}

static bool decode_replacement(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (!decode_line(d, n, out, arg))
		return false;
	return ((struct slice *)out)->at != NULL ||
	       decode_error(d, n, "is empty, write what replaces the match, such as /\\1");
}

static const struct field regex_rewrite_fields[] = {
	FIELD(struct regex_rewrite, "match", match, decode_pattern, FIELD_REQUIRED),
	FIELD(struct regex_rewrite, "rewrite", rewrite, decode_replacement, FIELD_REQUIRED),
	FIELDS_END
};

static bool decode_regex_rewrite(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	struct http_rewrite *rewrite = out;
	struct regex_rewrite w = { 0 };

	(void)arg;
	if (!decode_mapping(d, n, regex_rewrite_fields, &w) || !check_replacement(d, n, &w))
		return false;
	rewrite->regex_match = w.match;
	rewrite->regex_rewrite = w.rewrite;
	return true;
}

static const struct field rewrite_fields[] = {
	FIELD(struct http_rewrite, "uri",	uri,		decode_line,	FIELD_OPTIONAL),
	FIELD(struct http_rewrite, "authority",	authority,	decode_line,	FIELD_OPTIONAL),
	{ "uriRegexRewrite", decode_regex_rewrite, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

bool vs_decode_rewrite(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct http_rewrite *r = out;
	bool ok = decode_mapping(d, n, rewrite_fields, r);

	(void)arg;
	if (r->uri.at != NULL && node_has(n, "uriRegexRewrite"))
		ok = decode_error(d, n, "uri and uriRegexRewrite both: choose one");
	if (ok && r->uri.at == NULL && r->authority.at == NULL && r->regex_match.at == NULL)
		ok = decode_error(d, n, "rewrites nothing: give uri, authority or uriRegexRewrite");
	return ok;
}
