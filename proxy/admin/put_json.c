/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/admin/put_json.h"

void put_next(struct put_json *j)
{
	if (j->begun)
		text_add_char(j->out, ',');
	j->begun = true;
}

void put_key(struct put_json *j, const char *name)
{
	put_next(j);
	text_printf(j->out, "\"%s\":", name);
}

void put_open(struct put_json *j, const char *name, char bracket)
{
	put_key(j, name);
	text_add_char(j->out, bracket);
	j->begun = false;
}

void put_open_item(struct put_json *j, char bracket)
{
	put_next(j);
	text_add_char(j->out, bracket);
	j->begun = false;
}

void put_close(struct put_json *j, char bracket)
{
	text_add_char(j->out, bracket);
	j->begun = true;
}

/* null where it is absent. */
void put_slice(struct put_json *j, const char *name, struct slice value)
{
	put_key(j, name);
	if (value.at != NULL)
		text_add_json(j->out, value);
	else
		text_add(j->out, SLICE("null"));
}

void put_text(struct put_json *j, const char *name, const char *value)
{
	put_slice(j, name, slice_of(value));
}

void put_number(struct put_json *j, const char *name, uint64_t value)
{
	put_key(j, name);
	text_printf(j->out, "%llu", (unsigned long long)value);
}

void put_bool(struct put_json *j, const char *name, bool value)
{
	put_key(j, name);
	text_add(j->out, value ? SLICE("true") : SLICE("false"));
}

void put_null(struct put_json *j, const char *name)
{
	put_slice(j, name, NO_SLICE);
}
