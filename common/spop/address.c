/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/spop_address.h"

#include <string.h>
#include <sys/un.h>

#include "sallyport/cidr.h"

static bool parse_unix(const char *path, struct spop_address *out, const char **why)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->at;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(un->sun_path)) {
		*why = "a socket's path has 1 to 107 bytes: write unix:/run/sallyport/authz.sock";
		return false;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	out->len = sizeof(*un);
	return true;
}

static bool parse_host(struct slice host, uint16_t port, struct spop_address *out)
{
	bool brackets = host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';

	if (brackets)
		host = slice_make(host.at + 1, host.len - 2);
	out->len = ip_sockaddr(host, port, &out->at);
	return out->len > 0 && brackets == (out->at.ss_family == AF_INET6);
}

bool spop_address_parse(const char *text, struct spop_address *out, const char **why)
{
	struct slice s = slice_of(text);
	ptrdiff_t colon = slice_rfind(s, ':');
	uint64_t port;

	*out = (struct spop_address){ .len = 0 };
	if (slice_starts(s, SLICE("unix:")))
		return parse_unix(text + 5, out, why);
	if (colon < 0 || !slice_to_u64(slice_from(s, (size_t)colon + 1), &port) || port > UINT16_MAX) {
		*why = "no port: write unix:/path, 127.0.0.1:9000 or [::1]:9000";
		return false;
	}
	*why = "the host has to be numeric: write unix:/path, 127.0.0.1:9000 or [::1]:9000";
	return parse_host(slice_first(s, (size_t)colon), (uint16_t)port, out);
}
