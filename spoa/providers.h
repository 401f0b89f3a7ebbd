/* SPDX-License-Identifier: Apache-2.0
 *
 * providers.h - the providers of Proxy.spec.mesh.extensionProviders and where each one is: at the endpoints
 * of the ServiceEntry that has its host, else wherever DNS says.
 *
 * Owner    the set's arena. Thread: one, while rules are made. Blocks: never. */
#ifndef SALLYPORT_SPOA_PROVIDERS_H
#define SALLYPORT_SPOA_PROVIDERS_H

#include "sallyport/resource.h"
#include "spoa/extauthz.h"

/* As many as there are providers. */
const struct extauthz_target *providers_find(const struct resource_set *set, size_t *count);

#endif
