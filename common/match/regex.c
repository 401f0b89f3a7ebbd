/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "sallyport/regex.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/match/re2_syntax_priv.h"
#include "sallyport/log.h"

#define JIT_STACK_FIRST	(32u << 10)
#define JIT_STACK_MAX	(512u << 10)
#define GROUPS_USED	10u		/* \0 to \9 */

struct regex {
	pcre2_code *code;		/* owned */
	unsigned groups;
	bool jit, utf;
};

/* What one thread needs to match; made at its first match, gone with the thread. */
struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

static atomic_uint_fast64_t gave_up;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static __thread struct scratch *scratch_here;

static void scratch_free(void *arg)
{
	struct scratch *s = arg;

	scratch_here = NULL;
	pcre2_match_data_free(s->data);
	pcre2_match_context_free(s->context);
	pcre2_jit_stack_free(s->stack);
	free(s);
}

static void scratch_prepare(void)
{
	if (pthread_key_create(&scratch_key, scratch_free) != 0)
		fatal("no thread-specific memory left for regular expressions");
}

static struct scratch *scratch_get(void)
{
	struct scratch *s = scratch_here;

	if (s != NULL)
		return s;
	pthread_once(&scratch_once, scratch_prepare);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		fatal("out of memory: scratch of regular expressions");
	s->data = pcre2_match_data_create(GROUPS_USED, NULL);
	s->context = pcre2_match_context_create(NULL);
	/* NULL where executable memory is forbidden: then nothing is JIT compiled either. */
	s->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
	if (s->data == NULL || s->context == NULL)
		fatal("out of memory: scratch of regular expressions");
	pcre2_set_match_limit(s->context, REGEX_MATCH_LIMIT);
	pcre2_set_depth_limit(s->context, REGEX_MATCH_LIMIT);
	pcre2_set_heap_limit(s->context, REGEX_HEAP_KIB);
	if (s->stack != NULL)
		pcre2_jit_stack_assign(s->context, NULL, s->stack);
	pthread_setspecific(scratch_key, s);
	scratch_here = s;
	return s;
}

static struct regex *fail(struct regex_error *why, size_t offset, const char *text)
{
	if (why != NULL) {
		why->offset = offset;
		snprintf(why->text, sizeof(why->text), "%s", text);
	}
	return NULL;
}

static pcre2_code *compile(struct slice pattern, uint32_t options, struct regex_error *why)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	PCRE2_UCHAR text[160];
	PCRE2_SIZE offset = 0;
	pcre2_code *code;
	int error = 0;

	if (context == NULL)
		fatal("out of memory: compiling a regular expression");
	/* RE2's `.` stops at LF alone. */
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	code = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.len, options, &error, &offset,
			     context);
	pcre2_compile_context_free(context);
	if (code != NULL)
		return code;
	if (error == PCRE2_ERROR_HEAP_FAILED)
		fatal("out of memory: compiling a regular expression");
	pcre2_get_error_message(error, text, sizeof(text));
	fail(why, offset, (const char *)text);
	return NULL;
}

struct regex *regex_create(struct slice pattern, enum regex_mode mode, struct regex_error *why)
{
	uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, groups = 0;
	size_t program = 0;
	struct regex *r;
	pcre2_code *code;
	bool utf;

	if (pattern.len > REGEX_PATTERN_MAX)
		return fail(why, REGEX_PATTERN_MAX, "longer than 1024 bytes");
	if (!re2_syntax_check(pattern, &utf, why))
		return NULL;
	if (utf)
		options |= PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
	if (mode == REGEX_FULL)
		options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
	code = compile(pattern, options, why);
	if (code == NULL)
		return NULL;
	pcre2_pattern_info(code, PCRE2_INFO_SIZE, &program);
	if (program > REGEX_PROGRAM_MAX) {
		pcre2_code_free(code);
		return fail(why, 0, "the compiled expression is too large, repeat less");
	}
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		fatal("out of memory: a regular expression");
	*r = (struct regex){ .code = code, .groups = groups, .utf = utf,
			     .jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0 };
	return r;
}

void regex_free(struct regex **rp)
{
	struct regex *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	pcre2_code_free(r->code);
	free(r);
}

bool regex_check(struct slice pattern, struct regex_error *why)
{
	struct regex *r = regex_create(pattern, REGEX_FULL, why);
	bool valid = r != NULL;

	regex_free(&r);
	return valid;
}

/* Positive: found, the scratch's vector tells where. */
static int run(const struct regex *r, struct scratch *s, struct slice value, size_t from)
{
	PCRE2_SPTR at = (PCRE2_SPTR)(value.at != NULL ? value.at : "");
	int found;

	if (r->jit && s->stack != NULL)
		found = pcre2_jit_match(r->code, at, value.len, from, 0, s->data, s->context);
	else
		found = pcre2_match(r->code, at, value.len, from, PCRE2_NO_JIT, s->data,
				    s->context);
	/* 0 says that there are more groups than the vector holds. */
	return found == 0 ? 1 : found;
}

