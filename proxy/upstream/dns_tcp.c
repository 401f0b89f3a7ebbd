/* SPDX-License-Identifier: Apache-2.0
 *
 * dns_tcp.c - the C library's resolver on a thread, for answers too large for a datagram. */
#include "proxy/upstream/dns_tcp.h"

#include <arpa/nameser.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdlib.h>

#include "proxy/net/socket.h"
#include "sallyport/log.h"

#define ANSWER_BYTES	65535u
#define STACK_BYTES	(256u * 1024)

struct dns_tcp_job {
	struct event_base *base;		/* borrowed while it is not cancelled */
	char name[RESOLVER_NAME_MAX + 1];
	int family, timeout_ms;
	bool own_server;
	struct sockaddr_in server;
	dns_tcp_done *done;
	void *arg;
	bool cancelled;				/* guarded by `jobs_lock` */
	/* the thread's until it has finished */
	enum resolved outcome;
	struct sockaddr_storage *addresses;	/* owned */
	size_t count;
	unsigned ttl_s;
};

static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned jobs;

static void job_free(struct dns_tcp_job *j)
{
	free(j->addresses);
	free(j);
}

/* What is left of a message. */
struct reader {
	const unsigned char *at, *end;
};

static bool read16(struct reader *r, unsigned *out)
{
	if (r->end - r->at < 2)
		return false;
	*out = (unsigned)r->at[0] << 8 | r->at[1];
	r->at += 2;
	return true;
}

static bool skip_name(struct reader *r)
{
	int len = dn_skipname(r->at, r->end);

	if (len < 0)
		return false;
	r->at += len;
	return true;
}

/* A resource record behind its name. */
struct record {
	unsigned type, data_len;
	uint32_t ttl;
	const unsigned char *data;
};

static bool read_record(struct reader *r, struct record *out)
{
	unsigned class, high, low;

	if (!skip_name(r) || !read16(r, &out->type) || !read16(r, &class) || !read16(r, &high) ||
	    !read16(r, &low) || !read16(r, &out->data_len) || (size_t)(r->end - r->at) < out->data_len)
		return false;
	out->ttl = (uint32_t)high << 16 | low;
	if (out->ttl > INT32_MAX)	/* RFC 2181, 8: as if it were 0 */
		out->ttl = 0;
	out->data = r->at;
	r->at += out->data_len;
	return true;
}

static bool record_address(const struct record *rr, int family, struct sockaddr_storage *out)
{
	bool four = family == AF_INET;

	if (rr->type != (four ? (unsigned)ns_t_a : (unsigned)ns_t_aaaa) || rr->data_len != (four ? 4 : 16))
		return false;
	*out = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
	memcpy(four ? (void *)&((struct sockaddr_in *)out)->sin_addr :
		      (void *)&((struct sockaddr_in6 *)out)->sin6_addr, rr->data, rr->data_len);
	return true;
}

bool dns_answer_parse(const unsigned char *answer, size_t len, int family,
		      struct sockaddr_storage *out, size_t max, size_t *count, unsigned *ttl_s)
{
	struct reader r = { answer, answer + len };
	unsigned id, flags, questions, answers, other, fixed;
	uint32_t least = INT32_MAX;

	*count = 0;
	*ttl_s = 0;
	if (!read16(&r, &id) || !read16(&r, &flags) || !read16(&r, &questions) || !read16(&r, &answers) ||
	    !read16(&r, &other) || !read16(&r, &other))
		return false;
	for (unsigned i = 0; i < questions; i++)
		if (!skip_name(&r) || !read16(&r, &fixed) || !read16(&r, &fixed))
			return false;
	for (unsigned i = 0; i < answers; i++) {
		struct sockaddr_storage a;
		struct record rr;
		bool is_address;

		if (!read_record(&r, &rr))
			return false;
		is_address = record_address(&rr, family, &a);
		if ((is_address || rr.type == ns_t_cname) && rr.ttl < least)
			least = rr.ttl;
		if (is_address && *count < max && !address_is_among(&a, out, *count))
			out[(*count)++] = a;
	}
	*ttl_s = *count > 0 ? least : 0;
	return true;
}

