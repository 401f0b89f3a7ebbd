/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const unsigned char mapped_prefix[12] = { [10] = 0xff, [11] = 0xff };

static void set_v6(struct ip *out, const unsigned char *bytes)
{
	*out = (struct ip){ 0 };
	if (memcmp(bytes, mapped_prefix, sizeof(mapped_prefix)) == 0) {
		out->v4 = true;
		memcpy(out->bytes, bytes + sizeof(mapped_prefix), 4);
	} else {
		memcpy(out->bytes, bytes, 16);
	}
}

int ip_literal(struct slice s, unsigned char bytes[static 16])
{
	char text[IP_TEXT_BYTES];

	if (s.len == 0 || s.len >= sizeof(text) || memchr(s.at, '\0', s.len) != NULL)
		return AF_UNSPEC;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, text, bytes) == 1 ? AF_INET6 : AF_UNSPEC;
}

socklen_t ip_sockaddr(struct slice s, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	unsigned char bytes[16];

	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)ip_literal(s, bytes) };
	switch (out->ss_family) {
	case AF_INET:
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, bytes, sizeof(in->sin_addr));
		return sizeof(*in);
	case AF_INET6:
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, bytes, sizeof(in6->sin6_addr));
		return sizeof(*in6);
	default:
		return 0;
	}
}

bool ip_parse(struct slice s, struct ip *out)
{
	unsigned char bytes[16];

	*out = (struct ip){ 0 };
	switch (ip_literal(s, bytes)) {
	case AF_INET:
		out->v4 = true;
		memcpy(out->bytes, bytes, 4);
		return true;
	case AF_INET6:
		set_v6(out, bytes);
		return true;
	default:
		return false;
	}
}

bool ip_from_sockaddr(const struct sockaddr *sa, struct ip *out)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*out = (struct ip){ 0 };
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		out->v4 = true;
		memcpy(out->bytes, &in.sin_addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&in6, sa, sizeof(in6));
	set_v6(out, in6.sin6_addr.s6_addr);
	return true;
}

const char *ip_format(const struct ip *ip, char *out)
{
	if (inet_ntop(ip->v4 ? AF_INET : AF_INET6, ip->bytes, out, IP_TEXT_BYTES) == NULL)
		out[0] = '\0';
	return out;
}

static void mask(unsigned char *bytes, unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > 8 * i ? bits - 8 * i : 0;

		if (kept < 8)
			bytes[i] &= (unsigned char)(0xff00u >> kept);
	}
}

bool cidr_parse(struct slice s, struct cidr *out)
{
	ptrdiff_t slash = slice_find(s, '/');
	struct slice address = slash < 0 ? s : slice_first(s, (size_t)slash), prefix;
	unsigned most;
	uint64_t bits;

	*out = (struct cidr){ 0 };
	if (!ip_parse(address, &out->ip))
		return false;
	/* How many bits the writer counts: a mapped address was written with 128. */
	most = slice_find(address, ':') >= 0 ? 128 : 32;
	if (slash < 0) {
		out->bits = out->ip.v4 ? 32 : 128;
		return true;
	}
	prefix = slice_from(s, (size_t)slash + 1);
	if (!slice_to_u64(prefix, &bits) || bits > most || (prefix.len > 1 && prefix.at[0] == '0'))
		return false;
	if (most == 128 && out->ip.v4) {
		if (bits < 96)
			return false;	/* would reach out of the mapped addresses */
		bits -= 96;
	}
	out->bits = (unsigned)bits;
	mask(out->ip.bytes, out->bits);
	return true;
}

bool cidr_contains(const struct cidr *c, const struct ip *ip)
{
	struct ip masked = *ip;

	if (c->ip.v4 != ip->v4)
		return false;
	mask(masked.bytes, c->bits);
	return memcmp(masked.bytes, c->ip.bytes, sizeof(masked.bytes)) == 0;
}
