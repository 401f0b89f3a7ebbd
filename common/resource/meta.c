/* SPDX-License-Identifier: Apache-2.0
 *
 * `metadata`, which every document has (spec/gateway.md 1). */
#include <stdio.h>
#include <time.h>

#include "common/resource/document_priv.h"
#include "sallyport/hostname.h"

#define NAME_BYTES_MAX	253u
#define UNNAMED		"default"	/* kinds that need no name */

/* Two digits or more of an RFC 3339 time; -1: not digits. */
static int digits(const char *at, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		value = value * 10 + (at[i] - '0');
	}
	return value;
}

/* 2024-05-01T12:00:00[.fraction](Z|+02:00), to seconds since 1970. */
static bool parse_time(struct slice s, int64_t *out)
{
	struct tm t = { 0 };
	int offset = 0, hours, minutes;
	size_t i = 19;

	if (s.len < 20 || s.at[4] != '-' || s.at[7] != '-' || ascii_lower(s.at[10]) != 't' ||
	    s.at[13] != ':' || s.at[16] != ':')
		return false;
	t.tm_year = digits(s.at, 4) - 1900;
	t.tm_mon = digits(s.at + 5, 2) - 1;
	t.tm_mday = digits(s.at + 8, 2);
	t.tm_hour = digits(s.at + 11, 2);
	t.tm_min = digits(s.at + 14, 2);
	t.tm_sec = digits(s.at + 17, 2);
	if (t.tm_year < -1900 || t.tm_mon < 0 || t.tm_mon > 11 || t.tm_mday < 1 || t.tm_mday > 31 ||
	    t.tm_hour < 0 || t.tm_hour > 23 || t.tm_min < 0 || t.tm_min > 59 || t.tm_sec < 0 ||
	    t.tm_sec > 60)
		return false;
	if (s.at[i] == '.')
		for (i++; i < s.len && ascii_is_digit(s.at[i]);)
			i++;
	if (i + 1 == s.len && ascii_lower(s.at[i]) == 'z') {
		*out = timegm(&t);
		return true;
	}
	if (s.len != i + 6 || (s.at[i] != '+' && s.at[i] != '-') || s.at[i + 3] != ':')
		return false;
	hours = digits(s.at + i + 1, 2);
	minutes = digits(s.at + i + 4, 2);
	if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return false;
	offset = (hours * 60 + minutes) * 60;
	*out = timegm(&t) - (s.at[i] == '+' ? offset : -offset);
	return true;
}

static bool decode_time(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice text;

	if (!decode_string(d, n, &text, arg))
		return false;
	if (!parse_time(text, out))
		return decode_error(d, n, "\"%.*s\" is no time: write 2024-05-01T12:00:00Z",
				    SLICE_ARG(text));
	return true;
}

static bool is_name_char(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '.';
}

/* Every label of it letters, digits and inner hyphens. Upper case is left to the kinds. */
static bool is_object_name(struct slice s)
{
	if (s.len == 0 || s.len > NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_name_char(s.at[i]))
			return false;
	return s.at[0] != '-' && s.at[0] != '.' && s.at[s.len - 1] != '-' && s.at[s.len - 1] != '.';
}

static bool decode_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	if (!is_object_name(*name)) {
		decode_error(d, n, "bad name \"%.*s\": letters, digits, - and . up to %u characters, "
			     "a letter or digit at both ends", SLICE_ARG(*name), NAME_BYTES_MAX);
		*name = NO_SLICE;
		return false;
	}
	return true;
}

static bool decode_namespace(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *ns = out;

	if (!decode_string(d, n, ns, arg))
		return false;
	if (!hostname_is_label(*ns)) {
		decode_error(d, n, "bad namespace \"%.*s\": letters, digits and - up to %u characters",
			     SLICE_ARG(*ns), LABEL_BYTES_MAX);
		*ns = NO_SLICE;
		return false;
	}
	return true;
}

static const struct field meta_fields[] = {
	FIELD(struct meta, "name", name, decode_name, FIELD_OPTIONAL),
	FIELD(struct meta, "namespace", ns, decode_namespace, FIELD_OPTIONAL),
	FIELD(struct meta, "labels", labels, decode_labels, FIELD_OPTIONAL),
	FIELD(struct meta, "annotations", annotations, decode_string_map, FIELD_OPTIONAL),
	FIELD(struct meta, "creationTimestamp", created, decode_time, FIELD_OPTIONAL),
	/* What exports from a cluster carry along. */
	FIELD(struct meta, "uid", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "resourceVersion", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "generation", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "generateName", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "selfLink", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "managedFields", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "ownerReferences", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "finalizers", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "clusterName", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "deletionTimestamp", name, decode_ignored, FIELD_OPTIONAL),
	FIELD(struct meta, "deletionGracePeriodSeconds", name, decode_ignored, FIELD_OPTIONAL),
	FIELDS_END
};

/* Problems of the metadata itself should already name the document. */
static void name_decoder(struct decoder *d, const struct node *metadata, const char *default_ns,
			 const char *default_name)
{
	const struct node *name = node_get(metadata, "name"), *ns = node_get(metadata, "namespace");

	d->name = name != NULL && name->kind == NODE_SCALAR && name->text.len > 0 ? name->text.at : default_name;
	d->ns = ns != NULL && ns->kind == NODE_SCALAR && ns->text.len > 0 ? ns->text.at : default_ns;
}

struct meta *meta_decode(struct decoder *d, const struct node *root, const char *default_ns,
			 bool name_needed)
{
	const struct node *metadata = node_get(root, "metadata");
	struct meta *m = arena_new(d->arena, struct meta);
	bool absent = metadata == NULL || metadata->kind == NODE_NULL;
	size_t mark;

	m->kind = d->kind;
	m->where = root->where;
	name_decoder(d, metadata, default_ns, name_needed ? "?" : UNNAMED);
	mark = decode_push(d, "metadata");
	if (!absent)
		decode_mapping(d, metadata, meta_fields, m);
	decode_pop(d, mark);
	if (m->ns.at == NULL)
		m->ns = slice_of(default_ns);
	if (m->name.at != NULL)
		return m;
	m->name = SLICE(UNNAMED);
	if (!name_needed)
		return m;
	/* A bad name, or metadata that is no mapping, was told already. */
	if (absent || (metadata->kind == NODE_MAPPING && (node_get(metadata, "name") == NULL ||
							  node_get(metadata, "name")->kind == NODE_NULL)))
		decode_error(d, absent ? root : metadata, "metadata.name is missing: give the document a name");
	return NULL;
}
