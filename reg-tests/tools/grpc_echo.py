#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC server (Debian's python3-grpcio) whose messages are plain bytes.

    grpc_echo.py PORT-FILE [--age MS] [--keepalive MS] [--address IP]

Writes its port into PORT-FILE when it listens, and what happens to long calls into `grpc.events`, a line
each. With --age its connections end after so long, by GOAWAY. USR1 stops it by GOAWAY, too, lets calls in
progress finish, and starts it again on the same port.

    /echo.Echo/Unary     the request; metadata x-* comes back in head and trailers
    /echo.Echo/Collect   so many messages and bytes, at the end of the requests
    /echo.Echo/Produce   request "COUNT SIZE": so many messages; says how many it got rid of
    /echo.Echo/Chat      each request, at once
    /echo.Echo/Fail      request "CODE TEXT": this status, with details in trailers
    /echo.Echo/Tell      metadata of the request, and the time that is left, as JSON
    /echo.Echo/Hang      nothing, until the call is over
    /echo.Echo/Drop      request "COUNT CODE": so many messages, then this status
"""
import argparse
import json
import os
import signal
import threading
from concurrent import futures

import grpc

parser = argparse.ArgumentParser()
parser.add_argument("port_file")
parser.add_argument("--age", type=int)
parser.add_argument("--keepalive", type=int)
parser.add_argument("--address", default="127.0.0.1")
args = parser.parse_args()
lock = threading.Lock()
MESSAGE_MAX = 64 << 20


def event(text):
    with lock, open("grpc.events", "a") as f:
        print(text, file=f, flush=True)


def code_of(number):
    return next(code for code in grpc.StatusCode if code.value[0] == int(number))


def unary(request, context):
    own = [(k, v) for k, v in context.invocation_metadata() if k.startswith("x-")]
    context.send_initial_metadata(own)
    context.set_trailing_metadata([("t-" + k, v) for k, v in own])
    return request


def collect(requests, context):
    count = total = 0
    for request in requests:
        count += 1
        total += len(request)
    return b"%d messages, %d bytes" % (count, total)


def produce(request, context):
    count, size = map(int, request.split())
    for i in range(count):
        event("produced %d" % i)
        yield bytes([i & 255]) * size


def chat(requests, context):
    for request in requests:
        yield request


def fail(request, context):
    number, text = request.decode().split(" ", 1)
    context.set_trailing_metadata([("grpc-status-details-bin", b"\x08\x05\x12\x00\xff"), ("why", "asked for")])
    context.abort(code_of(number), text)


def tell(request, context):
    return json.dumps({
        "metadata": {k: v if isinstance(v, str) else v.hex() for k, v in context.invocation_metadata()},
        "left": context.time_remaining(),
    }).encode()


def hang(requests, context):
    over = threading.Event()

    def at_end():
        event("over")
        over.set()
    context.add_callback(at_end)
    event("hangs")
    over.wait()
    return iter(())


def drop(request, context):
    count, number = map(int, request.split())
    for i in range(count):
        yield b"%d" % i
    context.abort(code_of(number), "dropped")


class Service(grpc.GenericRpcHandler):
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Produce": grpc.unary_stream_rpc_method_handler(produce),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Tell": grpc.unary_unary_rpc_method_handler(tell),
        "Hang": grpc.stream_stream_rpc_method_handler(hang),
        "Drop": grpc.unary_stream_rpc_method_handler(drop),
    }

    def service(self, details):
        return self.methods.get(details.method.removeprefix("/echo.Echo/"))


def start(port):
    options = [("grpc.max_receive_message_length", MESSAGE_MAX), ("grpc.max_send_message_length", MESSAGE_MAX),
               ("grpc.http2.min_recv_ping_interval_without_data_ms", 10), ("grpc.so_reuseport", 0)]
    if args.age is not None:
        options += [("grpc.max_connection_age_ms", args.age), ("grpc.max_connection_age_grace_ms", 20000)]
    if args.keepalive is not None:
        options += [("grpc.keepalive_time_ms", args.keepalive), ("grpc.keepalive_timeout_ms", 2000),
                    ("grpc.http2.max_pings_without_data", 0), ("grpc.keepalive_permit_without_calls", 1)]
    server = grpc.server(futures.ThreadPoolExecutor(64), handlers=[Service()], options=options)
    port = server.add_insecure_port("%s:%d" % (args.address, port))
    server.start()
    return server, port


signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
server, port = start(0)
with open(args.port_file + ".new", "w") as f:
    f.write(str(port))
os.rename(args.port_file + ".new", args.port_file)
while signal.sigwait([signal.SIGUSR1, signal.SIGTERM]) == signal.SIGUSR1:
    server.stop(20).wait()
    server, _ = start(port)
    event("restarted")
server.stop(0)
