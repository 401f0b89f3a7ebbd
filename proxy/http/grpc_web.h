/* SPDX-License-Identifier: Apache-2.0
 *
 * grpc_web.h - gRPC-Web, what browsers can speak of gRPC, and the way between both: heads, bodies in
 * base64, trailers as a frame of the body. Pure: it knows no stream and no connection.
 *
 * Owner    nothing is kept but the few bytes between two calls, in structs of the caller's; texts live
 *          in the arena of the message.
 * Fails    bytes that are no base64 are told; all else has an answer.
 * Spec     spec/http.md 29. */
#ifndef SALLYPORT_PROXY_GRPC_WEB_H
#define SALLYPORT_PROXY_GRPC_WEB_H

#include "proxy/http/message.h"

struct grpc_web {
	bool text_in, text_out;		/* bodies in base64; what comes back is the client's wish */
};

/* Does the request speak it, and how? */
bool grpc_web_of(const struct message *request, struct grpc_web *out);

/* The request as gRPC: of HTTP/2, with a body whose length nobody knows. */
void grpc_web_translate_request(struct message *request, bool has_body);

/* Did something answer that knows gRPC? `end`: the head is all. */
bool grpc_web_is_grpc(const struct message *response, bool end);
/* The head of such an answer. */
void grpc_web_translate_response(struct message *response, const struct grpc_web *web, bool end);
/* The head in place of any other answer, with its status and the beginning of its body as text; a
 * grpc-status that it has stays. Nothing follows it. */
void grpc_web_translate_failure(struct message *response, const struct grpc_web *web, struct slice body);

/* The frame that carries trailers; empty where there are none. */
struct slice grpc_web_trailers(const struct headers *trailers, struct arena *a);

/* ---- base64, piece by piece ---- */

struct grpc_web_decoder {
	uint32_t bits;			/* of the group that has begun */
	uint8_t have, padding;		/* its characters, and how many of them are `=` */
	bool failed;			/* no base64: nothing more is read */
};

/* Groups of four, each of which may be the last of its kind (padding) and yet be followed. Writes at most
 * `room` bytes (at least 3), returns how many; *used of `in` were read. Stops at a character that does
 * not belong. */
size_t grpc_web_decode(struct grpc_web_decoder *d, struct slice in, char *out, size_t room, size_t *used);
/* At the end of the body: nothing was wrong, and nothing is missing. */
bool grpc_web_is_complete(const struct grpc_web_decoder *d);

struct grpc_web_encoder {
	uint8_t prefix[5];		/* of the frame that has begun: flags and length */
	uint8_t prefix_have;
	uint32_t payload_left;
	uint8_t rest[2];		/* bytes that do not make a group yet */
	uint8_t rest_have;
};

/* Each frame of gRPC by itself, ended with padding as soon as it is complete. Writes at most `room`
 * characters (at least 4), returns how many; *used of `in` were read. */
size_t grpc_web_encode(struct grpc_web_encoder *e, struct slice in, char *out, size_t room, size_t *used);
/* At the end of the body: the last frame is complete. */
bool grpc_web_is_between_frames(const struct grpc_web_encoder *e);

#endif
