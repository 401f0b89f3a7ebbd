/* SPDX-License-Identifier: Apache-2.0
 *
 * resolver_test.c - names of clusters, answered by a name server of the test's own. */
#include <stdio.h>
#include <sys/stat.h>

#include "proxy/upstream/dns_tcp.h"
#include "proxy/upstream/hosts_file.h"
#include "upstream_rig.h"

/* A name server: one answer for every question, or silence. */
struct name_server {
	int fd, tcp_fd;
	struct event *event, *tcp_event;
	char address[32];
	unsigned rcode, ttl, questions;
	bool silent;
	bool truncates;			/* datagrams; the answer comes by TCP */
	unsigned tcp_questions;
	const char *ips[8];		/* ends with NULL */
	char asked[256];		/* the last name, in lower case */
	unsigned qtype;
};

static size_t put16(unsigned char *out, unsigned v)
{
	out[0] = (unsigned char)(v >> 8);
	out[1] = (unsigned char)v;
	return 2;
}

static size_t put_record(const struct name_server *s, const char *ip, unsigned char *out)
{
	size_t n = put16(out, 0xc00c), len = s->qtype == 28 ? 16 : 4;

	n += put16(out + n, s->qtype);
	n += put16(out + n, 1);
	n += put16(out + n, s->ttl >> 16);
	n += put16(out + n, s->ttl & 0xffff);
	n += put16(out + n, (unsigned)len);
	assert_int_equal(inet_pton(s->qtype == 28 ? AF_INET6 : AF_INET, ip, out + n), 1);
	return n + len;
}

/* Reads the question's name to `asked`; returns the offset behind the question. */
static size_t read_question(struct name_server *s, const unsigned char *in, size_t len)
{
	size_t at = 12, out = 0;

	while (at < len && in[at] != 0) {
		for (unsigned i = 1; i <= in[at]; i++)
			s->asked[out++] = ascii_lower((char)in[at + i]);
		s->asked[out++] = '.';
		at += in[at] + 1u;
	}
	s->asked[out > 0 ? out - 1 : 0] = '\0';
	s->qtype = (unsigned)in[at + 1] << 8 | in[at + 2];
	return at + 5;
}

static size_t make_answer(struct name_server *s, const unsigned char *in, size_t len, bool truncated,
			  unsigned char *out)
{
	size_t n = read_question(s, in, len);
	unsigned answers = 0;

	memcpy(out, in, n);
	put16(out + 2, 0x8180 | s->rcode | (truncated ? 0x0200 : 0));
	for (unsigned i = 0; !truncated && s->rcode == 0 && s->ips[i] != NULL; i++, answers++)
		n += put_record(s, s->ips[i], out + n);
	put16(out + 6, answers);
	put16(out + 8, 0);
	put16(out + 10, 0);
	return n;
}

static void on_question(evutil_socket_t fd, short what, void *arg)
{
	struct name_server *s = arg;
	unsigned char in[512], out[512];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t len = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	size_t n;

	(void)what;
	if (len < 17)
		return;
	s->questions++;
	n = make_answer(s, in, (size_t)len, s->truncates, out);
	if (!s->silent)
		assert_int_equal(sendto(fd, out, n, 0, (struct sockaddr *)&from, from_len), n);
}

/* One question on a connection; the client has written it whole. */
static void on_tcp_question(evutil_socket_t fd, short what, void *arg)
{
	struct name_server *s = arg;
	unsigned char in[512], out[514];
	int c = accept(fd, NULL, NULL);
	ssize_t len;
	size_t n;

	(void)what;
	if (c < 0)
		return;
	s->tcp_questions++;
	len = recv(c, in, 2, MSG_WAITALL);
	assert_int_equal(len, 2);
	len = recv(c, in, (size_t)in[0] << 8 | in[1], MSG_WAITALL);
	assert_true(len >= 17);
	n = make_answer(s, in, (size_t)len, false, out + 2);
	put16(out, (unsigned)n);
	if (!s->silent)
		assert_int_equal(write(c, out, n + 2), n + 2);
	close(c);
}

/* The same port for datagrams and connections. */
static void server_bind(struct name_server *s, struct sockaddr_in *in)
{
	for (int tries = 0; tries < 50; tries++) {
		socklen_t len = sizeof(*in);

		in->sin_port = 0;
		s->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_int_equal(bind(s->tcp_fd, (struct sockaddr *)in, sizeof(*in)), 0);
		assert_int_equal(getsockname(s->tcp_fd, (struct sockaddr *)in, &len), 0);
		s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (bind(s->fd, (struct sockaddr *)in, sizeof(*in)) == 0)
			return;
		close(s->fd);
		close(s->tcp_fd);
	}
	fail_msg("no port is free for both");
}

