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
	bool read = false;

	for (unsigned fills = 0; !t->dead && c->ops->wants_input(c); fills++) {
		if (fills == PUMP_FILLS_MAX) {
			worker_resume_later(t->worker, t);
			return;
		}
		switch (transport_fill(t, fills < SMALL_FILLS ? 0 : BUFFER_BYTES_LARGE)) {
		case OK:
			read = true;
			codec_feed(c);
			break;
		case AGAIN:
			/* A reset that came along with the last bytes makes no edge of its own. Whoever
			 * waits for more bytes asks once for it; all others hear of it when they write. */
			if (!read || !c->ops->is_within(c))
				return;
			read = false;
			transport_look_again(t);
			break;
		case CLOSED:
			c->ops->eof(c);
			return;
		case FAILED:
			c->ops->failed(c, RESET_CONNECTION_TERMINATION);
			return;
		}
	}
}
