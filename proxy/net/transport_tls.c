/* SPDX-License-Identifier: Apache-2.0
 *
 * transport_tls.c - the TLS half of a transport. OpenSSL reads and writes memory: records come in
 * by one recv() into raw_in and leave gathered by one send() from raw_out, however many there are. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>

#include "proxy/net/transport_priv.h"
#include "proxy/net/worker.h"

#define RECORD_BYTES	16384u	/* most that one TLS record carries */
#define SEALED_BYTES	(RECORD_BYTES + 256u)	/* room that it takes when sealed */

static int bio_read(BIO *bio, char *into, int room)
{
	struct transport *t = BIO_get_data(bio);
	size_t n;

	BIO_clear_retry_flags(bio);
	if (room <= 0)
		return 0;
	if (buffer_len(&t->raw_in) == 0 && t->raw_only) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (buffer_len(&t->raw_in) == 0) {
		ssize_t got;

		buffer_reserve(t->worker, &t->raw_in, t->raw_flows ? BUFFER_BYTES_LARGE : BUFFER_BYTES);
		got = transport_recv(t, t->raw_in.base, t->raw_in.capacity);
		t->raw_flows = got == (ssize_t)t->raw_in.capacity;
		if (got <= 0) {
			buffer_release(t->worker, &t->raw_in);
			if (got < 0 && !t->dead)
				BIO_set_retry_read(bio);
			return (int)got;
		}
		t->raw_in.end = (uint32_t)got;
	}
	n = buffer_len(&t->raw_in) < (size_t)room ? buffer_len(&t->raw_in) : (size_t)room;
	memcpy(into, t->raw_in.base + t->raw_in.start, n);
	buffer_consume(t->worker, &t->raw_in, n);
	return (int)n;
}

static int bio_write(BIO *bio, const char *from, int len)
{
	struct transport *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	buffer_append(t->worker, &t->raw_out, (struct slice){ from, (size_t)len });
	worker_flush_later(t->worker, t);
	return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio, (void)number, (void)pointer;
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static void make_method(void)
{
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
	must(method != NULL);
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

static BIO *new_bio(void)
{
	pthread_once(&method_once, make_method);
	return BIO_new(method);
}

/* What TLS has to say to itself. After the handshake there is little reason for any, and each KeyUpdate
 * costs keys, each ClientHello (TLS 1.2) an alert that refuses it. */
static void on_tls_info(const SSL *ssl, int where, int how)
{
	struct transport *t = BIO_get_data(SSL_get_rbio(ssl));
	int64_t now_ms;

	(void)how;
	if (t->handshaking || (where != SSL_CB_WRITE_ALERT &&
			       !(where == SSL_CB_ACCEPT_LOOP && SSL_get_state(ssl) == TLS_ST_SR_KEY_UPDATE)))
		return;
	now_ms = worker_now_ms(t->worker);
	if (now_ms - t->tls_messages_ms >= 60000) {
		t->tls_messages_ms = now_ms;
		t->tls_messages = 0;
	}
	if (++t->tls_messages > TLS_MESSAGES_A_MINUTE)
		t->dead = t->tls_flooded = true;
}

void transport_accept_tls(struct transport *t, SSL_CTX *ctx)
{
	BIO *bio = new_bio();

	t->ssl = SSL_new(ctx);
	must(t->ssl != NULL && bio != NULL);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_accept_state(t->ssl);
	SSL_set_info_callback(t->ssl, on_tls_info);
	t->handshaking = true;
	tls_handshake(t);
}

/* Keeps the first reason of OpenSSL's queue, a static text, and empties the queue. */
static void keep_error(struct transport *t)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	t->tls_error = reason != NULL ? reason : "connection closed during handshake";
	t->tls_code = code;
	ERR_clear_error();
}

void tls_handshake(struct transport *t)
{
	int n, why;

	ERR_clear_error();
	n = SSL_do_handshake(t->ssl);
	if (n == 1) {
		t->handshaking = false;
		t->events->on_connected(t->owner, OK);
		return;
	}
	why = SSL_get_error(t->ssl, n);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return;
	keep_error(t);
	t->handshaking = false;
	if (!t->dead)
		tls_flush(t);	/* the alert */
	t->dead = t->closed_told = true;
	t->events->on_connected(t->owner, FAILED);
}

/* The records that were read along and fit, so that their owner gets them in one piece. What is wrong
 * behind them is told by the next fill. */
static void open_more(struct transport *t)
{
	int n, why;

	t->raw_only = true;
	while (buffer_len(&t->raw_in) > 0 && buffer_room(&t->in) >= RECORD_BYTES) {
		n = SSL_read(t->ssl, t->in.base + t->in.end, (int)buffer_room(&t->in));
		if (n > 0) {
			t->in.end += (uint32_t)n;
			continue;
		}
		why = SSL_get_error(t->ssl, n);
		if (why == SSL_ERROR_ZERO_RETURN) {
			t->eof = true;
		} else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
			keep_error(t);
			t->broken = true;
		}
		break;
	}
	t->raw_only = false;
}

