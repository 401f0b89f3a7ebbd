/* SPDX-License-Identifier: Apache-2.0
 *
 * workload_priv.h - the endpoint form, for the kinds that contain it. */
#ifndef SALLYPORT_RESOURCE_WORKLOAD_PRIV_H
#define SALLYPORT_RESOURCE_WORKLOAD_PRIV_H

#include "sallyport/resource/workload.h"

/* An endpoint needs an address, or at least a network. `n`: its mapping. */
bool workload_check_address(struct decoder *d, const struct node *n, const struct workload *w);

#endif
