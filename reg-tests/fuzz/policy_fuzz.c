/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_fuzz.c - the agent's judgement of hostile requests. The input is cut at newlines into a
 * path, an authority, a peer identity and headers. Whatever it says, one verdict comes, what the
 * policies forbid is not let through, and nothing unsafe is handed on; whoever asks why is told the same
 * verdict, and of each refusal a reason. */
#include "reg-tests/unit/policy_case.h"

#include "spoa/reasoning.h"

#define PARTS_MAX	64

static struct world world;

static void prepare(void)
{
	static const char documents[] =
		TOKENS("foo", "t", "{issuer: i, jwks: '{\"keys\":[]}', fromHeaders: [{name: x-t, prefix: 'T '}], "
		       "fromParams: [tok], fromCookies: [c], outputPayloadToHeader: x-p}, "
		       "{issuer: j, jwks: '{\"keys\":[]}'}")
		DENY(TO("paths: [\"/a/{*}/b\", \"/c/{**}/d\", \"*e\", \"f*\"], hosts: [\"*.x\", \"y:*\"]"))
		DENY(FROM("namespaces: [\"a*b*\"], trustDomains: [\"t*\"]"))
		DENY(FROM("serviceAccounts: [n/s]"))
		DENY(WHEN("request.headers[x-deny]", "values: [\"*\"]"))
		POLICY("foo", "reads", "{rules: [" TO("methods: [GET], paths: [\"/r/{**}\", \"*g\"]") "]}")
		POLICY("foo", "peers", "{rules: [{from: [{source: {principals: [\"*\"], notNamespaces: [z]}}], "
		       "when: [{key: \"request.headers[x-t]\", notValues: [\"b*\"]}]}]}")
		POLICY("foo", "none", "{}");

	log_set_level(LOG_CRITICAL);
	world_open(&world, NULL, documents);
}

static bool is_unsafe(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] == '\r' || s.at[i] == '\n' || s.at[i] == '\0')
			return true;
	return false;
}

static void check_verdict(const struct check *c, const struct verdict *v)
{
	must(v->allow == (v->status == 200));
	must(v->allow || v->status >= 400);
	must(!is_unsafe(v->www_authenticate));
	for (size_t i = 0; i < v->header_set.count; i++)
		must(!is_unsafe(v->header_set.items[i].value));
	must(v->principal.at == NULL);		/* there is no key that could verify a token */
	for (size_t i = 0; i < c->header_count; i++)
		if (slice_eq_nocase(c->headers[i].name, SLICE("x-deny")))
			must(!v->allow);
}

static void check_reasoning(const struct check *c, const struct verdict *v)
{
	const struct verdict *also = reasoning_of(world.index, world.tokens, c)->verdict;

	must(also->allow == v->allow && also->status == v->status);
	must(slice_eq(also->why, v->why) && slice_eq(also->policy, v->policy));
	must(v->allow ? v->why.at == NULL && v->policy.len > 0 : v->why.len > 0);
	must(!is_unsafe(v->why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_make(data, size), parts[3] = { NO_SLICE, NO_SLICE, NO_SLICE }, line;
	struct check_workload workload = { .ns = SLICE("foo") };
	struct check_header headers[PARTS_MAX];
	struct decision *d;
	struct check c;
	size_t count = 0;

	if (world.index == NULL)
		prepare();
	for (size_t i = 0; i < COUNT_OF(parts) && rest.at != NULL; i++)
		parts[i] = slice_cut(&rest, '\n');
	while (rest.at != NULL && count < PARTS_MAX) {
		line = slice_cut(&rest, '\n');
		headers[count].name = slice_cut(&line, ':');
		headers[count++].value = line.at != NULL ? line : SLICE("");
	}
	c = (struct check){
		.arena = arena_create(0), .method = SLICE("GET"), .scheme = SLICE("http"),
		.path = parts[0], .authority = parts[1], .headers = headers, .header_count = count,
		.tls = true, .peer_ids = &parts[2], .peer_id_count = parts[2].at != NULL,
		.workloads = &workload, .workload_count = 1, .normalized = size % 2 == 0,
	};
	must(decision_start(world.judge, &c, case_never, NULL, &d) == OK);
	check_verdict(&c, decision_verdict(d));
	check_reasoning(&c, decision_verdict(d));
	arena_free(&c.arena);
	return 0;
}
