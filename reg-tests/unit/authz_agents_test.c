/* SPDX-License-Identifier: Apache-2.0
 * The proxy's SPOP client with several agents: who is asked, who is asked instead, who comes and goes. */
#include "scripted_agent.h"

#define AGENTS	3

struct several {
	struct event_base *base;
	struct script agents[AGENTS];
	const char *addresses[AGENTS];
	struct authz_client *client;
};

static struct several *several_open(size_t count, const struct authz_client_config *like)
{
	static const char *const suffixes[AGENTS] = { "a", "b", "c" };
	struct several *f = calloc(1, sizeof(*f));
	struct authz_client_config config = like != NULL ? *like : (struct authz_client_config){ 0 };

	f->base = event_base_new();
	for (size_t i = 0; i < AGENTS; i++) {
		script_init(&f->agents[i], f->base, suffixes[i]);
		f->addresses[i] = f->agents[i].address;
	}
	config.addresses = f->addresses;
	config.address_count = count;
	f->client = authz_client_create(f->base, &config);
	assert_non_null(f->client);
	for (size_t i = 0; i < AGENTS; i++)
		f->agents[i].client = f->client;
	for (size_t i = 0; i < count; i++)
		turn_until(f->base, f->agents[i].accepted == 1);
	turn_for(f->base, 5);
	return f;
}

static void several_close(struct several *f)
{
	for (size_t i = 0; i < AGENTS; i++)
		script_fini(&f->agents[i]);
	authz_client_free(&f->client);
	event_base_free(f->base);
	free(f);
}

static struct authz_agent_status status_of(struct several *f, size_t agent)
{
	struct authz_agent_status all[AGENTS];
	size_t n = authz_client_describe(f->client, all, AGENTS);

	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i].address, f->addresses[agent]) == 0)
			return all[i];
	fail_msg("agent %zu is not in use", agent);
	return all[0];
}

/* Asks and answers so that the agent allows it at once; which one was it? */
static size_t allowed_by(struct several *f)
{
	unsigned before[AGENTS];
	struct asked a = { 0 };
	size_t by = AGENTS;

	for (size_t i = 0; i < AGENTS; i++)
		before[i] = f->agents[i].noted;
	ask(&f->agents[0], &a, 1500);
	while (by == AGENTS) {
		event_base_loop(f->base, EVLOOP_ONCE);
		for (size_t i = 0; i < AGENTS; i++)
			if (f->agents[i].noted > before[i])
				by = i;
	}
	answer(&f->agents[by].notes[--f->agents[by].noted], ALLOW);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);
	return by;
}

static void the_one_with_the_fewest_unanswered_is_asked(void **state)
{
	struct several *f = several_open(3, NULL);
	struct asked a[6] = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		ask(&f->agents[0], &a[i], 1500);
	turn_until(f->base, f->agents[0].noted == 1 && f->agents[1].noted == 1 && f->agents[2].noted == 1);
	answer(&f->agents[0].notes[0], ALLOW);
	answer(&f->agents[1].notes[0], ALLOW);
	turn_until(f->base, a[0].answers + a[1].answers + a[2].answers == 2);
	assert_int_equal(status_of(f, 2).outstanding, 1);
	for (int i = 3; i < 5; i++)
		ask(&f->agents[0], &a[i], 1500);
	turn_until(f->base, f->agents[0].noted == 2 && f->agents[1].noted == 2);
	assert_int_equal(f->agents[2].noted, 1);
	answer(&f->agents[0].notes[1], ALLOW);
	answer(&f->agents[1].notes[1], ALLOW);
	answer(&f->agents[2].notes[0], ALLOW);
	turn_until(f->base, a[0].answers + a[1].answers + a[2].answers + a[3].answers + a[4].answers == 5);

	/* Idle ones take turns. */
	for (int round = 0; round < 6; round++)
		allowed_by(f);
	for (size_t i = 0; i < 3; i++) {
		struct authz_agent_counters c = status_of(f, i).counters;

		assert_int_equal(status_of(f, i).state, AUTHZ_AGENT_UP);
		assert_int_equal(c.asked, i < 2 ? 4 : 3);
		assert_int_equal(c.answered, c.asked);
		assert_int_equal(c.connects, 1);
		assert_int_equal(c.timeouts + c.lost + c.errors + c.late, 0);
	}
	several_close(f);
}

