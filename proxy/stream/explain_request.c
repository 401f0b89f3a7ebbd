/* SPDX-License-Identifier: Apache-2.0
 *
 * explain_request.c - the request of a question, as the codec reads it from a client that asks so. */
#include "proxy/stream/explain_priv.h"

#include "proxy/http/codec.h"
#include "proxy/stream/server.h"
#include "sallyport/text.h"

static bool names(const struct explain_question *q, struct slice name)
{
	for (size_t i = 0; i < q->headers.count; i++)
		if (slice_eq_nocase(q->headers.items[i].name, name))
			return true;
	return false;
}

static void add_field(struct text *head, struct slice name, struct slice value)
{
	text_printf(head, "%.*s: %.*s\r\n", SLICE_ARG(name), SLICE_ARG(value));
}

static bool is_cookie(const struct explain_question *q, size_t i)
{
	return q->http2 && slice_eq_nocase(q->headers.items[i].name, SLICE("cookie"));
}

/* HTTP/2 cuts them into fields of their own, and the codec puts them together again. */
static void add_cookies(const struct explain_question *q, struct text *head)
{
	const char *before = "cookie: ";

	for (size_t i = 0; i < q->headers.count; i++)
		if (is_cookie(q, i)) {
			text_printf(head, "%s%.*s", before, SLICE_ARG(q->headers.items[i].value));
			before = "; ";
		}
	if (before[0] == ';')
		text_add(head, SLICE("\r\n"));
}

static void write_head(const struct explain_question *q, struct text *head)
{
	struct slice method = q->method.at != NULL ? q->method : q->has_body ? SLICE("POST") : SLICE("GET");

	text_printf(head, "%.*s %.*s HTTP/1.1\r\n", SLICE_ARG(method), SLICE_ARG(q->target));
	if (!names(q, SLICE("host")))
		add_field(head, SLICE("host"), q->authority);
	for (size_t i = 0; i < q->headers.count; i++)
		if (!is_cookie(q, i))
			add_field(head, q->headers.items[i].name, q->headers.items[i].value);
	add_cookies(q, head);
	if (q->has_body && !names(q, SLICE("content-length")) && !names(q, SLICE("transfer-encoding")))
		text_printf(head, "content-length: %llu\r\n", (unsigned long long)q->body_bytes);
	text_add(head, SLICE("\r\n"));
}

bool explain_request(struct explaining *e, struct local_reply *refusal)
{
	struct codec_settings settings = server_codec_settings(e->out->snapshot->settings,
							       e->out->choice.chain->tls);
	struct message *m = arena_new(e->arena, struct message);
	const struct refusal *why;
	struct text head;

	text_init(&head);
	write_head(e->out->question, &head);
	why = http1_read_request(text_slice(&head), &settings, e->arena, m);
	text_fini(&head);
	e->request = m;
	e->out->request = m;
	if (e->out->question->http2)
		m->version = HTTP_2;
	if (why == NULL)
		return true;
	*refusal = (struct local_reply){ .status = why->status, .body = slice_of(why->body),
					 .details = why->details, .plain = true };
	return false;
}
