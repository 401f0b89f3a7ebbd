/* SPDX-License-Identifier: Apache-2.0
 *
 * connectionPool and outlierDetection of a traffic policy (spec/destination-rule.md 2.4, 2.5,
 * 3.2). */
#include "common/resource/destination_rule_priv.h"

#define OUTLIER_CONSECUTIVE	5u
#define OUTLIER_INTERVAL_MS	10000
#define OUTLIER_EJECTION_MS	30000
#define OUTLIER_PERCENT		10u

/* An int32 limit of which 0 says "not written". */
static bool decode_limit(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t value;

	(void)arg;
	if (!decode_i32(d, n, &value, NULL))
		return false;
	if (value < 0)
		return decode_error(d, n, "%d: must not be negative", value);
	if (value > 0)
		*(uint32_t *)out = (uint32_t)value;
	return true;
}

/* --- tcp ----------------------------------------------------------------------------------- */

static const struct decode_duration_rule zero_disables = { .zero_allowed = true };

static bool decode_tcp_idle(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct connection_pool *p = out;

	(void)arg;
	p->tcp_idle_timeout_set = decode_duration(d, n, &p->tcp_idle_timeout_ms, &zero_disables);
	return p->tcp_idle_timeout_set;
}

static bool decode_duration_of_connections(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (!decode_duration(d, n, out, arg))
		return false;
	decode_warning(d, n, "holds for relayed TCP alone; for connections of HTTP it " DECODE_NOT_OBEYED);
	return true;
}

static bool decode_limit_of_connections(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	if (!decode_limit(d, n, out, arg))
		return false;
	decode_warning(d, n, "holds for relayed TCP alone; for connections of HTTP it " DECODE_NOT_OBEYED);
	return true;
}

static const struct field keepalive_fields[] = {
	FIELD(struct connection_pool, "probes", keepalive_probes, decode_u32, FIELD_OPTIONAL),
	FIELD(struct connection_pool, "time", keepalive_time_ms, decode_duration, FIELD_OPTIONAL),
	FIELD(struct connection_pool, "interval", keepalive_interval_ms, decode_duration,
	      FIELD_OPTIONAL),
	FIELDS_END
};

static bool decode_keepalive(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	(void)arg;
	((struct connection_pool *)out)->tcp_keepalive = true;
	return decode_mapping(d, n, keepalive_fields, out);
}