/* Only half of the questions go to the one that hangs until it is known. */
static void stall(struct several *f, size_t agent)
{
	struct asked a = { 0 };

	for (int i = 0; i < 50 && status_of(f, agent).state != AUTHZ_AGENT_STALLED; i++) {
		unsigned before[AGENTS];

		for (size_t j = 0; j < AGENTS; j++)
			before[j] = f->agents[j].noted;
		ask(&f->agents[0], &a, 20);
		turn_until(f->base, a.answers == 1 || f->agents[0].noted + f->agents[1].noted > before[0] + before[1]);
		for (size_t j = 0; j < 2; j++)
			if (j != agent && f->agents[j].noted > before[j])
				answer(&f->agents[j].notes[--f->agents[j].noted], ALLOW);
		turn_until(f->base, a.answers == 1);
	}
	assert_int_equal(status_of(f, agent).state, AUTHZ_AGENT_STALLED);
}

static void one_that_lets_questions_run_out_is_spared_until_it_answers_in_time(void **state)
{
	struct several *f = several_open(2, NULL);
	struct asked a = { 0 };
	unsigned noted;

	(void)state;
	stall(f, 0);
	assert_int_equal(status_of(f, 0).counters.timeouts, AUTHZ_STALLED_MISSES);
	for (int i = 0; i < 20; i++)
		assert_int_equal(allowed_by(f), 1);
	/* Late is not in time. */
	answer(&f->agents[0].notes[0], ALLOW);
	turn_for(f->base, 5);
	assert_int_equal(status_of(f, 0).counters.late, 1);
	assert_int_equal(status_of(f, 0).state, AUTHZ_AGENT_STALLED);
	/* After a while it is tried, and one answer is enough. */
	turn_until(f->base, status_of(f, 0).state == AUTHZ_AGENT_UP);
	noted = f->agents[0].noted;
	for (int i = 0; i < 4 && f->agents[0].noted == noted; i++)
		allowed_by(f);
	assert_int_equal(status_of(f, 0).state, AUTHZ_AGENT_UP);
	assert_int_equal(status_of(f, 0).counters.answered, 2);

	/* Where nobody answers, they are asked all the same: nothing better is left. */
	f->agents[0].noted = f->agents[1].noted = 0;
	stall(f, 1);
	noted = f->agents[0].noted;
	authz_client_use(f->client, &f->addresses[1], 1);
	f->agents[1].noted = 0;
	ask(&f->agents[1], &a, 500);
	turn_until(f->base, f->agents[1].noted == 1);
	answer(&f->agents[1].notes[0], ALLOW);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);
	several_close(f);
}

static void what_one_cannot_decide_another_is_asked(void **state)
{
	struct several *f = several_open(2, NULL);
	struct asked a = { 0 };

	(void)state;
	ask(&f->agents[0], &a, 1500);
	turn_until(f->base, f->agents[0].noted == 1);
	answer(&f->agents[0].notes[0], AGENT_ERROR);
	turn_until(f->base, f->agents[1].noted == 1);
	answer(&f->agents[1].notes[0], ALLOW);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_ALLOWED);
	assert_int_equal(status_of(f, 0).counters.errors, 1);
	assert_int_equal(atomic_load(&authz_client_counters(f->client)->retried), 1);

	/* Once, and not where nobody else is there. */
	ask(&f->agents[0], &a, 1500);
	turn_until(f->base, f->agents[0].noted == 2 || f->agents[1].noted == 2);
	for (size_t i = 0; i < 2; i++)
		if (f->agents[i].noted == 2)
			answer(&f->agents[i].notes[1], AGENT_ERROR);
	turn_until(f->base, f->agents[0].noted == 2 && f->agents[1].noted == 2);
	for (size_t i = 0; i < 2; i++)
		if (a.answers == 0)
			answer(&f->agents[i].notes[1], AGENT_ERROR);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.outcome, AUTHZ_FAILED);
	assert_int_equal(a.cause, AUTHZ_CAUSE_AGENT_ERROR);
	authz_client_use(f->client, f->addresses, 1);
	turn_until(f->base, f->agents[1].got_disconnect);
	ask(&f->agents[0], &a, 1500);
	turn_until(f->base, f->agents[0].noted == 3);
	answer(&f->agents[0].notes[2], AGENT_ERROR);
	turn_until(f->base, a.answers == 1);
	assert_int_equal(a.cause, AUTHZ_CAUSE_AGENT_ERROR);
	several_close(f);
}

