/* SPDX-License-Identifier: Apache-2.0
 *
 * fault.c - http[].fault: some requests are held for a while, or answered with an error, on purpose
 * (spec/virtual-service.md 7.9). Both are drawn for each request, the abort after the delay; nothing that
 * a client sends has a say in it. */
#include "proxy/stream/stream_priv.h"

static bool is_drawn(struct stream *s, uint32_t per_million)
{
	return share_is_drawn(per_million, worker_random(s->server->worker));
}

struct local_reply fault_reply(const struct http_fault *f)
{
	bool in_grpc = f->abort == ABORT_GRPC;

	return (struct local_reply){
		.status = in_grpc ? 200 : f->abort_status, .grpc_status = in_grpc ? f->abort_status : 0,
		.grpc_ok = in_grpc && f->abort_status == 0, .body = SLICE("fault filter abort"),
		.details = "fault_filter_abort", .flags = RESPONSE_FLAG_FI };
}

static void abort_request(struct stream *s, const struct http_fault *f)
{
	const struct local_reply r = fault_reply(f);

	count_up(&s->server->counters.faults_aborted, 1);
	stream_answer(s, &r);
}

static void go_on(struct stream *s)
{
	const struct http_fault *f = s->route->fault;

	if (f->abort != ABORT_NONE && is_drawn(s, f->abort_per_million))
		abort_request(s, f);
	else
		stream_carry_out(s);
}

static void on_delay_over(struct timer *t)
{
	struct stream *s = container_of(t, struct stream, delay);

	stream_touch(s);
	go_on(s);
}

void stream_inject(struct stream *s)
{
	const struct http_fault *f = s->route->fault;
	struct worker *w = s->server->worker;

	if (f->delay_ms == 0 || !is_drawn(s, f->delay_per_million)) {
		go_on(s);
		return;
	}
	count_up(&s->server->counters.faults_delayed, 1);
	s->x.response_flags |= RESPONSE_FLAG_DI;
	stream_enter(s, STREAM_DELAY);
	timer_set(w, &s->delay, worker_now_ms(w) + f->delay_ms, on_delay_over);
}