static void server_open(struct name_server *s, struct event_base *base)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	server_bind(s, &in);
	snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", ntohs(in.sin_port));
	s->event = event_new(base, s->fd, EV_READ | EV_PERSIST, on_question, s);
	event_add(s->event, NULL);
	assert_int_equal(listen(s->tcp_fd, 8), 0);
	s->tcp_event = event_new(base, s->tcp_fd, EV_READ | EV_PERSIST, on_tcp_question, s);
	event_add(s->tcp_event, NULL);
}

struct dns_rig {
	struct rig rig;
	struct name_server server;
	struct event_base *base;
	struct resolver_options options;
	char hosts[64];
};

/* The server's address must be known before the resolver is made: both hang on the rig's base. */
static void dns_init(struct dns_rig *d, const char *const *ips, unsigned ttl)
{
	memset(d, 0, sizeof(*d));
	evthread_use_pthreads();
	d->base = event_base_new();
	server_open(&d->server, d->base);
	for (unsigned i = 0; ips != NULL && ips[i] != NULL; i++)
		d->server.ips[i] = ips[i];
	d->server.ttl = ttl;
	strcpy(d->hosts, "/nonexistent");
	d->options = (struct resolver_options){ .nameserver = d->server.address, .timeout_ms = 150,
						.tries = 1, .hosts = d->hosts };
	rig_init(&d->rig, NULL, &d->options);
}

static void dns_turn(struct dns_rig *d)
{
	event_base_loop(d->base, EVLOOP_NONBLOCK);
	rig_settle(&d->rig);
	usleep(500);
}

static void dns_fini(struct dns_rig *d)
{
	rig_fini(&d->rig);
	event_free(d->server.event);
	event_free(d->server.tcp_event);
	close(d->server.fd);
	close(d->server.tcp_fd);
	event_base_free(d->base);
}

static void set_ips(struct dns_rig *d, const char *a, const char *b)
{
	d->server.ips[0] = a;
	d->server.ips[1] = a != NULL ? b : NULL;
	d->server.ips[2] = NULL;
}

/* Turns until the cluster has these endpoints; returns the milliseconds it took. */
static int64_t await_endpoints(struct dns_rig *d, const struct cluster *c, const char *wanted)
{
	int64_t start = clock_monotonic_ms();

	while (strcmp(rig_endpoints(&d->rig, c), wanted) != 0) {
		dns_turn(d);
		if (clock_monotonic_ms() - start > RIG_PATIENCE_MS)
			assert_string_equal(rig_endpoints(&d->rig, c), wanted);
	}
	return clock_monotonic_ms() - start;
}

static void await_questions(struct dns_rig *d, unsigned count)
{
	int64_t start = clock_monotonic_ms();

	while (d->server.questions < count) {
		dns_turn(d);
		assert_true(clock_monotonic_ms() - start < RIG_PATIENCE_MS);
	}
	/* The answer is on its way. */
	for (int i = 0; i < 20; i++)
		dns_turn(d);
}

static void turn_for(struct dns_rig *d, int64_t ms)
{
	int64_t start = clock_monotonic_ms();

	while (clock_monotonic_ms() - start < ms)
		dns_turn(d);
}

static struct cluster *named(struct dns_rig *d, const char *name, uint16_t port)
{
	struct cluster *c = rig_cluster(&d->rig, "outbound|80||named");

	c->resolution = RESOLVE_DNS;
	rig_endpoint(c, name, port);
	return c;
}

