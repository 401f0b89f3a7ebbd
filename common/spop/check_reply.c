/* SPDX-License-Identifier: Apache-2.0
 *
 * check_reply.c - the agent's answer as reply variables (spec/spop.md 13.3). `allow` is the last
 * one: whoever reads half an answer finds no permission in it. */
#include "sallyport/check_request.h"

#include <stddef.h>

#include "sallyport/names.h"
#include "sallyport/object.h"

#define VARIABLE_NAME_MAX	32
#define STATUS_MAX		999

struct variable {
	struct slice name;
	enum spop_type type;
	size_t offset;
};

#define VARIABLE(text, member, type) \
	{ { text, sizeof(text) - 1 }, type, offsetof(struct check_reply, member) }

/* In the order of sending; those of type STRING and BINARY are slices. */
static const struct variable variables[] = {
	VARIABLE("reason",              reason,              SPOP_STRING),
	VARIABLE("body",                body,                SPOP_STRING),
	VARIABLE("content_type",        content_type,        SPOP_STRING),
	VARIABLE("www_authenticate",    www_authenticate,    SPOP_STRING),
	VARIABLE("hdr_del",             headers_remove,      SPOP_BINARY),
	VARIABLE("hdr_set",             headers_set,         SPOP_BINARY),
	VARIABLE("hdr_add",             headers_add,         SPOP_BINARY),
	VARIABLE("resp_hdr_set",        response_set,        SPOP_BINARY),
	VARIABLE("path_out",            path_out,            SPOP_STRING),
	VARIABLE("principal",           principal,           SPOP_STRING),
	VARIABLE("payload",             payload,             SPOP_STRING),
	VARIABLE("policy",              policy,              SPOP_STRING),
	VARIABLE("detail",              detail,              SPOP_STRING),
	VARIABLE("why",                 why,                 SPOP_STRING),
	VARIABLE("shadow",              shadow,              SPOP_STRING),
	VARIABLE("claims",              claims,              SPOP_STRING),
	VARIABLE("claim_values",        claim_values,        SPOP_BINARY),
	VARIABLE("strip_authorization", strip_authorization, SPOP_BOOL),
	VARIABLE("allow",               allow,               SPOP_BOOL),
};

static void write_variable(struct spop_writer *w, const struct variable *v,
			   const struct check_reply *reply)
{
	const void *field = (const char *)reply + v->offset;

	if (v->type == SPOP_BOOL) {
		if (!*(const bool *)field && v->offset != offsetof(struct check_reply, allow))
			return;
		spop_write_set_var(w, SPOP_TXN, v->name);
		spop_write_bool(w, *(const bool *)field);
		return;
	}
	if (((const struct slice *)field)->at == NULL)
		return;
	spop_write_set_var(w, SPOP_TXN, v->name);
	if (v->type == SPOP_STRING)
		spop_write_string(w, *(const struct slice *)field);
	else
		spop_write_binary(w, *(const struct slice *)field);
}

static void write_variables(struct spop_writer *w, const struct check_reply *reply)
{
	spop_write_set_var(w, SPOP_TXN, SLICE("status"));
	spop_write_uint32(w, reply->status);
	if (reply->body_wanted > 0) {
		spop_write_set_var(w, SPOP_TXN, SLICE("body_wanted"));
		spop_write_uint32(w, reply->body_wanted);
	}
	for (size_t i = 0; i < COUNT_OF(variables); i++)
		write_variable(w, &variables[i], reply);
}

void check_reply_write(struct spop_writer *w, const struct check_reply *reply)
{
	struct spop_writer before = *w;
	struct check_reply shorter;

	write_variables(w, reply);
	if (!w->full || before.full || (reply->claims.at == NULL && reply->claim_values.at == NULL))
		return;
	*w = before;
	shorter = *reply;
	shorter.claims = shorter.claim_values = NO_SLICE;
	if (slice_eq(reply->reason, SLICE("ok")))
		shorter.reason = SLICE("ok,claims-omitted");
	write_variables(w, &shorter);
}

void check_reply_write_header_variable(struct spop_writer *w, struct slice header,
				       struct slice value)
{
	char name[VARIABLE_NAME_MAX] = "h_";
	size_t len = 2;

