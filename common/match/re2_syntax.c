/* SPDX-License-Identifier: Apache-2.0
 *
 * re2_syntax.c - refuses what PCRE2 would take and RE2 would not.
 *
 * One pass over the pattern. It need not understand expressions, only tell apart escapes, classes,
 * groups and repetitions: everything else means the same in both dialects. */
#include "common/match/re2_syntax_priv.h"

#include <stdarg.h>
#include <stdio.h>

struct scan {
	struct slice pattern;
	size_t at;
	bool in_class;
	bool repeated;		/* the last item carries a repetition already */
	bool *utf;
	struct regex_error *why;
};

static bool refuse(struct scan *s, size_t at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool refuse(struct scan *s, size_t at, const char *fmt, ...)
{
	va_list args;

	if (s->why == NULL)
		return false;
	s->why->offset = at;
	va_start(args, fmt);
	vsnprintf(s->why->text, sizeof(s->why->text), fmt, args);
	va_end(args);
	return false;
}

/* The byte `ahead` of the current one, 0 behind the end. */
static char peek(const struct scan *s, size_t ahead)
{
	return s->at + ahead < s->pattern.len ? s->pattern.at[s->at + ahead] : '\0';
}

/* \pL, \p{Greek}, \p{^Greek}: names of letters and underscores. */
static bool take_property(struct scan *s)
{
	size_t start = s->at;

	*s->utf = true;
	s->at += 2;
	if (ascii_is_letter(peek(s, 0))) {
		s->at++;
		return true;
	}
	if (peek(s, 0) != '{')
		return refuse(s, start, "\\p needs a class name, write \\p{Greek}");
	s->at++;
	if (peek(s, 0) == '^')
		s->at++;
	while (ascii_is_letter(peek(s, 0)) || peek(s, 0) == '_')
		s->at++;
	if (peek(s, 0) != '}')
		return refuse(s, start, "\\p{…} needs the name of a Unicode class or script");
	s->at++;
	return true;
}

/* \x7F or \x{10FFFF}. */
static bool take_hex(struct scan *s)
{
	size_t start = s->at, digits = 0;
	unsigned long value = 0;

	s->at += 2;
	if (peek(s, 0) != '{') {
		if (ascii_hex_value(peek(s, 0)) < 0 || ascii_hex_value(peek(s, 1)) < 0)
			return refuse(s, start, "\\x needs two hex digits, write \\x0A or \\x{A}");
		s->at += 2;
		return true;
	}
	for (s->at++; ascii_hex_value(peek(s, 0)) >= 0 && digits < 8; s->at++, digits++)
		value = value << 4 | (unsigned long)ascii_hex_value(peek(s, 0));
	if (digits == 0 || peek(s, 0) != '}' || value > 0x10ffff)
		return refuse(s, start, "\\x{…} needs one to six hex digits, at most 10FFFF");
	s->at++;
	if (value > 0x7f)
		*s->utf = true;
	return true;
}

/* Everything up to \E is literal. */
static void take_quote(struct scan *s)
{
	s->at += 2;
	while (s->at < s->pattern.len && !(peek(s, 0) == '\\' && peek(s, 1) == 'E'))
		s->at++;
	s->at += s->at < s->pattern.len ? 2 : 0;
}

/* What the letters mean that RE2 lacks. */
static const struct {
	char letter;
	const char *meaning;
} foreign_escapes[] = {
	{ 'C', "a single byte" },
	{ 'G', "the start of the search" },
	{ 'H', "no horizontal space" },
	{ 'K', "a reset of the match start" },
	{ 'N', "anything but a newline" },
	{ 'R', "a line break" },
	{ 'V', "no vertical space" },
	{ 'X', "an extended character" },
	{ 'Z', "the end before a newline; write \\z" },
	{ 'c', "a control character; write \\x01" },
	{ 'e', "escape; write \\x1B" },
	{ 'g', "a back-reference" },
	{ 'h', "horizontal space" },
	{ 'k', "a back-reference" },
	{ 'o', "an octal number; write \\x{…}" },
	{ 'v', "vertical space; write \\x0B" },
};

static bool refuse_letter(struct scan *s, char c)
{
	for (size_t i = 0; i < sizeof(foreign_escapes) / sizeof(foreign_escapes[0]); i++)
		if (foreign_escapes[i].letter == c)
			return refuse(s, s->at, "\\%c (%s) is not in RE2 syntax", c,
				      foreign_escapes[i].meaning);
	if (c == 'E')
		return refuse(s, s->at, "\\E without a \\Q before it");
	return refuse(s, s->at, "unknown escape \\%c", c);
}

static bool take_escape(struct scan *s)
{
	char c = peek(s, 1);

	if (s->at + 1 >= s->pattern.len)
		return refuse(s, s->at, "a backslash at the end, write \\\\");
	if (c == 'Q' && !s->in_class) {
		take_quote(s);
		return true;
	}
	if (c == 'p' || c == 'P')
		return take_property(s);
	if (c == 'x')
		return take_hex(s);
	if (c >= '1' && c <= '9')
		return refuse(s, s->at, "back-reference \\%c is not in RE2 syntax", c);
	if (s->in_class && c != '\0' && strchr("bBAz", c) != NULL)
		return refuse(s, s->at, "\\%c has no meaning inside [ ]", c);
	if (ascii_is_letter(c) && strchr("aftnrdDsSwWbBAz", c) == NULL)
		return refuse_letter(s, c);
	if ((unsigned char)c >= 0x80)
		*s->utf = true;
	s->at += 2;
	return true;
}

static bool take_class(struct scan *s)
{
	size_t start = s->at;

	s->in_class = true;
	s->at++;
	if (peek(s, 0) == '^')
		s->at++;
	if (peek(s, 0) == ']')
		s->at++;
	while (s->at < s->pattern.len && peek(s, 0) != ']') {
		if (peek(s, 0) == '\\') {
			if (!take_escape(s))
				return false;
			continue;
		}
		if (peek(s, 0) == '[' && (peek(s, 1) == '=' || peek(s, 1) == '.'))
			return refuse(s, s->at, "[%c is not in RE2 syntax, write \\[ for a bracket",
				      peek(s, 1));
		if (peek(s, 0) == '[' && peek(s, 1) == ':') {
			const char *end =
				memmem(s->pattern.at + s->at, s->pattern.len - s->at, ":]", 2);

			/* Without its end it is a bracket and a colon, as in RE2. */
			s->at = end != NULL ? (size_t)(end - s->pattern.at) + 2 : s->at + 1;
			continue;
		}
		if ((unsigned char)peek(s, 0) >= 0x80)
			*s->utf = true;
		s->at++;
	}
	if (s->at >= s->pattern.len)
		return refuse(s, start, "[ without its ]");
	s->in_class = false;
	s->at++;
	return true;
}

/* Of "(?…": what it is when it isn't one of RE2's forms. */
static bool refuse_group(struct scan *s)
{
	static const struct {
		const char *text, *name;
	} foreign[] = {
		{ "(?=", "look-ahead" },	{ "(?!", "look-ahead" },
		{ "(?<=", "look-behind" },	{ "(?<!", "look-behind" },
		{ "(?>", "an atomic group" },	{ "(?|", "a branch reset" },
		{ "(?(", "a condition" },	{ "(?#", "a comment" },
		{ "(?C", "a callout" },		{ "(?R", "recursion" },
		{ "(?&", "recursion" },		{ "(?P>", "recursion" },
		{ "(?P=", "a back-reference" },	{ "(?'", "a name in quotes; write (?P<name>" },
		{ "(?0", "recursion" },		{ "(?+", "recursion" },
		{ "(?^", "a flag reset" },	{ "(?x", "extended mode" },
	};
	struct slice rest = slice_from(s->pattern, s->at);

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		if (slice_starts(rest, slice_of(foreign[i].text)))
			return refuse(s, s->at, "%s (%s) is not in RE2 syntax", foreign[i].text,
				      foreign[i].name);
	if (ascii_is_digit(peek(s, 2)) || (peek(s, 2) == '-' && ascii_is_digit(peek(s, 3))))
		return refuse(s, s->at, "recursion into a group is not in RE2 syntax");
	return refuse(s, s->at,
		      "unknown group (?%.1s, RE2 has (?:…), (?P<name>…) and the flags i m s U",
		      s->at + 2 < s->pattern.len ? s->pattern.at + s->at + 2 : "");
}

static bool take_group(struct scan *s)
{
	size_t ahead = 2;

	if (peek(s, 1) == '*')
		return refuse(s, s->at, "a verb (*…) is not in RE2 syntax");
	if (peek(s, 1) != '?') {
		s->at++;
		return true;
	}
	if (peek(s, 2) == '<' && peek(s, 3) != '=' && peek(s, 3) != '!') {
		s->at += 3;
		return true;
	}
	if (peek(s, 2) == 'P' && peek(s, 3) == '<') {
		s->at += 4;
		return true;
	}
	while (peek(s, ahead) != '\0' && strchr("imsU", peek(s, ahead)) != NULL)
		ahead++;
	if (peek(s, ahead) == '-')
		for (ahead++; peek(s, ahead) != '\0' && strchr("imsU", peek(s, ahead)) != NULL; )
			ahead++;
	if (peek(s, ahead) != ':' && peek(s, ahead) != ')')
		return refuse_group(s);
	s->at += ahead + (peek(s, ahead) == ':');
	return true;
}

/* Length of "{n}", "{n,}" or "{n,m}" at the cursor, 0 if these are plain characters. */
static size_t braces(const struct scan *s, unsigned long *largest)
{
	unsigned long numbers[2] = { 0, 0 };
	size_t ahead = 1, part = 0;

	while (ascii_is_digit(peek(s, ahead)) || (peek(s, ahead) == ',' && part == 0)) {
		if (peek(s, ahead) == ',') {
			if (ahead == 1)
				return 0;
			part = 1;
		} else if (numbers[part] <= REGEX_REPEAT_MAX) {
			numbers[part] = numbers[part] * 10 + (unsigned long)(peek(s, ahead) - '0');
		}
		ahead++;
	}
	*largest = numbers[0] > numbers[1] ? numbers[0] : numbers[1];
	return ahead > 1 && peek(s, ahead) == '}' ? ahead + 1 : 0;
}

/* True also when nothing is repeated here; *took says which. */
static bool take_repeat(struct scan *s, bool *took)
{
	unsigned long largest = 0;
	char c = peek(s, 0);
	size_t len = c == '{' ? braces(s, &largest) : c == '*' || c == '+' || c == '?';

	*took = len > 0;
	if (len == 0)
		return true;
	if (largest > REGEX_REPEAT_MAX)
		return refuse(s, s->at, "repetition beyond %u", REGEX_REPEAT_MAX);
	if (s->repeated && c == '+')
		return refuse(s, s->at, "a possessive repetition (%c after a repetition) is not in "
			      "RE2 syntax", c);
	if (s->repeated)
		return refuse(s, s->at, "%c repeats a repetition, use a group (?:…)", c);
	s->at += len;
	if (peek(s, 0) == '?')
		s->at++;
	s->repeated = true;
	return true;
}

static bool take_item(struct scan *s)
{
	char c = peek(s, 0);

	s->repeated = false;
	if (c == '\\')
		return take_escape(s);
	if (c == '[')
		return take_class(s);
	if (c == '(')
		return take_group(s);
	if ((unsigned char)c >= 0x80)
		*s->utf = true;
	s->at++;
	return true;
}

bool re2_syntax_check(struct slice pattern, bool *utf, struct regex_error *why)
{
	struct scan s = { .pattern = pattern, .utf = utf, .why = why };
	bool took;

	*utf = false;
	while (s.at < pattern.len) {
		if (!take_repeat(&s, &took))
			return false;
		if (!took && !take_item(&s))
			return false;
	}
	return true;
}
