/* SPDX-License-Identifier: Apache-2.0
 *
 * downstream_priv.h - one connection of a client, shared by the files of its life: how it arrives (PROXY
 * protocol, ClientHello, the choice of its chain), what it carries, and how it is described. */
#ifndef SALLYPORT_PROXY_DOWNSTREAM_PRIV_H
#define SALLYPORT_PROXY_DOWNSTREAM_PRIV_H

#include <netinet/in.h>

#include "proxy/net/client_hello.h"
#include "proxy/net/socket.h"
#include "proxy/stream/downstream.h"
#include "proxy/stream/tcp_session.h"
#include "proxy/tls/peer_identity.h"

/* What the connection is doing, and what its timer waits for. */
enum phase {
	PHASE_PROXY,		/* the header of the PROXY protocol is not complete */
	PHASE_HELLO,		/* the ClientHello is not complete */
	PHASE_HANDSHAKE,
	PHASE_PREFACE,		/* the first bytes will tell HTTP/2 from HTTP/1; timer: head of a request */
	PHASE_HTTP,		/* timer: head of a request, or idle */
	PHASE_TCP,		/* bytes are relayed; the session has timers of its own */
	PHASE_LINGER,		/* our FIN is out or on its way; input is discarded */
	PHASE_CLOSED,
};

/* As much as is asked of an address later: of a unix socket its family alone. */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Who opened the connection on behalf of the peer. */
struct balancer {
	union address address;
	struct slice text;			/* into `chars` */
	char chars[ADDRESS_TEXT_MAX];
};

struct downstream {
	struct grave grave;
	struct transport transport;
	struct server *server;			/* borrowed */
	struct listener *listener;		/* one count */
	struct snapshot_use *use;		/* one count */
	const struct chain *chain;		/* of `use` */
	struct codec *codec;			/* owned; HTTP */
	struct tcp_session *session;		/* ends with this; TCP */
	struct timer timer;
	struct timer stall;			/* the client does not take what is sent */
	struct timer grace;			/* its listener or chain is gone; until it is cut off */
	TAILQ_ENTRY(downstream) link;
	enum phase phase;
	unsigned streams;			/* in progress */
	bool draining;
	bool begun;				/* bytes came that may be a preface */
	int64_t handshake_until_ms;		/* TLS: the deadline */
	const char *end_reason;			/* static; NULL: it is open, or the peer has gone */
	uint64_t id;
	int64_t accepted_us;
	size_t discarded;			/* while lingering */
	uint64_t lingered_out;			/* bytes written when its timer was set */
	uint64_t stalled_at;			/* bytes acknowledged when `stall` was set */
	union address peer, local;		/* as the PROXY protocol says, where it is spoken */
	struct balancer *balancer;		/* owned; NULL: nobody spoke for the peer */
	struct {			/* what is kept of the ClientHello, past its reading */
		char *name;		/* owned; NULL: none */
		uint8_t name_len;
		bool offers_mesh;
	} hello;
	struct peer_identity *identity;		/* owned; NULL: it showed no certificate */
	struct slice peer_text, local_text, peer_ip;	/* into `texts` */
	char *texts;				/* owned */
};

static inline const struct proxy_limits *limits_of(const struct downstream *d)
{
	return &d->use->snapshot->settings->limits;
}

/* downstream.c */
void downstream_on_timer(struct timer *t);
/* Its chain was chosen, and needs no handshake (any more). */
void downstream_start_chain(struct downstream *d);
void downstream_count_tls_failure(struct downstream *d, enum tls_failure which);

/* downstream_arrival.c */
void downstream_name_addresses(struct downstream *d, const struct sockaddr_storage *peer,
			       const struct sockaddr_storage *local);
/* The header of the PROXY protocol comes first; from whom it is not believed, nothing comes. */
void downstream_await_proxy_header(struct downstream *d);
/* Takes the header alone off the socket: what follows belongs to TLS or HTTP. True: it is there. */
bool downstream_read_proxy_header(struct downstream *d);
/* What the connection is for: at once where the listener has no choice, else its ClientHello tells. */
void downstream_start_listener(struct downstream *d);
void downstream_peek_hello(struct downstream *d);

#endif
