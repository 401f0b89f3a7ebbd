/* SPDX-License-Identifier: Apache-2.0
 *
 * extauthz_http.c - the check as an HTTP request that looks like the one it is about, and what its
 * response means (spec/authorization-policy.md 10.3). */
#include "spoa/extauthz_priv.h"

#define REMOVE_HEADER	"x-envoy-auth-headers-to-remove"

/* ---- the question ---- */

static void set_target(struct extauthz_call *c, const struct request *r)
{
	const struct extension_provider *p = c->target->provider;
	bool ipv6 = slice_find(p->service, ':') >= 0;

	curl_easy_setopt(c->transfer.easy, CURLOPT_URL,
			 arena_printf(c->arena, ipv6 ? "http://[%.*s]:%u/" : "http://%.*s:%u/",
				      SLICE_ARG(p->service), p->port));
	curl_easy_setopt(c->transfer.easy, CURLOPT_REQUEST_TARGET,
			 arena_printf(c->arena, "%.*s%.*s", SLICE_ARG(p->path_prefix), SLICE_ARG(r->target)));
}

static void set_method(struct extauthz_call *c, const struct request *r)
{
	CURL *easy = c->transfer.easy;

	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (slice_eq(r->check->method, SLICE("HEAD")))
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, arena_text(c->arena, r->check->method));
}

/* Always sent, and by us. */
static bool is_own(struct slice name)
{
	return slice_eq_nocase(name, SLICE("authorization")) || slice_eq_nocase(name, PARTIAL_BODY_HEADER) ||
	       !call_may_set(name, NO_SLICE);
}

static bool is_replaced(const struct extension_provider *p, struct slice name)
{
	for (size_t i = 0; i < p->additional_headers.count; i++)
		if (slice_eq_nocase(p->additional_headers.items[i].key, name))
			return true;
	return false;
}

static void copy_headers(struct extauthz_call *c, const struct request *r)
{
	const struct extension_provider *p = c->target->provider;

	for (size_t i = 0; i < r->header_count; i++) {
		const struct check_header *h = &r->headers[i];
		bool wanted = name_patterns_match(&p->headers_in_check, h->name) &&
			      !is_replaced(p, h->name);

		if (slice_eq_nocase(h->name, SLICE("authorization")) || (wanted && !is_own(h->name)))
			call_add_header(c, h->name, h->value);
	}
	for (size_t i = 0; i < p->additional_headers.count; i++)
		call_add_header(c, p->additional_headers.items[i].key, p->additional_headers.items[i].value);
}

/* libcurl names the type of a form where nobody names one. */
static void leave_type_out(struct extauthz_call *c, const struct request *r)
{
	const struct extension_provider *p = c->target->provider;
	struct slice name = SLICE("content-type");

	if (!is_replaced(p, name) &&
	    !(name_patterns_match(&p->headers_in_check, name) && request_header(r, name).at != NULL))
		call_omit_header(c, "Content-Type");
}

static void set_body(struct extauthz_call *c, const struct request *r)
{
	CURL *easy = c->transfer.easy;
	bool partial;
	struct slice body = call_request_body(c, r, &partial);

	if (body.at == NULL || slice_eq(r->check->method, SLICE("HEAD"))) {
		call_add_header(c, SLICE("Content-Length"), SLICE("0"));
		return;
	}
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body.len);
	curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body.at);
	call_add_header(c, PARTIAL_BODY_HEADER, partial ? SLICE("true") : SLICE("false"));
	call_omit_header(c, "Expect");
	leave_type_out(c, r);
}

void http_prepare(struct extauthz_call *c, const struct request *r)
{
	set_target(c, r);
	set_body(c, r);
	set_method(c, r);
	call_add_header(c, SLICE("Host"), r->authority);
	call_omit_header(c, "Accept");
	copy_headers(c, r);
}

/* ---- the answer ---- */

static void push_upstream(struct extauthz_call *c, struct extauthz_answer *a, int how, struct slice name,
			  struct slice value)
{
	if (a->upstream.items == NULL)
		a->upstream.items = arena_array(c->arena, struct extauthz_header, 2 * EXTAUTHZ_HEADERS_MAX);
	if (a->upstream.count < 2 * EXTAUTHZ_HEADERS_MAX && call_may_set(name, value))
		a->upstream.items[a->upstream.count++] = (struct extauthz_header){ how, name, value };
}

static void push_downstream(struct extauthz_call *c, struct extauthz_answer *a, const struct check_header *h)
{
	if (a->downstream.items == NULL)
		a->downstream.items = arena_array(c->arena, struct check_header, EXTAUTHZ_HEADERS_MAX);
	if (call_may_set(h->name, h->value))
		a->downstream.items[a->downstream.count++] = *h;
}

static void take_removals(struct extauthz_call *c, struct extauthz_answer *a)
{
	struct slice rest = call_response_header(c, REMOVE_HEADER), name;

	while (rest.at != NULL) {
		name = slice_trim(slice_cut(&rest, ','));
		if (name.len > 0)
			push_upstream(c, a, HEADER_REMOVE, name, NO_SLICE);
	}
}

static bool goes_with_denials(const struct extension_provider *p, struct slice name)
{
	return p->downstream_on_deny.count == 0 || name_patterns_match(&p->downstream_on_deny, name) ||
	       slice_eq(name, SLICE("www-authenticate")) || slice_eq(name, SLICE("location"));
}

static void allow(struct extauthz_call *c, struct extauthz_answer *a)
{
	const struct extension_provider *p = c->target->provider;

	a->result = EXTAUTHZ_ALLOW;
	for (size_t i = 0; i < c->response_count; i++) {
		const struct check_header *h = &c->response[i];

		if (name_patterns_match(&p->upstream_on_allow, h->name))
			push_upstream(c, a, HEADER_SET, h->name, h->value);
		if (name_patterns_match(&p->downstream_on_allow, h->name))
			push_downstream(c, a, h);
	}
	take_removals(c, a);
}

static void deny(struct extauthz_call *c, long status, struct extauthz_answer *a)
{
	a->result = EXTAUTHZ_DENY;
	a->status = (unsigned)status;
	a->body = text_slice(&c->body);
	for (size_t i = 0; i < c->response_count; i++)
		if (goes_with_denials(c->target->provider, c->response[i].name))
			push_downstream(c, a, &c->response[i]);
}

void http_judge(struct extauthz_call *c, long status, struct extauthz_answer *a)
{
	if (status == 200)
		allow(c, a);
	else if (status > 200 && status < 500)
		deny(c, status, a);
	else
		a->error = arena_printf(c->arena, "status %ld", status);
}
