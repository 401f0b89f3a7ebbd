/* SPDX-License-Identifier: Apache-2.0
 * The scanner of heads and trailers: grammar and limits, each byte looked at once however the
 * head was cut into reads (spec/http.md 2, 4, 9, 13; spec/hardening.md T-58).
 *
 * What is wrong is found at the byte that makes it wrong, not at the end of the head: a TLS
 * ClientHello on a plain port gets its answer at once. And the verdict depends on the bytes
 * alone, never on where they were cut: every limit bounds how far the scanner looks. */
#include "proxy/http/chars_priv.h"
#include "proxy/http/http1_priv.h"
#include "sallyport/object.h"

enum scan_state {
	SCAN_STATE_START,
	SCAN_STATE_METHOD, SCAN_STATE_TARGET, SCAN_STATE_VERSION,
	SCAN_STATE_STATUS_VERSION, SCAN_STATE_STATUS, SCAN_STATE_STATUS_END, SCAN_STATE_REASON,
	SCAN_STATE_LINE_LF,
	SCAN_STATE_FIELD, SCAN_STATE_NAME, SCAN_STATE_VALUE, SCAN_STATE_VALUE_LF,
	SCAN_STATE_LAST_LF, SCAN_STATE_COMPLETE
};

/* In the order in which they are likely; case-sensitive. */
static const struct slice methods[] = {
#define METHOD(name) { name, sizeof(name) - 1 }
	METHOD("GET"), METHOD("POST"), METHOD("HEAD"), METHOD("PUT"), METHOD("DELETE"),
	METHOD("OPTIONS"), METHOD("PATCH"), METHOD("CONNECT"), METHOD("TRACE"), METHOD("PROPFIND"),
	METHOD("ACL"), METHOD("BIND"), METHOD("CHECKOUT"), METHOD("COPY"), METHOD("LINK"),
	METHOD("LOCK"), METHOD("MERGE"), METHOD("MKACTIVITY"), METHOD("MKCALENDAR"), METHOD("MKCOL"),
	METHOD("MOVE"), METHOD("MSEARCH"), METHOD("NOTIFY"), METHOD("PROPPATCH"), METHOD("PURGE"),
	METHOD("REBIND"), METHOD("REPORT"), METHOD("SEARCH"), METHOD("SOURCE"), METHOD("SUBSCRIBE"),
	METHOD("UNBIND"), METHOD("UNLINK"), METHOD("UNLOCK"), METHOD("UNSUBSCRIBE"),
};

static bool method_is_known(struct slice method, const struct codec_settings *settings)
{
	for (size_t i = 0; i < COUNT_OF(methods); i++)
		if (methods[i].len == method.len && bytes_eq(methods[i].at, method.at, method.len))
			return true;
	for (uint32_t i = 0; i < settings->extra_method_count; i++)
		if (slice_eq(settings->extra_methods[i], method))
			return true;
	return false;
}

static const char *bad(struct head_scan *s, enum fault fault, const char *p)
{
	s->fault = fault;
	return p;
}

/* First byte that cannot be in a request target, or `end`. */
static const char *skip_target(const char *p, const char *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t word = load_word(p);
		uint64_t outside = word_controls(word) | word_controls(word - BYTES_OF(1)) |
				   (word & BYTES_OF(0x80));

		if (outside != 0)
			break;
	}
	while (p < end && char_is(*p, CHAR_TARGET))
		p++;
	return p;
}

/* First control byte, or one of the last few before `end` that may be one. */
static inline const char *skip_to_control(const char *p, const char *end)
{
	for (; end - p >= 16; p += 16) {
		words2 controls = bytes16_controls(load_bytes16(p));

		if (controls[0] != 0)
			return p + __builtin_ctzll(controls[0]) / 8;
		if (controls[1] != 0)
			return p + 8 + __builtin_ctzll(controls[1]) / 8;
	}
	return p;
}

/* First byte that cannot be in a field value, or `end`. */
static inline const char *skip_value(const char *p, const char *end)
{
	for (;;) {
		p = skip_to_control(p, end);
		while (p < end && char_is(*p, CHAR_VALUE) && *p != '\t')
			p++;
		if (p == end || *p != '\t')
			return p;
		p++;
	}
}

static const char *scan_method(struct head_scan *s, const struct codec_settings *settings,
			       const char *at, const char *p, const char *end)
{
	const char *most = at + METHOD_BYTES_MAX;

	while (p < end && p < most && char_is(*p, CHAR_TOKEN))
		p++;
	if (p == end)
		return p;
	if (*p != ' ' || p == at || !method_is_known(slice_make(at, (size_t)(p - at)), settings))
		return bad(s, FAULT_SYNTAX, p);
	s->method_end = (uint32_t)(p - at);
	s->state = SCAN_STATE_TARGET;
	return p + 1;
}

