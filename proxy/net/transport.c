/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/net/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proxy/net/transport_priv.h"
#include "proxy/net/worker.h"

#define GATHER_MAX	BUFFER_BYTES	/* pieces up to here are copied together, larger ones written through */

void transport_mark_dead(struct transport *t, int why)
{
	if (t->dead)
		return;
	t->dead = true;
	t->saved_errno = why;
	worker_flush_later(t->worker, t);
}

static void tell_closed(struct transport *t)
{
	if (t->closed_told || t->fd < 0)
		return;
	t->closed_told = true;
	t->events->on_closed(t->owner);
}

/* A connect has ended one way or the other. */
static void finish_connect(struct transport *t)
{
	socklen_t len = sizeof(t->saved_errno);

	t->connecting = false;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &t->saved_errno, &len) != 0)
		t->saved_errno = errno;
	if (t->saved_errno != 0) {
		t->dead = t->closed_told = true;
		t->events->on_connected(t->owner, FAILED);
		return;
	}
	t->writable = true;
	t->events->on_connected(t->owner, OK);
}

static void on_writable(struct transport *t)
{
	t->writable = true;
	transport_flush(t);
	if (t->writable && t->want_writable && !t->dead) {
		t->want_writable = false;
		t->events->on_writable(t->owner);
	}
}

static void on_transport_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd;
	if (t->connecting) {
		finish_connect(t);
		if (t->dead || t->fd < 0)
			return;
	} else if ((what & EV_WRITE) && !t->writable) {
		on_writable(t);
	}
	if (t->fd < 0 || t->dead)
		return;
	if (what & EV_CLOSED)
		t->rdhup = true;
	if (what & (EV_READ | EV_CLOSED)) {
		t->readable = true;
		if (t->handshaking)
			tls_handshake(t);
		else
			t->events->on_readable(t->owner);
	}
}

static void hook(struct transport *t)
{
	event_assign(&t->event, t->worker->base, t->fd,
		     EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_transport_event, t);
	if (event_add(&t->event, NULL) != 0)
		transport_mark_dead(t, ENOMEM);
}

static void set_up(struct transport *t, struct worker *w, int fd, const struct transport_events *events,
		   void *owner)
{
	*t = (struct transport){ .worker = w, .fd = fd, .events = events, .owner = owner };
}

void transport_init(struct transport *t, struct worker *w, int fd, const struct transport_events *events,
		    void *owner)
{
	set_up(t, w, fd, events, owner);
	t->writable = true;
	hook(t);
}

/* Reports a connect that failed at once, from the loop as promised. */
static void on_connect_refused(evutil_socket_t fd, short what, void *arg)
{
	struct transport *t = arg;

	(void)fd, (void)what;
	t->connecting = false;
	t->closed_told = true;
	t->events->on_connected(t->owner, FAILED);
}

static void connect_failed(struct transport *t, int why)
{
	t->dead = true;
	t->saved_errno = why;
	t->connecting = true;
	event_assign(&t->event, t->worker->base, -1, 0, on_connect_refused, t);
	event_active(&t->event, EV_TIMEOUT, 1);
}

void transport_connect(struct transport *t, struct worker *w, const struct sockaddr *to, socklen_t len,
		       const struct transport_events *events, void *owner)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	set_up(t, w, fd, events, owner);
	if (fd < 0) {
		t->local_failure = true;
		connect_failed(t, errno);
		return;
	}
	transport_tune(fd, to->sa_family);
	if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
		t->local_failure = errno == EADDRNOTAVAIL;
		connect_failed(t, errno);
		return;
	}
	/* Also where it succeeded at once: the first edge says writable. */
	t->connecting = true;
	hook(t);
}

ssize_t transport_recv(struct transport *t, char *into, size_t room)
{
	ssize_t n;

	if (!t->readable || t->dead) {
		errno = EAGAIN;
		return -1;
	}
	do
		n = recv(t->fd, into, room, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		t->readable = false;
		if (errno != EAGAIN) {
			t->dead = t->closed_told = true;
			t->saved_errno = errno;
		}
		return -1;
	}
	t->bytes_in += (uint64_t)n;
	/* A short read has emptied the socket; its next bytes make an edge. A FIN that came along
	 * does not, so it is read up to. */
	if ((size_t)n < room && !t->rdhup)
		t->readable = false;
	return n;
}

void transport_look_again(struct transport *t)
{
	t->readable = !t->eof;
}

enum outcome transport_fill(struct transport *t, size_t want)
{
	ssize_t n;

	if (t->ssl != NULL)
		return tls_fill(t, want);
	if (t->dead)
		return FAILED;
	if (!t->readable)
		return t->eof ? CLOSED : AGAIN;
	buffer_reserve(t->worker, &t->in, want > 0 ? want : t->in.base == NULL ? BUFFER_BYTES : 1);
	n = transport_recv(t, t->in.base + t->in.end, buffer_room(&t->in));
	if (n <= 0 && buffer_len(&t->in) == 0)
		buffer_release(t->worker, &t->in);
	if (n < 0)
		return t->dead ? FAILED : AGAIN;
	if (n == 0) {
		t->eof = true;
		t->readable = false;
		return CLOSED;
	}
	t->in.end += (uint32_t)n;
	return OK;
}

