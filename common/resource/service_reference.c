/* SPDX-License-Identifier: Apache-2.0
 *
 * service_reference.c - how documents name a service and its port: `host`, `port: {number}`. */
#include "sallyport/decode.h"
#include "sallyport/hostname.h"

bool decode_service_host(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *host = out;
	const char *problem;

	if (!decode_string(d, n, host, arg))
		return false;
	if (host->len == 0)
		return decode_error(d, n, "an empty host");
	if (hostname_is_ip(*host))
		return decode_error(d, n,
				    "\"%.*s\" is an address: declare it through a ServiceEntry "
				    "(resolution: STATIC) and name that host",
				    SLICE_ARG(*host));
	problem = hostname_wildcard_problem(*host);
	if (problem != NULL)
		return decode_error(d, n, "host \"%.*s\" %s", SLICE_ARG(*host), problem);
	*host = hostname_normalise(d->arena, *host);
	return true;
}

struct port_selector {
	uint32_t number;
};

bool decode_port_selector(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	const struct field fields[] = {
		FIELD(struct port_selector, "number", number, arg != NULL ? decode_u32 : decode_port,
		      FIELD_REQUIRED),
		FIELDS_END
	};
	struct port_selector port = { 0 };

	if (!decode_mapping(d, n, fields, &port))
		return false;
	*(uint32_t *)out = port.number;
	return true;
}
