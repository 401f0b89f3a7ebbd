#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes in, bytes out: a table of raw HTTP/1 exchanges through the proxy, with an upstream that
records every byte it gets.

    raw_http.py TABLE --edge SOCKET --origin SOCKET --log FILE [--tls SOCKET] [--host HOST]
                           [--once] [--only TEXT]

The table has one case after the other; every line begins with its kind:

    == TITLE                what the case shows
    C LINE                  what the client sends, CRLF behind it; a \\ at the end of the line: no CRLF
    L LINE                  a request line; `Host` (h, or what --host says) and the empty line follow
    H VALUE                 a complete `GET / HTTP/1.1` with that Host
    F LINE                  a field line of a complete `GET / HTTP/1.1` with `Host`
    P LINE                  a field line of a `POST / HTTP/1.1` with `Host`; its body follows as C
    K LINE                  chunked body: `POST / HTTP/1.1` with its fields, then the K lines as C lines
    C <eof>                 the client sends its FIN
    T NAME                  this case speaks TLS, and asks for that server name
    S LINE                  what the upstream answers with, like C; without one `200` with `ok`
    S <eof>                 and closes; alone, it closes without a word
    S <hold>                and says nothing more
    => STATUS open|close [[FLAGS] DETAILS]
                            first response, whether the connection serves another request, flags and
                            details of the access log; STATUS `none`: the connection ends without
                            a response; `aborted`: it ends within the response, of status 200
    N ROUTE [CLUSTER]       names of the route and the cluster in that line of the access log, `-` for none
    A LINE                  the response is exactly this: its first line, its fields in any order
                            (a date and `server: istio-envoy` need not be listed), `A body: BYTES`
    R TEXT                  the response has this line, in head or body; `R -NAME`: has no such field
    I STATUS …              the interim responses before it, in order; `I` alone: none
    B LINE                  the upstream saw this: the first is the request line, others are whole
                            field lines; `B -NAME` is a field that it may not see; `B body: BYTES`;
                            `B trailer LINE`: a trailer, `B trailers: N`: so many;
                            `B requests: N`: so many, the lines are about the last;
                            `B aborted`: no complete request
                            no B: not one byte

Escapes of Python strings mean what they mean there, {TEXT*N} is TEXT so many times.

Every case runs three times (with --once only the first) on connections of its own: in one piece, one byte at a time (the next is
sent when the proxy has read the one before), and with another request right behind it, which only a
connection that stays open may serve.
"""
import argparse
import collections
import fcntl
import itertools
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import termios
import threading
import time

PATIENCE = float(os.environ.get("PATIENCE", 30))         # seconds that something which should come may take; sanitizers are slow
PIECEWISE_MAX = 16384   # longer input is cut into larger pieces: a proxy under a sanitizer is slow


class Recorder:
    """An upstream on a UNIX socket. It reads requests strictly and keeps what it saw."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(128)
        self.lock = threading.Condition()
        self.within = 0         # requests of which a part has come
        self.reset(None)
        threading.Thread(target=self.serve, daemon=True).start()

    def reset(self, answer):
        with self.lock:
            self.answer = answer
            self.bytes = b""
            self.requests = []

    def serve(self):
        while True:
            s, _ = self.socket.accept()
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        data = b""

        def more():
            nonlocal data
            got = s.recv(65536)
            if not got:
                raise EOFError
            with self.lock:
                self.bytes += got
            data += got

        def upto(mark):
            nonlocal data
            while mark not in data:
                more()
            line, data = data.split(mark, 1)
            return line

        def exactly(n):
            nonlocal data
            while len(data) < n:
                more()
            part, data = data[:n], data[n:]
            return part

        within = False

        def set_within(now):
            nonlocal within
            with self.lock:
                self.within += now - within
                within = now
                self.lock.notify_all()

        try:
            while True:
                if not data:
                    more()
                set_within(True)
                head = upto(b"\r\n\r\n").split(b"\r\n")
                fields = {}
                for line in head[1:]:
                    name, _, value = line.partition(b":")
                    fields.setdefault(name.lower(), []).append(value.strip())
                body, trailers = b"", []
                if b"transfer-encoding" in fields:
                    while size := int(upto(b"\r\n"), 16):
                        body += exactly(size)
                        assert exactly(2) == b"\r\n"
                    while line := upto(b"\r\n"):
                        trailers.append(line)
                elif b"content-length" in fields:
                    body = exactly(int(fields[b"content-length"][0]))
                set_within(False)
                with self.lock:
                    self.requests.append((head, body, trailers))
                    answer = self.answer
                    if answer is None or head[0].split(b" ")[1] in (b"/alive", b"/behind"):
                        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                    self.lock.notify_all()
                s.sendall(answer.removesuffix(b"<eof>").removesuffix(b"<hold>"))
                if answer.endswith(b"<eof>"):
                    break
                while answer.endswith(b"<hold>"):
                    more()
        except (EOFError, OSError):
            set_within(False)
        s.close()

    def await_quiet(self):
        """No request is half received: those that were cut off are known to be."""
        with self.lock:
            return self.lock.wait_for(lambda: self.within == 0, PATIENCE)


