/* SPDX-License-Identifier: Apache-2.0
 * The table of known fields, and the list of fields of a message. */
#include "proxy/http/message.h"

#include <assert.h>

#include "proxy/http/chars_priv.h"
#include "sallyport/log.h"
#include "sallyport/object.h"

#define COPY_SPARE		8u	/* room for what is added to a copy */
#define HEADERS_FIRST_CAPACITY	16
#define HEADERS_COUNT_MAX	UINT16_MAX	/* first[] holds an index + 1 */
#define NAME_SLOTS		256		/* as many as name_slot() tells apart */

static const struct slice names[HEADER_ID_COUNT] = {
#define X(id, name) [HEADER_##id] = { name, sizeof(name) - 1 },
	KNOWN_HEADERS(X)
#undef X
};

static_assert(HEADER_ID_COUNT < NAME_SLOTS / 4, "few probes for a name that nobody knows");
static_assert(HEADER_ID_COUNT < UINT8_MAX, "a slot holds an id in one byte");

/* Open addressing; written before main() and only read after. */
static uint8_t name_slots[NAME_SLOTS];

/* Three bytes and the length tell the known names apart; the factor was chosen so that only two of
 * them share a slot. */
static inline unsigned name_slot(const char *at, size_t len)
{
	uint32_t key = (uint8_t)len | (uint32_t)(uint8_t)at[0] << 8 |
		       (uint32_t)(uint8_t)at[len / 2] << 16 | (uint32_t)(uint8_t)at[len - 1] << 24;

	return key * 0x8a05a7u >> 24;
}

__attribute__((constructor)) static void fill_name_slots(void)
{
	for (unsigned id = 1; id < HEADER_ID_COUNT; id++) {
		unsigned slot = name_slot(names[id].at, names[id].len);

		while (name_slots[slot] != 0)
			slot = (slot + 1) % NAME_SLOTS;
		name_slots[slot] = (uint8_t)id;
	}
}

enum header_id header_id_of(struct slice name)
{
	if (name.len == 0)
		return HEADER_OTHER;
	for (unsigned slot = name_slot(name.at, name.len); name_slots[slot] != 0;
	     slot = (slot + 1) % NAME_SLOTS) {
		struct slice known = names[name_slots[slot]];

		if (known.len == name.len && bytes_eq(known.at, name.at, name.len))
			return name_slots[slot];
	}
	return HEADER_OTHER;
}

struct slice header_name(enum header_id id)
{
	return names[id];
}

void headers_init(struct headers *h, struct arena *a, uint32_t capacity)
{
	if (capacity < HEADERS_FIRST_CAPACITY)
		capacity = HEADERS_FIRST_CAPACITY;
	h->arena = a;
	h->items = arena_alloc(a, capacity * sizeof(*h->items));
	h->count = 0;
	h->capacity = capacity;
	memset(h->first, 0, sizeof(h->first));
}

struct message *message_copy(const struct message *m, struct arena *a)
{
	struct message *copy = arena_new(a, struct message);
	struct headers *h = &copy->headers;

	*copy = *m;
	h->arena = a;
	h->capacity = m->headers.count + COPY_SPARE;
	h->items = arena_array(a, struct header, h->capacity);
	memcpy(h->items, m->headers.items, m->headers.count * sizeof(*h->items));
	return copy;
}

static void grow(struct headers *h)
{
	struct header *items;

	if (h->count >= HEADERS_COUNT_MAX)
		fatal("a message of more than %u fields", HEADERS_COUNT_MAX);
	items = arena_alloc(h->arena, 2 * h->capacity * sizeof(*items));
	memcpy(items, h->items, h->count * sizeof(*items));
	h->items = items;
	h->capacity *= 2;
}

struct header *headers_append(struct headers *h, enum header_id id, struct slice name,
			      struct slice value)
{
	struct header *f;

	if (h->count == h->capacity)
		grow(h);
	f = &h->items[h->count++];
	*f = (struct header){ name, value, id };
	if (id != HEADER_OTHER && h->first[id] == 0)
		h->first[id] = (uint16_t)h->count;
	return f;
}

struct header *headers_add(struct headers *h, struct slice name, struct slice value)
{
	return headers_append(h, header_id_of(name), name, value);
}

struct header *headers_add_id(struct headers *h, enum header_id id, struct slice value)
{
	return headers_append(h, id, names[id], value);
}

static inline bool is_named(const struct header *f, enum header_id id, struct slice name)
{
	return id != HEADER_OTHER ? f->id == id && f->name.at != NULL
				  : f->name.at != NULL && slice_eq(f->name, name);
}

/* First live field of that name at or after index `from`. */
static struct header *find_from(const struct headers *h, enum header_id id, struct slice name,
				uint32_t from)
{
	for (uint32_t i = from; i < h->count; i++)
		if (is_named(&h->items[i], id, name))
			return &h->items[i];
	return NULL;
}

static struct header *find(const struct headers *h, enum header_id id, struct slice name)
{
	return id != HEADER_OTHER ? headers_get(h, id) : find_from(h, id, name, 0);
}

struct header *headers_find(const struct headers *h, struct slice name)
{
	return find(h, header_id_of(name), name);
}

void headers_remove_at(struct headers *h, struct header *f)
{
	struct header *next;
	uint32_t at = (uint32_t)(f - h->items);

	f->name = NO_SLICE;
	if (f->id == HEADER_OTHER || h->first[f->id] != at + 1)
		return;
	next = find_from(h, f->id, NO_SLICE, at + 1);
	h->first[f->id] = next != NULL ? (uint16_t)(next - h->items + 1) : 0;
}