static enum outcome fail(struct transport *t)
{
	t->dead = t->closed_told = true;
	return FAILED;
}

enum outcome tls_fill(struct transport *t, size_t want)
{
	int n, why;

	if (t->dead)
		return FAILED;
	if (t->broken)
		return fail(t);
	if (t->eof)
		return CLOSED;
	if (!t->readable && buffer_len(&t->raw_in) == 0 && SSL_pending(t->ssl) == 0)
		return AGAIN;
	buffer_reserve(t->worker, &t->in, want > 0 ? want : t->in.base == NULL ? BUFFER_BYTES : 1);
	ERR_clear_error();
	n = SSL_read(t->ssl, t->in.base + t->in.end, (int)buffer_room(&t->in));
	if (n > 0) {
		t->in.end += (uint32_t)n;
		open_more(t);
		return OK;
	}
	if (buffer_len(&t->in) == 0)
		buffer_release(t->worker, &t->in);
	why = SSL_get_error(t->ssl, n);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return AGAIN;
	if (why == SSL_ERROR_ZERO_RETURN) {
		t->eof = true;
		return CLOSED;
	}
	/* A FIN without close_notify is a truncation: whatever was in progress must not complete. */
	t->truncated = why == SSL_ERROR_SYSCALL && t->saved_errno == 0;
	keep_error(t);
	return fail(t);
}

/* One record at most into raw_out; returns the plaintext taken. */
static size_t seal(struct transport *t, struct slice s)
{
	size_t n = s.len < RECORD_BYTES ? s.len : RECORD_BYTES;
	int written;

	ERR_clear_error();
	written = SSL_write(t->ssl, s.at, (int)n);
	if (written <= 0) {
		keep_error(t);
		t->dead = true;
		worker_flush_later(t->worker, t);
		return 0;
	}
	return (size_t)written;
}

/* Sends what is sealed; true when nothing of it is left. */
static bool push_records(struct transport *t)
{
	if (buffer_len(&t->raw_out) > 0 && t->writable && !t->dead) {
		struct iovec iov = { t->raw_out.base + t->raw_out.start, buffer_len(&t->raw_out) };

		buffer_consume(t->worker, &t->raw_out, transport_write(t, &iov, 1));
	}
	return buffer_len(&t->raw_out) == 0;
}

void tls_flush(struct transport *t)
{
	while (!t->dead && push_records(t) && !t->handshaking && buffer_len(&t->out) > 0)
		buffer_consume(t->worker, &t->out, seal(t, buffer_slice(&t->out)));
}

/* Records are gathered for one write while the socket takes what it is given. */
static bool may_seal(struct transport *t)
{
	return (t->writable && buffer_len(&t->raw_out) + SEALED_BYTES <= BUFFER_BYTES_LARGE) || push_records(t);
}

/* What does not fill a block leaves at the end of the turn, with what follows until then. */
size_t tls_send(struct transport *t, struct slice s)
{
	size_t taken = 0;

	if (buffer_len(&t->out) > 0)
		tls_flush(t);
	while (!t->dead && taken < s.len && buffer_len(&t->out) == 0 && may_seal(t))
		taken += seal(t, slice_from(s, taken));
	worker_flush_later(t->worker, t);
	return taken;
}

/* The peer's close_notify is not waited for. */
void tls_shutdown(struct transport *t)
{
	if (t->notified || t->dead || t->handshaking || buffer_len(&t->out) > 0)
		return;
	t->notified = true;
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	tls_flush(t);
}
