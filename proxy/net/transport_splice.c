/* SPDX-License-Identifier: Apache-2.0
 *
 * transport_splice.c - a plain transport and a pipe: bytes that stay in the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "proxy/net/transport_priv.h"

static ssize_t move(int from, int to, size_t bytes)
{
	ssize_t n;

	do
		n = splice(from, NULL, to, NULL, bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (n < 0 && errno == EINTR);
	return n;
}

enum outcome transport_splice_in(struct transport *t, int pipe, size_t most, size_t *moved)
{
	ssize_t n;

	*moved = 0;
	if (t->dead)
		return FAILED;
	if (!t->readable)
		return t->eof ? CLOSED : AGAIN;
	n = move(t->fd, pipe, most);
	if (n < 0) {
		t->readable = false;
		if (errno == EAGAIN)
			return AGAIN;
		t->dead = t->closed_told = true;
		t->saved_errno = errno;
		return FAILED;
	}
	if (n == 0) {
		t->eof = true;
		t->readable = false;
		return CLOSED;
	}
	t->bytes_in += (uint64_t)n;
	*moved = (size_t)n;
	return OK;
}

/* Only EAGAIN says that an edge will come: a short count alone may have another cause. */
size_t transport_splice_out(struct transport *t, int pipe, size_t bytes)
{
	size_t left = bytes;

	if (t->dead || t->shut)
		return 0;
	if (buffer_len(&t->out) > 0)
		transport_flush(t);
	while (left > 0 && t->writable && !t->connecting && buffer_len(&t->out) == 0 && !t->dead) {
		ssize_t n = move(pipe, t->fd, left);

		if (n > 0) {
			left -= (size_t)n;
			t->bytes_out += (uint64_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			t->writable = false;
		} else {
			transport_mark_dead(t, n < 0 ? errno : EPIPE);
		}
	}
	t->want_writable |= left > 0;
	return bytes - left;
}

bool transport_was_reset(struct transport *t)
{
	socklen_t len = sizeof(int);
	int why = 0;

	if (t->dead)
		return true;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &why, &len) != 0)
		why = errno;
	if (why == 0)
		return false;
	t->dead = t->closed_told = true;
	t->saved_errno = why;
	return true;
}