/* Removes every line of that name from index `from` on. */
static unsigned remove_from(struct headers *h, enum header_id id, struct slice name, uint32_t from)
{
	unsigned removed = 0;

	for (uint32_t i = from; i < h->count; i++)
		if (is_named(&h->items[i], id, name)) {
			h->items[i].name = NO_SLICE;
			removed++;
		}
	return removed;
}

static unsigned remove_all(struct headers *h, enum header_id id, struct slice name)
{
	struct header *f = find(h, id, name);
	unsigned removed;

	if (f == NULL)
		return 0;
	removed = remove_from(h, id, name, (uint32_t)(f - h->items));
	if (id != HEADER_OTHER)
		h->first[id] = 0;
	return removed;
}

unsigned headers_remove(struct headers *h, struct slice name)
{
	return remove_all(h, header_id_of(name), name);
}

unsigned headers_remove_id(struct headers *h, enum header_id id)
{
	return remove_all(h, id, names[id]);
}

static void set(struct headers *h, enum header_id id, struct slice name, struct slice value)
{
	struct header *f = find(h, id, name);

	if (f == NULL) {
		headers_append(h, id, name, value);
		return;
	}
	f->value = value;
	remove_from(h, id, name, (uint32_t)(f - h->items) + 1);
}

void headers_set(struct headers *h, struct slice name, struct slice value)
{
	set(h, header_id_of(name), name, value);
}

void headers_set_id(struct headers *h, enum header_id id, struct slice value)
{
	set(h, id, names[id], value);
}

struct header *headers_next(const struct headers *h, const struct header *f)
{
	for (uint32_t i = f != NULL ? (uint32_t)(f - h->items) + 1 : 0; i < h->count; i++)
		if (h->items[i].name.at != NULL)
			return &h->items[i];
	return NULL;
}

struct slice headers_joined(const struct headers *h, struct slice name, struct arena *a)
{
	enum header_id id = header_id_of(name);
	struct header *first = find(h, id, name), *f;
	size_t len, at;
	char *joined;

	if (first == NULL)
		return NO_SLICE;
	len = first->value.len;
	for (f = first; (f = find_from(h, id, name, (uint32_t)(f - h->items) + 1)) != NULL;)
		len += 1 + f->value.len;
	if (len == first->value.len)
		return first->value;
	joined = arena_alloc(a, len);
	memcpy(joined, first->value.at, first->value.len);
	at = first->value.len;
	for (f = first; (f = find_from(h, id, name, (uint32_t)(f - h->items) + 1)) != NULL;) {
		joined[at++] = ',';
		memcpy(joined + at, f->value.at, f->value.len);
		at += f->value.len;
	}
	return (struct slice){ joined, len };
}

bool is_token(struct slice s)
{
	return s.len > 0 && chars_are(s, CHAR_TOKEN);
}

bool header_is_safe(struct slice name, struct slice value)
{
	return is_token(name) && chars_are(value, CHAR_VALUE);
}

/* RFC 9110 15 and the IANA registry. */
#define REASONS(X) \
	X(100, "Continue") X(101, "Switching Protocols") X(102, "Processing") \
	X(103, "Early Hints") \
	X(200, "OK") X(201, "Created") X(202, "Accepted") \
	X(203, "Non-Authoritative Information") X(204, "No Content") X(205, "Reset Content") \
	X(206, "Partial Content") X(207, "Multi-Status") X(208, "Already Reported") X(226, "IM Used") \
	X(300, "Multiple Choices") X(301, "Moved Permanently") X(302, "Found") X(303, "See Other") \
	X(304, "Not Modified") X(305, "Use Proxy") X(307, "Temporary Redirect") \
	X(308, "Permanent Redirect") \
	X(400, "Bad Request") X(401, "Unauthorized") X(402, "Payment Required") X(403, "Forbidden") \
	X(404, "Not Found") X(405, "Method Not Allowed") X(406, "Not Acceptable") \
	X(407, "Proxy Authentication Required") X(408, "Request Timeout") X(409, "Conflict") \
	X(410, "Gone") X(411, "Length Required") X(412, "Precondition Failed") \
	X(413, "Payload Too Large") X(414, "URI Too Long") X(415, "Unsupported Media Type") \
	X(416, "Range Not Satisfiable") X(417, "Expectation Failed") X(418, "I'm a teapot") \
	X(421, "Misdirected Request") X(422, "Unprocessable Entity") X(423, "Locked") \
	X(424, "Failed Dependency") X(425, "Too Early") X(426, "Upgrade Required") \
	X(428, "Precondition Required") X(429, "Too Many Requests") \
	X(431, "Request Header Fields Too Large") X(451, "Unavailable For Legal Reasons") \
	X(500, "Internal Server Error") X(501, "Not Implemented") X(502, "Bad Gateway") \
	X(503, "Service Unavailable") X(504, "Gateway Timeout") \
	X(505, "HTTP Version Not Supported") X(506, "Variant Also Negotiates") \
	X(507, "Insufficient Storage") X(508, "Loop Detected") X(510, "Not Extended") \
	X(511, "Network Authentication Required")

struct slice status_reason(unsigned status)
{
	switch (status) {
#define X(code, text) case code: return SLICE(text);
	REASONS(X)
#undef X
	}
	return SLICE("Unknown");
}
