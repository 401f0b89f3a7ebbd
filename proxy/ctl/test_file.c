/* SPDX-License-Identifier: Apache-2.0
 *
 * test_file.c - see test_file.h. */
#include "proxy/ctl/test_file.h"

#include <errno.h>
#include <stdio.h>

#include "sallyport/object.h"
#include "sallyport/text.h"

#define FILE_BYTES_MAX	YAML_FILE_BYTES_MAX

/* ---- a request as words ---- */

/* What a request may say, and the option of `explain` that says it. */
static const struct {
	const char *name, *option;
	bool flag;			/* true or false */
} members[] = {
	{ "url", NULL, false },		{ "method", "--request", false },	{ "headers", "--header", false },
	{ "body", "--data", false },	{ "bodyBytes", "--body-bytes", false },	{ "http2", "--http2", true },
	{ "clientIp", "--client-ip", false },	{ "sni", "--sni", false },	{ "port", "--port", false },
	{ "connectTo", "--connect-to", false },	{ "listener", "--listener", false },	{ "at", "--at", false },
};

struct words {
	struct decoder *decoder;
	struct slice *items;
	size_t count;
};

static size_t words_needed(const struct node *n)
{
	size_t count = 1;

	for (size_t i = 0; i < n->count; i++)
		count += n->kind == NODE_MAPPING ? words_needed(n->pairs[i].value) + 1 :
			 n->kind == NODE_SEQUENCE ? words_needed(n->items[i]) + 1 : 0;
	return 2 * count;
}

static void add_word(struct words *w, struct slice word)
{
	w->items[w->count++] = word;
}

static void add_header(struct words *w, struct slice name, struct slice value)
{
	add_word(w, SLICE("--header"));
	add_word(w, slice_of(arena_printf(w->decoder->arena, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(value))));
}

/* name: value, or name: [several] */
static bool take_headers(struct words *w, const struct node *n)
{
	bool sound = true;

	if (n->kind != NODE_MAPPING)
		return decode_error(w->decoder, n, "expected a mapping of names to values, found %s", node_found(n));
	for (size_t i = 0; i < n->count; i++) {
		const struct node *value = n->pairs[i].value;
		size_t mark = decode_push_slice(w->decoder, n->pairs[i].key);

		if (value->kind == NODE_SCALAR)
			add_header(w, n->pairs[i].key, value->text);
		else if (value->kind != NODE_SEQUENCE)
			sound = decode_error(w->decoder, value, "expected a value or a list of them, found %s",
					     node_found(value));
		for (size_t k = 0; value->kind == NODE_SEQUENCE && k < value->count; k++) {
			if (value->items[k]->kind == NODE_SCALAR)
				add_header(w, n->pairs[i].key, value->items[k]->text);
			else
				sound = decode_error(w->decoder, value->items[k], "expected a value, found %s",
						     node_found(value->items[k]));
		}
		decode_pop(w->decoder, mark);
	}
	return sound;
}

static bool take_flag(struct words *w, const struct node *n, const char *option)
{
	bool on = false;

	if (!decode_bool(w->decoder, n, &on, NULL))
		return false;
	if (on)
		add_word(w, slice_of(option));
	return true;
}

static bool take_value(struct words *w, const struct node *n, const char *option)
{
	if (n->kind != NODE_SCALAR)
		return decode_error(w->decoder, n, "expected a value, found %s", node_found(n));
	add_word(w, slice_of(option));
	add_word(w, n->text);
	return true;
}

static bool take_member(struct words *w, const struct node_pair *pair)
{
	const char *names[COUNT_OF(members) + 1] = { 0 }, *nearest;

	for (size_t i = 0; i < COUNT_OF(members); i++) {
		names[i] = members[i].name;
		if (!slice_eq(pair->key, slice_of(names[i])))
			continue;
		if (members[i].option == NULL)
			return pair->value->kind == NODE_SCALAR ||
			       decode_error(w->decoder, pair->value, "expected a URL, found %s", node_found(pair->value));
		if (strcmp(names[i], "headers") == 0)
			return take_headers(w, pair->value);
		return members[i].flag ? take_flag(w, pair->value, members[i].option) :
					 take_value(w, pair->value, members[i].option);
	}
	nearest = nearest_name(pair->key, names);
	return decode_error(w->decoder, &(struct node){ .where = pair->where }, "unknown field%s%s%s",
			    nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
			    nearest != NULL ? "?" : "");
}

static bool take_request(struct words *w, const struct node *n)
{
	const struct node *url = node_get(n, "url");
	bool sound = true;

	if (n == NULL || n->kind != NODE_MAPPING || url == NULL)
		return decode_error(w->decoder, n, "expected a mapping with url, found %s",
				    n == NULL ? "nothing" : n->kind == NODE_MAPPING ? "none" : node_found(n));
	for (size_t i = 0; i < n->count; i++) {
		size_t mark = decode_push_slice(w->decoder, n->pairs[i].key);

		sound &= take_member(w, &n->pairs[i]);
		decode_pop(w->decoder, mark);
	}
	return sound;
}

/* ---- claims ---- */

static bool is_typed(struct slice s)
{
	size_t digits = s.len > 0 && s.at[0] == '-' ? 1 : 0;

	if (slice_eq(s, SLICE("true")) || slice_eq(s, SLICE("false")))
		return true;
	if (s.len == digits || s.len > 18 || (s.at[digits] == '0' && s.len > digits + 1))
		return false;
	for (; digits < s.len; digits++)
		if (s.at[digits] < '0' || s.at[digits] > '9')
			return false;
	return true;
}

