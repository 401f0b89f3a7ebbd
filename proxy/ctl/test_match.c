/* SPDX-License-Identifier: Apache-2.0
 *
 * test_match.c - see test_match.h. */
#include "proxy/ctl/test_match.h"

#include <stdio.h>
#include <stdlib.h>

#include "sallyport/regex.h"

#define PATH_BYTES	512
#define FOUND_BYTES	300	/* of what was found, that are printed */

struct comparison {
	struct text *out;
	char path[PATH_BYTES];
	size_t path_len;
};

static size_t push(struct comparison *c, const char *fmt, struct slice name)
{
	size_t mark = c->path_len;
	int n = snprintf(c->path + mark, sizeof(c->path) - mark, fmt, SLICE_ARG(name));

	if (n > 0)
		c->path_len += (size_t)n;
	if (c->path_len >= sizeof(c->path))
		c->path_len = sizeof(c->path) - 1;
	return mark;
}

static void pop(struct comparison *c, size_t mark)
{
	c->path_len = mark;
	c->path[mark] = '\0';
}

static void add_found(struct text *out, const json_t *found)
{
	char *text = found != NULL ? json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	text_printf(out, "found %.*s%s", FOUND_BYTES, text != NULL ? text : "nothing",
		    text != NULL && strlen(text) > FOUND_BYTES ? "..." : "");
	free(text);
}

static void differ(struct comparison *c, const char *what, struct slice expected, const json_t *found)
{
	text_printf(c->out, "%s: expected %s%.*s, ", c->path, what, SLICE_ARG(expected));
	add_found(c->out, found);
	text_add_char(c->out, '\n');
}

static struct slice json_text(const json_t *j)
{
	return slice_make(json_string_value(j), json_string_length(j));
}

/* ---- values ---- */

static bool scalar_equals(const struct node *expected, const json_t *found)
{
	char number[32];

	if (json_is_string(found))
		return slice_eq(json_text(found), expected->text);
	if (expected->quoted)
		return false;
	if (json_is_boolean(found))
		return slice_eq(expected->text, json_is_true(found) ? SLICE("true") : SLICE("false"));
	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(found));
	return json_is_integer(found) && slice_eq(expected->text, slice_of(number));
}

/* Of an object what it is called. */
static const json_t *name_of(const json_t *found)
{
	const json_t *name = json_object_get(found, "name");

	return name != NULL ? name : json_object_get(found, "domain");
}

static void match_scalar(struct comparison *c, const struct node *expected, const json_t *found)
{
	if (json_is_object(found) && name_of(found) != NULL)
		found = name_of(found);
	if (!scalar_equals(expected, found))
		differ(c, "", expected->text, found);
}

static bool regex_holds(struct slice pattern, struct slice text)
{
	struct regex_error why;
	struct regex *r = regex_create(pattern, REGEX_FULL, &why);
	bool holds = r != NULL && regex_match(r, text) == REGEX_YES;

	regex_free(&r);
	return holds;
}

/* {prefix: x} and its kind. */
static void match_text(struct comparison *c, const struct node *expected, const json_t *found)
{
	const struct node *value = expected->count == 1 ? expected->pairs[0].value : NULL;
	struct slice kind = value != NULL ? expected->pairs[0].key : NO_SLICE;

	if (value == NULL || value->kind != NODE_SCALAR)
		differ(c, "exact, prefix or regex", NO_SLICE, found);
	else if (slice_eq(kind, SLICE("exact")) ? !slice_eq(json_text(found), value->text) :
		 slice_eq(kind, SLICE("prefix")) ? !slice_starts(json_text(found), value->text) :
		 !slice_eq(kind, SLICE("regex")) || !regex_holds(value->text, json_text(found)))
		differ(c, slice_eq(kind, SLICE("exact")) ? "exact " : slice_eq(kind, SLICE("prefix")) ? "prefix " :
		       slice_eq(kind, SLICE("regex")) ? "regex " : "exact, prefix or regex, not ", value->text, found);
}