static const struct field tcp_fields[] = {
	FIELD(struct connection_pool, "maxConnections", max_connections, decode_limit_of_connections,
	      FIELD_OPTIONAL),
	FIELD(struct connection_pool, "connectTimeout", connect_timeout_ms, decode_duration,
	      FIELD_OPTIONAL),
	{ "tcpKeepalive", decode_keepalive, 0, FIELD_OPTIONAL, NULL },
	FIELD(struct connection_pool, "maxConnectionDuration", max_connection_duration_ms,
	      decode_duration_of_connections, FIELD_OPTIONAL),
	{ "idleTimeout", decode_tcp_idle, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

/* --- http ---------------------------------------------------------------------------------- */

static const char *const h2_upgrade_names[] = { "DEFAULT", "DO_NOT_UPGRADE", "UPGRADE", NULL };

static const struct field http2_keepalive_fields[] = {
	FIELD(struct connection_pool, "interval", http2_ping_interval_ms, decode_duration,
	      FIELD_REQUIRED),
	FIELD(struct connection_pool, "timeout", http2_ping_timeout_ms, decode_duration,
	      FIELD_REQUIRED),
	FIELDS_END
};

static const struct field http_fields[] = {
	FIELD(struct connection_pool, "http1MaxPendingRequests", http1_max_pending_requests,
	      decode_limit, FIELD_LATER),
	FIELD(struct connection_pool, "http2MaxRequests", http2_max_requests, decode_limit,
	      FIELD_LATER),
	FIELD(struct connection_pool, "maxRequestsPerConnection", max_requests_per_connection,
	      decode_limit, FIELD_OPTIONAL),
	FIELD(struct connection_pool, "maxRetries", max_retries, decode_limit, FIELD_OPTIONAL),
	FIELD(struct connection_pool, "idleTimeout", http_idle_timeout_ms, decode_duration,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct connection_pool, "h2UpgradePolicy", h2_upgrade, decode_enum,
		  FIELD_OPTIONAL, h2_upgrade_names),
	FIELD(struct connection_pool, "useClientProtocol", use_client_protocol, decode_bool,
	      FIELD_OPTIONAL),
	FIELD(struct connection_pool, "maxConcurrentStreams", max_concurrent_streams,
	      decode_limit, FIELD_OPTIONAL),
	{ "http2KeepAlive", decode_struct, 0, FIELD_LATER, http2_keepalive_fields },
	FIELDS_END
};

/* Both parts fill the same struct. */
static const struct field pool_fields[] = {
	{ "tcp",  decode_struct, 0, FIELD_OPTIONAL, tcp_fields },
	{ "http", decode_struct, 0, FIELD_OPTIONAL, http_fields },
	FIELDS_END
};

bool dr_decode_connection_pool(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct connection_pool *p = out;
	bool ok;

	(void)arg;
	*p = (struct connection_pool){
		.max_connections = UINT32_MAX,
		.http1_max_pending_requests = UINT32_MAX,
		.http2_max_requests = UINT32_MAX,
		.max_retries = UINT32_MAX,
		.max_concurrent_streams = INT32_MAX,
	};
	ok = decode_mapping(d, n, pool_fields, p);
	if (ok && !node_has(n, "tcp") && !node_has(n, "http"))
		ok = decode_error(d, n, "connection pool must have at least one of tcp and http");
	if (p->use_client_protocol && p->h2_upgrade == H2_UPGRADE)
		ok = decode_error(d, node_get(n, "http"),
				  "useClientProtocol must not be true when h2UpgradePolicy is "
				  "UPGRADE");
	return ok;
}

/* --- outlier detection --------------------------------------------------------------------- */

static bool decode_whole_percent(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	int32_t percent;

	(void)arg;
	if (!decode_i32(d, n, &percent, NULL))
		return false;
	if (percent < 0 || percent > 100)
		return decode_error(d, n, "percentage %d is not in range 0..100", percent);
	*(uint32_t *)out = (uint32_t)percent;
	return true;
}

static bool decode_http_code(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	uint32_t *code = out;

	if (!decode_u32(d, n, code, arg))
		return false;
	return (*code >= 100 && *code <= 599) ||
	       decode_error(d, n, "%u is no HTTP status, write 100 to 599", *code);
}

static const struct decode_list http_codes = { sizeof(uint32_t), decode_http_code, NULL, 500 };

static bool decode_consecutive_errors(struct decoder *d, const struct node *n, void *out,
				      const void *arg)
{
	int32_t errors;

	(void)out;
	if (!decode_i32(d, n, &errors, arg))
		return false;
	if (errors != 0)
		decode_warning(d, n,
			       "outlier detection consecutive errors is deprecated and without "
			       "effect, use "
			       "consecutiveGatewayErrors or consecutive5xxErrors instead");
	return true;
}

static const struct field outlier_fields[] = {
	FIELD(struct outlier_detection, "consecutive5xxErrors", consecutive_5xx, decode_u32,
	      FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "consecutiveGatewayErrors", consecutive_gateway,
	      decode_u32, FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "splitExternalLocalOriginErrors", split_local_origin,
	      decode_bool, FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "consecutiveLocalOriginFailures",
	      consecutive_local_origin, decode_u32, FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "interval", interval_ms, decode_duration, FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "baseEjectionTime", base_ejection_ms, decode_duration,
	      FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "maxEjectionPercent", max_ejection_percent,
	      decode_whole_percent, FIELD_OPTIONAL),
	FIELD(struct outlier_detection, "minHealthPercent", min_health_percent, decode_whole_percent,
	      FIELD_OPTIONAL),
	FIELD_ARG(struct outlier_detection, "outlierDetectionHttpErrorCodes", http_codes,
		  decode_list, FIELD_OPTIONAL, &http_codes),
	{ "consecutiveErrors", decode_consecutive_errors, 0, FIELD_OPTIONAL, NULL },
	FIELDS_END
};

bool dr_decode_outlier(struct decoder *d, const struct node *n, void *out, const void *arg)
{
	struct outlier_detection *o = out;
	bool ok;

	(void)arg;
	*o = (struct outlier_detection){
		.consecutive_5xx = OUTLIER_CONSECUTIVE,
		.consecutive_local_origin = OUTLIER_CONSECUTIVE,
		.interval_ms = OUTLIER_INTERVAL_MS,
		.base_ejection_ms = OUTLIER_EJECTION_MS,
	};
	ok = decode_mapping(d, n, outlier_fields, o);
	if (o->max_ejection_percent == 0)
		o->max_ejection_percent = OUTLIER_PERCENT;
	if (node_has(n, "consecutiveLocalOriginFailures") && o->consecutive_local_origin > 0 &&
	    !o->split_local_origin)
		ok = decode_error(d, node_get(n, "consecutiveLocalOriginFailures"),
				  "consecutive local origin failures "
				  "are specified, but splitExternalLocalOriginErrors is not true");
	return ok;
}