/* As JSON; depth is bounded by that of YAML. */
static void add_json(struct text *t, const struct node *n)
{
	switch (n->kind) {
	case NODE_NULL:
		text_add(t, SLICE("null"));
		break;
	case NODE_SCALAR:
		if (!n->quoted && is_typed(n->text))
			text_add(t, n->text);
		else
			text_add_json(t, n->text);
		break;
	case NODE_SEQUENCE:
		text_add_char(t, '[');
		for (size_t i = 0; i < n->count; i++) {
			text_add(t, i > 0 ? SLICE(",") : SLICE(""));
			add_json(t, n->items[i]);
		}
		text_add_char(t, ']');
		break;
	case NODE_MAPPING:
		text_add_char(t, '{');
		for (size_t i = 0; i < n->count; i++) {
			text_add(t, i > 0 ? SLICE(",") : SLICE(""));
			text_add_json(t, n->pairs[i].key);
			text_add_char(t, ':');
			add_json(t, n->pairs[i].value);
		}
		text_add_char(t, '}');
		break;
	}
}

/* ---- a case ---- */

static bool decode_node(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)d, (void)arg;
	*(const struct node **)out = n;
	return true;
}

struct written_case {
	struct slice name, token;
	const struct node *request, *claims, *expect;
};

static const struct field case_fields[] = {
	FIELD(struct written_case, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD(struct written_case, "request", request, decode_node, FIELD_REQUIRED),
	FIELD(struct written_case, "claims", claims, decode_node, FIELD_OPTIONAL),
	FIELD(struct written_case, "token", token, decode_string, FIELD_OPTIONAL),
	FIELD(struct written_case, "expect", expect, decode_node, FIELD_REQUIRED),
	FIELDS_END
};

static bool take_identity(struct words *w, const struct written_case *c)
{
	struct text json;

	if (c->claims != NULL && c->token.at != NULL)
		return decode_error(w->decoder, c->claims, "a request has either claims or a token");
	if (c->token.at != NULL) {
		add_word(w, SLICE("--token"));
		add_word(w, c->token);
	}
	if (c->claims == NULL)
		return true;
	if (c->claims->kind != NODE_MAPPING)
		return decode_error(w->decoder, c->claims, "claims: expected a mapping, found %s",
				    node_found(c->claims));
	text_init(&json);
	add_json(&json, c->claims);
	add_word(w, SLICE("--claims"));
	add_word(w, arena_slice(w->decoder->arena, text_slice(&json)));
	text_fini(&json);
	return true;
}

static bool decode_case(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct test_case *c = out;
	struct written_case written = { 0 };
	struct words w = { .decoder = d };
	size_t mark;
	bool sound;

	(void)arg;
	c->where = n->where;
	if (!decode_mapping(d, n, case_fields, &written))
		return false;
	w.items = arena_array(d->arena, struct slice, words_needed(written.request) + 8);
	mark = decode_push(d, "request");
	sound = take_request(&w, written.request);
	decode_pop(d, mark);
	if (!sound || !take_identity(&w, &written))
		return false;
	if (written.expect->kind != NODE_MAPPING || written.expect->count == 0)
		return decode_error(d, written.expect, "expect: expected a mapping of what `sallyctl explain -o json` "
				    "tells, found %s", node_found(written.expect));
	add_word(&w, node_get(written.request, "url")->text);
	c->words.items = w.items;
	c->words.count = w.count;
	c->name = written.name.at != NULL ? written.name : node_get(written.request, "url")->text;
	c->expect = written.expect;
	return true;
}

/* ---- the file ---- */

static bool read_file(const char *path, struct text *out)
{
	FILE *f = fopen(path, "re");
	char bytes[65536];
	size_t n;

	if (f == NULL)
		return false;
	while (out->len <= FILE_BYTES_MAX && (n = fread(bytes, 1, sizeof(bytes), f)) > 0)
		text_add(out, slice_make(bytes, n));
	n = (size_t)ferror(f);
	fclose(f);
	return n == 0;
}

static void decode_documents(struct decoder *d, struct node **docs, size_t count, struct test_file *out)
{
	static const struct decode_list cases = { sizeof(struct test_case), decode_case, NULL, TEST_CASES_MAX };
	const struct node *all = docs[0];

	if (count != 1)
		(void)decode_error(d, docs[1], "expected one document, a list of requests; found %zu", count);
	else
		decode_list(d, all, &out->cases, &cases);
}

enum outcome test_file_read(const char *path, struct arena *a, struct problems *ps, struct test_file *out)
{
	struct decoder d = { .arena = a, .problems = ps, .where = { .file = path } };
	size_t count = 0, before = ps->errors;
	struct node **docs = NULL;
	struct text bytes;

	*out = (struct test_file){ .path = path };
	text_init(&bytes);
	if (!read_file(path, &bytes))
		problem_add(ps, SEVERITY_ERROR, d.where, "cannot be read: %s", strerror(errno));
	else if (yaml_read(a, path, text_slice(&bytes), ps, &docs, &count) == OK && count > 0)
		decode_documents(&d, docs, count, out);
	else if (ps->errors == before)
		problem_add(ps, SEVERITY_ERROR, d.where, "no requests");
	text_fini(&bytes);
	return ps->errors > before ? FAILED : OK;
}
