/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/http/grpc.h"

#include "sallyport/object.h"

#define TIMEOUT_NUMBER_MAX	99999999	/* of GRPC_TIMEOUT_DIGITS_MAX digits */

bool grpc_is_type(struct slice type)
{
	return slice_eq(type, SLICE("application/grpc")) || slice_starts(type, SLICE("application/grpc+"));
}

bool grpc_is_request(const struct message *request)
{
	return request != NULL && grpc_is_type(headers_value(&request->headers, HEADER_CONTENT_TYPE));
}

unsigned grpc_status_of(unsigned http_status)
{
	switch (http_status) {
	case 400:	return 13;	/* INTERNAL */
	case 401:	return 16;	/* UNAUTHENTICATED */
	case 403:	return 7;	/* PERMISSION_DENIED */
	case 404:	return 12;	/* UNIMPLEMENTED */
	case 429:
	case 502:
	case 503:
	case 504:	return 14;	/* UNAVAILABLE */
	default:	return 2;	/* UNKNOWN */
	}
}

/* Bytes outside 0x20-0x7d and `%` as %XX. */
struct slice grpc_message(struct slice text, struct arena *a)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(a, 3 * text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c >= 0x20 && c <= 0x7d && c != '%') {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '%';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	return slice_make(out, n);
}

void grpc_set_status(struct message *response, unsigned status, struct slice text)
{
	struct headers *h = &response->headers;

	headers_set_id(h, HEADER_GRPC_STATUS, slice_of(arena_printf(h->arena, "%u", status)));
	if (text.len > 0)
		headers_set_id(h, HEADER_GRPC_MESSAGE,
			       grpc_message(slice_first(text, GRPC_MESSAGE_TEXT_MAX), h->arena));
}

/* ---- grpc-timeout ---- */

static const struct unit {
	char name;
	int64_t ms;		/* 0: a fraction of one */
	int64_t in_ms;		/* of those, how many make one */
} units[] = {
	{ 'H', 3600000, 0 }, { 'M', 60000, 0 }, { 'S', 1000, 0 }, { 'm', 1, 0 },
	{ 'u', 0, 1000 }, { 'n', 0, 1000000 },
};

int64_t grpc_timeout_ms(struct slice value)
{
	uint64_t number;

	if (value.len < 2 || value.len > GRPC_TIMEOUT_DIGITS_MAX + 1 ||
	    !slice_to_u64(slice_first(value, value.len - 1), &number))
		return 0;
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		const struct unit *u = &units[i];

		if (value.at[value.len - 1] != u->name)
			continue;
		return u->ms > 0 ? (int64_t)number * u->ms : ((int64_t)number + u->in_ms - 1) / u->in_ms;
	}
	return 0;
}

struct slice grpc_timeout_text(int64_t ms, struct arena *a)
{
	static const struct { int64_t ms; char name; } coarser[] = {
		{ 1, 'm' }, { 1000, 'S' }, { 60000, 'M' }, { 3600000, 'H' },
	};
	size_t i = 0;
	int64_t number;

	while (i + 1 < COUNT_OF(coarser) && ms / coarser[i].ms > TIMEOUT_NUMBER_MAX)
		i++;
	number = ms / coarser[i].ms;
	if (number > TIMEOUT_NUMBER_MAX)
		number = TIMEOUT_NUMBER_MAX;
	return slice_of(arena_printf(a, "%lld%c", (long long)number, coarser[i].name));
}
