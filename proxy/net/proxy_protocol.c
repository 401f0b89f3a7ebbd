/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/proxy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_LOCAL		0u
#define COMMAND_PROXY		1u
#define FAMILY_INET		1u
#define FAMILY_INET6		2u
#define TRANSPORT_STREAM	1u
#define TRANSPORT_DGRAM		2u
#define TLV_CRC32C		3u
#define TLV_HEAD		3u	/* type and length */
#define CRC_BYTES		4u
#define CRC32C_POLYNOMIAL	0x82f63b78u	/* Castagnoli, bits reversed */
#define ADDRESSES_INET		12u
#define ADDRESSES_INET6		36u

static const char v1_signature[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- addresses ---- */

static bool is_host_v4(uint32_t address)
{
	return address != INADDR_ANY && address != INADDR_BROADCAST && !IN_MULTICAST(address);
}

/* An address that one end of a TCP connection can have. */
static bool is_host(const struct sockaddr_storage *a)
{
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
	uint32_t mapped;

	if (a->ss_family == AF_INET)
		return is_host_v4(ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr));
	if (!IN6_IS_ADDR_V4MAPPED(in6))
		return !IN6_IS_ADDR_UNSPECIFIED(in6) && !IN6_IS_ADDR_MULTICAST(in6);
	memcpy(&mapped, in6->s6_addr + 12, sizeof(mapped));
	return is_host_v4(ntohl(mapped));
}

/* Both in network order. */
static void set_address(struct sockaddr_storage *out, int family, const void *address, const void *port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	if (family == AF_INET) {
		memcpy(&in->sin_addr, address, sizeof(in->sin_addr));
		memcpy(&in->sin_port, port, sizeof(in->sin_port));
	} else {
		memcpy(&in6->sin6_addr, address, sizeof(in6->sin6_addr));
		memcpy(&in6->sin6_port, port, sizeof(in6->sin6_port));
	}
}

static enum proxy_protocol_result checked(const struct proxy_header *h)
{
	return is_host(&h->source) && is_host(&h->destination) ? PROXY_PROTOCOL_OK : PROXY_PROTOCOL_BAD;
}

/* ---- version 1: one line of text ---- */

/* The word up to the next space; absent: there is none, or it is empty. */
static struct slice take_word(struct slice *line)
{
	struct slice word = slice_cut(line, ' ');

	return word.len > 0 ? word : NO_SLICE;
}

/* 0..65535 without sign or leading zero, to network order. */
static bool read_port(struct slice word, uint16_t *out)
{
	uint64_t number;

	if (word.at == NULL || (word.len > 1 && word.at[0] == '0') || !slice_to_u64(word, &number) ||
	    number > UINT16_MAX)
		return false;
	*out = htons((uint16_t)number);
	return true;
}

static bool read_literal(struct slice word, int family, void *out)
{
	char text[INET6_ADDRSTRLEN];

	if (word.at == NULL || word.len >= sizeof(text) || memchr(word.at, '\0', word.len) != NULL)
		return false;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	return inet_pton(family, text, out) == 1;
}

/* `line`: what stands between the signature and CRLF. */
static enum proxy_protocol_result read_line(struct slice line, struct proxy_header *h)
{
	struct slice family_word = take_word(&line), source, destination;
	unsigned char from[16], to[16];
	uint16_t from_port, to_port;
	int family;

	if (slice_eq(family_word, SLICE("UNKNOWN"))) {	/* whatever follows */
		h->local = true;
		return PROXY_PROTOCOL_OK;
	}
	family = slice_eq(family_word, SLICE("TCP4")) ? AF_INET :
		 slice_eq(family_word, SLICE("TCP6")) ? AF_INET6 : AF_UNSPEC;
	source = take_word(&line);
	destination = take_word(&line);
	if (family == AF_UNSPEC || !read_literal(source, family, from) ||
	    !read_literal(destination, family, to) || !read_port(take_word(&line), &from_port) ||
	    !read_port(line, &to_port))
		return PROXY_PROTOCOL_BAD;
	set_address(&h->source, family, from, &from_port);
	set_address(&h->destination, family, to, &to_port);
	return checked(h);
}

static enum proxy_protocol_result parse_v1(struct slice peeked, struct proxy_header *h)
{
	const size_t signature = sizeof(v1_signature) - 1;
	struct slice line = slice_first(peeked, peeked.len < PROXY_PROTOCOL_V1_MAX ? peeked.len :
										      PROXY_PROTOCOL_V1_MAX);
	ptrdiff_t end = slice_find(line, '\r');

