/* SPDX-License-Identifier: Apache-2.0
 *
 * resource.h - all documents of a configuration, decoded and checked one by one.
 *
 * Owner    the caller of resource_set_load() owns the set; resource_set_free() drops every struct,
 *          string and `struct where` file name in it at once.
 * Thread   immutable once loaded: any thread may read it.
 * Blocks   resource_set_load() reads files.
 * Order    each list is sorted by creation time, namespace and name, whatever file a document
 *          stands in (spec/README.md D12).
 * Spec     spec/gateway.md 1, spec/hardening.md 12 (T-109..T-113), spec/README.md D7, D8. */
#ifndef SALLYPORT_RESOURCE_H
#define SALLYPORT_RESOURCE_H

#include "sallyport/decode.h"

#define RESOURCE_FOLDER_DEPTH_MAX	16u
#define RESOURCE_FILES_MAX		100000u
#define RESOURCE_BYTES_MAX		(256u << 20)	/* of all files together */

struct authorization_policy;
struct config_map;
struct destination_rule;
struct endpoint_slice;
struct endpoints;
struct gateway;
struct proxy_settings;
struct request_authentication;
struct secret;
struct service;
struct service_entry;
struct virtual_service;
struct workload_entry;
struct workload_group;

struct resource_set {
	struct arena *arena;
	char rev[17];		/* XXH64 (seed 0) of all bytes read, in hex: the revision */
	size_t files, documents;
	struct proxy_settings *proxy;	/* never NULL: defaults where no Proxy document is */
	LIST(struct gateway *) gateways;
	LIST(struct virtual_service *) virtual_services;
	LIST(struct destination_rule *) destination_rules;
	LIST(struct service_entry *) service_entries;
	LIST(struct workload_entry *) workload_entries;
	LIST(struct workload_group *) workload_groups;
	LIST(struct service *) services;
	LIST(struct endpoints *) endpoints;
	LIST(struct endpoint_slice *) endpoint_slices;
	LIST(struct request_authentication *) request_authentications;
	LIST(struct authorization_policy *) authorization_policies;
	LIST(struct secret *) secrets;
	LIST(struct config_map *) config_maps;
	LIST(struct proxy_settings *) proxies;	/* as written: none or one */
};

/* Reads files, and folders with all *.yaml, *.yml and *.json below them in the order of their names;
 * hidden entries are left out. Every problem of every document is added to `ps`. Never NULL: whether
 * the set may be used is told by ps->errors, which must be 0. */
struct resource_set *resource_set_load(const char *const *paths, size_t count, struct problems *ps);
/* The same, and all bytes that were read go to the descriptor `copy` as well. From such a copy another
 * process of this version gets the same set with the same revision and the same places in files,
 * whatever became of the files. `copy` < 0: none. */
struct resource_set *resource_set_load_and_copy(const char *const *paths, size_t count, int copy,
						struct problems *ps);
/* From a copy, whole, wherever its offset stands. The descriptor stays the caller's. */
struct resource_set *resource_set_load_copy(int copy, struct problems *ps);
/* The same from memory; `file` is what problems name. For tests and tools. */
struct resource_set *resource_set_parse(const char *file, struct slice bytes, struct problems *ps);
/* Clears the caller's pointer; *sp may be NULL already. */
void resource_set_free(struct resource_set **sp);

#endif
