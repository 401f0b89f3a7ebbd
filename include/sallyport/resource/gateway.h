/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/gateway.h - a Gateway, decoded and checked, with defaults applied.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Absent   slices have at == NULL, pointers are NULL, lists have count 0, where a field was not written.
 * Spec     spec/gateway.md 2-4, 7.1, 10.5; spec/README.md D1, D2, D11. */
#ifndef SALLYPORT_RESOURCE_GATEWAY_H
#define SALLYPORT_RESOURCE_GATEWAY_H

#include "sallyport/decode.h"

/* port.protocol as written. */
enum gateway_protocol {
	GATEWAY_HTTP, GATEWAY_HTTP2, GATEWAY_GRPC, GATEWAY_GRPC_WEB, GATEWAY_HTTP_PROXY, GATEWAY_HTTPS,
	GATEWAY_TLS, GATEWAY_TCP, GATEWAY_MONGO, GATEWAY_REDIS, GATEWAY_MYSQL,
	GATEWAY_PROTOCOL_COUNT
};

/* What a server is after protocol and TLS mode have been read together (D1). */
enum server_family {
	SERVER_HTTP,		/* plaintext HTTP, h2c on the same port */
	SERVER_HTTPS,		/* TLS ends here, HTTP behind it */
	SERVER_TLS,		/* TLS ends here, opaque TCP behind it */
	SERVER_PASSTHROUGH,	/* TLS goes through, routed by server name */
	SERVER_TCP,		/* opaque TCP */
};

enum server_tls_mode {		/* the first is the default, as in Istio */
	SERVER_TLS_PASSTHROUGH, SERVER_TLS_SIMPLE, SERVER_TLS_MUTUAL, SERVER_TLS_AUTO_PASSTHROUGH,
	SERVER_TLS_ISTIO_MUTUAL, SERVER_TLS_OPTIONAL_MUTUAL
};

enum tls_version { TLS_VERSION_AUTO, TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* `ns` absent: VirtualServices of any namespace. `host` in lower case, no trailing dot. */
struct server_host {
	struct slice ns, host;
	struct where where;
};

struct certificate_files {
	struct slice certificate, key, ca;	/* paths */
	struct where where;
};

struct server_tls {
	struct where where;
	bool https_redirect;
	bool mode_set;				/* absent means PASSTHROUGH all the same */
	int mode;				/* enum server_tls_mode */
	struct certificate_files files;		/* serverCertificate, privateKey, caCertificates */
	struct slice ca_crl;
	LIST(struct certificate_files) certificates;	/* tlsCertificates */
	struct slice credential_name;		/* "" counts as absent */
	LIST(struct located_slice) credential_names;
	struct slice ca_credential_name;
	LIST(struct located_slice) subject_alt_names, spki_pins, hash_pins;
	int min_version, max_version;		/* enum tls_version */
	LIST(struct located_slice) cipher_suites;	/* known names and cipher expressions, no repeats */
	LIST(struct located_slice) ecdh_curves;
	struct { bool set, value; } insecure_skip_verify;
	struct where credential_where;		/* of credentialName or the first of credentialNames */
};

enum server_bind { BIND_ANY, BIND_IP, BIND_UNIX, BIND_ABSTRACT };

struct server {
	struct where where;
	uint32_t number;			/* 0 with a unix socket only */
	uint32_t target_port;			/* 0: not written (D2) */
	int protocol;				/* enum gateway_protocol */
	struct slice port_name;
	enum server_family family;
	enum server_bind bind_kind;
	struct slice bind;			/* IP literal, or the path or abstract name without prefix */
	LIST(struct server_host) hosts;		/* `*` with `*` for namespace leaves nothing else */
	struct server_tls *tls;			/* NULL: no tls block */
	struct slice name;
};

struct gateway {
	const struct meta *meta;
	LIST(struct string_entry) selector;	/* empty: every proxy */
	LIST(struct server) servers;
};

/* `spec` may be NULL. NULL only if nothing usable. Problems are added to d. */
struct gateway *gateway_decode(struct decoder *d, const struct node *spec, const struct meta *meta);

/* A piece of a Gateway on its own (`servers:` or `tls:`): checked as there, kept nowhere. */
void gateway_check_fragment(struct decoder *d, const struct node *root);

/* Does the selector pick a proxy with these labels (spec 5)? */
bool gateway_selects(const struct gateway *g, const struct string_entry *labels, size_t count);

#endif