static void a_question_goes_where_it_fits(void **state)
{
	struct several *f = several_open(0, NULL);
	struct asked a = { 0 };

	(void)state;
	f->agents[0].frame_size = 256;
	authz_client_use(f->client, f->addresses, 2);
	turn_until(f->base, status_of(f, 0).state == AUTHZ_AGENT_UP && status_of(f, 1).state == AUTHZ_AGENT_UP);
	for (int i = 0; i < 4; i++) {
		ask_path(&f->agents[0], &a, 1500, "/a/path/that/makes/it/longer/than/two/hundred/and/fifty/six/bytes/"
			 "in/all/which/the/first/agent/does/not/take/but/the/second/one/does/so/that/is/where/it/"
			 "goes/every/single/time");
		turn_until(f->base, f->agents[1].noted == (unsigned)i + 1 || a.answers == 1);
		assert_int_equal(a.answers, 0);
		answer(&f->agents[1].notes[i], ALLOW);
		turn_until(f->base, a.answers == 1);
	}
	assert_int_equal(f->agents[0].noted, 0);
	several_close(f);
}

static void the_list_changes_and_what_is_under_way_is_answered(void **state)
{
	struct several *f = several_open(2, NULL);
	const char *const later[] = { f->addresses[1], f->addresses[2] };
	struct asked a[2] = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++)
		ask(&f->agents[0], &a[i], 1500);
	turn_until(f->base, f->agents[0].noted == 1 && f->agents[1].noted == 1);
	authz_client_use(f->client, later, 2);
	turn_until(f->base, f->agents[2].accepted == 1 && status_of(f, 2).state == AUTHZ_AGENT_UP);
	assert_int_equal(atomic_load(&authz_client_counters(f->client)->agents_up), 2);
	for (int i = 0; i < 4; i++)
		assert_int_not_equal(allowed_by(f), 0);
	/* The one that goes has not answered: it is not told goodbye yet. */
	assert_false(f->agents[0].got_disconnect);
	answer(&f->agents[0].notes[0], DENY);
	answer(&f->agents[1].notes[0], DENY);
	turn_until(f->base, a[0].answers == 1 && a[1].answers == 1);
	assert_int_equal(a[0].outcome, AUTHZ_DENIED);
	assert_int_equal(a[1].outcome, AUTHZ_DENIED);
	turn_until(f->base, f->agents[0].got_disconnect && f->agents[0].peers[0].fd < 0);
	assert_int_equal(f->agents[0].disconnect, SPOP_NORMAL);
	/* The one that stays has kept its connection and its counts. */
	assert_int_equal(f->agents[1].accepted, 1);
	assert_false(f->agents[1].got_disconnect);
	assert_int_equal(status_of(f, 1).counters.connects, 1);
	assert_true(status_of(f, 1).counters.asked > 0);
	/* And back again. */
	authz_client_use(f->client, f->addresses, 3);
	turn_until(f->base, f->agents[0].accepted == 2 && status_of(f, 0).state == AUTHZ_AGENT_UP);
	assert_int_equal(status_of(f, 0).counters.asked, 0);
	several_close(f);
}

