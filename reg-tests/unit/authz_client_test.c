/* SPDX-License-Identifier: Apache-2.0
 * The proxy's SPOP client against a scripted agent on the same event loop: spec/spop.md 16. */
#include "scripted_agent.h"

struct fixture {
	struct event_base *base;
	struct script agent;
	struct authz_client *client;
};

/* With the agent's peers[0] connected, unless `capabilities` is NULL. */
static struct fixture *fixture_open(const char *capabilities, const struct authz_client_config *like)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct authz_client_config config = like != NULL ? *like : (struct authz_client_config){ 0 };
	const char *address;

	f->base = event_base_new();
	script_init(&f->agent, f->base, "");
	f->agent.capabilities = capabilities;
	address = f->agent.address;
	config.addresses = &address;
	config.address_count = 1;
	f->client = f->agent.client = authz_client_create(f->base, &config);
	assert_non_null(f->client);
	turn_until(f->base, f->agent.accepted == 1);
	turn_for(f->base, 5);
	return f;
}

static unsigned long counted(struct fixture *f, size_t offset)
{
	const char *counters = (const char *)authz_client_counters(f->client);

	return atomic_load((const atomic_ulong *)(counters + offset));
}
#define COUNTED(f, member)	counted((f), offsetof(struct authz_counters, member))

static void fixture_close(struct fixture *f)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		peer_close(&f->agent.peers[i]);
	authz_client_free(&f->client);
	assert_null(f->client);
	script_fini(&f->agent);
	event_base_free(f->base);
	free(f);
}

static void questions_of_one_turn_go_out_in_one_write_and_answers_match_in_any_order(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a[20] = { 0 };
	unsigned reads = f->agent.peers[0].reads;
	unsigned long writes = COUNTED(f, writes);
	char path[20][8];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(path[i], sizeof(path[i]), "/%d", i);
		ask_path(&f->agent, &a[i], 1000, path[i]);
	}
	turn_until(f->base, f->agent.noted == 20);
	assert_int_equal(f->agent.peers[0].reads, reads + 1);
	assert_int_equal(COUNTED(f, writes), writes + 1);
	assert_int_equal(COUNTED(f, in_flight), 20);
	assert_int_equal(f->agent.notes[0].stream_id, 1);
	assert_int_equal(f->agent.notes[0].frame_id, 1);
	assert_in_range(f->agent.notes[0].deadline_ms, 900, 1000);
	for (int i = 19; i >= 0; i--)
		answer(&f->agent.notes[i], i % 2 == 0 ? ALLOW : DENY);
	turn_until(f->base, a[0].answers == 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(a[i].answers, 1);
		assert_string_equal(a[i].principal, path[i]);
		assert_int_equal(a[i].outcome, i % 2 == 0 ? AUTHZ_ALLOWED : AUTHZ_DENIED);
		assert_int_equal(a[i].status, i % 2 == 0 ? 200 : 401);
	}
	assert_string_equal(a[1].body, "Jwt is missing");
	assert_int_equal(COUNTED(f, allowed), 10);
	assert_int_equal(COUNTED(f, denied), 10);
	assert_int_equal(COUNTED(f, in_flight), 0);
	fixture_close(f);
}

static void answers_that_are_not_whole_fail_the_request(void **state)
{
	static const struct { enum answer how; enum authz_cause cause; } rows[] = {
		{ CUT, AUTHZ_CAUSE_MALFORMED }, { NO_ALLOW, AUTHZ_CAUSE_MALFORMED },
		{ SMUGGLE, AUTHZ_CAUSE_MALFORMED }, { AGENT_ERROR, AUTHZ_CAUSE_AGENT_ERROR },
	};
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		a = (struct asked){ 0 };
		ask(&f->agent, &a, 1000);
		turn_until(f->base, f->agent.noted == i + 1);
		answer(&f->agent.notes[i], rows[i].how);
		turn_until(f->base, a.answers == 1);
		assert_int_equal(a.outcome, AUTHZ_FAILED);
		assert_int_equal(a.cause, rows[i].cause);
		assert_int_equal(a.status, 503);
		assert_string_equal(a.body, "authorization service unavailable");
	}
	assert_int_equal(f->agent.accepted, 1);		/* the connection lives on */
	fixture_close(f);
}

