/* SPDX-License-Identifier: Apache-2.0
 * The first bytes of a connection from a balancer: an accepted header lies within what was peeked, its
 * last byte decides, and written anew it says the same. */
#include <stdlib.h>

#include "proxy/net/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool what)
{
	if (!what)
		abort();
}

static void write_anew(const struct proxy_header *h, unsigned version)
{
	char out[PROXY_PROTOCOL_WRITTEN_MAX];
	size_t len = proxy_protocol_write(version, (const struct sockaddr *)&h->source,
					  (const struct sockaddr *)&h->destination, out);
	struct proxy_header again;

	expect(len <= sizeof(out));
	expect(proxy_protocol_parse(slice_make(out, len), &again) == PROXY_PROTOCOL_OK);
	expect(again.len == len && !again.local);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_make(data, size);
	struct proxy_header h, cut;

	if (proxy_protocol_parse(in, &h) != PROXY_PROTOCOL_OK) {
		expect(h.len == 0);
		return 0;
	}
	expect(h.len > 0 && h.len <= size && h.len <= PROXY_PROTOCOL_MAX);
	expect(proxy_protocol_parse(slice_first(in, h.len - 1), &cut) == PROXY_PROTOCOL_MORE);
	if (!h.local) {
		write_anew(&h, 1);
		write_anew(&h, 2);
	}
	return 0;
}
