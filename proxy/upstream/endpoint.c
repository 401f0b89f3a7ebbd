/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint.c - one address that requests go to, and its number in the tables of the workers. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/un.h>

#include "proxy/net/socket.h"
#include "proxy/upstream/state_priv.h"

/* Numbers that are given back are used again, so that tables stay as small as the number of
 * endpoints alive. Endpoints are made by the main thread, but the last reference may be dropped by
 * any worker: both are rare. */
static struct {
	pthread_mutex_t lock;
	uint32_t *free_slots;
	size_t free_count, free_room;
	uint32_t next;
} slots = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint32_t take_slot(void)
{
	uint32_t slot;

	pthread_mutex_lock(&slots.lock);
	slot = slots.free_count > 0 ? slots.free_slots[--slots.free_count] : slots.next++;
	pthread_mutex_unlock(&slots.lock);
	return slot;
}

static void give_slot(uint32_t slot)
{
	pthread_mutex_lock(&slots.lock);
	if (slots.free_count == slots.free_room) {
		slots.free_room = slots.free_room > 0 ? slots.free_room * 2 : 64;
		slots.free_slots = realloc(slots.free_slots, slots.free_room * sizeof(*slots.free_slots));
		must(slots.free_slots != NULL);
	}
	slots.free_slots[slots.free_count++] = slot;
	pthread_mutex_unlock(&slots.lock);
}

/* "ip:port", or the path; an abstract name is shown with the @ it is written with. */
static size_t text_of(const struct sockaddr_storage *address, socklen_t len, char *out, size_t bytes)
{
	const struct sockaddr_un *u = (const struct sockaddr_un *)address;
	size_t path;

	if (address->ss_family != AF_UNIX)
		return address_text((const struct sockaddr *)address, out);
	path = len - offsetof(struct sockaddr_un, sun_path) - 1;
	if (path >= bytes)
		path = bytes - 1;
	memcpy(out, u->sun_path, path);
	if (out[0] != '\0')
		return path;
	memcpy(out + 1, u->sun_path + 1, path);
	out[0] = '@';
	return path + 1;
}

struct endpoint *endpoint_create(const struct sockaddr_storage *address, socklen_t len)
{
	struct endpoint *e = calloc(1, sizeof(*e));
	char text[ADDRESS_TEXT_MAX];
	char *copy;
	size_t n;

	must(e != NULL);
	e->obj.kind = KIND_ENDPOINT;
	atomic_init(&e->obj.refs, 1);
	e->sockaddr = *address;
	e->sockaddr_len = len;
	n = text_of(address, len, text, sizeof(text));
	copy = malloc(n + 1);
	must(copy != NULL);
	memcpy(copy, text, n);
	copy[n] = '\0';
	e->text = slice_make(copy, n);
	e->slot = take_slot();
	return e;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
	object_must(e, KIND_ENDPOINT);
	atomic_fetch_add_explicit(&e->obj.refs, 1, memory_order_relaxed);
	return e;
}

void endpoint_unref(struct endpoint **ep)
{
	struct endpoint *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	object_must(e, KIND_ENDPOINT);
	if (atomic_fetch_sub_explicit(&e->obj.refs, 1, memory_order_acq_rel) > 1)
		return;
	give_slot(e->slot);
	free((char *)e->text.at);
	object_wipe(e);
	free(e);
}

int endpoint_compare(const struct endpoint *e, const struct sockaddr_storage *address, socklen_t len)
{
	if (e->sockaddr_len != len)
		return e->sockaddr_len < len ? -1 : 1;
	return memcmp(&e->sockaddr, address, len);
}
