/* SPDX-License-Identifier: Apache-2.0
 *
 * extauthz.c - a call to a provider from its start to its answer, whatever is spoken. */
#include "spoa/extauthz_priv.h"

#include <stdlib.h>

#include "sallyport/log.h"

#define KIND_EXTAUTHZ		KIND('x', 'a', 'z', 'c')
#define KIND_EXTAUTHZ_CALL	KIND('x', 'a', 'z', 'q')

struct extauthz {
	struct object obj;
	struct transfers *transfers;	/* owned */
	size_t calls;			/* under way */
	size_t next_endpoint;
};

struct extauthz *extauthz_create(struct event_base *base)
{
	struct extauthz *x = calloc(1, sizeof(*x));

	if (x == NULL)
		fatal("out of memory for the client of providers");
	x->obj.kind = KIND_EXTAUTHZ;
	x->transfers = transfers_create(base, EXTAUTHZ_CONNECTIONS_MAX);
	return x;
}

void extauthz_free(struct extauthz **xp)
{
	struct extauthz *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	object_must(x, KIND_EXTAUTHZ);
	must(x->calls == 0);
	transfers_free(&x->transfers);
	object_wipe(x);
	free(x);
}

static void call_free(struct extauthz_call *c)
{
	transfer_stop(&c->transfer);
	curl_easy_cleanup(c->transfer.easy);
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->connect_to);
	text_fini(&c->question);
	text_fini(&c->body);
	arena_free(&c->arena);
	c->client->calls--;
	object_wipe(c);
	free(c);
}

/* ---- what comes ---- */

static size_t on_body(char *at, size_t one, size_t len, void *arg)
{
	struct extauthz_call *c = arg;

	(void)one;
	if (len > EXTAUTHZ_BODY_BYTES_MAX - c->body.len) {
		c->refusal = "its answer is too large";
		return 0;
	}
	text_add(&c->body, slice_make(at, len));
	return len;
}

/* Each line of a head, and of the trailers; a status line begins anew (1xx came before it). */
static size_t on_header(char *at, size_t one, size_t len, void *arg)
{
	struct extauthz_call *c = arg;
	struct slice line = transfer_header_line(at, len), name, value;

	(void)one;
	c->head_bytes += len;
	if (c->head_bytes > EXTAUTHZ_HEAD_BYTES_MAX || c->response_count == EXTAUTHZ_HEADERS_MAX) {
		c->refusal = "the head of its answer is too large";
		return 0;
	}
	if (slice_starts(line, SLICE("HTTP/"))) {
		c->response_count = 0;
		return len;
	}
	value = line;
	name = slice_cut(&value, ':');
	if (value.at == NULL || name.len == 0)
		return len;
	c->response[c->response_count++] = (struct check_header){
		arena_lower(c->arena, name), arena_slice(c->arena, slice_trim(value)),
	};
	return len;
}

struct slice call_response_header(const struct extauthz_call *c, const char *name)
{
	for (size_t i = 0; i < c->response_count; i++)
		if (slice_eq(c->response[i].name, slice_of(name)))
			return c->response[i].value;
	return NO_SLICE;
}

/* ---- what is sent ---- */

/* As one line of a head: no blanks where they would end the part, no line ends anywhere. */
static bool is_plain(struct slice s, char least)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] < (unsigned char)least || s.at[i] == 0x7f)
			return false;
	return true;
}

void call_add_header(struct extauthz_call *c, struct slice name, struct slice value)
{
	if (!is_plain(name, '!') || slice_find(value, '\r') >= 0 || slice_find(value, '\n') >= 0)
		return;
	/* With nothing behind the colon libcurl would leave the header out. */
	char *line = value.len > 0 ? arena_printf(c->arena, "%.*s: %.*s", SLICE_ARG(name), SLICE_ARG(value)) :
				     arena_printf(c->arena, "%.*s;", SLICE_ARG(name));

	c->headers = curl_slist_append(c->headers, line);
	if (c->headers == NULL)
		fatal("out of memory for a question to a provider");
}

