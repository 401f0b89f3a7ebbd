/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_load.c - many TLS clients in one process, for tests and measurements.
 *
 *   tls_load hold ADDRESS PORT NAME COUNT [options]
 *       opens COUNT connections and prints `held N` when their handshakes are done. At the end of its
 *       input it asks for / on each and prints `answered N`.
 *   tls_load ask ADDRESS PORT NAME [options]
 *       a connection for every request; prints what came of it as JSON.
 *   tls_load handshake ADDRESS PORT NAME [options]
 *       the same, but nothing is asked.
 *   tls_load update ADDRESS PORT NAME --count N
 *       asks, sends N KeyUpdate messages that each ask for another, asks again; prints how many of the two
 *       requests were answered.
 *
 *   --seconds N, --count N   how long, or how often (all threads together)
 *   --threads N              clients at a time: 1
 *   --resume                 each thread resumes the session that its first connection got
 *   --tls12                  nothing newer
 *   --until FILE             goes on until this file exists
 *
 * Connections come from 127.0.0.x in turn, so that ports last. Certificates are not verified: a test
 * counts how many different ones it was shown. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOURCES		200u	/* 127.0.0.2 … */
#define WAIT_S		20	/* for one answer */
#define SERIALS_MAX	4096u
#define THREADS_MAX	64u

static struct {
	struct sockaddr_in to;
	const char *name;
	unsigned seconds, threads;
	unsigned long count;
	bool resume, ask, tls12;
	const char *until;
	char request[512];
	int request_len;
	SSL_CTX *ctx;
	struct timespec end;
} opt = { .threads = 1 };

static atomic_ulong begun, done, failed, resumed;
static atomic_uint next_source;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long serials[SERIALS_MAX];	/* of certificates seen; under `lock` */
static unsigned serial_count;
static char first_failure[300];			/* under `lock` */

_Noreturn static void die(const char *what)
{
	fprintf(stderr, "tls_load: %s\n", what);
	exit(2);
}

static void note_failure(const char *what)
{
	unsigned long code = ERR_peek_error();
	int system = errno;

	pthread_mutex_lock(&lock);
	if (first_failure[0] == '\0')
		snprintf(first_failure, sizeof(first_failure), "%s: %s", what,
			 code != 0 ? ERR_reason_error_string(code) : strerror(system));
	pthread_mutex_unlock(&lock);
	ERR_clear_error();
	atomic_fetch_add(&failed, 1);
}

static void note_serial(SSL *ssl)
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned long serial;

	if (cert == NULL || X509_digest(cert, EVP_sha1(), digest, NULL) != 1)
		return;
	memcpy(&serial, digest, sizeof(serial));
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < serial_count; i++)
		if (serials[i] == serial)
			serial = 0;
	if (serial != 0 && serial_count < SERIALS_MAX)
		serials[serial_count++] = serial;
	pthread_mutex_unlock(&lock);
}

static int dial(void)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	const struct timeval wait = { .tv_sec = WAIT_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	from.sin_addr.s_addr = htonl(0x7f000002u + atomic_fetch_add(&next_source, 1) % SOURCES);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	    connect(fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* NULL: it failed, which was noted. */
static SSL *open_one(SSL_SESSION *session)
{
	int fd = dial();
	SSL *ssl;

	if (fd < 0) {
		note_failure("connect");
		return NULL;
	}
	ssl = SSL_new(opt.ctx);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_tlsext_host_name(ssl, opt.name) != 1)
		die("no memory");
	if (session != NULL)
		SSL_set_session(ssl, session);
	if (SSL_connect(ssl) == 1) {
		note_serial(ssl);
		return ssl;
	}
	note_failure("handshake");
	SSL_free(ssl);
	close(fd);
	return NULL;
}

static void close_one(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_shutdown(ssl);
	ERR_clear_error();
	SSL_free(ssl);
	close(fd);
}

/* Head and body of a 200 with a content-length. */
static bool ask(SSL *ssl)
{
	char answer[4096];
	int len = 0, n;

	if (SSL_write(ssl, opt.request, opt.request_len) != opt.request_len)
		return false;
	while (len < (int)sizeof(answer) - 1 &&
	       (n = SSL_read(ssl, answer + len, (int)sizeof(answer) - 1 - len)) > 0) {
		const char *body, *length;

		len += n;
		answer[len] = '\0';
		body = strstr(answer, "\r\n\r\n");
		if (body == NULL)
			continue;
		length = strcasestr(answer, "\ncontent-length:");
		if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0 || length == NULL)
			return false;
		if (strlen(body + 4) >= strtoul(length + 16, NULL, 10))
			return true;
	}
	return false;
}

static bool time_is_up(void)
{
	struct timespec now;

	if (opt.count != 0)
		return atomic_fetch_add(&begun, 1) >= opt.count;
	if (opt.until != NULL)
		return access(opt.until, F_OK) == 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > opt.end.tv_sec || (now.tv_sec == opt.end.tv_sec && now.tv_nsec >= opt.end.tv_nsec);
}