	h->version = 1;
	if (end < 0 || (size_t)end + 1 == line.len)
		return line.len < PROXY_PROTOCOL_V1_MAX ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
	if (line.at[end + 1] != '\n')
		return PROXY_PROTOCOL_BAD;
	h->len = (size_t)end + 2;
	return read_line(slice_make(line.at + signature, (size_t)end - signature), h);
}

/* ---- version 2: binary ---- */

static uint32_t crc32c(uint32_t crc, const unsigned char *at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= at[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (CRC32C_POLYNOMIAL & (0u - (crc & 1)));
	}
	return crc;
}

/* Of the whole header, with zeros where the sum itself stands. */
static bool sum_is_right(const unsigned char *header, size_t len, size_t sum_at)
{
	static const unsigned char zeros[CRC_BYTES];
	const unsigned char *sum = header + sum_at;
	uint32_t crc = crc32c(UINT32_MAX, header, sum_at);

	crc = crc32c(crc, zeros, CRC_BYTES);
	crc = ~crc32c(crc, sum + CRC_BYTES, len - sum_at - CRC_BYTES);
	return crc == ((uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3]);
}

/* Nothing in them is used but the sum; yet none may reach beyond the header. */
static bool tlvs_are_sound(const unsigned char *header, size_t at, size_t len)
{
	bool summed = false;

	while (at < len) {
		size_t bytes;

		if (len - at < TLV_HEAD)
			return false;
		bytes = (size_t)header[at + 1] << 8 | header[at + 2];
		if (bytes > len - at - TLV_HEAD)
			return false;
		if (header[at] == TLV_CRC32C) {
			if (summed || bytes != CRC_BYTES || !sum_is_right(header, len, at + TLV_HEAD))
				return false;
			summed = true;
		}
		at += TLV_HEAD + bytes;
	}
	return true;
}

/* The addresses of `family` with their ports; returns how many bytes they are, 0: not served. */
static size_t read_addresses(const unsigned char *at, size_t len, unsigned family, struct proxy_header *h)
{
	if (family == FAMILY_INET && len >= ADDRESSES_INET) {
		set_address(&h->source, AF_INET, at, at + 8);
		set_address(&h->destination, AF_INET, at + 4, at + 10);
		return ADDRESSES_INET;
	}
	if (family == FAMILY_INET6 && len >= ADDRESSES_INET6) {
		set_address(&h->source, AF_INET6, at, at + 32);
		set_address(&h->destination, AF_INET6, at + 16, at + 34);
		return ADDRESSES_INET6;
	}
	return 0;
}

static enum proxy_protocol_result parse_v2(struct slice peeked, struct proxy_header *h)
{
	const unsigned char *at = (const unsigned char *)peeked.at;
	unsigned command, family, transport;
	size_t length, addresses;

	h->version = 2;
	if (peeked.len > 12 && (at[12] >> 4 != 2 || (at[12] & 15) > COMMAND_PROXY))
		return PROXY_PROTOCOL_BAD;
	if (peeked.len < PROXY_PROTOCOL_V2_FIXED)
		return PROXY_PROTOCOL_MORE;
	command = at[12] & 15;
	family = at[13] >> 4;
	transport = at[13] & 15;
	length = (size_t)at[14] << 8 | at[15];
	if (length > PROXY_PROTOCOL_V2_LENGTH_MAX)
		return PROXY_PROTOCOL_BAD;
	h->len = PROXY_PROTOCOL_V2_FIXED + length;
	if (peeked.len < h->len)
		return PROXY_PROTOCOL_MORE;
	h->local = command == COMMAND_LOCAL;
	if (h->local)
		return PROXY_PROTOCOL_OK;
	if (transport != TRANSPORT_STREAM && transport != TRANSPORT_DGRAM)
		return PROXY_PROTOCOL_BAD;
	addresses = read_addresses(at + PROXY_PROTOCOL_V2_FIXED, length, family, h);
	if (addresses == 0 || !tlvs_are_sound(at, PROXY_PROTOCOL_V2_FIXED + addresses, h->len))
		return PROXY_PROTOCOL_BAD;
	return checked(h);
}

/* ---- both ---- */