void call_omit_header(struct extauthz_call *c, const char *name)
{
	c->headers = curl_slist_append(c->headers, arena_printf(c->arena, "%s:", name));
	if (c->headers == NULL)
		fatal("out of memory for a question to a provider");
}

bool call_may_set(struct slice name, struct slice value)
{
	static const char *const never[] = {
		"host", "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive", "te",
		"trailer", "proxy-connection",
	};

	for (size_t i = 0; i < COUNT_OF(never); i++)
		if (slice_eq_nocase(name, slice_of(never[i])))
			return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.at[i] == '\r' || value.at[i] == '\n' || value.at[i] == '\0')
			return false;
	return name.len > 0 && name.at[0] != ':';
}

struct slice call_request_body(const struct extauthz_call *c, const struct request *r, bool *partial)
{
	uint32_t most = c->target->provider->body_bytes;
	const struct check *check = r->check;

	*partial = check->body_partial || check->body.len > most;
	return most > 0 && check->has_body ? slice_first(check->body, most) : NO_SLICE;
}

/* ---- how it ends ---- */

static void on_transfer_done(void *owner, CURLcode code)
{
	struct extauthz_call *c = owner;
	struct extauthz_answer a = { .result = EXTAUTHZ_ERROR };
	long status = 0;

	object_must(c, KIND_EXTAUTHZ_CALL);
	curl_easy_getinfo(c->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->refusal != NULL)
		a.error = c->refusal;
	else if (code != CURLE_OK)
		a.error = curl_easy_strerror(code);
	else if (c->target->provider->kind == PROVIDER_HTTP)
		http_judge(c, status, &a);
	else
		grpc_judge(c, status, &a);
	c->done(c->arg, &a);
	call_free(c);
}

static void configure(struct extauthz_call *c, int64_t wait_ms)
{
	CURL *easy = c->transfer.easy;
	size_t count = c->target->connect_to_count;

	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(wait_ms > 0 ? wait_ms : 1));
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	if (count == 0)
		return;
	c->connect_to = curl_slist_append(NULL, c->target->connect_to[c->client->next_endpoint++ % count]);
	if (c->connect_to == NULL)
		fatal("out of memory for a question to a provider");
	curl_easy_setopt(easy, CURLOPT_CONNECT_TO, c->connect_to);
}

bool extauthz_can_ask(const struct extauthz_target *target, const struct request *r)
{
	if (target->provider->kind == PROVIDER_HTTP && r->check->proto != CHECK_HTTP)
		return false;
	return is_plain(r->check->method, '!') && is_plain(r->target, '!') && is_plain(r->authority, '!');
}

struct extauthz_call *extauthz_ask(struct extauthz *x, const struct extauthz_target *target,
				   const struct request *r, int64_t wait_ms, extauthz_done_fn *done, void *arg)
{
	struct extauthz_call *c = calloc(1, sizeof(*c));

	object_must(x, KIND_EXTAUTHZ);
	if (c == NULL)
		fatal("out of memory for a question to a provider");
	c->obj.kind = KIND_EXTAUTHZ_CALL;
	c->client = x;
	c->target = target;
	c->arena = arena_create(0);
	c->done = done;
	c->arg = arg;
	c->transfer = (struct transfer){ .easy = transfers_easy(), .done = on_transfer_done, .owner = c };
	x->calls++;
	configure(c, wait_ms);
	if (target->provider->kind == PROVIDER_HTTP)
		http_prepare(c, r);
	else
		grpc_prepare(c, r);
	curl_easy_setopt(c->transfer.easy, CURLOPT_HTTPHEADER, c->headers);
	transfer_start(x->transfers, &c->transfer);
	return c;
}

void extauthz_cancel(struct extauthz_call **cp)
{
	struct extauthz_call *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	object_must(c, KIND_EXTAUTHZ_CALL);
	call_free(c);
}