static enum regex_result verdict(int found)
{
	if (found > 0)
		return REGEX_YES;
	if (found == PCRE2_ERROR_NOMATCH)
		return REGEX_NO;
	atomic_fetch_add_explicit(&gave_up, 1, memory_order_relaxed);
	return REGEX_GAVE_UP;
}

enum regex_result regex_match(const struct regex *r, struct slice value)
{
	return verdict(run(r, scratch_get(), value, 0));
}

unsigned regex_groups(const struct regex *r)
{
	return r->groups;
}

bool regex_has_jit(const struct regex *r)
{
	return r->jit;
}

uint64_t regex_gave_up_count(void)
{
	return atomic_load_explicit(&gave_up, memory_order_relaxed);
}

/* The text being built by a replacement; doubles within the arena. */
struct output {
	struct arena *arena;
	char *at;
	size_t len, capacity;
	bool full;
};

static void output_add(struct output *o, struct slice s)
{
	if (s.len > REGEX_REPLACED_MAX - o->len)
		o->full = true;
	if (o->full || s.len == 0)
		return;
	if (o->len + s.len > o->capacity) {
		size_t capacity =
			2 * o->capacity > o->len + s.len ? 2 * o->capacity : o->len + s.len + 128;
		char *grown = arena_alloc(o->arena, capacity);

		if (o->len > 0)
			memcpy(grown, o->at, o->len);
		o->at = grown;
		o->capacity = capacity;
	}
	memcpy(o->at + o->len, s.at, s.len);
	o->len += s.len;
}

static struct slice group(const struct regex *r, struct scratch *s, struct slice value, unsigned n)
{
	const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(s->data);

	if (n > r->groups || n >= GROUPS_USED || vector[2 * n] == PCRE2_UNSET)
		return SLICE("");
	return slice_make(value.at + vector[2 * n], vector[2 * n + 1] - vector[2 * n]);
}

static void expand(const struct regex *r, struct scratch *s, struct slice value, struct slice with,
		   struct output *o)
{
	while (with.len > 0) {
		ptrdiff_t escape = slice_find(with, '\\');

		if (escape < 0 || (size_t)escape + 1 >= with.len) {
			output_add(o, with);
			return;
		}
		output_add(o, slice_first(with, (size_t)escape));
		with = slice_from(with, (size_t)escape + 1);
		if (with.at[0] >= '0' && with.at[0] <= '9')
			output_add(o, group(r, s, value, (unsigned)(with.at[0] - '0')));
		else
			output_add(o, slice_first(with, 1));
		with = slice_from(with, 1);
	}
}

/* Length of the character at `at`: one byte, or a whole UTF-8 sequence. */
static size_t step(const struct regex *r, struct slice value, size_t at)
{
	size_t n = 1;

	while (r->utf && at + n < value.len && ((unsigned char)value.at[at + n] & 0xc0) == 0x80)
		n++;
	return n;
}

enum regex_result regex_replace_all(const struct regex *r, struct slice value, struct slice with,
				    struct arena *a, struct slice *out)
{
	struct scratch *s = scratch_get();
	struct output o = { .arena = a };
	size_t at = 0, last_end = SIZE_MAX;
	int found = PCRE2_ERROR_NOMATCH;

	*out = value;
	if (value.at == NULL)
		value = SLICE("");
	while (at <= value.len && !o.full && (found = run(r, s, value, at)) > 0) {
		const PCRE2_SIZE *vector = pcre2_get_ovector_pointer(s->data);
		size_t start = vector[0], end = vector[1];

		output_add(&o, slice_first(slice_from(value, at), start - at));
		if (start == end && start == last_end) {
			/* An empty occurrence where the last one ended does not count. */
			if (start < value.len)
				output_add(&o, slice_first(slice_from(value, start),
							   step(r, value, start)));
			at = start + step(r, value, start);
			continue;
		}
		expand(r, s, value, with, &o);
		at = last_end = end;
	}
	if (o.full || (found <= 0 && found != PCRE2_ERROR_NOMATCH))
		return verdict(PCRE2_ERROR_MATCHLIMIT);
	if (last_end == SIZE_MAX)
		return REGEX_NO;
	if (at < value.len)
		output_add(&o, slice_from(value, at));
	if (o.full)
		return verdict(PCRE2_ERROR_MATCHLIMIT);
	*out = slice_make(o.at != NULL ? o.at : "", o.len);
	return REGEX_YES;
}

bool regex_check_replacement(struct slice with, unsigned groups, struct regex_error *why)
{
	char text[96];

	for (size_t i = 0; i < with.len; i++) {
		if (with.at[i] != '\\')
			continue;
		if (i + 1 == with.len)
			return fail(why, i, "a backslash at the end, write \\\\") != NULL;
		i++;
		if (with.at[i] == '\\')
			continue;
		if (with.at[i] < '0' || with.at[i] > '9')
			return fail(why, i, "a backslash stands before a digit or a backslash "
				    "only") != NULL;
		if ((unsigned)(with.at[i] - '0') > groups) {
			snprintf(text, sizeof(text), "\\%c, but the expression has %u group%s",
				 with.at[i], groups, groups == 1 ? "" : "s");
			return fail(why, i, text) != NULL;
		}
	}
	return true;
}