size_t transport_write(struct transport *t, const struct iovec *iov, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	size_t asked = 0;
	ssize_t n;

	for (int i = 0; i < count; i++)
		asked += iov[i].iov_len;
	if (count == 1) {
		do
			n = send(t->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
	} else {
		do
			n = sendmsg(t->fd, &message, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
	}
	if (n < 0 && errno != EAGAIN) {
		transport_mark_dead(t, errno);
		return 0;
	}
	if (n > 0)
		t->bytes_out += (uint64_t)n;
	if (n < (ssize_t)asked) {
		t->writable = false;
		if (t->events->on_blocked != NULL)
			t->events->on_blocked(t->owner);
	}
	return n < 0 ? 0 : (size_t)n;
}

void transport_queue(struct transport *t, struct slice s)
{
	if (t->dead || t->shut)
		return;
	buffer_append(t->worker, &t->out, s);
	worker_flush_later(t->worker, t);
}

/* Writes what was gathered and `s` behind it; returns how much of `s` went. */
static size_t write_through(struct transport *t, struct slice s)
{
	size_t held = buffer_len(&t->out), n;
	struct iovec iov[2];
	int count = 0;

	if (held > 0)
		iov[count++] = (struct iovec){ t->out.base + t->out.start, held };
	iov[count++] = (struct iovec){ (char *)s.at, s.len };
	n = transport_write(t, iov, count);
	if (n < held) {
		buffer_consume(t->worker, &t->out, n);
		return 0;
	}
	if (held > 0)
		buffer_consume(t->worker, &t->out, held);
	return n - held;
}

size_t transport_send(struct transport *t, struct slice s)
{
	size_t held = buffer_len(&t->out), taken;

	if (t->dead || t->shut)
		return s.len;		/* nobody reads it any more; on_closed() tells the owner */
	if (held + s.len <= GATHER_MAX) {
		transport_queue(t, s);
		return s.len;
	}
	if (!t->writable || t->connecting || t->handshaking) {
		taken = held < GATHER_MAX ? GATHER_MAX - held : 0;
		transport_queue(t, slice_first(s, taken));
	} else if (t->ssl != NULL) {
		taken = tls_send(t, s);
	} else {
		taken = write_through(t, s);
	}
	if (t->dead)
		return s.len;
	if (taken < s.len)
		t->want_writable = true;
	return taken;
}

uint64_t transport_acknowledged(const struct transport *t)
{
	int unread = 0;

	if (t->fd < 0 || ioctl(t->fd, SIOCOUTQ, &unread) != 0 || unread < 0)
		return t->bytes_out;
	return (uint64_t)unread < t->bytes_out ? t->bytes_out - (uint64_t)unread : 0;
}

static void send_fin(struct transport *t)
{
	if (t->shut_sent)
		return;
	t->shut_sent = true;
	if (shutdown(t->fd, SHUT_WR) != 0 && errno != ENOTCONN)
		transport_mark_dead(t, errno);
}

void transport_flush(struct transport *t)
{
	if (t->dead) {
		tell_closed(t);
		return;
	}
	if (!t->writable || t->connecting || t->fd < 0)
		return;
	if (t->ssl != NULL) {
		tls_flush(t);
	} else if (buffer_len(&t->out) > 0) {
		struct iovec iov = { t->out.base + t->out.start, buffer_len(&t->out) };

		buffer_consume(t->worker, &t->out, transport_write(t, &iov, 1));
	}
	if (t->shut && t->ssl != NULL)
		tls_shutdown(t);
	if (t->shut && t->writable && transport_pending(t) == 0)
		send_fin(t);
}

void transport_shutdown(struct transport *t)
{
	if (t->shut || t->dead)
		return;
	t->shut = true;
	worker_flush_later(t->worker, t);
}

static void release_all(struct transport *t)
{
	buffer_release(t->worker, &t->in);
	buffer_release(t->worker, &t->out);
	buffer_release(t->worker, &t->raw_in);
	buffer_release(t->worker, &t->raw_out);
}

void transport_close(struct transport *t)
{
	if (t->resume_asked) {
		LIST_REMOVE(t, resume_link);
		t->resume_asked = false;
	}
	if (t->flush_asked) {
		TAILQ_REMOVE(&t->worker->to_flush, t, flush_link);
		t->flush_asked = false;
	}
	if (t->fd >= 0 && !t->dead && !t->connecting && !t->shut_sent)
		transport_flush(t);
	if (t->flush_asked) {		/* the last write found it dead */
		TAILQ_REMOVE(&t->worker->to_flush, t, flush_link);
		t->flush_asked = false;
	}
	t->dead = t->closed_told = true;
	if (t->ssl != NULL) {
		SSL_free(t->ssl);
		t->ssl = NULL;
	}
	release_all(t);
	if (t->event.ev_base != NULL)
		event_del(&t->event);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

void transport_abort(struct transport *t)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	if (t->fd >= 0)
		setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	buffer_release(t->worker, &t->out);
	buffer_release(t->worker, &t->raw_out);
	t->dead = t->closed_told = true;
	transport_close(t);
}

const char *transport_error(const struct transport *t)
{
	if (t->tls_error != NULL) {
		snprintf(t->worker->error_text, sizeof(t->worker->error_text), "TLS_error:%s", t->tls_error);
		return t->worker->error_text;
	}
	return t->saved_errno != 0 ? strerrordesc_np(t->saved_errno) : "closed by peer";
}