static void take_answer(struct dns_tcp_job *j, const unsigned char *answer, int len)
{
	struct sockaddr_storage *found = calloc(RESOLVER_ADDRESSES_MAX, sizeof(*found));

	must(found != NULL);
	j->outcome = RESOLVED_FAILED;
	if (dns_answer_parse(answer, (size_t)len, j->family, found, RESOLVER_ADDRESSES_MAX, &j->count,
			     &j->ttl_s))
		j->outcome = j->count > 0 ? RESOLVED_OK : RESOLVED_NO_SUCH_NAME;
	j->addresses = found;
}

static void query(struct dns_tcp_job *j)
{
	unsigned char *answer = malloc(ANSWER_BYTES);
	struct __res_state state = { 0 };
	int len;

	must(answer != NULL);
	j->outcome = RESOLVED_FAILED;
	if (res_ninit(&state) != 0) {
		free(answer);
		return;
	}
	state.options |= RES_USEVC;
	state.retrans = (j->timeout_ms + 999) / 1000;
	if (j->own_server) {
		state.nsaddr_list[0] = j->server;
		state.nscount = 1;
		state.retry = 1;
	}
	len = res_nsearch(&state, j->name, ns_c_in, j->family == AF_INET ? ns_t_a : ns_t_aaaa, answer,
			  (int)ANSWER_BYTES);
	if (len > 0 && len <= (int)ANSWER_BYTES)
		take_answer(j, answer, len);
	else if (state.res_h_errno == HOST_NOT_FOUND || state.res_h_errno == NO_DATA)
		j->outcome = RESOLVED_NO_SUCH_NAME;
	res_nclose(&state);
	free(answer);
}

static void on_job_done(evutil_socket_t fd, short what, void *arg)
{
	struct dns_tcp_job *j = arg;

	(void)fd, (void)what;
	if (!j->cancelled)	/* written by this thread alone once the job has finished */
		j->done(j->arg, j->outcome, j->addresses, j->count, j->ttl_s);
	job_free(j);
}

static void *run_job(void *arg)
{
	static const struct timeval now = { 0 };
	struct dns_tcp_job *j = arg;
	bool cancelled;

	query(j);
	pthread_mutex_lock(&jobs_lock);
	jobs--;
	cancelled = j->cancelled;
	if (!cancelled && event_base_once(j->base, -1, EV_TIMEOUT, on_job_done, j, &now) != 0)
		fatal("event_base_once: out of memory");
	pthread_mutex_unlock(&jobs_lock);
	if (cancelled)
		job_free(j);
	return NULL;
}

static bool start(struct dns_tcp_job *j)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	bool ok;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ok = pthread_create(&thread, &attr, run_job, j) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ok;
}

static bool count_job(int by)
{
	bool room;

	pthread_mutex_lock(&jobs_lock);
	room = by < 0 || jobs < DNS_TCP_JOBS_MAX;
	if (room)
		jobs += (unsigned)by;
	pthread_mutex_unlock(&jobs_lock);
	return room;
}

struct dns_tcp_job *dns_tcp_ask(struct event_base *base, const char *name, int family,
				const struct sockaddr_in *server, int timeout_ms, dns_tcp_done *done,
				void *arg)
{
	struct dns_tcp_job *j;

	if (!count_job(1))
		return NULL;
	j = calloc(1, sizeof(*j));
	must(j != NULL);
	j->base = base;
	j->family = family;
	j->timeout_ms = timeout_ms;
	j->done = done;
	j->arg = arg;
	j->own_server = server != NULL;
	if (server != NULL)
		j->server = *server;
	strncpy(j->name, name, sizeof(j->name) - 1);
	if (start(j))
		return j;
	count_job(-1);
	free(j);
	return NULL;
}

void dns_tcp_cancel(struct dns_tcp_job **jp)
{
	struct dns_tcp_job *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	/* Whoever comes last frees it: the thread, or the event that it has left. */
	pthread_mutex_lock(&jobs_lock);
	j->cancelled = true;
	pthread_mutex_unlock(&jobs_lock);
}