static void test_all_addresses_become_endpoints(void **state)
{
	const char *ips[] = { "10.0.0.2", "10.0.0.1", "10.0.0.2", NULL };
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 300);
	c = named(&d, "api.example.test", 8443);
	rig_endpoint(c, "10.9.9.9", 80)->weight = 3;
	rig_serve(&d.rig, c);
	assert_string_equal(rig_endpoints(&d.rig, c), "10.9.9.9:80");
	assert_false(cluster_registry_resolved(d.rig.registry));
	await_endpoints(&d, c, "10.0.0.1:8443 10.0.0.2:8443 10.9.9.9:80");
	assert_true(cluster_registry_resolved(d.rig.registry));
	assert_string_equal(d.server.asked, "api.example.test");
	assert_int_equal(d.server.qtype, 1);
	assert_int_equal(d.server.questions, 1);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_the_ttl_sets_the_pace(void **state)
{
	const char *ips[] = { "10.0.0.1", "10.0.0.2", NULL };
	struct cluster *c;
	struct endpoint *kept;
	uint64_t serial;
	struct dns_rig d;
	int64_t took;

	(void)state;
	dns_init(&d, ips, 1);
	c = named(&d, "a.test", 80);
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.1:80 10.0.0.2:80");
	serial = atomic_load(&c->state->set)->serial;
	kept = atomic_load(&c->state->set)->entries[1].endpoint;
	atomic_store(&kept->requests, 5);

	/* The same addresses in another order: nothing changes. */
	set_ips(&d, "10.0.0.2", "10.0.0.1");
	await_questions(&d, 2);
	assert_int_equal(atomic_load(&c->state->set)->serial, serial);

	/* Another set: only the difference does. */
	set_ips(&d, "10.0.0.3", "10.0.0.2");
	took = await_endpoints(&d, c, "10.0.0.2:80 10.0.0.3:80");
	assert_in_range(took, 800, 2500);
	assert_ptr_equal(atomic_load(&c->state->set)->entries[0].endpoint, kept);
	assert_int_equal(atomic_load(&kept->requests), 5);
	clusters_release(&c, 1);
	dns_fini(&d);
}

/* TTL 0 waits for the refresh rate; a rate below a second counts as one. */
static void test_ttl_zero_waits_for_the_refresh_rate(void **state)
{
	const char *ips[] = { "10.0.0.1", NULL };
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 0);
	c = named(&d, "a.test", 80);
	c->dns_refresh_ms = 1;
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.1:80");
	turn_for(&d, 500);
	assert_int_equal(d.server.questions, 1);
	await_questions(&d, 2);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void check_failure(unsigned rcode, bool silent, enum balance policy, bool logical, const char *left)
{
	const char *ips[] = { "10.0.0.1", NULL };
	struct cluster *c;
	struct dns_rig d;

	dns_init(&d, ips, 1);
	c = named(&d, "a.test", 80);
	c->balance = policy;
	c->resolution = logical ? RESOLVE_LOGICAL : RESOLVE_DNS;
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.1:80");
	d.server.rcode = rcode;
	d.server.silent = silent;
	await_questions(&d, 2);
	turn_for(&d, 300);		/* longer than a query's patience */
	assert_string_equal(rig_endpoints(&d.rig, c), left);
	clusters_release(&c, 1);
	dns_fini(&d);
}

/* Spec 13.4: what each failure leaves. */
static void test_failures(void **state)
{
	(void)state;
	check_failure(3, false, BALANCE_LEAST_REQUEST, false, "");		/* NXDOMAIN */
	check_failure(3, false, BALANCE_LEAST_REQUEST, true, "10.0.0.1:80");
	check_failure(2, false, BALANCE_LEAST_REQUEST, false, "10.0.0.1:80");	/* SERVFAIL */
	check_failure(5, false, BALANCE_LEAST_REQUEST, false, "10.0.0.1:80");	/* REFUSED */
	check_failure(0, true, BALANCE_LEAST_REQUEST, false, "10.0.0.1:80");	/* no answer */
	check_failure(0, true, BALANCE_LEAST_REQUEST, true, "10.0.0.1:80");
}

static void test_no_data_empties_the_group(void **state)
{
	const char *ips[] = { "10.0.0.1", NULL };
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 1);
	c = named(&d, "a.test", 80);
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.1:80");
	set_ips(&d, NULL, NULL);
	await_endpoints(&d, c, "");
	assert_null(cluster_pick(c, d.rig.worker, NULL, 0));
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_a_truncated_answer_is_asked_for_by_tcp(void **state)
{
	const char *ips[] = { "10.0.0.3", "10.0.0.1", "10.0.0.2", NULL };
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 1);
	d.server.truncates = true;
	c = named(&d, "large.test", 80);
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
	assert_int_equal(d.server.tcp_questions, 1);
	assert_string_equal(d.server.asked, "large.test");
	/* Its TTL counts as well, and so does what it says next. */
	set_ips(&d, "10.0.0.4", NULL);
	await_endpoints(&d, c, "10.0.0.4:80");
	d.server.rcode = 3;
	await_endpoints(&d, c, "");
	clusters_release(&c, 1);
	dns_fini(&d);
}

