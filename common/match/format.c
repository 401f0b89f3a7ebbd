/* SPDX-License-Identifier: Apache-2.0 */
#include "sallyport/format.h"

#include <stdarg.h>
#include <stdio.h>

#include "sallyport/decode.h"
#include "sallyport/names.h"
#include "sallyport/object.h"

static const struct {
	const char *name;
	enum format_args args;
} operators[FORMAT_OP_COUNT] = {
#define AS_ROW(name, args)	[FORMAT_##name] = { #name, FORMAT_##args },
	FORMAT_OPERATORS(AS_ROW)
};

/* The same names for nearest_name(). */
static const char *const operator_names[] = {
#define AS_NAME(name, args)	#name,
	FORMAT_OPERATORS(AS_NAME) NULL
};

_Static_assert(COUNT_OF(operator_names) == FORMAT_OP_COUNT,
	       "every operator has a name, the literal none");

struct parse {
	struct arena *arena;
	struct slice text;
	size_t at;
	struct format_piece *items;
	size_t count, capacity;
	char *literal;		/* of the text's size: literals grow here one behind the other */
	size_t literal_start, literal_len;
	struct format_error *why;
};

static bool refuse(struct parse *p, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool refuse(struct parse *p, size_t at, const char *fmt, ...)
{
	va_list args;

	p->why->offset = at;
	va_start(args, fmt);
	vsnprintf(p->why->text, sizeof(p->why->text), fmt, args);
	va_end(args);
	return false;
}

static struct format_piece *add_piece(struct parse *p)
{
	if (p->count == p->capacity) {
		size_t capacity = p->capacity > 0 ? 2 * p->capacity : 4;
		struct format_piece *grown = arena_array(p->arena, struct format_piece, capacity);

		if (p->count > 0)
			memcpy(grown, p->items, p->count * sizeof(*grown));
		p->items = grown;
		p->capacity = capacity;
	}
	return &p->items[p->count++];
}

static void end_literal(struct parse *p)
{
	size_t len = p->literal_len - p->literal_start;

	if (len > 0)
		*add_piece(p) = (struct format_piece){
			.op = FORMAT_LITERAL, .text = slice_make(p->literal + p->literal_start, len)
		};
	p->literal_start = p->literal_len;
}

static char peek(const struct parse *p, size_t ahead)
{
	return p->at + ahead < p->text.len ? p->text.at[p->at + ahead] : '\0';
}

static bool is_name_char(char c)
{
	return (c >= 'A' && c <= 'Z') || ascii_is_digit(c) || c == '_';
}

/* Does ":12%" or "%" stand at `at`? It ends an operator. */
static bool ends_here(const struct parse *p, size_t at)
{
	if (at < p->text.len && p->text.at[at] == ':') {
		at++;
		if (at >= p->text.len || !ascii_is_digit(p->text.at[at]))
			return false;
		while (at < p->text.len && ascii_is_digit(p->text.at[at]))
			at++;
	}
	return at < p->text.len && p->text.at[at] == '%';
}

/* Between the parentheses: time formats have percent signs and parentheses of their own, so it is
 * the first ")%" or "):N%" that ends them. Absent: no parentheses. */
static bool take_arguments(struct parse *p, size_t start, struct slice *out)
{
	*out = NO_SLICE;
	if (peek(p, 0) != '(')
		return true;
	for (size_t end = p->at + 1; end < p->text.len; end++) {
		if (p->text.at[end] != ')' || !ends_here(p, end + 1))
			continue;
		*out = slice_make(p->text.at + p->at + 1, end - p->at - 1);
		p->at = end + 1;
		return true;
	}
	return refuse(p, start, "\"(\" of an operator without \")%%\"");
}

static bool take_max_bytes(struct parse *p, size_t *out)
{
	uint64_t value;
	size_t start = p->at + 1, end = start;

	*out = 0;
	if (peek(p, 0) != ':' || !ascii_is_digit(peek(p, 1)))
		return true;
	while (end < p->text.len && ascii_is_digit(p->text.at[end]))
		end++;
	if (!slice_to_u64(slice_make(p->text.at + start, end - start), &value) || value == 0 ||
	    value > FORMAT_BYTES_MAX)
		return refuse(p, start, "a length is a number from 1 to %u", FORMAT_BYTES_MAX);
	p->at = end;
	*out = (size_t)value;
	return true;
}

/* A header as operators name it: a token, a colon before it for what stands in the start line. */
static bool header_name(struct parse *p, struct slice written, struct slice *out)
{
	struct slice name = slice_starts(written, SLICE(":")) ? slice_from(written, 1) : written;
	char *lower;

	if (!name_is_token(name))
		return refuse(p, (size_t)(written.at - p->text.at), "\"%.*s\" is no header name",
			      SLICE_ARG(written));
	lower = arena_text(p->arena, written);
	for (size_t i = 0; i < written.len; i++)
		lower[i] = ascii_lower(lower[i]);
	*out = slice_make(lower, written.len);
	if (slice_eq(*out, SLICE("host")))
		*out = SLICE(":authority");
	return true;
}

static bool fill_arguments(struct parse *p, size_t start, struct slice arguments,
			   struct format_piece *piece)
{
	const char *name = operators[piece->op].name;

	switch (operators[piece->op].args) {
	case FORMAT_BARE:
		if (arguments.at != NULL)
			return refuse(p, start, "%%%s%% takes nothing in parentheses", name);
		return true;
	case FORMAT_HEADER:
		if (arguments.at == NULL)
			return refuse(p, start, "%%%s%% needs a header name, write %%%s(name)%%",
				      name, name);
		if (!header_name(p, slice_cut(&arguments, '?'), &piece->text))
			return false;
		return arguments.at == NULL || header_name(p, arguments, &piece->other);
	case FORMAT_TEXT:
		if (arguments.len == 0)
			return refuse(p, start, "%%%s%% needs a value in parentheses", name);
		break;
	case FORMAT_OPTIONAL:
		break;
	}
	piece->text = arena_slice(p->arena, arguments);
	return true;
}

static bool find_operator(struct parse *p, size_t start, struct slice name, enum format_op *out)
{
	const char *near;

	for (unsigned op = FORMAT_LITERAL + 1; op < FORMAT_OP_COUNT; op++) {
		if (!slice_eq(name, slice_of(operators[op].name)))
			continue;
		*out = (enum format_op)op;
		return true;
	}
	near = nearest_name(name, operator_names);
	if (near != NULL)
		return refuse(p, start, "unknown operator %%%.*s%%, did you mean %%%s%%?",
			      SLICE_ARG(name), near);
	return refuse(p, start, "unknown operator %%%.*s%%", SLICE_ARG(name));
}

/* At a "%" that is not doubled. */
static bool take_operator(struct parse *p)
{
	struct format_piece piece = { .op = FORMAT_LITERAL };
	size_t start = p->at;
	struct slice name, arguments;

	for (p->at++; is_name_char(peek(p, 0)); )
		p->at++;
	name = slice_make(p->text.at + start + 1, p->at - start - 1);
	if (name.len == 0 || (peek(p, 0) != '(' && !ends_here(p, p->at)))
		return refuse(p, start, "\"%%\" begins no operator: write %%%% for a percent sign, "
			      "or %%NAME%%");
	if (!take_arguments(p, start, &arguments) || !find_operator(p, start, name, &piece.op) ||
	    !take_max_bytes(p, &piece.max_bytes) || !fill_arguments(p, start, arguments, &piece))
		return false;
	p->at++;
	end_literal(p);
	*add_piece(p) = piece;
	return true;
}

bool format_parse(struct arena *a, struct slice text, struct format *out, struct format_error *why)
{
	struct parse p = { .arena = a, .text = text, .why = why };

	*out = (struct format){ 0 };
	if (text.len > FORMAT_BYTES_MAX)
		return refuse(&p, FORMAT_BYTES_MAX, "longer than %u bytes", FORMAT_BYTES_MAX);
	p.literal = arena_alloc(a, text.len + 1);
	while (p.at < text.len) {
		char c = peek(&p, 0);

		if (c == '%' && peek(&p, 1) != '%') {
			if (!take_operator(&p))
				return false;
			continue;
		}
		p.literal[p.literal_len++] = c;
		p.at += c == '%' ? 2 : 1;
	}
	end_literal(&p);
	out->items = p.items;
	out->count = p.count;
	return true;
}

bool format_is_literal(const struct format *f, struct slice *out)
{
	*out = f->count > 0 ? f->items[0].text : SLICE("");
	return f->count == 0 || (f->count == 1 && f->items[0].op == FORMAT_LITERAL);
}

const char *format_op_name(enum format_op op)
{
	return op < FORMAT_OP_COUNT ? operators[op].name : NULL;
}