static void a_deadline_fails_the_request_and_its_late_answer_finds_nobody(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 }, b = { 0 };
	int64_t begun = clock_monotonic_ms();

	(void)state;
	ask(&f->agent, &a, 50);
	turn_until(f->base, a.answers == 1);
	assert_in_range(clock_monotonic_ms() - begun, 50, 200);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	assert_int_equal(a.cause, AUTHZ_CAUSE_TIMEOUT);
	ask(&f->agent, &b, 1000);
	turn_until(f->base, f->agent.noted == 2);
	answer(&f->agent.notes[0], ALLOW);		/* of the first question */
	turn_for(f->base, 20);
	assert_int_equal(b.answers, 0);
	assert_int_equal(a.answers, 1);
	assert_int_equal(COUNTED(f, late), 1);
	answer(&f->agent.notes[1], DENY);
	turn_until(f->base, b.answers == 1);
	assert_int_equal(b.outcome, AUTHZ_DENIED);
	fixture_close(f);
}

static void a_second_answer_and_unknown_ids_are_ignored(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 }, b = { 0 };
	struct note wrong;

	(void)state;
	ask(&f->agent, &a, 1000);
	ask(&f->agent, &b, 1000);
	turn_until(f->base, f->agent.noted == 2);
	wrong = f->agent.notes[0];
	wrong.stream_id = 99;
	answer(&wrong, ALLOW);
	wrong = f->agent.notes[0];
	wrong.frame_id = 2;
	answer(&wrong, ALLOW);
	wrong = f->agent.notes[0];
	wrong.stream_id += 512 * 7;			/* the same place in the table */
	answer(&wrong, ALLOW);
	wrong.stream_id = 0;
	answer(&wrong, ALLOW);
	turn_for(f->base, 20);
	assert_int_equal(a.answers + b.answers, 0);
	assert_int_equal(COUNTED(f, unknown), 4);
	answer(&f->agent.notes[0], DENY);
	answer(&f->agent.notes[0], ALLOW);
	turn_for(f->base, 20);
	assert_int_equal(a.answers, 1);
	assert_int_equal(a.outcome, AUTHZ_DENIED);
	assert_int_equal(b.answers, 0);
	assert_int_equal(COUNTED(f, late), 1);
	answer(&f->agent.notes[1], ALLOW);
	turn_until(f->base, b.answers == 1);
	fixture_close(f);
}

static void cancelled_checks_are_never_answered(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	ask(&f->agent, &a, 1000);
	authz_check_cancel(&a.check);			/* before it was sent */
	assert_null(a.check);
	ask(&f->agent, &b, 1000);
	ask(&f->agent, &c, 1000);
	c.cancels = &b;					/* from within an answer */
	turn_until(f->base, f->agent.noted == 2);
	answer(&f->agent.notes[1], ALLOW);
	answer(&f->agent.notes[0], ALLOW);
	turn_for(f->base, 20);
	assert_int_equal(a.answers + b.answers, 0);
	assert_int_equal(c.answers, 1);
	assert_int_equal(COUNTED(f, cancelled), 2);
	fixture_close(f);
}

static void an_agent_that_dies_is_asked_again_once(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 };

	(void)state;
	ask(&f->agent, &a, 1500);
	turn_until(f->base, f->agent.noted == 1);
	assert_int_equal(COUNTED(f, connections_ready), 1);
	peer_close(&f->agent.peers[0]);
	turn_until(f->base, COUNTED(f, connections_ready) == 0);
	turn_until(f->base, f->agent.noted == 2);	/* on a new connection */
	assert_int_equal(COUNTED(f, connections_ready), 1);
	assert_int_equal(COUNTED(f, retried), 1);
	assert_int_equal(COUNTED(f, reconnects), 1);
	assert_int_equal(a.answers, 0);
	answer(&f->agent.notes[1], ALLOW);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);

	ask(&f->agent, &a, 1500);
	turn_until(f->base, f->agent.noted == 3);
	peer_close(f->agent.notes[2].peer);
	turn_until(f->base, f->agent.noted == 4);
	peer_close(f->agent.notes[3].peer);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	assert_int_equal(a.cause, AUTHZ_CAUSE_LOST);
	fixture_close(f);
}

