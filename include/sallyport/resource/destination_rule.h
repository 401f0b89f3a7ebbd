/* SPDX-License-Identifier: Apache-2.0
 *
 * resource/destination_rule.h - a DestinationRule, decoded and checked, with defaults applied.
 *
 * Owner    everything lives in the decoder's arena and is immutable afterwards.
 * Absent   a block that was not written is NULL: inheritance works block by block (spec 6).
 * Units    _ms milliseconds; 0 where 0 means "not written" says so.
 * Spec     spec/destination-rule.md; section numbers below are its. */
#ifndef SALLYPORT_RESOURCE_DESTINATION_RULE_H
#define SALLYPORT_RESOURCE_DESTINATION_RULE_H

#include "sallyport/decode.h"
#include "sallyport/export_to.h"

#define CONNECT_TIMEOUT_MS		10000		/* mesh default */
#define POOL_IDLE_TIMEOUT_MS		3600000		/* 1h */
#define RING_SIZE_MIN_DEFAULT		1024u
#define RING_SIZE_MAX			8388608u
#define MAGLEV_TABLE_SIZE_DEFAULT	65537u
#define MAGLEV_TABLE_SIZE_LIMIT		5000011u	/* below */
#define PORT_LEVEL_SETTINGS_MAX		4096u
#define SELECTOR_LABELS_MAX		4096u

enum lb_simple {
	LB_UNSPECIFIED,		/* least request */
	LB_LEAST_REQUEST,
	LB_LEAST_CONN,		/* deprecated name of LEAST_REQUEST */
	LB_ROUND_ROBIN,
	LB_RANDOM,
	LB_PASSTHROUGH,
};

enum hash_key { HASH_NONE, HASH_HEADER, HASH_COOKIE, HASH_SOURCE_IP, HASH_QUERY_PARAMETER };
enum hash_algorithm { HASH_RING, HASH_MAGLEV };

struct cookie_attribute {
	struct slice name, value;
	struct where where;
};

struct consistent_hash {
	enum hash_key key;
	struct slice name;		/* of header (lower case), cookie or query parameter */
	struct slice cookie_path;
	bool cookie_ttl_set;		/* false: no cookie is made */
	int64_t cookie_ttl_ms;		/* 0: a session cookie */
	LIST(struct cookie_attribute) cookie_attributes;
	enum hash_algorithm algorithm;
	uint64_t table_size;		/* minimum ring size, or the size of the Maglev table */
};

struct locality_weight {
	struct slice locality;
	uint32_t weight;
	struct where where;
};

struct locality_distribute {
	struct slice from;
	LIST(struct locality_weight) to;
	struct where where;
};

struct locality_failover {
	struct slice from, to;
	struct where where;
};

/* Of localityLbSetting and zoneAwareLbSetting alike. */
struct locality_lb {
	bool enabled_set, enabled;
	LIST(struct locality_distribute) distribute;	/* localityLbSetting only */
	LIST(struct locality_failover) failover;
	LIST(struct located_slice) failover_priority;
	uint32_t min_cluster_size;	/* zoneAwareLbSetting only; default 6 */
};

struct warmup {
	int64_t duration_ms;
	double minimum_percent;		/* 10 */
	double aggression;		/* 1.0 */
};

struct load_balancer {
	enum lb_simple simple;			/* unused with consistent_hash */
	struct consistent_hash *consistent_hash;
	struct locality_lb *locality;
	struct locality_lb *zone_aware;
	struct warmup *warmup;			/* of warmup or warmupDurationSecs */
};