static const char *scan_target(struct head_scan *s, const struct codec_settings *settings,
			       const char *at, const char *p, const char *end)
{
	const char *target = at + s->method_end + 1;
	const char *most = end;

	if (settings->uri_bytes_max > 0 && (size_t)(end - target) > settings->uri_bytes_max)
		most = target + settings->uri_bytes_max;
	p = skip_target(p, most);
	if (p == end)
		return p;
	if (p == most && char_is(*p, CHAR_TARGET))
		return bad(s, FAULT_URI_TOO_LONG, p);
	if (*p != ' ' || p == target)
		return bad(s, FAULT_SYNTAX, p);
	s->target_end = (uint32_t)(p - at);
	s->state = SCAN_STATE_VERSION;
	return p + 1;
}

static enum fault version_fault(const struct head_scan *s, const struct codec_settings *settings)
{
	if (s->major == 1 && s->minor == 1)
		return FAULT_NONE;
	if (s->major == 1 && s->minor == 0 && settings->accept_http10)
		return FAULT_NONE;
	if (s->major == 0)
		return FAULT_SYNTAX;
	return s->major == 1 ? FAULT_LOW_VERSION : FAULT_HIGH_VERSION;
}

/* `HTTP/d.d`, one byte; false: it does not fit. */
static bool version_byte(struct head_scan *s, char c)
{
	static const char pattern[] = "HTTP/0.0";
	unsigned i = s->matched++;

	if (pattern[i] != '0')
		return c == pattern[i];
	if (!char_is(c, CHAR_DIGIT))
		return false;
	if (i == 5)
		s->major = (uint8_t)(c - '0');
	else
		s->minor = (uint8_t)(c - '0');
	return true;
}

static const char *scan_version(struct head_scan *s, const struct codec_settings *settings,
				const char *p, const char *end)
{
	if (s->matched == 0 && end - p >= 9 && memcmp(p, "HTTP/1.1\r", 9) == 0) {
		s->major = s->minor = 1;
		s->state = SCAN_STATE_LINE_LF;
		return p + 9;
	}
	for (; p < end; p++) {
		if (s->matched < 8) {
			if (!version_byte(s, *p))
				return bad(s, FAULT_SYNTAX, p);
			continue;
		}
		if (*p != '\r')
			return bad(s, FAULT_SYNTAX, p);
		s->fault = version_fault(s, settings);
		s->state = SCAN_STATE_LINE_LF;
		return s->fault == FAULT_NONE ? p + 1 : p;
	}
	return p;
}

static const char *scan_status_version(struct head_scan *s, const char *p, const char *end)
{
	for (; p < end && s->matched < 8; p++)
		if (!version_byte(s, *p))
			return bad(s, FAULT_SYNTAX, p);
	if (p == end)
		return p;
	if (*p != ' ' || s->major != 1 || s->minor > 1)
		return bad(s, FAULT_SYNTAX, p);
	s->matched = 0;
	s->state = SCAN_STATE_STATUS;
	return p + 1;
}

static const char *scan_status(struct head_scan *s, const char *p, const char *end)
{
	for (; p < end && s->matched < 3; p++, s->matched++) {
		if (!char_is(*p, CHAR_DIGIT))
			return bad(s, FAULT_SYNTAX, p);
		s->status = (uint16_t)(s->status * 10 + (*p - '0'));
	}
	if (s->matched < 3)
		return p;
	if (s->status < 100)
		return bad(s, FAULT_SYNTAX, p);
	s->state = SCAN_STATE_STATUS_END;
	return p;
}

static const char *scan_status_end(struct head_scan *s, const char *p)
{
	if (*p == ' ')
		s->state = SCAN_STATE_REASON;
	else if (*p == '\r')
		s->state = SCAN_STATE_LINE_LF;
	else
		return bad(s, FAULT_SYNTAX, p);
	return p + 1;
}

static const char *scan_reason(struct head_scan *s, const char *p, const char *end)
{
	p = skip_value(p, end);
	if (p == end)
		return p;
	if (*p != '\r')
		return bad(s, FAULT_SYNTAX, p);
	s->state = SCAN_STATE_LINE_LF;
	return p + 1;
}

