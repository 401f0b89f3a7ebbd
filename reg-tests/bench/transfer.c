/* SPDX-License-Identifier: Apache-2.0
 *
 * transfer.c - moves bytes through a proxy as fast as it lets them, over some connections at once.
 *
 *   transfer get|put plain|tls PORT CONNECTIONS SECONDS    HTTP/1.1 keep-alive, bodies of BODY_BYTES
 *   transfer pull|push plain   PORT CONNECTIONS SECONDS    bytes without a protocol, one direction
 *
 * Plain bytes that arrive are dropped by the kernel (MSG_TRUNC), so that the reader is no bottleneck.
 * Prints one line of JSON: bytes (of bodies), messages, seconds, cpu (seconds of this process). */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "reg-tests/bench/peer.h"

#define BODY_BYTES	(1u << 20)	/* as in origin.c */
#define PIECE_BYTES	(256u * 1024)
#define HEAD_MAX	4096u

enum part { CONNECTING, ASKING, SENDING, HEAD, BODY };

struct connection {
	int fd;
	SSL *ssl;		/* NULL: plain */
	enum part part;
	size_t sent;		/* of the request's head or body */
	size_t head_len;
	size_t left;		/* of the response's body */
	char head[HEAD_MAX];
};

static const char get_request[] = "GET /body HTTP/1.1\r\nHost: bench.example.com\r\n\r\n";
static const char put_request[] =
	"POST /body HTTP/1.1\r\nHost: bench.example.com\r\nContent-Length: 1048576\r\n\r\n";
static char piece[PIECE_BYTES];
static struct {
	bool put, raw;
	unsigned long long bytes, messages;
} run;

/* Both answer -1 for "not now"; what is worse ends the process. */
static ssize_t receive(struct connection *c, char *into, size_t room, int flags)
{
	ssize_t n;

	if (c->ssl != NULL) {
		ERR_clear_error();
		n = SSL_read(c->ssl, into, (int)room);
		if (n > 0)
			return n;
		if (SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ)
			return -1;
		errx(1, "TLS connection ended");
	}
	n = recv(c->fd, into, room, flags);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		err(1, "connection ended");
	return n;
}

static ssize_t transmit(struct connection *c, const char *from, size_t len)
{
	ssize_t n;

	if (c->ssl != NULL) {
		ERR_clear_error();
		n = SSL_write(c->ssl, from, (int)len);
		if (n > 0)
			return n;
		if (SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE)
			return -1;
		errx(1, "TLS connection ended");
	}
	n = send(c->fd, from, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		err(1, "connection ended");
	return n;
}

static bool finish_connect(struct connection *c)
{
	int n;

	if (c->ssl != NULL) {
		ERR_clear_error();
		n = SSL_do_handshake(c->ssl);
		if (n != 1 && (SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ||
			       SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE))
			return false;
		if (n != 1)
			errx(1, "handshake failed");
	}
	c->part = run.raw ? (run.put ? SENDING : BODY) : ASKING;
	return true;
}

/* All of these: true when there is more to do at once. */
static bool ask(struct connection *c)
{
	const char *request = run.put ? put_request : get_request;
	size_t len = strlen(request);
	ssize_t n = transmit(c, request + c->sent, len - c->sent);

	if (n < 0)
		return false;
	c->sent += (size_t)n;
	if (c->sent == len) {
		c->sent = 0;
		c->part = run.put ? SENDING : HEAD;
	}
	return true;
}

static bool send_body(struct connection *c)
{
	size_t most = run.raw || BODY_BYTES - c->sent > PIECE_BYTES ? PIECE_BYTES : BODY_BYTES - c->sent;
	ssize_t n = transmit(c, piece, most);

	if (n < 0)
		return false;
	run.bytes += (unsigned long long)n;
	if (run.raw)
		return true;
	c->sent += (size_t)n;
	if (c->sent == BODY_BYTES) {
		c->sent = 0;
		c->part = HEAD;
	}
	return true;
}

static void next_message(struct connection *c)
{
	run.messages++;
	c->head_len = 0;
	c->part = ASKING;
}

static bool read_head(struct connection *c)
{
	static const char field[] = "content-length:";
	ssize_t n = receive(c, c->head + c->head_len, HEAD_MAX - 1 - c->head_len, 0);
	char *end, *length;
	size_t body;

	if (n < 0)
		return false;
	c->head_len += (size_t)n;
	c->head[c->head_len] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end == NULL)
		return true;
	length = strcasestr(c->head, field);
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0 || length == NULL || length > end)
		errx(1, "unexpected response: %.60s", c->head);
	body = strtoul(length + sizeof(field) - 1, NULL, 10);
	c->left = body - (c->head_len - (size_t)(end + 4 - c->head));
	if (!run.put)
		run.bytes += body - c->left;
	c->part = BODY;
	if (c->left == 0)
		next_message(c);
	return true;
}

static bool read_body(struct connection *c)
{
	size_t most = run.raw || c->left > PIECE_BYTES ? PIECE_BYTES : c->left;
	ssize_t n = receive(c, piece, most, MSG_TRUNC);

	if (n < 0)
		return false;
	if (!run.put)
		run.bytes += (unsigned long long)n;
	if (run.raw)
		return true;
	c->left -= (size_t)n;
	if (c->left == 0)
		next_message(c);
	return true;
}

static bool step(struct connection *c)
{
	switch (c->part) {
	case CONNECTING:	return finish_connect(c);
	case ASKING:		return ask(c);
	case SENDING:		return send_body(c);
	case HEAD:		return read_head(c);
	case BODY:		return read_body(c);
	}
	return false;
}

static void open_one(struct connection *c, unsigned port, SSL_CTX *ctx)
{
	c->fd = peer_connect(port);
	if (ctx == NULL)
		return;
	c->ssl = SSL_new(ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
		errx(1, "SSL_new");
	SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_set_tlsext_host_name(c->ssl, "bench.example.com");
	SSL_set_connect_state(c->ssl);
}

int main(int argc, char **argv)
{
	unsigned port, connections, seconds, steps;
	struct epoll_event events[64];
	struct connection *all;
	SSL_CTX *ctx = NULL;
	double start, stop;
	int epoll;

	if (argc != 6)
		errx(2, "usage: transfer get|put|pull|push plain|tls PORT CONNECTIONS SECONDS");
	run.put = strcmp(argv[1], "put") == 0 || strcmp(argv[1], "push") == 0;
	run.raw = argv[1][2] != 't';
	port = peer_number(argv[3], "PORT");
	connections = peer_number(argv[4], "CONNECTIONS");
	seconds = peer_number(argv[5], "SECONDS");
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(argv[2], "tls") == 0)
		ctx = SSL_CTX_new(TLS_client_method());
	epoll = epoll_create1(0);
	all = calloc(connections, sizeof(*all));
	if (epoll < 0 || all == NULL)
		err(1, "start");
	start = peer_now();
	stop = start + seconds;
	for (unsigned i = 0; i < connections; i++) {
		open_one(&all[i], port, ctx);
		peer_watch(epoll, all[i].fd, &all[i]);
	}
	while (peer_now() < stop) {
		int n = epoll_wait(epoll, events, 64, 1000);

		for (int i = 0; i < n; i++)
			for (steps = 0; step(events[i].data.ptr); steps++)
				if ((steps & 63) == 63 && peer_now() >= stop)
					break;
	}
	printf("{\"bytes\": %llu, \"messages\": %llu, \"seconds\": %.4f, \"cpu\": %.4f}\n", run.bytes,
	       run.messages, peer_now() - start, peer_cpu());
	return 0;
}