static void one_that_goes_without_its_answers_holds_nothing_up(void **state)
{
	struct several *f = several_open(1, NULL);
	struct asked a[3] = { 0 };

	(void)state;
	/* Its connection ends: what it was asked is asked elsewhere. */
	ask(&f->agents[0], &a[0], 1500);
	turn_until(f->base, f->agents[0].noted == 1);
	authz_client_use(f->client, &f->addresses[1], 1);
	peer_close(&f->agents[0].peers[0]);
	turn_until(f->base, f->agents[1].noted == 1);
	answer(&f->agents[1].notes[0], ALLOW);
	turn_until(f->base, a[0].answers == 1);
	assert_int_equal(a[0].outcome, AUTHZ_ALLOWED);
	turn_for(f->base, 300);
	assert_int_equal(f->agents[0].accepted, 1);	/* nobody comes back to it */

	/* It hangs: its questions end at their deadline, its socket a while after the goodbye. */
	ask(&f->agents[1], &a[1], 50);
	turn_until(f->base, f->agents[1].noted == 2);
	event_del(f->agents[1].peers[0].readable);
	authz_client_use(f->client, &f->addresses[2], 1);
	turn_until(f->base, a[1].answers == 1);
	assert_int_equal(a[1].cause, AUTHZ_CAUSE_TIMEOUT);
	turn_for(f->base, 1200);
	event_add(f->agents[1].peers[0].readable, NULL);
	turn_until(f->base, f->agents[1].got_disconnect && f->agents[1].peers[0].fd < 0);

	/* Nobody is left: refused at once. */
	authz_client_use(f->client, NULL, 0);
	ask(&f->agents[2], &a[2], 1500);
	turn_until(f->base, a[2].answers == 1);
	assert_int_equal(a[2].cause, AUTHZ_CAUSE_UNREACHABLE);
	assert_int_equal(atomic_load(&authz_client_counters(f->client)->agents_up), 0);
	turn_until(f->base, f->agents[2].peers[0].fd < 0);
	assert_int_equal(atomic_load(&authz_client_counters(f->client)->connections_ready), 0);
	several_close(f);
}

/* Whatever the order of these, all is freed: for the sanitizers. */
static void the_end_may_come_in_the_middle_of_a_change(void **state)
{
	(void)state;
	for (int when = 0; when < 4; when++) {
		struct several *f = several_open(2, NULL);
		struct asked a = { 0 };

		ask(&f->agents[0], &a, 1500);
		if (when > 0)
			turn_until(f->base, f->agents[0].noted == 1);
		if (when > 1)
			authz_client_use(f->client, &f->addresses[1], 2);
		if (when > 2)
			turn_for(f->base, 10);
		several_close(f);
		assert_int_equal(a.answers, 1);
		assert_int_equal(a.outcome, AUTHZ_FAILED);
	}
}

static void every_agent_is_told_the_end_and_waited_for_a_while(void **state)
{
	struct several *f = several_open(2, NULL);
	int64_t began_ms = clock_monotonic_ms();

	(void)state;
	authz_client_free(&f->client);		/* they run on this thread: nobody answers meanwhile */
	assert_in_range(clock_monotonic_ms() - began_ms, 900, 1500);
	turn_for(f->base, 20);
	for (size_t i = 0; i < 2; i++) {
		assert_true(f->agents[i].got_disconnect);
		assert_int_equal(f->agents[i].disconnect, SPOP_NORMAL);
		assert_int_equal(f->agents[i].peers[0].fd, -1);
	}
	several_close(f);
}

static void use_the_second(evutil_socket_t fd, short what, void *arg)
{
	struct several *f = arg;

	(void)fd, (void)what;
	authz_client_use(f->client, &f->addresses[1], 1);
}

/* Its time to connect again has come in the very turn that it leaves in. */
static void one_that_leaves_is_not_connected_to_again(void **state)
{
	struct several *f = several_open(0, NULL);
	const struct timeval soon = { .tv_usec = 1000 };

	(void)state;
	script_unlisten(&f->agents[0]);
	authz_client_use(f->client, f->addresses, 1);
	turn_for(f->base, 10);
	assert_int_equal(status_of(f, 0).state, AUTHZ_AGENT_CONNECTING);
	event_base_once(f->base, -1, EV_TIMEOUT, use_the_second, f, &soon);
	usleep(100000);		/* longer than the first back-off */
	turn_until(f->base, f->agents[1].accepted == 1);
	assert_int_equal(allowed_by(f), 1);
	assert_int_equal(f->agents[0].accepted, 0);
	several_close(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_with_the_fewest_unanswered_is_asked),
		cmocka_unit_test(one_that_lets_questions_run_out_is_spared_until_it_answers_in_time),
		cmocka_unit_test(what_one_cannot_decide_another_is_asked),
		cmocka_unit_test(a_question_goes_where_it_fits),
		cmocka_unit_test(the_list_changes_and_what_is_under_way_is_answered),
		cmocka_unit_test(one_that_goes_without_its_answers_holds_nothing_up),
		cmocka_unit_test(one_that_leaves_is_not_connected_to_again),
		cmocka_unit_test(every_agent_is_told_the_end_and_waited_for_a_while),
		cmocka_unit_test(the_end_may_come_in_the_middle_of_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
