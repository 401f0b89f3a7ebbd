/* SPDX-License-Identifier: Apache-2.0
 *
 * idle.c - opens many connections, has one small request answered on each, and then does nothing.
 *
 *   idle plain|tls|h2 PORT CONNECTIONS
 *
 * Prints one line of JSON when all are idle: connections, seconds. Holds them until its input ends, and
 * then prints one more: alive (those that the proxy has not closed meanwhile). */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>

#include "reg-tests/bench/peer.h"

#define AT_ONCE		32u	/* being opened at the same time */
#define FRAME_HEAD	9u

struct connection {
	int fd;
	SSL *ssl;			/* NULL: plain */
	bool asked, done;
	size_t len;
	unsigned char in[2048];		/* the response, as it comes */
};

static const char http1_request[] = "GET / HTTP/1.1\r\nHost: bench.example.com\r\n\r\n";
/* Preface, SETTINGS, HEADERS with END_STREAM and END_HEADERS:
 * GET, https, /, and a literal :authority. */
static const char http2_request[] =
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	"\0\0\0\4\0\0\0\0\0"
	"\0\0\x16\1\5\0\0\0\1" "\x82\x87\x84\x01\x11" "bench.example.com";
static const char http2_ack[] = "\0\0\0\4\1\0\0\0\0";
static struct {
	int epoll;
	unsigned port, opened, done;
	bool h2;
	SSL_CTX *ctx;
	struct connection **all;
} run;

static void begin_one(unsigned limit)
{
	struct connection *c;

	if (run.opened == limit)
		return;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		err(1, "calloc");
	run.all[run.opened++] = c;
	c->fd = peer_connect(run.port);
	if (run.ctx != NULL) {
		c->ssl = SSL_new(run.ctx);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			errx(1, "SSL_new");
		SSL_set_tlsext_host_name(c->ssl, "bench.example.com");
		SSL_set_connect_state(c->ssl);
	}
	peer_watch(run.epoll, c->fd, c);
}

/* True: all of it went, which is certain on a fresh connection once there is one. */
static bool put(struct connection *c, const char *bytes, size_t len)
{
	ssize_t n;

	if (c->ssl != NULL) {
		ERR_clear_error();
		n = SSL_write(c->ssl, bytes, (int)len);
		if (n <= 0 && SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_READ)
			errx(1, "TLS handshake failed");
	} else {
		n = send(c->fd, bytes, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != ENOTCONN)
			err(1, "send");
	}
	return n == (ssize_t)len;
}

static bool fill(struct connection *c)
{
	size_t room = sizeof(c->in) - 1 - c->len;
	ssize_t n;

	if (c->ssl != NULL) {
		ERR_clear_error();
		n = SSL_read(c->ssl, c->in + c->len, (int)room);
		if (n <= 0 && SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_READ)
			errx(1, "connection %u ended early", run.done);
	} else {
		n = recv(c->fd, c->in + c->len, room, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			errx(1, "connection %u ended early", run.done);
	}
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->in[c->len] = '\0';
	return true;
}

/* Walks the frames that are complete: acknowledges SETTINGS; true at the end of stream 1. */
static bool frames_end(struct connection *c)
{
	size_t at = 0;
	bool end = false;

	while (c->len - at >= FRAME_HEAD) {
		const unsigned char *f = c->in + at;
		size_t payload = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

		if (c->len - at < FRAME_HEAD + payload)
			break;
		if (f[3] == 3 || f[3] == 7)
			errx(1, "RST_STREAM or GOAWAY");
		if (f[3] == 4 && !(f[4] & 1) && !put(c, http2_ack, sizeof(http2_ack) - 1))
			errx(1, "no room for an acknowledgement");
		end |= (f[3] == 0 || f[3] == 1) && (f[4] & 1) && f[8] == 1;
		at += FRAME_HEAD + payload;
	}
	memmove(c->in, c->in + at, c->len - at);
	c->len -= at;
	return end;
}

static bool response_ended(struct connection *c)
{
	if (run.h2)
		return frames_end(c);
	return strstr((char *)c->in, "\r\n\r\nok") != NULL;
}

/* True: it has become idle. */
static bool go_on(struct connection *c)
{
	if (!c->asked)
		c->asked = run.h2 ? put(c, http2_request, sizeof(http2_request) - 1) :
				    put(c, http1_request, sizeof(http1_request) - 1);
	while (c->asked && !c->done && fill(c))
		c->done = response_ended(c);
	return c->done;
}

static SSL_CTX *create_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		errx(1, "SSL_CTX_new");
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (run.h2)
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\2h2", 3);
	return ctx;
}

static void open_all(unsigned count)
{
	struct epoll_event events[64];

	while (run.opened < count && run.opened < AT_ONCE)
		begin_one(count);
	while (run.done < count) {
		int n = epoll_wait(run.epoll, events, 64, 20000);

		if (n <= 0)
			errx(1, "only %u connections were answered", run.done);
		for (int i = 0; i < n; i++) {
			struct connection *c = events[i].data.ptr;

			if (c->done || !go_on(c))
				continue;
			run.done++;
			begin_one(count);
		}
	}
}

/* Those that neither ended nor sent anything but frames that HTTP/2 allows at any time. */
static unsigned count_alive(void)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < run.opened; i++) {
		struct pollfd p = { .fd = run.all[i]->fd, .events = POLLRDHUP };

		alive += poll(&p, 1, 0) == 0;
	}
	return alive;
}

int main(int argc, char **argv)
{
	unsigned count;
	double start = peer_now();

	if (argc != 4)
		errx(2, "usage: idle plain|tls|h2 PORT CONNECTIONS");
	run.h2 = strcmp(argv[1], "h2") == 0;
	if (strcmp(argv[1], "plain") != 0)
		run.ctx = create_context();
	run.port = peer_number(argv[2], "PORT");
	count = peer_number(argv[3], "CONNECTIONS");
	signal(SIGPIPE, SIG_IGN);
	run.epoll = epoll_create1(0);
	run.all = calloc(count, sizeof(*run.all));
	if (run.epoll < 0 || run.all == NULL)
		err(1, "start");
	open_all(count);
	printf("{\"connections\": %u, \"seconds\": %.3f}\n", run.done, peer_now() - start);
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	printf("{\"alive\": %u}\n", count_alive());
	return 0;
}
