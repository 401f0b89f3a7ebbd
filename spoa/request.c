/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c - the request as one door sees it: headers by name, and the changes that a door makes
 * to it for the next one. */
#include "spoa/request_priv.h"

/* As HTTP/2 spells them, so that conditions can ask for them on either version. */
static struct slice pseudo_header(const struct request *r, struct slice name)
{
	if (slice_eq_nocase(name, SLICE(":method")))
		return r->check->method;
	if (slice_eq_nocase(name, SLICE(":path")))
		return r->target;
	if (slice_eq_nocase(name, SLICE(":authority")) || slice_eq_nocase(name, SLICE("host")))
		return r->authority;
	if (slice_eq_nocase(name, SLICE(":scheme")))
		return r->check->scheme;
	return NO_SLICE;
}

static bool is_pseudo(struct slice name)
{
	return name.len == 0 || name.at[0] == ':' || slice_eq_nocase(name, SLICE("host"));
}

static struct slice joined(const struct request *r, struct slice name, size_t bytes)
{
	char *begin = arena_alloc(r->check->arena, bytes), *at = begin;

	for (size_t i = 0; i < r->header_count; i++) {
		if (!slice_eq_nocase(r->headers[i].name, name))
			continue;
		if (at > begin)
			*at++ = ',';
		if (r->headers[i].value.len > 0)
			memcpy(at, r->headers[i].value.at, r->headers[i].value.len);
		at += r->headers[i].value.len;
	}
	return slice_make(begin, (size_t)(at - begin));
}

struct slice request_header(const struct request *r, struct slice name)
{
	struct slice only = NO_SLICE;
	size_t lines = 0, bytes = 0;

	if (is_pseudo(name))
		return pseudo_header(r, name);
	for (size_t i = 0; i < r->header_count; i++) {
		if (!slice_eq_nocase(r->headers[i].name, name))
			continue;
		only = r->headers[i].value.at != NULL ? r->headers[i].value : SLICE("");
		bytes += only.len + 1;
		lines++;
	}
	return lines < 2 ? only : joined(r, name, bytes);
}

void request_set_target(struct request *r, struct slice target)
{
	struct slice query;

	r->target = target;
	r->path = target.at != NULL ? path_split(target, &query) : NO_SLICE;
}

/* Changes */

void changes_init(struct changes *c, struct arena *arena)
{
	*c = (struct changes){ .arena = arena };
	c->last = &c->first;
	c->last_edit = &c->edits;
}

static void changes_push(struct changes *c, struct slice name, struct slice value)
{
	struct header_change *h = arena_new(c->arena, struct header_change);

	h->name = name;
	h->value = value;
	*c->last = h;
	c->last = &h->next;
}

void changes_remove_header(struct changes *c, struct slice name)
{
	changes_push(c, name, NO_SLICE);
}

void changes_add_header(struct changes *c, struct slice name, struct slice value)
{
	must(value.at != NULL);
	changes_push(c, name, value);
}

static void push_edit(struct changes *c, struct slice name, struct slice value)
{
	struct param_edit *e = arena_new(c->arena, struct param_edit);

	e->name = name;
	e->value = value;
	*c->last_edit = e;
	c->last_edit = &e->next;
}

void changes_cut_param(struct changes *c, struct slice name)
{
	push_edit(c, name, NO_SLICE);
}

void changes_set_param(struct changes *c, struct slice name, struct slice value)
{
	must(value.at != NULL);
	push_edit(c, name, value);
}

void changes_append(struct changes *c, struct changes *from)
{
	if (from->first != NULL) {
		*c->last = from->first;
		c->last = from->last;
	}
	if (from->edits != NULL) {
		*c->last_edit = from->edits;
		c->last_edit = from->last_edit;
	}
	changes_init(from, from->arena);
}

struct slice changes_to_target(const struct changes *c, struct slice target)
{
	for (const struct param_edit *e = c->edits; e != NULL; e = e->next) {
		target = query_cut(c->arena, target, e->name);
		if (e->value.at != NULL)
			target = query_add(c->arena, target, e->name, e->value);
	}
	return target;
}

static bool is_touched(const struct changes *c, struct slice name)
{
	for (const struct header_change *h = c->first; h != NULL; h = h->next)
		if (slice_eq_nocase(h->name, name))
			return true;
	return false;
}

/* What a touched name ends as: `values` (room for all changes) after the last removal. */
static size_t final_values(const struct changes *c, struct slice name, struct slice *values)
{
	size_t count = 0;

	for (const struct header_change *h = c->first; h != NULL; h = h->next) {
		if (!slice_eq_nocase(h->name, name))
			continue;
		if (h->value.at == NULL)
			count = 0;
		else
			values[count++] = h->value;
	}
	return count;
}

static bool is_first_of_name(const struct changes *c, const struct header_change *h)
{
	for (const struct header_change *e = c->first; e != h; e = e->next)
		if (slice_eq_nocase(e->name, h->name))
			return false;
	return true;
}

static size_t change_count(const struct changes *c)
{
	size_t count = 0;

	for (const struct header_change *h = c->first; h != NULL; h = h->next)
		count++;
	return count;
}

static void apply_headers(struct request *r, const struct changes *c)
{
	size_t most = change_count(c), count = 0, value_count;
	struct check_header *out = arena_array(c->arena, struct check_header, r->header_count + most);
	struct slice *values = arena_array(c->arena, struct slice, most);

	for (size_t i = 0; i < r->header_count; i++)
		if (!is_touched(c, r->headers[i].name))
			out[count++] = r->headers[i];
	for (const struct header_change *h = c->first; h != NULL; h = h->next) {
		if (!is_first_of_name(c, h))
			continue;
		value_count = final_values(c, h->name, values);
		for (size_t i = 0; i < value_count; i++)
			out[count++] = (struct check_header){ h->name, values[i] };
	}
	r->headers = out;
	r->header_count = count;
}

void request_apply(struct request *r, const struct changes *c)
{
	if (c->first != NULL)
		apply_headers(r, c);
	if (c->edits != NULL)
		request_set_target(r, changes_to_target(c, r->target));
}

static bool has_header(const struct request *r, struct slice name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (slice_eq_nocase(r->headers[i].name, name))
			return true;
	return false;
}

void changes_to_verdict(const struct changes *c, const struct request *received, struct verdict *v)
{
	size_t most = change_count(c), count;
	struct slice *values;

	if (most == 0)
		return;
	values = arena_array(c->arena, struct slice, most);
	v->header_del.items = arena_array(c->arena, struct slice, most);
	v->header_set.items = arena_array(c->arena, struct check_header, most);
	v->header_add.items = arena_array(c->arena, struct check_header, most);
	for (const struct header_change *h = c->first; h != NULL; h = h->next) {
		if (!is_first_of_name(c, h))
			continue;
		count = final_values(c, h->name, values);
		if (count == 0 && has_header(received, h->name))
			v->header_del.items[v->header_del.count++] = h->name;
		if (count > 0)
			v->header_set.items[v->header_set.count++] =
				(struct check_header){ h->name, values[0] };
		for (size_t i = 1; i < count; i++)
			v->header_add.items[v->header_add.count++] =
				(struct check_header){ h->name, values[i] };
	}
}
