/* SPDX-License-Identifier: Apache-2.0
 *
 * pump.c - the loop that reads a transport into its codec. */
#include "proxy/http/pump.h"

#include "proxy/net/worker.h"

/* After so many full buffers a body is in full flow: larger reads save calls. */
#define SMALL_FILLS	2u

void codec_pump(struct codec *c)
{
	struct transport *t = c->transport;

	for (unsigned fills = 0; !t->dead && c->ops->wants_input(c); fills++) {
		if (fills == PUMP_FILLS_MAX) {
			worker_resume_later(t->worker, t);
			return;
		}
		switch (transport_fill(t, fills < SMALL_FILLS ? 0 : BUFFER_BYTES_LARGE)) {
		case OK:
			codec_feed(c);
			break;
		case AGAIN:
			return;
		case CLOSED:
			c->ops->eof(c);
			return;
		case FAILED:
			c->ops->failed(c, RESET_CONNECTION_TERMINATION);
			return;
		}
	}
}