	if (header.len == 0 || header.len > sizeof(name) - len)
		return;
	for (size_t i = 0; i < header.len; i++) {
		char c = ascii_lower(header.at[i]);

		name[len++] = ascii_is_alnum(c) ? c : '_';
	}
	spop_write_set_var(w, SPOP_TXN, slice_make(name, len));
	spop_write_string(w, value);
}

/* ---- reading ---- */

static bool is_clean_value(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '\r' || s.at[i] == '\n' || s.at[i] == '\0')
			return false;
	return true;
}

bool check_headers_are_clean(struct slice hdrs_bin)
{
	struct spop_reader r = spop_reader_of(hdrs_bin);
	struct slice name, value;
	enum outcome o;

	if (hdrs_bin.at == NULL)
		return true;
	while ((o = spop_read_header(&r, &name, &value)) == OK)
		if (!name_is_token(name) || !is_clean_value(value))
			return false;
	return o == CLOSED;
}

bool check_names_are_clean(struct slice names_bin)
{
	struct spop_reader r = spop_reader_of(names_bin);
	struct slice name;
	enum outcome o;

	if (names_bin.at == NULL)
		return true;
	while ((o = spop_read_name(&r, &name)) == OK)
		if (!name_is_token(name))
			return false;
	return o == CLOSED;
}

static const struct variable *find_variable(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(variables); i++)
		if (slice_eq(variables[i].name, name))
			return &variables[i];
	return NULL;
}

/* NULL unsets. False: of a type that the variable cannot have. */
static bool take_variable(const struct variable *v, const struct spop_value *value,
			  struct check_reply *out)
{
	void *field = (char *)out + v->offset;

	if (v->type == SPOP_BOOL) {
		*(bool *)field = value->boolean;	/* false for NULL */
		return value->type == SPOP_BOOL || value->type == SPOP_NULL;
	}
	*(struct slice *)field = value->bytes;		/* absent for NULL */
	return value->type == SPOP_STRING || value->type == SPOP_BINARY ||
	       value->type == SPOP_NULL;
}

static bool take_status(const struct spop_value *value, struct check_reply *out)
{
	out->status = value->number <= STATUS_MAX ? (unsigned)value->number : 0;
	return (spop_value_is_number(value) && value->number <= STATUS_MAX) ||
	       value->type == SPOP_NULL;
}

static bool take_body_wanted(const struct spop_value *value, struct check_reply *out)
{
	out->body_wanted = value->number <= UINT32_MAX ? (uint32_t)value->number : 0;
	return (spop_value_is_number(value) && value->number <= UINT32_MAX) || value->type == SPOP_NULL;
}

static bool reply_is_clean(const struct check_reply *reply)
{
	return check_headers_are_clean(reply->headers_set) &&
	       check_headers_are_clean(reply->headers_add) &&
	       check_headers_are_clean(reply->response_set) &&
	       check_names_are_clean(reply->headers_remove) &&
	       is_clean_value(reply->www_authenticate) && is_clean_value(reply->content_type) &&
	       is_clean_value(reply->path_out);
}

enum outcome check_reply_read(struct slice payload, struct check_reply *out)
{
	struct spop_reader r = spop_reader_of(payload);
	const struct variable *v;
	struct spop_action a;
	bool has_allow = false;

	*out = (struct check_reply){ .allow = false };
	while (spop_read_action(&r, &a)) {
		if (slice_eq(a.name, SLICE("status"))) {
			if (!take_status(&a.value, out))
				return FAILED;
			continue;
		}
		if (slice_eq(a.name, SLICE("body_wanted"))) {
			if (!take_body_wanted(&a.value, out))
				return FAILED;
			continue;
		}
		v = find_variable(a.name);
		if (v == NULL)
			continue;
		if (!take_variable(v, &a.value, out))
			return FAILED;
		if (v->offset == offsetof(struct check_reply, allow))
			has_allow = a.value.type == SPOP_BOOL;
	}
	return !r.broken && has_allow && reply_is_clean(out) ? OK : FAILED;
}