static void an_agent_that_is_gone_fails_waiting_requests_and_is_found_again(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 };
	int64_t begun;

	(void)state;
	script_unlisten(&f->agent);
	peer_close(&f->agent.peers[0]);
	ask(&f->agent, &a, 100);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	turn_for(f->base, 1700);			/* beyond hope, and far into the back-off */
	begun = clock_monotonic_ms();
	ask(&f->agent, &a, 1000);
	turn_until(f->base, a.answers == 1);
	assert_true(clock_monotonic_ms() - begun < 200);
	assert_int_equal(a.cause, AUTHZ_CAUSE_UNREACHABLE);
	script_listen(&f->agent);
	begun = clock_monotonic_ms();
	do {					/* demand does not wait for the back-off */
		ask(&f->agent, &a, 1000);
		turn_until(f->base, a.answers == 1 || f->agent.noted == 1);
		turn_for(f->base, 10);
	} while (f->agent.noted == 0);
	assert_true(clock_monotonic_ms() - begun < 500);
	answer(&f->agent.notes[0], ALLOW);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);
	fixture_close(f);
}

static void without_pipelining_one_question_is_open_at_a_time(void **state)
{
	struct fixture *f = fixture_open("", NULL);
	struct asked a[3] = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		ask(&f->agent, &a[i], 1500);
	turn_for(f->base, 20);
	assert_int_equal(f->agent.noted, 1);
	assert_int_equal(COUNTED(f, waiting), 2);
	for (unsigned i = 0; i < 3; i++) {
		answer(&f->agent.notes[i], ALLOW);
		turn_until(f->base, a[i].answers == 1);
		turn_until(f->base, f->agent.noted == (i < 2 ? i + 2 : 3));
	}
	fixture_close(f);
}

static void open_questions_and_waiting_ones_are_bounded(void **state)
{
	struct authz_client_config limits = { .in_flight_max = 2, .waiting_max = 3 };
	struct fixture *f = fixture_open("pipelining", &limits);
	struct asked a[6] = { 0 };

	(void)state;
	ask(&f->agent, &a[0], 1500);
	ask(&f->agent, &a[1], 1500);
	turn_until(f->base, f->agent.noted == 2);
	for (int i = 2; i < 6; i++)
		ask(&f->agent, &a[i], 1500);
	turn_for(f->base, 20);
	assert_int_equal(f->agent.noted, 2);
	assert_int_equal(a[5].answers, 1);
	assert_int_equal(a[5].cause, AUTHZ_CAUSE_OVERLOAD);
	assert_int_equal(a[2].answers + a[3].answers + a[4].answers, 0);
	authz_check_cancel(&a[0].check);		/* makes room */
	turn_until(f->base, f->agent.noted == 3);
	for (int i = 0; i < 6; i++)
		authz_check_cancel(&a[i].check);
	fixture_close(f);
}

static void a_question_larger_than_the_frame_is_not_sent(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	static char path[20000];
	struct asked a = { 0 };

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	ask_path(&f->agent, &a, 1000, path);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	assert_int_equal(a.cause, AUTHZ_CAUSE_TOO_LARGE);
	assert_int_equal(a.status, 431);
	path[9000] = '\0';				/* larger than the first buffer, and fits */
	ask_path(&f->agent, &a, 1000, path);
	turn_until(f->base, f->agent.noted == 1);
	fixture_close(f);
	assert_int_equal(a.answers, 1);			/* told when the client went away */
	assert_int_equal(a.cause, AUTHZ_CAUSE_STOPPED);
}

