/* SPDX-License-Identifier: Apache-2.0
 * Decoding by table: values, defaults, and the words of each problem. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sallyport/decode.h"
#include "sallyport/object.h"

struct inner {
	uint32_t port;
	int mode;
};

struct outer {
	struct slice name;
	bool flag;
	uint32_t count;
	int32_t weight;
	double percent;
	int64_t wait_ms, hold_ms;
	struct slice target;
	struct { bool set; uint32_t value; } maybe;
	struct inner inner;
	struct inner *later;
	LIST(struct inner) list;
	LIST(struct located_slice) names;
	LIST(struct string_entry) labels;
};

static const char *const modes[] = { "SIMPLE", "MUTUAL", NULL };
static const struct field inner_fields[] = {
	FIELD(struct inner, "port", port, decode_port, FIELD_REQUIRED),
	FIELD_ARG(struct inner, "mode", mode, decode_enum, FIELD_OPTIONAL, modes),
	FIELDS_END
};
static const struct decode_pointer inner_pointer = { sizeof(struct inner), decode_struct, inner_fields };
static const struct decode_list inner_list = { sizeof(struct inner), decode_struct, inner_fields, 3 };
static const struct decode_nullable maybe_u32 = { decode_u32, offsetof(__typeof__(((struct outer *)0)->maybe), value), NULL };
static const struct decode_duration_rule loose = { .zero_allowed = true, .any_precision = true };
static const struct field outer_fields[] = {
	FIELD(struct outer, "name", name, decode_string, FIELD_OPTIONAL),
	FIELD(struct outer, "flag", flag, decode_bool, FIELD_OPTIONAL),
	FIELD(struct outer, "count", count, decode_u32, FIELD_OPTIONAL),
	FIELD(struct outer, "weight", weight, decode_i32, FIELD_OPTIONAL),
	FIELD(struct outer, "percent", percent, decode_double, FIELD_OPTIONAL),
	FIELD(struct outer, "wait", wait_ms, decode_duration, FIELD_OPTIONAL),
	FIELD_ARG(struct outer, "hold", hold_ms, decode_duration, FIELD_OPTIONAL, &loose),
	FIELD(struct outer, "target", target, decode_int_or_string, FIELD_OPTIONAL),
	FIELD_ARG(struct outer, "maybe", maybe, decode_nullable, FIELD_OPTIONAL, &maybe_u32),
	FIELD_ARG(struct outer, "inner", inner, decode_struct, FIELD_OPTIONAL, inner_fields),
	FIELD_ARG(struct outer, "later", later, decode_pointer, FIELD_LATER, &inner_pointer),
	FIELD(struct outer, "useless", name, decode_ignored, FIELD_NO_EFFECT),
	FIELD_ARG(struct outer, "list", list, decode_list, FIELD_OPTIONAL, &inner_list),
	FIELD(struct outer, "names", names, decode_string_list, FIELD_OPTIONAL),
	FIELD(struct outer, "labels", labels, decode_string_map, FIELD_OPTIONAL),
	FIELDS_END
};

struct run {
	struct problems problems;
	struct decoder d;
	struct outer out;
	bool ok;
};

static void run_decode(struct run *r, const char *text)
{
	struct node **docs;
	size_t count;

	*r = (struct run){ .d = { .kind = "Thing", .ns = "here", .name = "it" } };
	problems_init(&r->problems);
	r->d.arena = arena_create(0);
	r->d.problems = &r->problems;
	assert_int_equal(yaml_read(r->d.arena, "t.yaml", slice_of(text), &r->problems, &docs, &count), OK);
	assert_int_equal(count, 1);
	r->ok = decode_mapping(&r->d, docs[0], outer_fields, &r->out);
	assert_int_equal(r->d.path_len, 0);
}

static void run_done(struct run *r)
{
	problems_fini(&r->problems);
	arena_free(&r->d.arena);
}

static void every_leaf_lands_in_its_member(void **state)
{
	struct run r;

	(void)state;
	run_decode(&r, "{name: n, flag: true, count: 4294967295, weight: -3, percent: 12.5, wait: 1h30m, "
		   "hold: 1500us, target: 80, maybe: 0, inner: {port: 443, mode: MUTUAL}, "
		   "list: [{port: 1}, {port: 2}], names: [a, b], labels: {k: v, e: }}");
	assert_true(r.ok);
	assert_int_equal(r.problems.count, 0);
	assert_string_equal(r.out.name.at, "n");
	assert_true(r.out.flag);
	assert_int_equal(r.out.count, UINT32_MAX);
	assert_int_equal(r.out.weight, -3);
	assert_true(r.out.percent > 12.4 && r.out.percent < 12.6);
	assert_int_equal(r.out.wait_ms, 5400000);
	assert_int_equal(r.out.hold_ms, 2);
	assert_string_equal(r.out.target.at, "80");
	assert_true(r.out.maybe.set && r.out.maybe.value == 0);
	assert_int_equal(r.out.inner.mode, 1);
	assert_null(r.out.later);
	assert_int_equal(r.out.list.count, 2);
	assert_int_equal(r.out.list.items[1].port, 2);
	assert_string_equal(r.out.names.items[1].text.at, "b");
	assert_int_equal(r.out.labels.count, 2);
	assert_int_equal(r.out.labels.items[1].value.len, 0);
	run_done(&r);
}

static void each_mistake_is_told_where_it_stands(void **state)
{
	static const struct { const char *text, *line; } rows[] = {
		{ "nmae: x", "t.yaml:1:1: Thing here/it: unknown field \"nmae\", did you mean \"name\"?" },
		{ "inner: {prot: 1, port: 2}", "t.yaml:1:9: Thing here/it: inner: unknown field \"prot\", "
		  "did you mean \"port\"?" },
		{ "inner: {zzzzzz: 1, port: 2}", "t.yaml:1:9: Thing here/it: inner: unknown field \"zzzzzz\"; "
		  "there are: port, mode" },
		{ "inner: {}", "t.yaml:1:8: Thing here/it: inner: missing required field \"port\"" },
		{ "inner: {port: }", "t.yaml:1:8: Thing here/it: inner: missing required field \"port\"" },
		{ "inner: []", "t.yaml:1:8: Thing here/it: inner: must be a mapping of fields, found a list" },
		{ "inner: {port: 65536}", "t.yaml:1:15: Thing here/it: inner.port: 65536 is out of range 1..65535" },
		{ "inner: {port: 1, mode: simple}", "t.yaml:1:24: Thing here/it: inner.mode: bad value "
		  "\"simple\", did you mean \"SIMPLE\"?" },
		{ "inner: {port: 1, mode: 7}", "t.yaml:1:24: Thing here/it: inner.mode: bad value \"7\", "
		  "use one of SIMPLE, MUTUAL" },
		{ "name: 443", "t.yaml:1:7: Thing here/it: name: must be a string, found the number 443: write \"443\"" },
		{ "name: true", "t.yaml:1:7: Thing here/it: name: must be a string, found the boolean true: "
		  "write \"true\"" },
		{ "flag: \"true\"", "t.yaml:1:7: Thing here/it: flag: must be true or false, found \"true\" "
		  "(a string: remove the quotes)" },
		{ "flag: yes", "t.yaml:1:7: Thing here/it: flag: must be true or false, found yes" },
		{ "count: \"5\"", "t.yaml:1:8: Thing here/it: count: must be a whole number, found the string "
		  "\"5\": remove the quotes" },
		{ "count: -1", "t.yaml:1:8: Thing here/it: count: -1 is out of range 0..4294967295" },
		{ "count: 4294967296", "t.yaml:1:8: Thing here/it: count: 4294967296 is out of range "
		  "0..4294967295" },
		{ "count: 010", "t.yaml:1:8: Thing here/it: count: 010 is octal to some and decimal to "
		  "others: write it without the leading zero" },
		{ "count: 1.5", "t.yaml:1:8: Thing here/it: count: must be a whole number, found \"1.5\"" },
		{ "percent: .nan", "t.yaml:1:10: Thing here/it: percent: .nan is no usable number" },
		{ "percent: x", "t.yaml:1:10: Thing here/it: percent: must be a number, found \"x\"" },
		{ "wait: 5", "t.yaml:1:7: Thing here/it: wait: \"5\" is no duration: it needs a unit, such as 5s" },
		{ "wait: 2 s", "t.yaml:1:7: Thing here/it: wait: \"2 s\" is no duration: write numbers with "
		  "units, such as 5s, 1h30m or 250ms" },
		{ "wait: 0s", "t.yaml:1:7: Thing here/it: wait: \"0s\" is too short: at least 1ms; for no "
		  "limit omit the field" },
		{ "wait: 500us", "t.yaml:1:7: Thing here/it: wait: \"500us\" is too short: at least 1ms" },
		{ "wait: 1.5ms", "t.yaml:1:7: Thing here/it: wait: \"1.5ms\" is no whole number of milliseconds" },
		{ "wait: -1s", "t.yaml:1:7: Thing here/it: wait: \"-1s\" is negative: a duration must be "
		  "1ms or more" },
		{ "list: {}", "t.yaml:1:7: Thing here/it: list: must be a list, found a mapping; "
		  "begin each entry with \"- \"" },
		{ "list: [{port: 1}, ~]", "t.yaml:1:19: Thing here/it: list[1]: is null: write a value or "
		  "remove the item" },
		{ "list: [{port: 1}, {port: 1}, {port: 1}, {port: 1}]", "t.yaml:1:7: Thing here/it: list: "
		  "has 4 items, 3 are allowed" },
		{ "names: [a, 5]", "t.yaml:1:12: Thing here/it: names[1]: must be a string, found the "
		  "number 5: write \"5\"" },
		{ "labels: {a.b: 2.0}", "t.yaml:1:15: Thing here/it: labels.a.b: must be a string, found the "
		  "number 2.0: write \"2.0\"" },
		{ "maybe: x", "t.yaml:1:8: Thing here/it: maybe: must be a whole number, found \"x\"" },
		{ "target: true", "t.yaml:1:9: Thing here/it: target: must be a number or a string, found true" },
	};
	char line[512];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct run r;

		run_decode(&r, rows[i].text);
		assert_false(r.ok);
		assert_int_equal(r.problems.count, 1);
		problem_format(&r.problems.items[0], line, sizeof(line));
		assert_string_equal(line, rows[i].line);
		run_done(&r);
	}
}

static void decoding_goes_on_after_a_mistake(void **state)
{
	struct run r;

	(void)state;
	run_decode(&r, "{name: 1, flag: 2, list: [{port: 0}, {port: 7}], count: 9}");
	assert_false(r.ok);
	assert_int_equal(r.problems.errors, 3);
	assert_int_equal(r.out.count, 9);
	assert_int_equal(r.out.list.count, 2);
	assert_int_equal(r.out.list.items[1].port, 7);
	run_done(&r);
}

static void what_is_not_obeyed_is_said_loudly(void **state)
{
	struct run r;
	char line[512];

	(void)state;
	run_decode(&r, "{later: {port: 5}, useless: x}");
	assert_true(r.ok);
	assert_int_equal(r.out.later->port, 5);
	assert_int_equal(r.problems.warnings, 1);
	problem_format(&r.problems.items[0], line, sizeof(line));
	assert_string_equal(line, "t.yaml:1:2: warning: Thing here/it: later: is accepted but not obeyed yet");
	problem_format(&r.problems.items[1], line, sizeof(line));
	assert_string_equal(line, "t.yaml:1:20: note: Thing here/it: useless: has no effect here");
	run_done(&r);
}

static void durations_are_read_as_go_writes_them(void **state)
{
	static const struct { const char *text; int64_t ns; } rows[] = {
		{ "1ns", 1 }, { "1.5us", 1500 }, { "2\xc2\xb5s", 2000 }, { "100ms", 100000000 },
		{ "5s", 5000000000 }, { "1.25s", 1250000000 }, { "1m30s", 90000000000 },
		{ "1h", 3600000000000 }, { "0.5h", 1800000000000 }, { ".5s", 500000000 },
		{ "-2s", -2000000000 }, { "+2s", 2000000000 }, { "0s", 0 }, { "2160h", 7776000000000000 },
		{ "1.0000000000000000001s", 1000000000 },
	};
	static const char *const bad[] = { "", "5", "s", "1d", "1 s", "1s ", "1.s.", "-", "1h-2m", ".s",
					   "9223372036854775808ns", "99999999h", "1e3s", "5S" };
	int64_t ns;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(duration_parse_ns(slice_of(rows[i].text), &ns));
		assert_int_equal(ns, rows[i].ns);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_false(duration_parse_ns(slice_of(bad[i]), &ns));
}

static void the_nearest_name_is_near(void **state)
{
	static const char *const names[] = { "hosts", "gateways", "http", "exportTo", NULL };

	(void)state;
	assert_string_equal(nearest_name(SLICE("host"), names), "hosts");
	assert_string_equal(nearest_name(SLICE("gatewyas"), names), "gateways");
	assert_string_equal(nearest_name(SLICE("export_to"), names), "exportTo");
	assert_string_equal(nearest_name(SLICE("HTTP"), names), "http");
	assert_null(nearest_name(SLICE("selector"), names));
	assert_null(nearest_name(SLICE(""), names));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_leaf_lands_in_its_member),
		cmocka_unit_test(each_mistake_is_told_where_it_stands),
		cmocka_unit_test(decoding_goes_on_after_a_mistake),
		cmocka_unit_test(what_is_not_obeyed_is_said_loudly),
		cmocka_unit_test(durations_are_read_as_go_writes_them),
		cmocka_unit_test(the_nearest_name_is_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
