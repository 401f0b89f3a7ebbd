/* SPDX-License-Identifier: Apache-2.0
 *
 * hello.c - how two sides of a connection agree on version, frame size and capabilities, and
 * how they part (spec/spop.md 6 and 10). */
#include "sallyport/spop.h"

#include "sallyport/object.h"

#define DISCONNECT_TEXT_MAX	255

static const struct {
	enum spop_status status;
	const char *text;
} status_texts[] = {
	{ SPOP_NORMAL, "normal" },
	{ SPOP_IO_ERROR, "I/O error" },
	{ SPOP_TIMED_OUT, "a timeout occurred" },
	{ SPOP_TOO_BIG, "frame is too big" },
	{ SPOP_INVALID, "invalid frame received" },
	{ SPOP_NO_VERSION, "version value not found" },
	{ SPOP_NO_FRAME_SIZE, "max-frame-size value not found" },
	{ SPOP_NO_CAPABILITIES, "capabilities value not found" },
	{ SPOP_BAD_VERSION, "unsupported version" },
	{ SPOP_BAD_FRAME_SIZE, "max-frame-size too big or too small" },
	{ SPOP_NO_FRAGMENTATION, "fragmentation not supported" },
	{ SPOP_INTERLACED, "invalid interlaced frames" },
	{ SPOP_UNKNOWN_ID, "frame-id not found" },
	{ SPOP_RESOURCES, "resource allocation error" },
};

const char *spop_status_text(enum spop_status status)
{
	for (size_t i = 0; i < COUNT_OF(status_texts); i++)
		if (status_texts[i].status == status)
			return status_texts[i].text;
	return "an unknown error occurred";
}

bool spop_list_has(struct slice list, struct slice word)
{
	while (list.at != NULL)
		if (slice_eq(slice_trim(slice_cut(&list, ',')), word))
			return true;
	return false;
}

/* What either HELLO may hold; absent keys stay as they are. */
struct hello_keys {
	struct slice versions, version, capabilities, engine_id;
	bool has_size, healthcheck;
	uint64_t size;
};

static void take_text(const struct spop_value *v, struct slice *out)
{
	if (v->type == SPOP_STRING)
		*out = v->bytes;
}

static bool read_hello_keys(struct slice payload, struct hello_keys *k)
{
	struct spop_reader r = spop_reader_of(payload);
	struct spop_value v;
	struct slice name;

	*k = (struct hello_keys){ .size = 0 };
	while (spop_read_kv(&r, &name, &v)) {
		if (slice_eq(name, SLICE("supported-versions"))) {
			take_text(&v, &k->versions);
		} else if (slice_eq(name, SLICE("version"))) {
			take_text(&v, &k->version);
		} else if (slice_eq(name, SLICE("capabilities"))) {
			take_text(&v, &k->capabilities);
		} else if (slice_eq(name, SLICE("engine-id"))) {
			take_text(&v, &k->engine_id);
		} else if (slice_eq(name, SLICE("healthcheck"))) {
			k->healthcheck = v.type == SPOP_BOOL && v.boolean;
		} else if (slice_eq(name, SLICE("max-frame-size")) && spop_value_is_number(&v)) {
			k->has_size = true;
			k->size = v.number;
		}
	}
	return !r.broken;
}

enum spop_status spop_decode_client_hello(struct slice payload, struct spop_hello *out)
{
	struct hello_keys k;

	if (!read_hello_keys(payload, &k))
		return SPOP_INVALID;
	if (k.versions.at == NULL)
		return SPOP_NO_VERSION;
	if (!k.has_size)
		return SPOP_NO_FRAME_SIZE;
	if (k.capabilities.at == NULL)
		return SPOP_NO_CAPABILITIES;
	if (!spop_list_has(k.versions, SLICE(SPOP_VERSION)))
		return SPOP_BAD_VERSION;
	if (k.size < SPOP_FRAME_SIZE_MIN)
		return SPOP_BAD_FRAME_SIZE;
	*out = (struct spop_hello){
		.versions = k.versions,
		.max_frame_size = k.size < UINT32_MAX ? (uint32_t)k.size : UINT32_MAX,
		.capabilities = k.capabilities,
		.engine_id = k.engine_id,
		.healthcheck = k.healthcheck,
	};
	return SPOP_NORMAL;
}

