/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/export_to.h"

#include "sallyport/hostname.h"

/* The namespace that an entry stands for. */
static struct slice resolved(struct slice entry, struct slice own_ns)
{
	return slice_eq(entry, SLICE(".")) ? own_ns : entry;
}

static bool check_entry(struct decoder *d, const struct export_to *e, size_t index)
{
	struct slice own = slice_of(d->ns), text = e->items[index].text;
	struct where where = e->items[index].where;

	if (!slice_eq(text, SLICE("*")) && !slice_eq(text, SLICE(".")) && !hostname_is_label(text))
		return decode_problem(
			d, SEVERITY_ERROR, where,
			"bad exportTo value \"%.*s\", use \".\", \"*\" or a namespace",
			SLICE_ARG(text));
	for (size_t i = 0; i < index; i++)
		if (slice_eq(resolved(e->items[i].text, own), resolved(text, own)))
			return decode_problem(d, SEVERITY_ERROR, where,
					      "duplicate exportTo value \"%.*s\"%s",
					      SLICE_ARG(text),
					      slice_eq(e->items[i].text, text)
						      ? ""
						      : ": \".\" is the resource's own namespace");
	return true;
}

bool decode_export_to(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct export_to *e = out;
	bool ok = decode_string_list(d, n, e, NULL), everybody = false;

	(void)arg;
	if (!ok)
		return false;
	for (size_t i = 0; i < e->count; i++) {
		size_t mark = decode_push_index(d, i);

		ok = check_entry(d, e, i) && ok;
		everybody = everybody || slice_eq(e->items[i].text, SLICE("*"));
		decode_pop(d, mark);
	}
	if (ok && everybody && e->count > 1)
		return decode_error(d, n, "\"*\" must stand alone");
	return ok;
}

bool export_to_visible(const struct export_to *e, struct slice own_ns, struct slice proxy_ns)
{
	for (size_t i = 0; i < e->count; i++)
		if (slice_eq(e->items[i].text, SLICE("*")) ||
		    slice_eq(resolved(e->items[i].text, own_ns), proxy_ns))
			return true;
	return e->count == 0;
}
