/* SPDX-License-Identifier: Apache-2.0
 *
 * http[].fault: injected delays and aborts (spec 2.10, 7.9, V96-V100). */
#include "common/resource/virtual_service_priv.h"

static const char *const grpc_codes[] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED", NULL
};

struct delay {
	int64_t fixed_ms;
	struct optional_share percentage, percent;
};

struct abort_fault {
	unsigned http_status;
	int grpc_status;
	struct optional_share percentage;
};

static bool decode_delay_percent(struct decoder *d, const struct node *n, void *out,
				 const void *arg)
{
	int32_t percent;

	if (!decode_i32(d, n, &percent, arg))
		return false;
	if (percent < 0 || percent > 100)
		return decode_error(d, n, "%d percent, write 0 to 100", percent);
	decode_warning(d, n, "is deprecated, write percentage: {value: %d}", percent);
	*(struct optional_share *)out = (struct optional_share){
		.set = true, .per_million = (uint32_t)percent * (PER_MILLION / 100)};
	return true;
}

static bool refuse(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)out;
	return decode_error(d, n, "is not supported, use %s", (const char *)arg);
}

static bool decode_abort_status(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t status;

	if (!decode_i32(d, n, &status, arg))
		return false;
	if (status < 200 || status > 599)
		return decode_error(d, n, "status %d, write 200 to 599", status);
	*(unsigned *)out = (unsigned)status;
	return true;
}

static const struct field delay_fields[] = {
	FIELD(struct delay, "fixedDelay", fixed_ms, decode_duration, FIELD_REQUIRED),
	FIELD_ARG(struct delay, "percentage", percentage, vs_decode_percentage, FIELD_OPTIONAL,
		  "fault"),
	FIELD(struct delay, "percent", percent, decode_delay_percent, FIELD_OPTIONAL),
	{ "exponentialDelay", refuse, 0, FIELD_OPTIONAL, "fixedDelay" },
	FIELDS_END
};

static const struct field abort_fields[] = {
	FIELD(struct abort_fault, "httpStatus", http_status, decode_abort_status, FIELD_OPTIONAL),
	FIELD_ARG(struct abort_fault, "grpcStatus", grpc_status, decode_enum, FIELD_OPTIONAL,
		  grpc_codes),
	{ "http2Error", refuse, 0, FIELD_OPTIONAL, "httpStatus or grpcStatus" },
	FIELD_ARG(struct abort_fault, "percentage", percentage, vs_decode_percentage,
		  FIELD_OPTIONAL, "fault"),
	FIELDS_END
};

static bool decode_delay(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct http_fault *f = out;
	struct delay delay = { 0 };

	(void)arg;
	if (!decode_mapping(d, n, delay_fields, &delay))
		return false;
	f->delay_ms = delay.fixed_ms;
	f->delay_per_million =
		delay.percentage.set ? delay.percentage.per_million : delay.percent.per_million;
	if (f->delay_per_million == 0)
		decode_warning(d, n, "delays nothing: give percentage: {value: 100}");
	return true;
}

static bool decode_abort(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct http_fault *f = out;
	struct abort_fault abort = { .grpc_status = -1 };

	(void)arg;
	if (!decode_mapping(d, n, abort_fields, &abort))
		return false;
	if (abort.http_status != 0 && abort.grpc_status >= 0)
		return decode_error(d, n, "httpStatus and grpcStatus both: choose one");
	if (abort.http_status == 0 && abort.grpc_status < 0)
		return decode_error(d, n, "with what? give httpStatus or grpcStatus");
	f->abort = abort.http_status != 0 ? ABORT_HTTP : ABORT_GRPC;
	f->abort_status = abort.http_status != 0 ? abort.http_status : (unsigned)abort.grpc_status;
	f->abort_per_million = abort.percentage.per_million;
	if (f->abort_per_million == 0)
		decode_warning(d, n, "aborts nothing: give percentage: {value: 100}");
	return true;
}

static const struct field fault_fields[] = {
	{ "delay", decode_delay, 0, FIELD_OPTIONAL, NULL },
	{ "abort", decode_abort, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

bool vs_decode_fault(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	bool ok = decode_mapping(d, n, fault_fields, out);

	(void)arg;
	if (ok && !node_has(n, "delay") && !node_has(n, "abort"))
		return decode_error(d, n, "neither delay nor abort");
	return ok;
}
