/* SPDX-License-Identifier: Apache-2.0
 * Whatever follows `explain` on the admin socket: it is a question or it is none; a question is written down as
 * one that reads the same; its explanation is whole lines as text, and JSON as JSON. */
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "proxy/admin/explain.h"
#include "sallyport/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char documents[] =
	"{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {servers: [\n"
	" {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example, '*.b.example']},\n"
	" {port: {number: 81, name: r, protocol: HTTP}, hosts: [a.example], tls: {httpsRedirect: true}},\n"
	" {port: {number: 82, name: web, protocol: GRPC-WEB}, hosts: ['*']},\n"
	" {port: {number: 90, name: tcp, protocol: TCP}, hosts: ['*']},\n"
	" {port: {number: 443, name: a, protocol: HTTPS}, hosts: [a.example], tls: {mode: SIMPLE, credentialName: a}},\n"
	" {port: {number: 443, name: b, protocol: HTTPS}, hosts: [b.example], tls: {mode: SIMPLE, credentialName: b}}]}}\n"
	"---\n"
	"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v}, spec: {gateways: [g],\n"
	" hosts: [a.example, '*.b.example', b.example],\n"
	" tcp: [{route: [{destination: {host: s.example}}]}], http: [\n"
	" {name: re, match: [{uri: {regex: '/r[0-9]+/.*'}, headers: {x: {}}, queryParams: {q: {exact: '1'}}}],\n"
	"  rewrite: {uriRegexRewrite: {match: '^/r([0-9]+)', rewrite: '/\\1'}}, route: [{destination: {host: s.example}}]},\n"
	" {match: [{uri: {prefix: /p}, method: {exact: POST}}], rewrite: {uri: /q/, authority: z.example},\n"
	"  headers: {request: {set: {x-a: '%REQ(:PATH)%|%DOWNSTREAM_REMOTE_ADDRESS%'}, remove: [x-b]}},\n"
	"  corsPolicy: {allowOrigins: [{regex: 'https://.*'}]}, timeout: 3s, fault: {abort: {httpStatus: 418, percentage: {value: 1}}},\n"
	"  route: [{destination: {host: s.example}, weight: 1}, {destination: {host: none.example}, weight: 3}]},\n"
	" {match: [{uri: {prefix: /go}}], redirect: {uri: /gone, authority: c.example}},\n"
	" {match: [{uri: {prefix: /say}}], directResponse: {status: 200, body: {string: \"a\\n\\nb\"}}}]}}\n"
	"---\n"
	"{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: s}, spec: {hosts: [s.example],\n"
	" resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 127.0.0.1}]}}\n"
	"---\n"
	"{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: istio-system},\n"
	" spec: {action: DENY, rules: [{to: [{operation: {paths: [/p*]}}]}]}}\n";

static const struct snapshot *documents_once(void)
{
	static struct snapshot *s;
	struct problems ps;

	if (s != NULL)
		return s;
	problems_init(&ps);
	s = snapshot_build(resource_set_parse("fuzz.yaml", slice_of(documents), &ps), 1, &ps);
	problems_print(&ps, SEVERITY_ERROR, stderr);
	must(s != NULL && ps.errors == 0);
	problems_fini(&ps);
	return s;
}

static void check_line(const struct explain_question *q, struct arena *a)
{
	struct explain_question again;
	struct text line, second;
	struct slice *words;
	char why[256];
	size_t count;

	text_init(&line);
	text_init(&second);
	explain_write(q, &line);
	count = explain_split(text_slice(&line), a, &words);
	must(explain_parse(words, count, a, &again, NULL, why, sizeof(why)) == OK);
	explain_write(&again, &second);
	must(slice_eq(text_slice(&line), text_slice(&second)));
	text_fini(&line);
	text_fini(&second);
}

/* One of the verdicts that there are, another one for each question. */
static struct authz_verdict verdict(unsigned which)
{
	struct authz_verdict v = { .outcome = AUTHZ_ALLOWED, .status = 200, .reply = { .allow = true } };

	switch (which % 5) {
	case 0:
		return v;
	case 1:
		v.reply.path_out = SLICE("/go/elsewhere");
		v.reply.headers_set = SLICE("\1x\0011\0\0");
		return v;
	case 2:
		v.reply.headers_remove = SLICE("\6origin\0");
		v.reply.response_set = SLICE("\1y\0012\0\0");
		return v;
	case 3:
		v.outcome = AUTHZ_DENIED;
		v.status = 403;
		v.reply = (struct check_reply){ .reason = SLICE("rbac"), .body = SLICE("RBAC: access denied"),
						.why = SLICE("a/b#rule 0") };
		return v;
	default:
		return authz_verdict_failed(AUTHZ_CAUSE_TIMEOUT);
	}
}

static const struct explained *explain_all(const struct explain_question *q, unsigned which, struct arena *a)
{
	const struct explain_ground ground = { .live = false, .follows = true, .judged = which % 2 };
	struct explaining *x = explain_begin(documents_once(), q, &ground, a);

	for (unsigned asked = 0; explain_asks(x) != NULL; asked++) {
		struct authz_verdict v = verdict(which / 2 + asked);

		must(asked < 8);
		explain_answer(x, &v);
	}
	return explain_result(x);
}

static void check_answers(const struct explain_question *q, unsigned which, struct arena *a)
{
	const struct explained *e = explain_all(q, which, a);
	struct text out;
	json_error_t error;
	json_t *json;

	text_init(&out);
	explain_add_text(e, false, NULL, &out);
	must(out.len > 0 && out.at[0] != '\n' && out.at[out.len - 1] == '\n' && strstr(out.at, "\n\n") == NULL);
	text_clear(&out);
	explain_add_json(e, false, NULL, &out);
	must(strchr(out.at, '\n') == out.at + out.len - 1);
	json = json_loads(out.at, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	must(json != NULL && json_string_value(json_object_get(json, "outcome")) != NULL);
	json_decref(json);
	text_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_create(0);
	struct explain_question q;
	struct slice *words;
	size_t count = explain_split(slice_make(data, size), a, &words);
	char why[256];

	if (explain_parse(words, count, a, &q, NULL, why, sizeof(why)) == OK) {
		check_line(&q, a);
		check_answers(&q, (unsigned)size, a);
	} else {
		must(why[0] != '\0');
	}
	arena_free(&a);
	return 0;
}