/* 0 where written or not means the default of 2.4; limits are then UINT32_MAX. */
struct connection_pool {
	uint32_t max_connections;		/* UINT32_MAX: unlimited */
	int64_t connect_timeout_ms;		/* 0: the mesh default, CONNECT_TIMEOUT_MS */
	bool tcp_keepalive;
	uint32_t keepalive_probes;		/* 0: of the system, as the next two */
	int64_t keepalive_time_ms, keepalive_interval_ms;
	int64_t max_connection_duration_ms;	/* 0: none */
	bool tcp_idle_timeout_set;
	int64_t tcp_idle_timeout_ms;		/* set and 0: never */
	uint32_t http1_max_pending_requests;	/* UINT32_MAX: unlimited */
	uint32_t http2_max_requests;		/* UINT32_MAX: unlimited */
	uint32_t max_requests_per_connection;	/* 0: unlimited; 1: no keep-alive */
	uint32_t max_retries;			/* UINT32_MAX: unlimited */
	int64_t http_idle_timeout_ms;		/* 0: that of tcp, else POOL_IDLE_TIMEOUT_MS */
	enum h2_upgrade { H2_UPGRADE_DEFAULT, H2_DO_NOT_UPGRADE, H2_UPGRADE } h2_upgrade;
	bool use_client_protocol;
	uint32_t max_concurrent_streams;	/* INT32_MAX: not limited by us */
	int64_t http2_ping_interval_ms, http2_ping_timeout_ms;	/* 0: no pings */
};

struct outlier_detection {
	uint32_t consecutive_5xx;		/* 5; 0: off */
	uint32_t consecutive_gateway;		/* 0: off */
	bool split_local_origin;
	uint32_t consecutive_local_origin;	/* 5; with split only */
	int64_t interval_ms, base_ejection_ms;	/* 10s, 30s */
	uint32_t max_ejection_percent;		/* 10 */
	uint32_t min_health_percent;		/* 0 */
	LIST(uint32_t) http_codes;		/* empty: any 5xx */
};

enum client_tls_mode {
	CLIENT_TLS_DISABLE,
	CLIENT_TLS_SIMPLE,
	CLIENT_TLS_MUTUAL,
	CLIENT_TLS_ISTIO_MUTUAL,
};

struct client_tls {
	enum client_tls_mode mode;
	struct slice client_certificate, private_key, ca_certificates, ca_crl;
	struct slice credential_name;
	LIST(struct located_slice) subject_alt_names;
	struct slice sni;
	bool insecure_skip_verify;
	struct where where;
};

struct tunnel {
	struct slice protocol;			/* CONNECT or POST */
	struct slice target_host;
	uint32_t target_port;
};

struct retry_budget {
	double percent;				/* 20 */
	uint32_t min_concurrency;		/* 3 */
	int64_t interval_ms;			/* 0: the present moment */
};

struct port_policy {
	uint32_t port;				/* service port */
	struct load_balancer *load_balancer;
	struct connection_pool *connection_pool;
	struct outlier_detection *outlier;
	struct client_tls *tls;
	struct where where;
};

struct traffic_policy {
	struct load_balancer *load_balancer;
	struct connection_pool *connection_pool;
	struct outlier_detection *outlier;
	struct client_tls *tls;
	LIST(struct port_policy) ports;		/* the first entry of a port wins */
	struct tunnel *tunnel;
	unsigned proxy_protocol;		/* 0: none; 1 or 2 */
	bool proxy_protocol_set;
	struct retry_budget *retry_budget;
	struct where where;
};

struct subset {
	struct slice name;
	LIST(struct string_entry) labels;	/* empty: every endpoint */
	struct traffic_policy *policy;		/* NULL: inherited */
	struct where where;
};

struct destination_rule {
	const struct meta *meta;
	struct where where;
	struct slice host;			/* lower case, as written; expand by 4.1 */
	struct traffic_policy *policy;
	LIST(struct subset) subsets;
	struct export_to export_to;
	bool has_selector;
	LIST(struct string_entry) selector;	/* workloadSelector.matchLabels */
};

/* Decodes and checks the spec; every problem goes to the decoder's collection. Never NULL: what
 * could not be decoded is absent; whoever serves it looks at problems->errors first. */
struct destination_rule *destination_rule_decode(struct decoder *d, const struct node *spec,
						 const struct meta *meta);

/* The policy for a service port and subset (6.1, 6.3); `subset` may be NULL. Blocks of *out are
 * borrowed from the rule, its `ports` is empty. */
void destination_rule_policy(const struct destination_rule *r, const struct subset *subset,
			     uint32_t port, struct traffic_policy *out);
const struct subset *destination_rule_subset(const struct destination_rule *r, struct slice name);

#endif