static bool begins_like(struct slice peeked, const char *signature, size_t len)
{
	return memcmp(peeked.at, signature, peeked.len < len ? peeked.len : len) == 0;
}

enum proxy_protocol_result proxy_protocol_parse(struct slice peeked, struct proxy_header *out)
{
	const size_t v1 = sizeof(v1_signature) - 1, v2 = sizeof(v2_signature) - 1;
	enum proxy_protocol_result how;

	*out = (struct proxy_header){ 0 };
	if (peeked.len == 0)
		return PROXY_PROTOCOL_MORE;
	if (begins_like(peeked, v1_signature, v1))
		how = peeked.len < v1 ? PROXY_PROTOCOL_MORE : parse_v1(peeked, out);
	else if (begins_like(peeked, v2_signature, v2))
		how = peeked.len < v2 ? PROXY_PROTOCOL_MORE : parse_v2(peeked, out);
	else
		how = PROXY_PROTOCOL_NONE;
	if (how != PROXY_PROTOCOL_OK)
		*out = (struct proxy_header){ 0 };
	return how;
}

/* ---- writing ---- */

/* The pair in one family: AF_INET where both are IPv4 or mapped, else AF_INET6; AF_UNSPEC: no pair. */
struct pair {
	int family;
	unsigned char from[16], to[16];
	uint16_t from_port, to_port;	/* network order */
};

/* As IPv6, IPv4 mapped. False: neither. */
static bool as_ipv6(const struct sockaddr *a, unsigned char *out, uint16_t *port)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)a;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;

	if (a != NULL && a->sa_family == AF_INET6) {
		memcpy(out, &in6->sin6_addr, 16);
		*port = in6->sin6_port;
		return true;
	}
	if (a == NULL || a->sa_family != AF_INET)
		return false;
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + 12, &in->sin_addr, 4);
	*port = in->sin_port;
	return true;
}

static struct pair pair_of(const struct sockaddr *source, const struct sockaddr *destination)
{
	struct pair p = { .family = AF_UNSPEC };

	if (!as_ipv6(source, p.from, &p.from_port) || !as_ipv6(destination, p.to, &p.to_port))
		return p;
	p.family = AF_INET6;
	if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *)p.from) && IN6_IS_ADDR_V4MAPPED((struct in6_addr *)p.to)) {
		p.family = AF_INET;
		memmove(p.from, p.from + 12, 4);
		memmove(p.to, p.to + 12, 4);
	}
	return p;
}

static size_t write_v1(const struct pair *p, char *out)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[PROXY_PROTOCOL_V1_MAX + 1];
	int len;

	if (p->family == AF_UNSPEC)
		len = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	else
		len = snprintf(line, sizeof(line), "PROXY %s %s %s %u %u\r\n",
			       p->family == AF_INET ? "TCP4" : "TCP6",
			       inet_ntop(p->family, p->from, from, sizeof(from)),
			       inet_ntop(p->family, p->to, to, sizeof(to)), ntohs(p->from_port),
			       ntohs(p->to_port));
	memcpy(out, line, (size_t)len);
	return (size_t)len;
}

static size_t write_v2(const struct pair *p, char *out)
{
	const size_t address = p->family == AF_INET ? 4 : 16;
	char *at = out + PROXY_PROTOCOL_V2_FIXED;

	memcpy(out, v2_signature, 12);
	memcpy(out + 12, "\x20\0\0\0", 4);	/* LOCAL */
	if (p->family == AF_UNSPEC)
		return PROXY_PROTOCOL_V2_FIXED;
	out[12] = 2 << 4 | COMMAND_PROXY;
	out[13] = (char)((p->family == AF_INET ? FAMILY_INET : FAMILY_INET6) << 4 | TRANSPORT_STREAM);
	out[15] = (char)(p->family == AF_INET ? ADDRESSES_INET : ADDRESSES_INET6);
	memcpy(at, p->from, address);
	memcpy(at + address, p->to, address);
	memcpy(at + 2 * address, &p->from_port, 2);
	memcpy(at + 2 * address + 2, &p->to_port, 2);
	return (size_t)(at - out) + 2 * address + 4;
}

size_t proxy_protocol_write(unsigned version, const struct sockaddr *source,
			    const struct sockaddr *destination, char *out)
{
	struct pair p = pair_of(source, destination);

	return version == 1 ? write_v1(&p, out) : write_v2(&p, out);
}
