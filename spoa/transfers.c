/* SPDX-License-Identifier: Apache-2.0 */
#include "spoa/transfers.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

#include "sallyport/log.h"
#include "sallyport/object.h"

#define KIND_TRANSFERS	KIND('t', 'r', 'f', 's')

struct transfers {
	struct object obj;
	struct event_base *base;	/* borrowed */
	CURLM *multi;			/* owned */
	struct event *timer;		/* owned; libcurl's next deadline */
};

static void finish_done(struct transfers *ts)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(ts->multi, &left)) != NULL) {
		CURLcode code = message->data.result;
		struct transfer *t = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		transfer_stop(t);
		t->done(t->owner, code);
	}
}

static void on_socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *ts = arg;
	int running;

	curl_multi_socket_action(ts->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) |
				 (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	finish_done(ts);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct transfers *ts = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(ts->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finish_done(ts);
}

/* libcurl says what it waits for on a socket; the event hangs on the socket's private pointer. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct transfers *ts = arg;
	struct event *event = socket_arg;

	(void)easy;
	if (event != NULL)
		event_free(event);
	event = NULL;
	if (what != CURL_POLL_REMOVE) {
		event = event_new(ts->base, fd, (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
							(what & CURL_POLL_OUT ? EV_WRITE : 0)),
				  on_socket_ready, ts);
		if (event == NULL || event_add(event, NULL) != 0)
			fatal("out of memory for a transfer's event");
	}
	curl_multi_assign(ts->multi, fd, event);
	return 0;
}

static int on_curl_timer(CURLM *multi, long wait_ms, void *arg)
{
	struct transfers *ts = arg;
	struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };

	(void)multi;
	if (wait_ms < 0)
		evtimer_del(ts->timer);
	else
		evtimer_add(ts->timer, &wait);
	return 0;
}

static void init_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("libcurl cannot be initialised");
}

struct transfers *transfers_create(struct event_base *base, long connections_max)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct transfers *ts = calloc(1, sizeof(*ts));

	pthread_once(&once, init_curl);
	if (ts == NULL || (ts->multi = curl_multi_init()) == NULL ||
	    (ts->timer = evtimer_new(base, on_timer, ts)) == NULL)
		fatal("out of memory for transfers");
	ts->obj.kind = KIND_TRANSFERS;
	ts->base = base;
	curl_multi_setopt(ts->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(ts->multi, CURLMOPT_SOCKETDATA, ts);
	curl_multi_setopt(ts->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(ts->multi, CURLMOPT_TIMERDATA, ts);
	curl_multi_setopt(ts->multi, CURLMOPT_MAXCONNECTS, connections_max);
	return ts;
}

void transfers_free(struct transfers **tp)
{
	struct transfers *ts = *tp;

	*tp = NULL;
	if (ts == NULL)
		return;
	object_must(ts, KIND_TRANSFERS);
	curl_multi_cleanup(ts->multi);
	event_free(ts->timer);
	object_wipe(ts);
	free(ts);
}

CURL *transfers_easy(void)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		fatal("out of memory for a transfer");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);		/* no waiting for a resolver */
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	return easy;
}

struct slice transfer_header_line(const char *at, size_t len)
{
	while (len > 0 && (at[len - 1] == '\r' || at[len - 1] == '\n'))
		len--;
	return slice_make(at, len);
}

void transfer_start(struct transfers *ts, struct transfer *t)
{
	object_must(ts, KIND_TRANSFERS);
	must(t->transfers == NULL);
	t->transfers = ts;
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	must(curl_multi_add_handle(ts->multi, t->easy) == CURLM_OK);
}

void transfer_stop(struct transfer *t)
{
	if (t->transfers != NULL)
		curl_multi_remove_handle(t->transfers->multi, t->easy);
	t->transfers = NULL;
}
