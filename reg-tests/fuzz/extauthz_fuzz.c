/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a provider's answer over gRPC: no crash, and what is taken from it cannot split a message or
 * send it elsewhere. */
#include "spoa/extauthz_priv.h"

#include <stdlib.h>

#include "sallyport/log.h"

#define FUZZ_BYTES_MAX	(64u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct slice name, struct slice value)
{
	must(name.len > 0 && name.at[0] != ':' && !slice_eq(name, SLICE("host")));
	for (size_t i = 0; i < value.len; i++)
		must(value.at[i] != '\r' && value.at[i] != '\n' && value.at[i] != '\0');
}

/* What a query parameter becomes splits nothing, and is found again. */
static void check_query(struct arena *a, const struct extauthz_header *h)
{
	struct slice target = SLICE("/x?a=b&%61=c");

	target = query_cut(a, target, h->name);
	if (h->how == QUERY_REMOVE)
		return;
	target = query_add(a, target, h->name, h->value);
	for (size_t i = 0; i < target.len; i++)
		must(target.at[i] > ' ' && target.at[i] < 0x7f && target.at[i] != '#');
	must(slice_eq(query_find(a, target, h->name), h->value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct extension_provider provider = { .kind = PROVIDER_GRPC };
	static struct extauthz_target target = { .provider = &provider };
	struct extauthz_answer a = { .result = EXTAUTHZ_ERROR };
	struct extauthz_call *c;

	if (size > FUZZ_BYTES_MAX)
		return 0;
	c = calloc(1, sizeof(*c));
	c->target = &target;
	c->arena = arena_create(0);
	c->response[c->response_count++] = (struct check_header){ SLICE("grpc-status"), SLICE("0") };
	/* The prefix that gRPC puts before a message: what is of interest stands behind it. */
	text_add(&c->body, slice_make("\0", 1));
	for (int shift = 24; shift >= 0; shift -= 8)
		text_add_char(&c->body, (char)(size >> shift));
	text_add(&c->body, slice_make(data, size));
	grpc_judge(c, 200, &a);
	must(a.result != EXTAUTHZ_ERROR || a.error != NULL);
	must(a.result != EXTAUTHZ_DENY || (a.status >= 200 && a.status <= 599));
	for (size_t i = 0; i < a.upstream.count; i++)
		if (a.upstream.items[i].how == QUERY_SET || a.upstream.items[i].how == QUERY_REMOVE)
			check_query(c->arena, &a.upstream.items[i]);
		else
			check_name(a.upstream.items[i].name, a.upstream.items[i].value);
	for (size_t i = 0; i < a.downstream.count; i++)
		check_name(a.downstream.items[i].name, a.downstream.items[i].value);
	text_fini(&c->body);
	arena_free(&c->arena);
	free(c);
	return 0;
}
