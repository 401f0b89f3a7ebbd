#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC client (Debian's python3-grpcio) for grpc_echo.py behind the proxy.

    grpc_call.py ADDRESS [--authority NAME] [--ca FILE] CASE …

Runs the cases, by default all that need no preparation, each on a channel of its own, and says what was not
as it should be; exits with their number.

    grpc_call.py ADDRESS … --call METHOD [TEXT] [--metadata NAME=VALUE]… [--timeout S]

Makes one unary call and prints "CODE DETAILS TEXT" and, with --trailers, these fields.
"""
import argparse
import json
import sys
import threading
import time

import grpc

parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("--authority")
parser.add_argument("--ca")
parser.add_argument("--call")
parser.add_argument("--metadata", action="append", default=[])
parser.add_argument("--trailers", default="")
parser.add_argument("--timeout", type=float)
parser.add_argument("--seconds", type=float, default=3)
parser.add_argument("words", nargs="*")
args = parser.parse_intermixed_args()
PATIENCE = 60           # seconds that something which should come may take
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20),
           ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]


def channel(*more):
    options = OPTIONS + list(more)
    if args.authority:
        options.append(("grpc.default_authority", args.authority))
    if args.ca:
        options.append(("grpc.ssl_target_name_override", args.authority))
        with open(args.ca, "rb") as f:
            return grpc.secure_channel(args.address, grpc.ssl_channel_credentials(f.read()), options)
    return grpc.insecure_channel(args.address, options)


def method(c, name):
    kind = {"Collect": c.stream_unary, "Produce": c.unary_stream, "Drop": c.unary_stream,
            "Chat": c.stream_stream, "Hang": c.stream_stream}.get(name, c.unary_unary)
    return kind("/echo.Echo/" + name)


def must(what, *said):
    if not what:
        raise AssertionError(*said)


def same(found, expected):
    must(found == expected, "%r in place of %r" % (found, expected))


def failure(call):
    """The error that this call ends in."""
    try:
        call()
    except grpc.RpcError as e:
        return e
    raise AssertionError("no error")


def status(error):
    return error.code().name, error.details()


def seconds_until(what):
    begin = time.monotonic()
    while not what():
        must(time.monotonic() - begin < PATIENCE, "never came true")
        time.sleep(0.005)
    return time.monotonic() - begin


def events():
    try:
        with open("grpc.events") as f:
            return f.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


# ---- the four kinds of calls ----

def unary(c):
    for size in 0, 1, 100, 16383, 16384, 65535, 65536, 1 << 20:
        same(method(c, "Unary")(b"x" * size, timeout=PATIENCE), b"x" * size)


def client_stream(c):
    same(method(c, "Collect")((b"y" * i for i in range(1000)), timeout=PATIENCE), b"1000 messages, 499500 bytes")
    same(method(c, "Collect")(iter(()), timeout=PATIENCE), b"0 messages, 0 bytes")


def server_stream(c):
    same([len(m) for m in method(c, "Produce")(b"1000 777", timeout=PATIENCE)], [777] * 1000)
    same(list(method(c, "Produce")(b"0 0", timeout=PATIENCE)), [])


def both_streams(c):
    sent = [b"%d" % i * (i % 50) for i in range(500)]
    same(list(method(c, "Chat")(iter(sent), timeout=PATIENCE)), sent)


class Asker:
    """Requests of a stream, one whenever it is told."""

    def __init__(self):
        self.items, self.wake = [], threading.Condition()

    def say(self, item):
        with self.wake:
            self.items.append(item)
            self.wake.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self.wake:
            self.wake.wait_for(lambda: self.items)
            item = self.items.pop(0)
        if item is None:
            raise StopIteration
        return item


def ping_pong(c):
    """Each message waits for the one before: what holds one back for 40 ms takes 40 s."""
    asker, count = Asker(), 1000
    answers = method(c, "Chat")(asker)
    asker.say(b"warm")
    next(answers)
    begin = time.monotonic()
    for i in range(count):
        asker.say(b"%d" % i)
        same(next(answers), b"%d" % i)
    spent = time.monotonic() - begin
    asker.say(None)
    same(list(answers), [])
    must(spent < count * 0.02, "%.1f s for %d messages" % (spent, count))


def half_close(c):
    """The response goes on after the end of the requests, and the requests after its beginning."""
    asker = Asker()
    answers = method(c, "Chat")(asker, timeout=PATIENCE)
    for i in range(3):
        asker.say(b"a")
        same(next(answers), b"a")
    asker.say(b"b")
    asker.say(None)
    same(list(answers), [b"b"])
    same(answers.code(), grpc.StatusCode.OK)


def large(c):
    text = bytes(range(256)) * (4 << 12)
    same(len(text), 4 << 20)
    must(method(c, "Unary")(text, timeout=PATIENCE) == text, "4 MiB came back as something else")
    same(list(map(len, method(c, "Produce")(b"5 4194304", timeout=PATIENCE))), [4 << 20] * 5)


def many(c):
    """100 calls at a time on one connection."""
    calls = [method(c, "Unary").future(b"%d" % i, timeout=PATIENCE) for i in range(2000)]
    same([f.result() for f in calls], [b"%d" % i for i in range(2000)])


# ---- what goes beside messages ----

def metadata(c):
    sent = (("x-text", "some text"), ("x-raw-bin", bytes(range(256))), ("x-twice", "1"), ("x-twice", "2"))
    _, call = method(c, "Unary").with_call(b"", metadata=sent, timeout=PATIENCE)
    same([(k, v) for k, v in call.initial_metadata() if k in dict(sent)], list(sent))
    same([(k[2:], v) for k, v in call.trailing_metadata() if k.startswith("t-x-") and k[2:] in dict(sent)],
         list(sent))


def statuses(c):
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        text = "%s: 50%% of \u00fc\u00f1\u00ef, \u65e5\n~" % code.name
        e = failure(lambda: method(c, "Fail")(("%d %s" % (code.value[0], text)).encode(), timeout=PATIENCE))
        same(status(e), (code.name, text))
        trailers = dict(e.trailing_metadata())
        same(trailers["grpc-status-details-bin"], b"\x08\x05\x12\x00\xff")
        same(trailers["why"], "asked for")
    e = failure(lambda: c.unary_unary("/echo.Echo/Nothing")(b"", timeout=PATIENCE))
    same(e.code().name, "UNIMPLEMENTED")


def status_after_messages(c):
    seen, answers = [], method(c, "Drop")(b"3 9", timeout=PATIENCE)
    e = failure(lambda: seen.extend(answers))
    same(status(e), ("FAILED_PRECONDITION", "dropped"))
    answers = method(c, "Drop")(b"3 10", timeout=PATIENCE)
    same([next(answers) for _ in range(3)], [b"0", b"1", b"2"])
    same(status(failure(lambda: next(answers))), ("ABORTED", "dropped"))


def compression(c):
    text = b"z" * 100000
    for how in grpc.Compression.Gzip, grpc.Compression.Deflate:
        must(method(c, "Unary")(text, compression=how, timeout=PATIENCE) == text, how)
        told = json.loads(method(c, "Tell")(text, compression=how, timeout=PATIENCE))
        must("gzip" in told["metadata"].get("grpc-accept-encoding", "gzip"), told)


def keepalive(c):
    """A quiet stream and its connection live on; `c` has timers of its own."""
    asker = Asker()
    answers = method(c, "Chat")(asker)
    asker.say(b"1")
    same(next(answers), b"1")
    time.sleep(1.5)
    asker.say(b"2")
    same(next(answers), b"2")
    asker.say(None)
    same(list(answers), [])


keepalive.options = [("grpc.keepalive_time_ms", 200), ("grpc.keepalive_timeout_ms", 1000),
                     ("grpc.http2.max_pings_without_data", 0), ("grpc.http2.min_time_between_pings_ms", 100),
                     ("grpc.keepalive_permit_without_calls", 1)]


# ---- ends ----

def cancelled_by_client(c):
    before = events().count("over")
    asker = Asker()
    call = method(c, "Hang")(asker)
    hangs = events().count("hangs")
    asker.say(b"go")
    seconds_until(lambda: events().count("hangs") > hangs or events().count("hangs") > before)
    call.cancel()
    seconds_until(lambda: events().count("over") > before)
    same(method(c, "Unary")(b"next", timeout=PATIENCE), b"next")


def deadline_of_client(c):
    before = events().count("over")
    e = failure(lambda: list(method(c, "Hang")(iter((b"",)), timeout=0.5)))
    same(e.code().name, "DEADLINE_EXCEEDED")
    seconds_until(lambda: events().count("over") > before)


def deadline_is_told(c):
    for timeout in 5, 500, 50000:
        left = json.loads(method(c, "Tell")(b"", timeout=timeout))["left"]
        must(timeout * 0.5 < left <= timeout * 1.01 + 1, "%f of %f" % (left, timeout))


def no_deadline(c):
    """None is made up. (This library says so by a year that never comes.)"""
    told = json.loads(method(c, "Tell")(b""))
    must(told["left"] is None or told["left"] > 1e9, told)
    must("x-envoy-expected-rq-timeout-ms" not in told["metadata"], told)


def slow_reader(c):
    """A stream that nobody reads holds up its server, and no other call on the connection."""
    count, begin, before = 300, len(events()), 0
    answers = method(c, "Produce")(b"%d 1000000" % count)
    next(answers)

    def stands():
        nonlocal before
        last, before = before, len(events()) - begin
        time.sleep(0.3)
        return last == before
    seconds_until(stands)
    must(before < 100, "%d MB of %d went somewhere" % (before, count))
    for i in range(50):
        same(method(c, "Unary")(b"%d" % i, timeout=PATIENCE), b"%d" % i)
    same([len(m) for m in answers], [1000000] * (count - 1))


def goaway(c):
    """Calls without a pause for some seconds, while connections come and go behind the proxy."""
    end, n = time.monotonic() + args.seconds, 0
    while time.monotonic() < end:
        same(method(c, "Unary")(b"%d" % n, timeout=PATIENCE), b"%d" % n)
        n += 1
    must(n > 10, "only %d calls" % n)


CASES = [unary, client_stream, server_stream, both_streams, ping_pong, half_close, large, many, metadata, statuses,
         status_after_messages, compression, keepalive, cancelled_by_client, deadline_of_client, deadline_is_told,
         no_deadline]
OTHERS = [slow_reader, goaway]


def run(case):
    begin = time.monotonic()
    with channel(*getattr(case, "options", ())) as c:
        try:
            case(c)
        except (AssertionError, grpc.RpcError, StopIteration) as e:
            print("%s: %s" % (case.__name__, e if isinstance(e, AssertionError) else repr(e)))
            return 1
    print("%s: %.2f s" % (case.__name__, time.monotonic() - begin))
    return 0


def call():
    fields = [tuple(m.split("=", 1)) for m in args.metadata]
    with channel() as c:
        try:
            answer, done = c.unary_unary(args.call).with_call(" ".join(args.words).encode(), metadata=fields,
                                                              timeout=args.timeout or PATIENCE)
        except grpc.RpcError as e:
            answer, done = b"", e
    print(" ".join(filter(None, [done.code().name, done.details(), answer.decode()])))
    for name in filter(None, args.trailers.split(",")):
        found = [v for k, v in [*(done.initial_metadata() or ()), *(done.trailing_metadata() or ())] if k == name]
        print("%s: %s" % (name, found))


if args.call:
    call()
    sys.exit(0)
sys.exit(sum(run(case) for case in CASES + OTHERS
             if case.__name__ in (args.words or [known.__name__ for known in CASES])))