class Client:
    """One connection to the proxy."""

    def __init__(self, path, server_name=None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        if server_name:
            trusting = ssl.create_default_context()
            trusting.check_hostname = False
            trusting.verify_mode = ssl.CERT_NONE
            self.socket = trusting.wrap_socket(self.socket, server_hostname=server_name)
        self.data = b""
        self.eof = False

    def unread(self):
        """How much of what was sent the proxy has not read yet."""
        return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4))[0]

    def send(self, data, piece):
        """Pieces, each after the one before was read; ends when the proxy answers and closes."""
        try:
            for i in range(0, len(data), piece):
                self.socket.sendall(data[i:i + piece])
                deadline = time.monotonic() + PATIENCE
                while piece < len(data) and self.unread() > 0 and not self.input_is_here():
                    if time.monotonic() > deadline:
                        raise TimeoutError("the proxy does not read")
        except (BrokenPipeError, ConnectionResetError):
            pass        # it has said its last word already; what that was follows

    def input_is_here(self):
        return bool(select.select([self.socket], [], [], 0)[0])

    def fin(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def fill(self):
        try:
            got = self.socket.recv(65536)
        except ConnectionResetError:
            got = b""
        self.eof = not got
        self.data += got
        return bool(got)

    def response(self, head_only=False):
        """(status, head lines, body, complete), None at the end of input; interim ones aside."""
        self.interim = []
        while True:
            while b"\r\n\r\n" not in self.data:
                if not self.fill():
                    return None
            head, self.data = self.data.split(b"\r\n\r\n", 1)
            lines = head.split(b"\r\n")
            status = int(lines[0].split(b" ")[1])
            if status >= 200 or status == 101:
                break
            self.interim.append(status)
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        body, complete = self.body(status, fields, head_only)
        return status, lines, body, complete

    def body(self, status, fields, head_only):
        if head_only or status in (101, 204, 304):
            return b"", True
        body = b""
        if fields.get(b"transfer-encoding") == b"chunked":
            while True:
                while b"\r\n" not in self.data:
                    if not self.fill():
                        return body, False
                size, self.data = self.data.split(b"\r\n", 1)
                n = int(size, 16)
                while len(self.data) < n + 2:
                    if not self.fill():
                        return body + self.data, False
                body, self.data = body + self.data[:n], self.data[n + 2:]
                if n == 0:
                    return body, True
        n = int(fields.get(b"content-length", b"-1"))
        if n < 0:
            while self.fill():
                pass
            body, self.data = self.data, b""
            return body, True
        while len(self.data) < n:
            if not self.fill():
                body, self.data = self.data, b""
                return body, False
        body, self.data = self.data[:n], self.data[n:]
        return body, True

    def ends(self):
        """The proxy closes its side and says nothing more."""
        if not self.eof:
            self.fill()
        return self.eof and not self.data

    def close(self):
        self.socket.close()


def decoded(text):
    text = text.encode("latin-1").decode("unicode_escape")
    return re.sub(r"\{([^{}]+)\*(\d+)\}", lambda m: m[1] * int(m[2]), text).encode("latin-1")


def line_of(text):
    if text in ("<eof>", "<hold>"):
        return text.encode()
    if text.endswith("\\"):
        return decoded(text[:-1])
    return decoded(text) + b"\r\n"


class Case:
    def __init__(self, title, where, host):
        self.title, self.where = title, where
        self.host = b"Host: %s\r\n" % host.encode()
        self.request, self.answer = b"", None
        self.chunked = self.fields = self.post = None
        self.server_name = self.exact = self.interim = None
        self.status = self.fate = self.flags = self.details = None
        self.route = self.cluster = None
        self.seen, self.response = [], []

    def add(self, kind, text):
        if kind == "C":
            self.request += line_of(text)
        elif kind == "L":
            self.request += decoded(text) + b"\r\n" + self.host + b"\r\n"
        elif kind == "H":
            self.request += b"GET / HTTP/1.1\r\nHost: " + decoded(text) + b"\r\n\r\n"
        elif kind == "F":
            self.fields = (self.fields or b"") + line_of(text)
        elif kind == "P":
            self.post = (self.post or b"") + line_of(text)
        elif kind == "K":
            self.chunked = (self.chunked or b"") + line_of(text)
        elif kind == "S":
            self.answer = (self.answer or b"") + line_of(text)
        elif kind == "B":
            self.seen.append(decoded(text))
        elif kind == "I":
            self.interim = [int(word) for word in text.split()]
        elif kind == "N":
            self.route, _, self.cluster = text.partition(" ")
            self.cluster = self.cluster or None
        elif kind == "T":
            self.server_name = text
        elif kind == "A":
            self.exact = (self.exact or []) + [decoded(text)]
        elif kind == "R":
            self.response.append(decoded(text))
        elif kind == "=>":
            words = text.split()
            self.status, self.fate = words[0], words[1]
            self.flags = words[2] if len(words) > 3 else None
            self.details = words[-1] if len(words) > 2 else None
        else:
            sys.exit(f"{self.where}: what is {kind!r}?")

    def finish(self):
        if self.fields is not None:
            self.request += b"GET / HTTP/1.1\r\n" + self.host + self.fields + b"\r\n"
        if self.post is not None:
            self.request = (b"POST / HTTP/1.1\r\n" + self.host + self.post + b"\r\n" +
                            self.request)
        if self.chunked is not None:
            self.request = (b"POST / HTTP/1.1\r\n" + self.host + b"Transfer-Encoding: chunked\r\n\r\n" +
                            self.chunked + self.request)
        if self.status is None or not self.request:
            sys.exit(f"{self.where}: a case needs a request and =>")
        self.fin = self.request.endswith(b"<eof>")
        self.request = self.request.removesuffix(b"<eof>")


def read_table(path, host):
    cases = []
    with open(path) as table:
        for number, line in enumerate(table, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            kind, _, text = line.partition(" ")
            if kind == "==":
                cases.append(Case(text, f"{path}:{number}", host))
            else:
                cases[-1].add(kind, text)
    for case in cases:
        case.finish()
    return cases


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def request_for(path, host):
    return b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host.encode())


def check_response(case, got, interim):
    if case.interim is not None:
        check(interim == case.interim, f"interim responses {interim}")
    if case.status == "none":
        check(got is None, f"a response: {got}")
        return
    check(got is not None, "no response")
    status, lines, body, complete = got
    if case.status == "aborted":
        check(not complete, f"a complete response: {got}")
        return
    check(status == int(case.status), f"status {status}: {got}")
    check(complete, f"an incomplete response: {got}")
    if case.exact:
        check_exact(case, lines, body)
    for wanted in case.response:
        if wanted.startswith(b"-"):
            name = wanted[1:].lower() + b":"
            check(not any(l.lower().startswith(name) for l in lines), f"{wanted[1:]} in {lines}")
        else:
            check(wanted in lines or wanted == body, f"no {wanted} in {got}")


DATE = re.compile(rb"date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def check_exact(case, lines, body):
    wanted = [line for line in case.exact[1:] if not line.startswith(b"body: ")]
    wanted_body = b"".join(line[6:] for line in case.exact if line.startswith(b"body: "))
    check(lines[0] == case.exact[0], f"the first line is {lines[0]}")
    check(any(DATE.fullmatch(line) for line in lines), f"no date in {lines}")
    fields = sorted(line for line in lines[1:] if not line.startswith(b"date: "))
    if not any(line.startswith(b"server: ") for line in wanted):
        wanted.append(b"server: istio-envoy")
    check(fields == sorted(wanted), f"the fields are {fields}")
    check(body == wanted_body, f"the body is {body}")


def check_seen(case, recorder):
    if b"aborted" in case.seen:
        check(recorder.await_quiet(), "the upstream's request was not cut off")
    with recorder.lock:
        requests = [r for r in recorder.requests if b" /alive " not in r[0][0]]
        if not case.seen:
            check(not requests, f"the upstream saw {requests}")
            check(b" /alive " in recorder.bytes or not recorder.bytes, f"it saw {recorder.bytes}")
            return
        if b"aborted" in case.seen:
            check(not requests, f"a complete request: {requests}")
            return
        times = [int(line[10:]) for line in case.seen if line.startswith(b"requests: ")] or [1]
        check(len(requests) == times[0], f"the upstream saw {len(requests)} requests: {requests}")
        head, body, trailers = requests[-1]
        check(head[0] == case.seen[0], f"the upstream saw {head[0]}")
        for wanted in case.seen[1:]:
            if wanted.startswith(b"requests: "):
                continue
            if wanted.startswith(b"body: "):
                check(body == wanted[6:], f"the upstream saw a body {body}")
            elif wanted.startswith(b"trailer "):
                check(wanted[8:] in trailers, f"trailers {trailers}")
            elif wanted.startswith(b"trailers: "):
                check(len(trailers) == int(wanted[10:]), f"trailers {trailers}")
            elif wanted.startswith(b"-"):
                name = wanted[1:].lower() + b":"
                check(not any(l.lower().startswith(name) for l in head[1:]), f"it saw {head}")
            else:
                check(wanted in head[1:], f"no {wanted} in {head}")


def run(case, recorder, options, piece, behind):
    recorder.reset(case.answer)
    after = request_for(b"/behind", options.host)
    alive = request_for(b"/alive", case.server_name or options.host)
    client = Client(options.tls if case.server_name else options.edge, case.server_name)
    try:
        client.send(case.request + (after if behind else b""),
                    piece if piece else len(case.request) + len(after))
        if case.fin:
            client.fin()
        got = client.response(case.request.startswith(b"HEAD "))
        check_response(case, got, client.interim)
        if case.fate == "close":
            check(client.ends(), f"goes on after its last response: {client.data}")
        elif behind:
            second = client.response()
            check(second is not None and second[3], f"the request behind got {second}")
            with recorder.lock:
                check(recorder.requests and b" /behind " in recorder.requests[-1][0][0],
                      f"the upstream did not see the request behind: {recorder.requests}")
                recorder.requests.pop()
        else:
            client.send(alive, len(alive))
            check((client.response() or [0])[0] == 200, "the connection does not live on")
        if not (behind and not case.seen and case.fate == "open"):
            check_seen(case, recorder)
    finally:
        client.close()


def check_log(path, expected):
    """As many lines of the access log with this code, flags and details as cases say."""
    deadline = time.monotonic() + PATIENCE
    while True:
        lines = collections.Counter()
        with open(path) as log:
            for line in log:
                if not line.endswith("\n"):
                    break
                line = json.loads(line)
                code, details = line["response_code"], line["response_code_details"]
                flags = line["response_flags"] or "-"
                route, cluster = line["route_name"] or "-", line["upstream_cluster"] or "-"
                for key in itertools.product((flags, None), (route, None), (cluster, None)):
                    lines[code, key[0], details, key[1], key[2]] += 1
        missing = collections.Counter(expected) - lines
        if not missing:
            return 0
        if time.monotonic() > deadline:
            print("access log: missing", dict(missing))
            print("found", {k: n for k, n in lines.items() if None not in k})
            return 1
        time.sleep(0.05)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("table")
    options.add_argument("--edge", required=True)
    options.add_argument("--origin", required=True)
    options.add_argument("--log", required=True)
    options.add_argument("--tls")
    options.add_argument("--host", default="h")
    options.add_argument("--once", action="store_true")
    options.add_argument("--only", default="")
    options = options.parse_args()
    recorder = Recorder(options.origin)
    failures = count = 0
    expected = []
    for case in read_table(options.table, options.host):
        if options.only not in case.title:
            continue
        ways = [("in one piece", 0, False), ("byte by byte", 1, False)]
        if options.once:
            ways = ways[:1]
        elif len(case.request) > PIECEWISE_MAX:
            ways[1] = ("piece by piece", 1021, False)
        if not case.fin and not options.once:
            ways.append(("with a request behind", 0, True))
        for name, piece, behind in ways:
            count += 1
            if case.details and case.status != "none":
                code = 200 if case.status == "aborted" else int(case.status)
                expected.append((code, case.flags, case.details, case.route, case.cluster))
            try:
                run(case, recorder, options, piece, behind)
            except (Failure, OSError, ValueError) as why:
                failures += 1
                print(f"{case.where}: {case.title}, {name}: {str(why)[:600] or repr(why)}")
    failures += check_log(options.log, expected)
    print(f"{count - failures} exchanges as expected, {failures} not")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
