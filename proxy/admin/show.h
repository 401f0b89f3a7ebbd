/* SPDX-License-Identifier: Apache-2.0
 *
 * show.h - the answers of the admin socket's `show` commands, as text for people or as JSON.
 *
 * Thread   main. Blocks never; counters of workers are read without locks. No answer holds a key,
 *          a token or an empty line. */
#ifndef SALLYPORT_PROXY_SHOW_H
#define SALLYPORT_PROXY_SHOW_H

#include "proxy/admin/proxy.h"
#include "sallyport/text.h"

void show_info(const struct proxy *p, struct text *out, bool json);
void show_listeners(const struct proxy *p, struct text *out, bool json);
void show_routes(const struct proxy *p, struct text *out, bool json);
void show_clusters(const struct proxy *p, struct text *out, bool json);
void show_retries(const struct proxy *p, struct text *out, bool json);
void show_secrets(const struct proxy *p, struct text *out, bool json);
void show_tls(const struct proxy *p, struct text *out, bool json);
void show_counters(const struct proxy *p, struct text *out, bool json);

#endif
