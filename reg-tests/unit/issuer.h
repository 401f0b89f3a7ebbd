/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer.h - an issuer for tests: an HTTP server on 127.0.0.1 in a thread of its own that answers
 * as the test told it last, and counts. */
#ifndef SALLYPORT_UNIT_ISSUER_H
#define SALLYPORT_UNIT_ISSUER_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include "sallyport/clock.h"
#include "sallyport/log.h"

struct issuer {
	struct event_base *base;
	struct evhttp *http;
	struct event *stop;
	pthread_t thread;
	pthread_mutex_t lock;
	int port;
	/* Under the lock: what the next request gets. */
	int status;			/* 0: never an answer */
	size_t padding;			/* bytes of blanks behind the body */
	char *body, *location;
	const char *cache_control;	/* NULL: none */
	atomic_uint hits;
	char last_path[256];
};

/* /hop/N redirects to /hop/N-1; /hop/0 and all else get what is set. */
static void issuer_answer(struct evhttp_request *r, void *arg)
{
	struct issuer *i = arg;
	struct evbuffer *out = evbuffer_new();
	unsigned hops = 0;
	char location[64];

	pthread_mutex_lock(&i->lock);
	snprintf(i->last_path, sizeof(i->last_path), "%s", evhttp_request_get_uri(r));
	if (sscanf(i->last_path, "/hop/%u", &hops) == 1 && hops > 0) {
		snprintf(location, sizeof(location), "/hop/%u", hops - 1);
		evhttp_add_header(evhttp_request_get_output_headers(r), "Location", location);
		evhttp_send_reply(r, 302, NULL, NULL);
	} else if (i->status != 0) {
		if (i->location != NULL)
			evhttp_add_header(evhttp_request_get_output_headers(r), "Location", i->location);
		if (i->cache_control != NULL)
			evhttp_add_header(evhttp_request_get_output_headers(r), "Cache-Control", i->cache_control);
		evbuffer_add(out, i->body, strlen(i->body));
		for (size_t n = 0; n < i->padding; n += 1024) {
			static const char blanks[1024] = { [0 ... 1023] = ' ' };

			evbuffer_add(out, blanks, sizeof(blanks));
		}
		evhttp_send_reply(r, i->status, NULL, out);
	}
	pthread_mutex_unlock(&i->lock);
	atomic_fetch_add(&i->hits, 1);
	evbuffer_free(out);
}

static void issuer_on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static void *issuer_run(void *arg)
{
	struct issuer *i = arg;

	event_base_dispatch(i->base);
	return NULL;
}

static inline void issuer_set(struct issuer *i, int status, const char *body)
{
	pthread_mutex_lock(&i->lock);
	i->status = status;
	i->padding = 0;
	free(i->body);
	i->body = strdup(body);
	free(i->location);
	i->location = NULL;
	pthread_mutex_unlock(&i->lock);
}

static inline void issuer_redirect(struct issuer *i, const char *location)
{
	issuer_set(i, 302, "");
	pthread_mutex_lock(&i->lock);
	i->location = strdup(location);
	pthread_mutex_unlock(&i->lock);
}

static inline void issuer_cache(struct issuer *i, const char *cache_control)
{
	pthread_mutex_lock(&i->lock);
	i->cache_control = cache_control;
	pthread_mutex_unlock(&i->lock);
}

static inline void issuer_pad(struct issuer *i, size_t padding)
{
	pthread_mutex_lock(&i->lock);
	i->padding = padding;
	pthread_mutex_unlock(&i->lock);
}

static inline struct issuer *issuer_start(const char *body)
{
	struct issuer *i = calloc(1, sizeof(*i));
	struct evhttp_bound_socket *bound;
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	evthread_use_pthreads();
	pthread_mutex_init(&i->lock, NULL);
	i->base = event_base_new();
	i->http = evhttp_new(i->base);
	bound = evhttp_bind_socket_with_handle(i->http, "127.0.0.1", 0);
	must(bound != NULL);
	must(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len) == 0);
	i->port = ntohs(address.sin_port);
	evhttp_set_gencb(i->http, issuer_answer, i);
	i->stop = event_new(i->base, -1, EV_READ | EV_PERSIST, issuer_on_stop, i->base);
	event_add(i->stop, NULL);
	issuer_set(i, 200, body);
	must(pthread_create(&i->thread, NULL, issuer_run, i) == 0);
	return i;
}

static inline void issuer_stop(struct issuer *i)
{
	event_active(i->stop, EV_READ, 0);
	pthread_join(i->thread, NULL);
	event_free(i->stop);
	evhttp_free(i->http);
	event_base_free(i->base);
	free(i->body);
	free(i->location);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

/* Waits for something to become true in another thread; a test fails when it does not. */
#define EVENTUALLY(condition) \
	do { \
		int64_t until = clock_monotonic_ms() + 10000; \
		while (!(condition) && clock_monotonic_ms() < until) \
			usleep(1000); \
		assert_true(condition); \
	} while (0)

#endif
