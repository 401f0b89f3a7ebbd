/* SPDX-License-Identifier: Apache-2.0
 *
 * hostname.h - host names and their wildcards, as documents write them.
 *
 * A leading `*` makes a name a pattern. Comparing ignores case and one trailing dot everywhere.
 * Thread   any; pure functions.
 * Spec     spec/gateway.md 4 (G08-G11), 7; spec/service-entry.md 7. */
#ifndef SALLYPORT_HOSTNAME_H
#define SALLYPORT_HOSTNAME_H

#include "sallyport/arena.h"

#define HOSTNAME_BYTES_MAX	255u
#define LABEL_BYTES_MAX		63u

static inline bool hostname_is_wild(struct slice h)
{
	return h.len > 0 && h.at[0] == '*';
}

/* Overlap: is there a name that both stand for? Symmetric. */
bool hostname_matches(struct slice a, struct slice b);
/* Is every name that `a` stands for also covered by `b`? */
bool hostname_subset(struct slice a, struct slice b);

/* Letters, digits and inner hyphens, 1 to 63. */
bool hostname_is_label(struct slice s);
/* Such labels in lower case, as Kubernetes wants names of ports and namespaces. */
bool hostname_is_dns1123_label(struct slice s);
/* Labels joined by dots, the last one not all digits; no wildcard, no IP address. A trailing dot
 * is tolerated. Single labels count. */
bool hostname_is_domain(struct slice s);
/* NULL: a domain whose first label may be `*`, `*`label or `*-`label; else what is wrong, as the
 * end of a sentence that begins with the quoted host: "is too long". */
const char *hostname_wildcard_problem(struct slice s);
/* The same for a Gateway's host: short names and partial wildcards are refused too, IPs are fine. */
const char *hostname_gateway_problem(struct slice s);
/* IPv4 or IPv6 literal, without brackets or port. */
bool hostname_is_ip(struct slice s);

/* Lower case, without one trailing dot. A copy in `a`. */
struct slice hostname_normalise(struct arena *a, struct slice h);

/* A reference from a document in namespace `ns`: names without a dot get `.ns.svc.<domain>`; `*`
 * and IP addresses and all else stay. Lower case; a copy in `a`. */
struct slice hostname_expand(struct arena *a, struct slice host, struct slice ns,
			     struct slice cluster_domain);

#endif