/* Start line; stops at its end, at a fault or for want of bytes. */
static const char *scan_line(struct head_scan *s, const struct codec_settings *settings,
			     const char *at, const char *p, const char *end)
{
	while (p < end && s->fault == FAULT_NONE) {
		switch (s->state) {
		case SCAN_STATE_METHOD:
			p = scan_method(s, settings, at, p, end);
			break;
		case SCAN_STATE_TARGET:
			p = scan_target(s, settings, at, p, end);
			break;
		case SCAN_STATE_VERSION:
			p = scan_version(s, settings, p, end);
			break;
		case SCAN_STATE_STATUS_VERSION:
			p = scan_status_version(s, p, end);
			break;
		case SCAN_STATE_STATUS:
			p = scan_status(s, p, end);
			break;
		case SCAN_STATE_STATUS_END:
			p = scan_status_end(s, p);
			break;
		case SCAN_STATE_REASON:
			p = scan_reason(s, p, end);
			break;
		case SCAN_STATE_LINE_LF:
			if (*p != '\n')
				return bad(s, FAULT_SYNTAX, p);
			s->state = SCAN_STATE_FIELD;
			s->fields_at = (uint32_t)(p + 1 - at);
			return p + 1;
		default:
			return p;
		}
	}
	return p;
}

/* Field lines up to and with the empty one. The cases of one line follow each other; a cut leaves
 * the state where the next run goes on. */
static const char *scan_fields(struct head_scan *s, uint32_t count_max, const char *p,
			       const char *end)
{
	while (p < end) {
		switch (s->state) {
		case SCAN_STATE_FIELD:
			if (*p == '\r') {
				s->state = SCAN_STATE_LAST_LF;
				p++;
				continue;
			}
			if (!char_is(*p, CHAR_TOKEN))	/* also obs-fold and an empty name */
				return bad(s, FAULT_SYNTAX, p);
			if (s->field_count >= count_max)
				return bad(s, FAULT_TOO_MANY, p);
			s->field_count++;
			s->state = SCAN_STATE_NAME;
			/* fall through */
		case SCAN_STATE_NAME:
			while (end - p >= 8 && word_is_plain(load_word(p)))
				p += 8;
			while (p < end && char_is(*p, CHAR_TOKEN))
				p++;
			if (p == end)
				return p;
			if (*p != ':')
				return bad(s, FAULT_SYNTAX, p);
			s->state = SCAN_STATE_VALUE;
			p++;
			/* fall through */
		case SCAN_STATE_VALUE:
			p = skip_value(p, end);
			if (p == end)
				return p;
			if (*p != '\r')
				return bad(s, *p == '\n' ? FAULT_SYNTAX : FAULT_CHARACTERS, p);
			s->state = SCAN_STATE_VALUE_LF;
			if (++p == end)
				return p;
			/* fall through */
		case SCAN_STATE_VALUE_LF:
			if (*p != '\n')
				return bad(s, FAULT_SYNTAX, p);
			s->state = SCAN_STATE_FIELD;
			p++;
			continue;
		case SCAN_STATE_LAST_LF:
			if (*p != '\n')
				return bad(s, FAULT_SYNTAX, p);
			s->state = SCAN_STATE_COMPLETE;
			return p + 1;
		default:
			return p;
		}
	}
	return p;
}

static const uint8_t first_state[] = {
	[SCAN_REQUEST] = SCAN_STATE_METHOD,
	[SCAN_RESPONSE] = SCAN_STATE_STATUS_VERSION,
	[SCAN_TRAILERS] = SCAN_STATE_FIELD,
};

enum scan_result head_scan_run(struct head_scan *s, enum scan_kind kind,
			       const struct codec_settings *settings, const char *at, size_t len)
{
	uint32_t count_max = settings->header_count_max < FIELD_COUNT_MAX ?
			     settings->header_count_max : FIELD_COUNT_MAX;
	size_t bound = len <= settings->head_bytes_max ? len : settings->head_bytes_max;
	const char *p = at + s->pos, *end = at + bound;

	if (s->state == SCAN_STATE_START)
		s->state = first_state[kind];
	if (s->state < SCAN_STATE_FIELD)
		p = scan_line(s, settings, at, p, end);
	if (s->fault == FAULT_NONE && s->state >= SCAN_STATE_FIELD)
		p = scan_fields(s, count_max, p, end);
	s->pos = (uint32_t)(p - at);
	if (s->fault != FAULT_NONE)
		return SCAN_BAD;
	if (s->state == SCAN_STATE_COMPLETE)
		return SCAN_DONE;
	if (len > bound) {	/* the head goes on behind its limit */
		s->fault = FAULT_TOO_LARGE;
		return SCAN_BAD;
	}
	return SCAN_MORE;
}
