/* SPDX-License-Identifier: Apache-2.0
 *
 * destination_rule_priv.h - the parts of a DestinationRule; for common/resource alone. */
#ifndef SALLYPORT_DESTINATION_RULE_PRIV_H
#define SALLYPORT_DESTINATION_RULE_PRIV_H

#include "sallyport/resource/destination_rule.h"

/* traffic_policy.c: struct traffic_policy. */
bool dr_decode_traffic_policy(struct decoder *d, const struct node *n, void *out, const void *arg);

/* load_balancer.c: struct load_balancer. */
bool dr_decode_load_balancer(struct decoder *d, const struct node *n, void *out, const void *arg);
/* locality_lb.c: struct locality_lb; `arg` non-NULL: of zoneAwareLbSetting. */
bool dr_decode_locality_lb(struct decoder *d, const struct node *n, void *out, const void *arg);

/* connection_pool.c: struct connection_pool, struct outlier_detection. */
bool dr_decode_connection_pool(struct decoder *d, const struct node *n, void *out, const void *arg);
bool dr_decode_outlier(struct decoder *d, const struct node *n, void *out, const void *arg);

/* client_tls.c: struct client_tls. */
bool dr_decode_client_tls(struct decoder *d, const struct node *n, void *out, const void *arg);

#endif
