/* SPDX-License-Identifier: Apache-2.0
 *
 * WorkloadGroup: a template of endpoints and the probe of their health (spec/service-entry.md 4, 6.4). */
#include "sallyport/object.h"
#include "sallyport/resource/workload.h"

#define PROBE_TIMEOUT_S	1
#define PROBE_PERIOD_S	10

static bool decode_seconds(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t *value = out;

	if (!decode_i32(d, n, value, arg))
		return false;
	if (*value < 0)
		return decode_error(d, n, "must be non-negative, found %d", *value);
	return true;
}

static bool decode_scheme(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice text;

	if (!decode_string(d, n, &text, arg))
		return false;
	*(bool *)out = slice_eq(text, SLICE("HTTPS"));
	if (text.len > 0 && !slice_eq(text, SLICE("HTTPS")) && !slice_eq(text, SLICE("HTTP")))
		return decode_error(d, n, "must be one of \"HTTPS\", \"HTTP\", found \"%.*s\"", SLICE_ARG(text));
	return true;
}

static bool decode_header_name(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *name = out;

	if (!decode_string(d, n, name, arg))
		return false;
	if (name->len == 0)
		return decode_error(d, n, "header name cannot be empty");
	for (size_t i = 0; i < name->len; i++) {
		if (!ascii_is_alnum(name->at[i]) && name->at[i] != '-')
			return decode_error(d, n, "header name \"%.*s\" is not a valid header name",
					    SLICE_ARG(*name));
	}
	return true;
}

/* A header value that could end its line would let the probe say more than it should. */
static bool decode_header_value(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct slice *value = out;

	if (!decode_string(d, n, value, arg))
		return false;
	for (size_t i = 0; i < value->len; i++)
		if ((unsigned char)value->at[i] < 0x20 && value->at[i] != '\t')
			return decode_error(d, n, "holds a control character");
	return true;
}

static bool decode_command_word(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct located_slice *word = out;

	word->where = n->where;
	if (!decode_string(d, n, &word->text, arg))
		return false;
	if (word->text.len == 0)
		return decode_error(d, n, "must not be empty");
	return true;
}

static const struct field header_fields[] = {
	FIELD(struct probe_header, "name", name, decode_header_name, FIELD_REQUIRED),
	FIELD(struct probe_header, "value", value, decode_header_value, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct decode_list header_list = { sizeof(struct probe_header), decode_struct, header_fields, 100 };
static const struct decode_list command_list = { sizeof(struct located_slice), decode_command_word, NULL, 0 };

static const struct field http_fields[] = {
	FIELD(struct probe, "path", path, decode_string, FIELD_OPTIONAL),
	FIELD(struct probe, "port", port, decode_port, FIELD_REQUIRED),
	FIELD(struct probe, "host", host, decode_string, FIELD_OPTIONAL),
	FIELD(struct probe, "scheme", https, decode_scheme, FIELD_OPTIONAL),
	FIELD_ARG(struct probe, "httpHeaders", headers, decode_list, FIELD_OPTIONAL, &header_list),
	FIELDS_END
};
static const struct field tcp_fields[] = {
	FIELD(struct probe, "host", host, decode_string, FIELD_OPTIONAL),
	FIELD(struct probe, "port", port, decode_port, FIELD_REQUIRED),
	FIELDS_END
};
static const struct field exec_fields[] = {
	FIELD_ARG(struct probe, "command", command, decode_list, FIELD_REQUIRED, &command_list),
	FIELDS_END
};
static const struct field grpc_fields[] = {
	FIELD(struct probe, "port", port, decode_port, FIELD_OPTIONAL),
	FIELD(struct probe, "service", service, decode_string, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct field probe_fields[] = {
	FIELD(struct probe, "initialDelaySeconds", initial_delay_s, decode_seconds, FIELD_OPTIONAL),
	FIELD(struct probe, "timeoutSeconds", timeout_s, decode_seconds, FIELD_OPTIONAL),
	FIELD(struct probe, "periodSeconds", period_s, decode_seconds, FIELD_OPTIONAL),
	FIELD(struct probe, "successThreshold", success_threshold, decode_seconds, FIELD_OPTIONAL),
	FIELD(struct probe, "failureThreshold", failure_threshold, decode_seconds, FIELD_OPTIONAL),
	{ "httpGet", decode_struct, 0, FIELD_OPTIONAL, http_fields },
	{ "tcpSocket", decode_struct, 0, FIELD_OPTIONAL, tcp_fields },
	{ "exec", decode_struct, 0, FIELD_OPTIONAL, exec_fields },
	{ "grpc", decode_struct, 0, FIELD_OPTIONAL, grpc_fields },
	FIELDS_END
};

/* Exactly one of the four; what is null counts as absent. */
static bool choose_kind(struct decoder *d, const struct node *n, struct probe *p)
{
	static const struct { const char *name; enum probe_kind kind; } methods[] = {
		{ "httpGet", PROBE_HTTP }, { "tcpSocket", PROBE_TCP }, { "exec", PROBE_EXEC },
		{ "grpc", PROBE_GRPC },
	};
	unsigned found = 0;

	for (size_t i = 0; i < COUNT_OF(methods); i++) {
		const struct node *method = node_get(n, methods[i].name);

		if (method == NULL || method->kind == NODE_NULL)
			continue;
		p->kind = methods[i].kind;
		found++;
	}
	if (found == 1)
		return true;
	return decode_error(d, n, "%s: set one of httpGet, tcpSocket, exec, grpc", found == 0 ?
			    "the probe has no method" : "the probe has more than one method");
}

static void default_to(int32_t *value, int32_t preset)
{
	if (*value == 0)
		*value = preset;
}

static bool decode_probe(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct probe *p = out;
	bool ok = decode_mapping(d, n, probe_fields, p);

	(void)arg;
	if (n->kind != NODE_MAPPING || !choose_kind(d, n, p))
		return false;
	if (p->kind == PROBE_EXEC && ok && p->command.count == 0)
		ok = decode_error(d, node_get(n, "exec"), "exec.command is required");
	default_to(&p->timeout_s, PROBE_TIMEOUT_S);
	default_to(&p->period_s, PROBE_PERIOD_S);
	default_to(&p->success_threshold, 1);
	default_to(&p->failure_threshold, 1);
	if (p->kind == PROBE_HTTP && p->path.len == 0)
		p->path = SLICE("/");
	return ok;
}

static const struct field meta_fields[] = {
	FIELD(struct workload_group, "labels", labels, decode_labels, FIELD_OPTIONAL),
	FIELD(struct workload_group, "annotations", annotations, decode_string_map, FIELD_OPTIONAL),
	FIELDS_END
};
static const struct decode_pointer probe_pointer = { sizeof(struct probe), decode_probe, NULL };
static const struct field group_fields[] = {
	{ "metadata", decode_struct, 0, FIELD_OPTIONAL, meta_fields },
	FIELD(struct workload_group, "template", template, decode_workload, FIELD_OPTIONAL),
	FIELD_ARG(struct workload_group, "probe", probe, decode_pointer, FIELD_LATER, &probe_pointer),
	FIELDS_END
};

struct workload_group *workload_group_decode(struct decoder *d, const struct node *spec,
					     const struct meta *meta)
{
	struct workload_group *g = arena_new(d->arena, struct workload_group);
	const struct node *template = node_get(spec, "template");

	g->meta = meta;
	if (spec != NULL)
		decode_mapping(d, spec, group_fields, g);
	if (template == NULL || template->kind == NODE_NULL)
		decode_error(d, spec, "template is required");
	return g;
}