enum spop_status spop_decode_agent_hello(struct slice payload, size_t own_size,
					 struct spop_hello *out)
{
	struct hello_keys k;

	if (!read_hello_keys(payload, &k))
		return SPOP_INVALID;
	if (k.version.at == NULL)
		return SPOP_NO_VERSION;
	if (!k.has_size)
		return SPOP_NO_FRAME_SIZE;
	if (!slice_eq(slice_trim(k.version), SLICE(SPOP_VERSION)))
		return SPOP_BAD_VERSION;
	if (k.size < SPOP_FRAME_SIZE_MIN || k.size > own_size)
		return SPOP_BAD_FRAME_SIZE;
	*out = (struct spop_hello){
		.versions = k.version,
		.max_frame_size = (uint32_t)k.size,
		.capabilities = k.capabilities.at != NULL ? k.capabilities : SLICE(""),
	};
	return SPOP_NORMAL;
}

static struct slice or_empty(struct slice s)
{
	return s.at != NULL ? s : SLICE("");
}

void spop_write_client_hello(struct spop_writer *w, const struct spop_hello *hello)
{
	size_t begun = spop_begin_frame(w, SPOP_HAPROXY_HELLO, SPOP_FIN, 0, 0);

	spop_write_bytes(w, SLICE("supported-versions"));
	spop_write_string(w, SLICE(SPOP_VERSION));
	spop_write_bytes(w, SLICE("max-frame-size"));
	spop_write_uint32(w, hello->max_frame_size);
	spop_write_bytes(w, SLICE("capabilities"));
	spop_write_string(w, or_empty(hello->capabilities));
	if (hello->healthcheck) {
		spop_write_bytes(w, SLICE("healthcheck"));
		spop_write_bool(w, true);
	}
	if (hello->engine_id.at != NULL) {
		spop_write_bytes(w, SLICE("engine-id"));
		spop_write_string(w, hello->engine_id);
	}
	spop_end_frame(w, begun);
}

void spop_write_agent_hello(struct spop_writer *w, uint32_t max_frame_size,
			    struct slice capabilities)
{
	size_t begun = spop_begin_frame(w, SPOP_AGENT_HELLO, SPOP_FIN, 0, 0);

	spop_write_bytes(w, SLICE("version"));
	spop_write_string(w, SLICE(SPOP_VERSION));
	spop_write_bytes(w, SLICE("max-frame-size"));
	spop_write_uint32(w, max_frame_size);
	spop_write_bytes(w, SLICE("capabilities"));
	spop_write_string(w, or_empty(capabilities));
	spop_end_frame(w, begun);
}

void spop_write_disconnect(struct spop_writer *w, enum spop_frame_type type,
			   enum spop_status status, const char *text)
{
	size_t begun = spop_begin_frame(w, type, SPOP_FIN, 0, 0);
	struct slice message = slice_of(text != NULL ? text : spop_status_text(status));

	spop_write_bytes(w, SLICE("status-code"));
	spop_write_uint32(w, (uint32_t)status);
	spop_write_bytes(w, SLICE("message"));
	spop_write_string(w, slice_first(message, DISCONNECT_TEXT_MAX));
	spop_end_frame(w, begun);
}

void spop_decode_disconnect(struct slice payload, enum spop_status *status, struct slice *text)
{
	struct spop_reader r = spop_reader_of(payload);
	struct spop_value v;
	struct slice name;

	*status = SPOP_UNKNOWN;
	*text = SLICE("");
	while (spop_read_kv(&r, &name, &v)) {
		if (slice_eq(name, SLICE("status-code")) && spop_value_is_number(&v))
			*status = v.number < SPOP_UNKNOWN ? (enum spop_status)v.number : SPOP_UNKNOWN;
		else if (slice_eq(name, SLICE("message")))
			take_text(&v, text);
	}
	*text = slice_first(*text, DISCONNECT_TEXT_MAX);
}