static void refusable_hellos_are_refused_with_their_code(void **state)
{
	static const struct { const char *version; uint32_t size; uint64_t stream; int status; } rows[] = {
		{ "1.0", 16380, 0, SPOP_BAD_VERSION }, { "2.0", 16381, 0, SPOP_BAD_FRAME_SIZE },
		{ "2.0", 255, 0, SPOP_BAD_FRAME_SIZE }, { "2.0", 16380, 1, SPOP_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct fixture *f = fixture_open(NULL, NULL);
		struct asked a = { 0 };

		f->agent.capabilities = "pipelining";
		f->agent.version = rows[i].version;
		f->agent.frame_size = rows[i].size;
		f->agent.hello_stream = rows[i].stream;
		peer_close(&f->agent.peers[0]);		/* the next HELLO is answered */
		ask(&f->agent, &a, 400);
		turn_until(f->base, f->agent.got_disconnect);
		assert_int_equal(f->agent.disconnect, rows[i].status);
		turn_until(f->base, a.answers == 1);
		assert_int_equal(a.outcome, AUTHZ_FAILED);
		assert_int_equal(f->agent.noted, 0);
		assert_true(f->agent.accepted <= 8);	/* it backs off */
		fixture_close(f);
	}
}

static void garbage_ends_the_connection_and_no_request_passes(void **state)
{
	static const char garbage[] = "HTTP/1.1 200 OK\r\n\r\n";
	struct fixture *f = fixture_open("pipelining", NULL);
	struct asked a = { 0 };

	(void)state;
	ask(&f->agent, &a, 300);
	turn_until(f->base, f->agent.noted == 1);
	peer_write(f->agent.notes[0].peer, garbage, sizeof(garbage) - 1);
	turn_until(f->base, f->agent.got_disconnect);
	assert_int_equal(f->agent.disconnect, SPOP_TOO_BIG);
	turn_until(f->base, f->agent.noted == 2);
	answer(&f->agent.notes[1], NO_FIN);
	turn_until(f->base, f->agent.disconnect == SPOP_NO_FRAGMENTATION);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	assert_int_equal(a.cause, AUTHZ_CAUSE_LOST);
	fixture_close(f);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
	struct fixture *f = fixture_open("pipelining", NULL);
	unsigned char bytes[1024];
	struct asked a = { 0 };
	size_t n;

	(void)state;
	ask(&f->agent, &a, 1500);
	turn_until(f->base, f->agent.noted == 1);
	n = put_answer(bytes, &f->agent.notes[0], ALLOW);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(a.answers, 0);
		peer_write(f->agent.notes[0].peer, bytes + i, 1);
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		event_base_loop(f->base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(a.answers, 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);
	fixture_close(f);
}

static void a_disconnect_moves_questions_elsewhere_at_once(void **state)
{
	struct event_base *base = event_base_new();
	struct script *s = calloc(2, sizeof(*s));
	struct authz_client_config config;
	struct authz_client *client;
	struct asked a[4] = { 0 };
	const char *addresses[2];
	unsigned char bytes[256];
	struct spop_writer w = spop_writer_of(bytes, sizeof(bytes));

	(void)state;
	for (int i = 0; i < 2; i++) {
		script_init(&s[i], base, i == 0 ? "a" : "b");
		addresses[i] = s[i].address;
	}
	config = config_for(addresses, 2);
	s[0].client = s[1].client = client = authz_client_create(base, &config);
	turn_until(base, s[0].accepted == 1 && s[1].accepted == 1);
	turn_for(base, 5);
	for (int i = 0; i < 4; i++)
		ask(&s[0], &a[i], 1500);
	turn_until(base, s[0].noted == 2 && s[1].noted == 2);	/* in turn */
	spop_write_disconnect(&w, SPOP_AGENT_DISCONNECT, SPOP_RESOURCES, NULL);
	peer_write(s[0].notes[0].peer, bytes, spop_writer_used(&w));
	turn_until(base, s[1].noted == 4);
	for (int i = 0; i < 4; i++)
		answer(&s[1].notes[i], ALLOW);
	for (int i = 0; i < 4; i++)
		turn_until(base, a[i].answers == 1 && a[i].outcome == AUTHZ_ALLOWED);
	for (unsigned i = 0; i < PEERS_MAX; i++) {
		peer_close(&s[0].peers[i]);
		peer_close(&s[1].peers[i]);
	}
	authz_client_free(&client);
	script_fini(&s[0]);
	script_fini(&s[1]);
	event_base_free(base);
	free(s);
}

static void an_agent_that_hangs_is_found_by_health_checks(void **state)
{
	struct authz_client_config fast = { .health_ms = 40, .hello_ms = 30 };
	struct fixture *f = fixture_open("pipelining", &fast);
	struct asked a = { 0 };

	(void)state;
	turn_until(f->base, f->agent.probes == 1);
	turn_for(f->base, 5);
	assert_int_equal(COUNTED(f, agents_up), 1);
	f->agent.refuse_probes = true;
	turn_until(f->base, COUNTED(f, agents_up) == 0);
	ask(&f->agent, &a, 1500);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.cause, AUTHZ_CAUSE_UNREACHABLE);
	f->agent.refuse_probes = false;
	turn_until(f->base, COUNTED(f, agents_up) == 1);
	fixture_close(f);
}

static void an_idle_connection_is_closed_and_opened_on_need(void **state)
{
	struct authz_client_config quick = { .idle_ms = 30 };
	struct fixture *f = fixture_open("pipelining", &quick);
	struct asked a = { 0 };

	(void)state;
	turn_until(f->base, f->agent.got_disconnect && f->agent.peers[0].fd < 0);
	assert_int_equal(f->agent.disconnect, SPOP_NORMAL);
	turn_for(f->base, 100);
	assert_int_equal(f->agent.accepted, 1);
	ask(&f->agent, &a, 1000);
	turn_until(f->base, f->agent.noted == 1);
	answer(&f->agent.notes[0], ALLOW);
	turn_until(f->base, a.answers == 1);
	fixture_close(f);
}

static void addresses_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[] = { "unix:", "localhost:9000", "127.0.0.1", "::1:9", "1.2.3.4:x",
					   "1.2.3.4:65536", "[::1]", "" };
	struct event_base *base = event_base_new();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct authz_client_config config = config_for(&bad[i], 1);

		assert_null(authz_client_create(base, &config));
	}
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_of_one_turn_go_out_in_one_write_and_answers_match_in_any_order),
		cmocka_unit_test(answers_that_are_not_whole_fail_the_request),
		cmocka_unit_test(a_deadline_fails_the_request_and_its_late_answer_finds_nobody),
		cmocka_unit_test(a_second_answer_and_unknown_ids_are_ignored),
		cmocka_unit_test(cancelled_checks_are_never_answered),
		cmocka_unit_test(an_agent_that_dies_is_asked_again_once),
		cmocka_unit_test(an_agent_that_is_gone_fails_waiting_requests_and_is_found_again),
		cmocka_unit_test(without_pipelining_one_question_is_open_at_a_time),
		cmocka_unit_test(open_questions_and_waiting_ones_are_bounded),
		cmocka_unit_test(a_question_larger_than_the_frame_is_not_sent),
		cmocka_unit_test(refusable_hellos_are_refused_with_their_code),
		cmocka_unit_test(garbage_ends_the_connection_and_no_request_passes),
		cmocka_unit_test(an_answer_may_come_byte_by_byte),
		cmocka_unit_test(a_disconnect_moves_questions_elsewhere_at_once),
		cmocka_unit_test(an_agent_that_hangs_is_found_by_health_checks),
		cmocka_unit_test(an_idle_connection_is_closed_and_opened_on_need),
		cmocka_unit_test(addresses_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