/* The proxy ends while the thread waits for its answer. */
static void test_the_end_while_asked_by_tcp(void **state)
{
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, NULL, 0);
	d.server.truncates = true;
	c = named(&d, "large.test", 80);
	rig_serve(&d.rig, c);
	await_questions(&d, 1);
	while (d.server.tcp_questions == 0)
		dns_turn(&d);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_answers_as_they_come(void **state)
{
	/* www.test CNAME a.test (TTL 5); a.test A 10.0.0.1 (TTL 60), twice */
	static const unsigned char answer[] =
		"\0\1\x81\x80\0\1\0\3\0\0\0\0" "\3www\4test\0\0\1\0\1"
		"\xc0\x0c\0\5\0\1\0\0\0\5\0\x04\1a\xc0\x10"
		"\xc0\x26\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1"
		"\xc0\x26\0\1\0\1\0\0\0\x3c\0\4\x0a\0\0\1";
	struct sockaddr_storage out[4];
	unsigned ttl;
	size_t count;

	(void)state;
	assert_true(dns_answer_parse(answer, sizeof(answer) - 1, AF_INET, out, 4, &count, &ttl));
	assert_int_equal(count, 1);
	assert_int_equal(ttl, 5);
	assert_int_equal(((struct sockaddr_in *)&out[0])->sin_addr.s_addr, htonl(0x0a000001));
	assert_true(dns_answer_parse(answer, sizeof(answer) - 1, AF_INET6, out, 4, &count, &ttl));
	assert_int_equal(count, 0);
	assert_int_equal(ttl, 0);
	/* Cut off anywhere it is refused, or has fewer records than it says. */
	for (size_t len = 0; len < sizeof(answer) - 1; len++)
		assert_false(dns_answer_parse(answer, len, AF_INET, out, 4, &count, &ttl));
}

/* The first failure ends the waiting for readiness as an answer does. */
static void test_a_first_failure_counts_as_an_answer(void **state)
{
	struct cluster *c;
	struct dns_rig d;
	int64_t start;

	(void)state;
	dns_init(&d, NULL, 0);
	d.server.silent = true;
	c = named(&d, "a.test", 80);
	rig_serve(&d.rig, c);
	start = clock_monotonic_ms();
	while (!cluster_registry_resolved(d.rig.registry)) {
		dns_turn(&d);
		assert_true(clock_monotonic_ms() - start < RIG_PATIENCE_MS);
	}
	assert_string_equal(rig_endpoints(&d.rig, c), "");
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_a_logical_host_takes_the_first_address(void **state)
{
	const char *ips[] = { "10.0.0.7", "10.0.0.1", NULL };
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 1);
	c = named(&d, "a.test", 80);
	c->resolution = RESOLVE_LOGICAL;
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.0.0.7:80");
	set_ips(&d, "10.0.0.1", "10.0.0.7");
	await_endpoints(&d, c, "10.0.0.1:80");
	clusters_release(&c, 1);
	dns_fini(&d);
}

/* One query for a name, however many clusters (ports, subsets) and reloads there are. */
static void test_clusters_share_a_name(void **state)
{
	const char *ips[] = { "10.0.0.1", NULL };
	struct cluster *all[2], *again[2];
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 300);
	for (int i = 0; i < 2; i++) {
		all[i] = rig_cluster(&d.rig, i == 0 ? "one" : "two");
		all[i]->resolution = RESOLVE_DNS;
		rig_endpoint(all[i], "a.test", (uint16_t)(80 + i));
	}
	cluster_registry_prepare(d.rig.registry, all, 2);
	cluster_registry_activate(d.rig.registry, all, 2);
	await_endpoints(&d, all[0], "10.0.0.1:80");
	await_endpoints(&d, all[1], "10.0.0.1:81");
	for (int i = 0; i < 2; i++) {
		again[i] = rig_cluster(&d.rig, i == 0 ? "two" : "three");
		again[i]->resolution = RESOLVE_DNS;
		rig_endpoint(again[i], "a.test", 90);
	}
	cluster_registry_prepare(d.rig.registry, again, 2);
	cluster_registry_activate(d.rig.registry, again, 2);
	assert_string_equal(rig_endpoints(&d.rig, again[0]), "10.0.0.1:90");
	assert_string_equal(rig_endpoints(&d.rig, again[1]), "10.0.0.1:90");
	assert_true(cluster_registry_resolved(d.rig.registry));
	turn_for(&d, 50);
	assert_int_equal(d.server.questions, 1);
	clusters_release(all, 2);
	clusters_release(again, 2);
	dns_fini(&d);
}

/* A reload in the middle of a query: its answer finds nobody, or the new watcher. */
static void test_names_given_up_while_asked(void **state)
{
	const char *ips[] = { "10.0.0.1", NULL };
	struct cluster *old, *new;
	struct dns_rig d;

	(void)state;
	dns_init(&d, ips, 300);
	old = named(&d, "a.test", 80);
	rig_serve(&d.rig, old);
	rig_settle(&d.rig);		/* asked, not answered */
	new = named(&d, "b.test", 80);
	rig_serve(&d.rig, new);
	clusters_release(&old, 1);
	await_endpoints(&d, new, "10.0.0.1:80");
	assert_string_equal(d.server.asked, "b.test");
	clusters_release(&new, 1);
	dns_fini(&d);
}

