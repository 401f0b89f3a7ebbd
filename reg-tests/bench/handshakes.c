/* SPDX-License-Identifier: Apache-2.0
 *
 * handshakes.c - TLS 1.3 handshakes as fast as a server gives them: connect, shake hands, close_notify,
 * wait for the server's end, again. `resume` presents the ticket of the connection before.
 *
 *   handshakes full|resume PORT CONNECTIONS SECONDS
 *
 * Prints one line of JSON: handshakes, resumed, seconds, cpu (seconds of this process). */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "reg-tests/bench/peer.h"

struct slot {
	int fd;
	SSL *ssl;
	SSL_SESSION *session;	/* of the connection before; NULL: none yet */
	bool done;		/* shook hands; the server's end is awaited */
};

static struct {
	int epoll;
	unsigned port;
	bool resume;
	SSL_CTX *ctx;
	unsigned long handshakes, resumed;
} run;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct slot *s = SSL_get_app_data(ssl);

	SSL_SESSION_free(s->session);
	s->session = session;
	return 1;
}

static void begin(struct slot *s)
{
	s->fd = peer_connect(run.port);
	s->ssl = SSL_new(run.ctx);
	s->done = false;
	if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1)
		errx(1, "SSL_new");
	SSL_set_app_data(s->ssl, s);
	SSL_set_tlsext_host_name(s->ssl, "bench.example.com");
	if (s->session != NULL)
		SSL_set_session(s->ssl, s->session);
	SSL_set_connect_state(s->ssl);
	peer_watch(run.epoll, s->fd, s);
}

static void end(struct slot *s)
{
	SSL_free(s->ssl);
	peer_close(s->fd);
	begin(s);
}

static bool would_block(struct slot *s, int result)
{
	int why = SSL_get_error(s->ssl, result);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

static void go_on(struct slot *s)
{
	char byte;
	int n;

	ERR_clear_error();
	if (!s->done) {
		n = SSL_do_handshake(s->ssl);
		if (n != 1 && would_block(s, n))
			return;
		if (n != 1) {
			ERR_print_errors_fp(stderr);
			errx(1, "handshake failed");
		}
		s->done = true;
		run.handshakes++;
		run.resumed += (unsigned long)SSL_session_reused(s->ssl);
		SSL_shutdown(s->ssl);
	}
	/* Tickets, then the end, however it looks. */
	n = SSL_read(s->ssl, &byte, 1);
	if (n > 0 || !would_block(s, n))
		end(s);
}

static SSL_CTX *create_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set1_groups_list(ctx, "X25519") != 1)
		errx(1, "SSL_CTX_new");
	SSL_CTX_set_quiet_shutdown(ctx, 0);
	if (run.resume) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, keep_session);
	} else {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	}
	return ctx;
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	unsigned connections, seconds;
	struct slot *slots;
	double start, stop;

	if (argc != 5 || (strcmp(argv[1], "full") != 0 && strcmp(argv[1], "resume") != 0))
		errx(2, "usage: handshakes full|resume PORT CONNECTIONS SECONDS");
	run.resume = strcmp(argv[1], "resume") == 0;
	run.port = peer_number(argv[2], "PORT");
	connections = peer_number(argv[3], "CONNECTIONS");
	seconds = peer_number(argv[4], "SECONDS");
	signal(SIGPIPE, SIG_IGN);
	run.epoll = epoll_create1(0);
	run.ctx = create_context();
	slots = calloc(connections, sizeof(*slots));
	if (run.epoll < 0 || slots == NULL)
		err(1, "start");
	start = peer_now();
	stop = start + seconds;
	for (unsigned i = 0; i < connections; i++)
		begin(&slots[i]);
	while (peer_now() < stop) {
		int n = epoll_wait(run.epoll, events, 64, 1000);

		for (int i = 0; i < n; i++)
			go_on(events[i].data.ptr);
	}
	printf("{\"handshakes\": %lu, \"resumed\": %lu, \"seconds\": %.4f, \"cpu\": %.4f}\n", run.handshakes,
	       run.resumed, peer_now() - start, peer_cpu());
	return 0;
}
