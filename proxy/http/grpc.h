/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc.h - what a proxy has to know of gRPC: which messages speak it, how a failure is said in it,
 * how long a call may take.
 *
 * Owner    nothing is kept; texts live in the arena that is given.
 * Fails    what is malformed counts as absent.
 * Spec     spec/http.md 28; spec/virtual-service.md 7.7. */
#ifndef SALLYPORT_PROXY_GRPC_H
#define SALLYPORT_PROXY_GRPC_H

#include "proxy/http/message.h"

enum { GRPC_DEADLINE_EXCEEDED = 4 };

#define GRPC_TIMEOUT_DIGITS_MAX	8
#define GRPC_MESSAGE_TEXT_MAX	(16u * 1024)	/* of a body that becomes a message; the rest is cut off */

/* `application/grpc`, alone or with the name of an encoding; gRPC-Web is another type. */
bool grpc_is_type(struct slice content_type);
/* NULL: a head that could not be read. */
bool grpc_is_request(const struct message *request);

/* What a status of HTTP is in gRPC; of our own replies and of upstreams that know nothing of gRPC. */
unsigned grpc_status_of(unsigned http_status);
/* A text as grpc-message carries it. */
struct slice grpc_message(struct slice text, struct arena *a);
/* Both fields; no message where `text` is empty, and of a long one its beginning. */
void grpc_set_status(struct message *response, unsigned status, struct slice text);

/* The value of grpc-timeout in milliseconds, rounded up; 0: absent, malformed or no time at all. */
int64_t grpc_timeout_ms(struct slice value);
/* The other way, in the finest unit that still fits; `ms` is at least 1. */
struct slice grpc_timeout_text(int64_t ms, struct arena *a);

#endif
