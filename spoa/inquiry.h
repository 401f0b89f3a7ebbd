/* SPDX-License-Identifier: Apache-2.0
 *
 * inquiry.h - one NOTIFY on its way to an ACK: decoded, perhaps parked for a revision, judged,
 * put into reply variables.
 *
 * Owner    the thread pools them with their arenas: none is allocated on the steady path. A
 *          connection lists those outstanding; each ends in spoa_connection_answer() or
 *          inquiry_cancel().
 * Thread   the thread's own. */
#ifndef SALLYPORT_SPOA_INQUIRY_H
#define SALLYPORT_SPOA_INQUIRY_H

#include <sys/queue.h>

#include "sallyport/check_request.h"
#include "spoa/thread.h"

#define INQUIRY_ARENA_BYTES	24576	/* a frame of usual size with all that judging it takes */
#define INQUIRY_SPARE_MAX	256	/* kept a thread */

struct inquiry {
	TAILQ_ENTRY(inquiry) link;	/* of the connection's outstanding ones, or the spare */
	TAILQ_ENTRY(inquiry) parked;
	struct spoa_thread *thread;
	struct spoa_connection *connection;	/* borrowed */
	struct arena *arena;		/* owned; reset for each use */
	struct rules *rules;		/* a reference while it is judged */
	uint64_t stream_id, frame_id;
	struct check_request question;
	struct check check;
	struct decision *decision;	/* while it waits */
	bool is_parked;
	unsigned long parked_at_load;	/* the last load that had begun then */
};

/* What became of the messages of a NOTIFY. */
enum inquiry_result {
	INQUIRY_ANSWERED,	/* or under way: spoa_connection_answer() was or will be called */
	INQUIRY_MALFORMED,	/* the frame is invalid; to be cancelled by the caller */
};

/* From the thread's pool. */
struct inquiry *inquiry_take(struct spoa_thread *t, struct spoa_connection *c,
			     uint64_t stream_id, uint64_t frame_id);
/* Reads `payload` (which need not outlive the call) and judges. */
enum inquiry_result inquiry_start(struct inquiry *q, struct slice payload);
/* The thread's rules have changed, or time has: parked ones are looked at again. */
void inquiry_retry_parked(struct spoa_thread *t);
/* Nobody wants the answer. Gives it back. */
void inquiry_cancel(struct inquiry *q);
/* For spoa_connection_answer(): back to the pool. */
void inquiry_give_back(struct inquiry *q);
void inquiry_free_spare(struct spoa_thread *t);

#endif