/* ---- lists and objects ---- */

static void match_any(struct comparison *c, const struct node *expected, const json_t *found);

static void match_object(struct comparison *c, const struct node *expected, const json_t *found)
{
	for (size_t i = 0; i < expected->count; i++) {
		const struct node_pair *p = &expected->pairs[i];
		size_t mark = push(c, c->path_len > 0 ? ".%.*s" : "%.*s", p->key);
		const json_t *member = json_object_getn(found, p->key.at, p->key.len);

		if (member == NULL)
			text_printf(c->out, "%s: explain tells no such thing\n", c->path);
		else
			match_any(c, p->value, member);
		pop(c, mark);
	}
}

static bool is_pair(const json_t *j)
{
	return json_array_size(j) == 2 && json_is_string(json_array_get(j, 0)) && json_is_string(json_array_get(j, 1));
}

/* All values of that name, joined as HTTP joins them; NULL: there is none. The caller's. */
static json_t *header_value(const json_t *list, struct slice name)
{
	struct text joined;
	json_t *value = NULL;
	const json_t *pair;
	size_t i;

	text_init(&joined);
	json_array_foreach((json_t *)list, i, pair) {
		if (!is_pair(pair) || !slice_eq_nocase(json_text(json_array_get(pair, 0)), name))
			continue;
		if (value != NULL)
			text_add(&joined, SLICE(","));
		text_add(&joined, json_text(json_array_get(pair, 1)));
		json_decref(value);
		value = json_stringn(text_slice(&joined).at, joined.len);
	}
	text_fini(&joined);
	return value;
}

static void match_headers(struct comparison *c, const struct node *expected, const json_t *found)
{
	for (size_t i = 0; i < expected->count; i++) {
		const struct node_pair *p = &expected->pairs[i];
		size_t mark = push(c, ".%.*s", p->key);
		json_t *value = header_value(found, p->key);

		if (p->value->kind == NODE_NULL && value != NULL)
			differ(c, "none", NO_SLICE, value);
		else if (p->value->kind != NODE_NULL && value == NULL)
			differ(c, "one", NO_SLICE, NULL);
		else if (value != NULL)
			match_any(c, p->value, value);
		json_decref(value);
		pop(c, mark);
	}
}

static void match_list(struct comparison *c, const struct node *expected, const json_t *found)
{
	char count[32];

	if (!json_is_array(found) || json_array_size(found) != expected->count) {
		snprintf(count, sizeof(count), "%zu", expected->count);
		differ(c, "a list of ", slice_of(count), found);
		return;
	}
	for (size_t i = 0; i < expected->count; i++) {
		size_t mark;

		snprintf(count, sizeof(count), "%zu", i);
		mark = push(c, "[%.*s]", slice_of(count));
		match_any(c, expected->items[i], json_array_get(found, i));
		pop(c, mark);
	}
}

static void match_any(struct comparison *c, const struct node *expected, const json_t *found)
{
	switch (expected->kind) {
	case NODE_NULL:
		if (!json_is_null(found))
			differ(c, "null", NO_SLICE, found);
		break;
	case NODE_SCALAR:
		match_scalar(c, expected, found);
		break;
	case NODE_SEQUENCE:
		match_list(c, expected, found);
		break;
	case NODE_MAPPING:
		if (json_is_object(found))
			match_object(c, expected, found);
		else if (json_is_string(found))
			match_text(c, expected, found);
		else if (json_is_array(found) && (json_array_size(found) == 0 || is_pair(json_array_get(found, 0))))
			match_headers(c, expected, found);
		else
			differ(c, "members", NO_SLICE, found);
		break;
	}
}

void test_match(const struct node *expected, const json_t *found, struct text *differences)
{
	struct comparison c = { .out = differences };

	match_any(&c, expected, found);
}
