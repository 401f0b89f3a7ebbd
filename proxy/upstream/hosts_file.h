/* SPDX-License-Identifier: Apache-2.0
 *
 * hosts_file.h - names that the host knows by itself: lines of an address and its names.
 *
 * Blocks   reads the file at each call: only names that are asked for again do, minutes apart. */
#ifndef SALLYPORT_PROXY_HOSTS_FILE_H
#define SALLYPORT_PROXY_HOSTS_FILE_H

#include <sys/socket.h>

#include "sallyport/slice.h"

#define HOSTS_ADDRESSES_MAX	16u	/* of one name */
#define HOSTS_LINE_MAX		4096u	/* longer lines are left out */

/* Fills in addresses of the family, each once, port 0; returns how many. A trailing dot and case do
 * not matter. 0: not there, or no such file. */
size_t hosts_file_find(const char *file, const char *name, int family, struct sockaddr_storage *out,
		       size_t max);

#endif