static void one_connection(SSL_SESSION **session)
{
	SSL *ssl = open_one(*session);

	if (ssl == NULL)
		return;
	/* A ticket of TLS 1.3 comes with the first answer. */
	if ((opt.ask || (opt.resume && *session == NULL)) && !ask(ssl)) {
		note_failure("answer");
	} else {
		atomic_fetch_add(&done, 1);
		if (SSL_session_reused(ssl))
			atomic_fetch_add(&resumed, 1);
	}
	if (opt.resume && (*session == NULL || SSL_get0_session(ssl) != *session)) {
		SSL_SESSION *now = SSL_get1_session(ssl);

		if (now != NULL && SSL_SESSION_is_resumable(now)) {
			SSL_SESSION_free(*session);
			*session = now;
		} else {
			SSL_SESSION_free(now);
		}
	}
	close_one(ssl);
}

static void *client(void *arg)
{
	SSL_SESSION *session = NULL;

	(void)arg;
	while (!time_is_up())
		one_connection(&session);
	SSL_SESSION_free(session);
	return NULL;
}

static void in_threads(void *(*run)(void *))
{
	pthread_t threads[THREADS_MAX];

	for (unsigned i = 0; i < opt.threads; i++)
		if (pthread_create(&threads[i], NULL, run, NULL) != 0)
			die("no thread");
	for (unsigned i = 0; i < opt.threads; i++)
		pthread_join(threads[i], NULL);
}

static SSL **held;

static void *holder(void *arg)
{
	unsigned long i;

	(void)arg;
	while ((i = atomic_fetch_add(&begun, 1)) < opt.count) {
		held[i] = open_one(NULL);
		if (held[i] != NULL)
			atomic_fetch_add(&done, 1);
	}
	return NULL;
}

static void *asker(void *arg)
{
	unsigned long i;

	(void)arg;
	while ((i = atomic_fetch_add(&begun, 1)) < opt.count) {
		if (held[i] == NULL)
			continue;
		if (ask(held[i]))
			atomic_fetch_add(&done, 1);
		else
			note_failure("answer");
		close_one(held[i]);
	}
	return NULL;
}

static void hold(void)
{
	held = calloc(opt.count, sizeof(*held));
	if (held == NULL)
		die("no memory");
	in_threads(holder);
	printf("held %lu%s%s\n", atomic_load(&done), first_failure[0] != '\0' ? " " : "", first_failure);
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	atomic_store(&begun, 0);
	atomic_store(&done, 0);
	in_threads(asker);
	printf("answered %lu%s%s\n", atomic_load(&done), first_failure[0] != '\0' ? " " : "", first_failure);
}

static void update(void)
{
	SSL *ssl = open_one(NULL);
	unsigned answered = ssl != NULL && ask(ssl);
	bool ok = answered == 1;

	for (unsigned long i = 0; ok && i < opt.count; i++)
		ok = SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
	answered += ok && ask(ssl);
	printf("answered %u\n", answered);
	if (ssl != NULL)
		close_one(ssl);
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' }, { "count", required_argument, NULL, 'c' },
		{ "threads", required_argument, NULL, 't' }, { "resume", no_argument, NULL, 'r' },
		{ "tls12", no_argument, NULL, '2' }, { "until", required_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 's':	opt.seconds = (unsigned)atoi(optarg);		break;
		case 'c':	opt.count = strtoul(optarg, NULL, 10);		break;
		case 't':	opt.threads = (unsigned)atoi(optarg);		break;
		case 'r':	opt.resume = true;				break;
		case '2':	opt.tls12 = true;				break;
		case 'u':	opt.until = optarg;				break;
		default:	exit(2);
		}
	}
	if (opt.threads == 0 || opt.threads > THREADS_MAX)
		die("threads: 1 to 64");
}

int main(int argc, char **argv)
{
	bool holds;

	read_options(argc, argv);
	argv += optind;
	argc -= optind;
	holds = argc == 5 && strcmp(argv[0], "hold") == 0;
	if (!holds && argc != 4)
		die("hold ADDRESS PORT NAME COUNT | ask|handshake|update ADDRESS PORT NAME");
	opt.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
	if (inet_pton(AF_INET, argv[1], &opt.to.sin_addr) != 1)
		die("the address is none");
	opt.name = argv[3];
	opt.ask = strcmp(argv[0], "ask") == 0;
	opt.request_len = snprintf(opt.request, sizeof(opt.request), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
				   opt.name);
	opt.ctx = SSL_CTX_new(TLS_client_method());
	if (opt.ctx == NULL || (opt.tls12 && SSL_CTX_set_max_proto_version(opt.ctx, TLS1_2_VERSION) != 1))
		die("no TLS");
	SSL_CTX_set_mode(opt.ctx, SSL_MODE_RELEASE_BUFFERS);
	if (holds) {
		opt.count = strtoul(argv[4], NULL, 10);
		hold();
		return 0;
	}
	if (strcmp(argv[0], "update") == 0) {
		update();
		return 0;
	}
	clock_gettime(CLOCK_MONOTONIC, &opt.end);
	opt.end.tv_sec += opt.seconds;
	in_threads(client);
	printf("{\"done\":%lu,\"failed\":%lu,\"resumed\":%lu,\"certificates\":%u,\"first_failure\":\"%s\"}\n",
	       atomic_load(&done), atomic_load(&failed), atomic_load(&resumed), serial_count, first_failure);
	return 0;
}