static void test_the_end_while_asked(void **state)
{
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, NULL, 0);
	d.server.silent = true;
	c = named(&d, "a.test", 80);
	rig_serve(&d.rig, c);
	rig_settle(&d.rig);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_ipv6_only(void **state)
{
	struct resolver_options o;
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, NULL, 300);
	set_ips(&d, "2001:db8::2", "2001:db8::1");
	cluster_registry_free(&d.rig.registry);
	o = d.options;
	o.ipv6 = true;
	d.rig.registry = cluster_registry_create_with(d.rig.main, &d.rig.worker, 1, NULL, &o);
	c = named(&d, "a.test", 80);
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "[2001:db8::1]:80 [2001:db8::2]:80");
	assert_int_equal(d.server.qtype, 28);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void write_hosts(struct dns_rig *d, const char *text)
{
	int fd;

	strcpy(d->hosts, "/tmp/hosts_XXXXXX");
	fd = mkstemp(d->hosts);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_the_hosts_file_comes_first(void **state)
{
	struct cluster *c;
	struct dns_rig d;

	(void)state;
	dns_init(&d, NULL, 0);
	d.server.rcode = 3;
	write_hosts(&d, "127.0.0.1 localhost\n10.1.1.1\tdb.test  db # 10.1.1.9 db.test\n"
			"10.1.1.2 other DB.test.\n::1 db.test\n# 10.1.1.3 db.test\n");
	c = named(&d, "db.test", 5432);
	rig_serve(&d.rig, c);
	await_endpoints(&d, c, "10.1.1.1:5432 10.1.1.2:5432");
	assert_int_equal(d.server.questions, 0);
	unlink(d.hosts);
	clusters_release(&c, 1);
	dns_fini(&d);
}

static void test_hosts_file_lines(void **state)
{
	struct sockaddr_storage out[HOSTS_ADDRESSES_MAX];
	struct dns_rig d;
	char text[HOSTS_LINE_MAX * 2 + 64], *at = text;

	(void)state;
	/* A line too long is left out whole, its tail too; the last line needs no newline. */
	at += sprintf(at, "10.0.0.1 ");
	memset(at, 'x', HOSTS_LINE_MAX);
	at += HOSTS_LINE_MAX;
	at += sprintf(at, " long.test\nbad line.test\n10.0.0.2\n\n10.0.0.3 last.test");
	write_hosts(&d, text);
	assert_int_equal(hosts_file_find(d.hosts, "long.test", AF_INET, out, HOSTS_ADDRESSES_MAX), 0);
	assert_int_equal(hosts_file_find(d.hosts, "line.test", AF_INET, out, HOSTS_ADDRESSES_MAX), 0);
	assert_int_equal(hosts_file_find(d.hosts, "10.0.0.2", AF_INET, out, HOSTS_ADDRESSES_MAX), 0);
	assert_int_equal(hosts_file_find(d.hosts, "last.test", AF_INET, out, HOSTS_ADDRESSES_MAX), 1);
	assert_int_equal(hosts_file_find(d.hosts, "last.test", AF_INET6, out, HOSTS_ADDRESSES_MAX), 0);
	assert_int_equal(hosts_file_find("/nonexistent", "last.test", AF_INET, out, 1), 0);
	unlink(d.hosts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_addresses_become_endpoints),
		cmocka_unit_test(test_the_ttl_sets_the_pace),
		cmocka_unit_test(test_ttl_zero_waits_for_the_refresh_rate),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_no_data_empties_the_group),
		cmocka_unit_test(test_a_truncated_answer_is_asked_for_by_tcp),
		cmocka_unit_test(test_the_end_while_asked_by_tcp),
		cmocka_unit_test(test_answers_as_they_come),
		cmocka_unit_test(test_a_first_failure_counts_as_an_answer),
		cmocka_unit_test(test_a_logical_host_takes_the_first_address),
		cmocka_unit_test(test_clusters_share_a_name),
		cmocka_unit_test(test_names_given_up_while_asked),
		cmocka_unit_test(test_the_end_while_asked),
		cmocka_unit_test(test_ipv6_only),
		cmocka_unit_test(test_the_hosts_file_comes_first),
		cmocka_unit_test(test_hosts_file_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
