#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large bodies through the proxy, and what becomes of those that end early.

    bodies.py STORY --edge SOCKET --tls SOCKET --origin SOCKET --pid PROXY --log FILE

Stories: volume (100 MB each way: complete, and in memory that does not grow), pressure (who does not
read makes the other side wait), cut (who leaves early is noticed on the other side).
"""
import argparse
import json
import os
import select
import socket
import ssl
import sys
import threading
import time
import zlib

PATIENCE = float(os.environ.get("PATIENCE", 60))
MB = 1 << 20
VOLUME = 100 * MB
GROWTH_MAX_KB = 4096    # of the proxy's peak RSS over a transfer of 100 MB
PAUSED_MAX = 2 * MB     # what kernel and proxy may take of a body that nobody reads
SETTLED = 0.3           # seconds in which no byte moves: the sender waits
BLOCK = bytes((i * i >> 3) & 255 for i in range(65521))    # a prime: cuts wander through it


def blocks(total):
    while total > 0:
        piece = BLOCK[:min(total, len(BLOCK))]
        yield piece
        total -= len(piece)


def sum_of(total):
    crc = 0
    for piece in blocks(total):
        crc = zlib.crc32(piece, crc)
    return f"{total} {crc:08x}"


class Messages:
    """Reads heads and bodies off a socket."""

    def __init__(self, s):
        self.socket, self.data = s, b""

    def more(self):
        got = self.socket.recv(MB)
        if not got:
            raise EOFError
        self.data += got

    def head(self):
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        return lines[0], {l.split(":")[0].lower(): l.split(":", 1)[1].strip() for l in lines[1:]}

    def body(self, fields):
        """`BYTES CRC` of a complete body; EOFError: it was not."""
        self.total = self.crc = 0
        if fields.get("transfer-encoding") == "chunked":
            while size := self.chunk_size():
                self.take(size)
                self.exactly(b"\r\n")
            self.exactly(b"\r\n")
        else:
            self.take(int(fields.get("content-length", 0)))
        return f"{self.total} {self.crc:08x}"

    def chunk_size(self):
        while b"\r\n" not in self.data:
            self.more()
        line, self.data = self.data.split(b"\r\n", 1)
        return int(line, 16)

    def exactly(self, what):
        while len(self.data) < len(what):
            self.more()
        assert self.data.startswith(what), self.data[:20]
        self.data = self.data[len(what):]

    total = crc = 0

    def take(self, left):
        while left > 0:
            if not self.data:
                self.more()
            part, self.data = self.data[:left], self.data[left:]
            self.crc = zlib.crc32(part, self.crc)
            self.total += len(part)
            left -= len(part)


def send_body(s, total, chunked, sent=None):
    """Chunks of every size, or plain bytes; counts them in sent[0]."""
    def put(data):
        view = memoryview(data)
        while view:
            n = s.send(view)
            view = view[n:]
            if sent is not None:
                sent[0] += n
    for i, piece in enumerate(blocks(total)):
        if chunked:
            cut = 1 + i * 97 % len(piece)
            for part in (piece[:cut], piece[cut:]):
                if part:
                    put(b"%x;i=%d\r\n%s\r\n" % (len(part), i, part))
        else:
            put(piece)
    if chunked:
        put(b"0\r\n\r\n")


def framing(total, chunked):
    return "transfer-encoding: chunked" if chunked else f"content-length: {total}"


class Origin:
    """/up reads and tells the sum; /down sends; /stall reads only when released; /early answers the
    head alone; /wait says 103 and no more; /half leaves in the middle of its response."""

    def __init__(self, path):
        self.release = threading.Event()
        self.waiting = threading.Event()       # at /wait
        self.begun = threading.Semaphore(0)    # requests
        self.ended = threading.Semaphore(0)    # connections
        self.sent = [0]
        self.outcomes = []
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(64)
        threading.Thread(target=self.accept, args=(listening,), daemon=True).start()

    def accept(self, listening):
        while True:
            s, _ = listening.accept()
            threading.Thread(target=self.connection, args=(s,), daemon=True).start()

    def connection(self, s):
        outcome = "ended"
        try:
            messages = Messages(s)
            while True:
                outcome = "ended idle"
                line, fields = messages.head()
                outcome = "ended within a request"
                self.begun.release()
                outcome = self.answer(s, messages, line.split(" ")[1], fields) or outcome
        except EOFError:
            pass
        except OSError:
            outcome = "ended within a response"
        s.close()
        self.outcomes.append(outcome)
        self.ended.release()

    def answer(self, s, messages, path, fields):
        kind, _, rest = path[1:].partition("/")
        if kind in ("up", "stall"):
            if kind == "stall":
                self.release.wait(PATIENCE)
            text = messages.body(fields)
            s.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
        elif kind == "down":
            chunked, total = rest.split("/")
            chunked, total = chunked == "chunked", int(total)
            s.sendall(f"HTTP/1.1 200 OK\r\n{framing(total, chunked)}\r\n\r\n".encode())
            self.sent[0] = 0
            send_body(s, total, chunked, self.sent)
        elif kind == "wait":
            s.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            self.waiting.set()
            messages.more()
        elif kind == "early":
            s.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 6\r\n\r\nenough")
            while s.recv(MB):
                pass
            raise EOFError
        elif kind == "half":
            chunked = rest == "chunked"
            s.sendall(f"HTTP/1.1 200 OK\r\n{framing(VOLUME, chunked)}\r\n\r\n".encode())
            data = BLOCK * 20
            s.sendall(b"%x\r\n%s" % (2 * len(data), data) if chunked else data)
            s.close()
            raise OSError


class Edge:
    def __init__(self, options):
        self.options = options
        self.trusting = ssl.create_default_context()
        self.trusting.check_hostname = False
        self.trusting.verify_mode = ssl.CERT_NONE

    def connect(self, tls):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(PATIENCE)
        s.connect(self.options.tls if tls else self.options.edge)
        return self.trusting.wrap_socket(s, server_hostname="h.example") if tls else s

    def memory(self, name):
        with open(f"/proc/{self.options.pid}/status") as status:
            return int(next(l for l in status if l.startswith(name)).split()[1])

    def forget_peak(self):
        with open(f"/proc/{self.options.pid}/clear_refs", "w") as refs:
            refs.write("5")

    def cpu_ticks(self):
        with open(f"/proc/{self.options.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def logged(self, **wanted):
        """Waits for a line of the access log with these values."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with open(self.options.log) as log:
                lines = [json.loads(l) for l in log if l.endswith("\n")]
            if any(all(line[k] == v for k, v in wanted.items()) for line in lines):
                return
            time.sleep(0.05)
        sys.exit(f"the access log has no line with {wanted}: {lines[-3:]}")


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: found {found!r}, expected {wanted!r}")


def request(path, fields="", method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: h.example\r\n{fields}\r\n".encode()


def upload(s, path, total, chunked):
    s.sendall(request(path, framing(total, chunked) + "\r\n", "POST"))
    send_body(s, total, chunked)
    messages = Messages(s)
    line, fields = messages.head()
    expect(line, "HTTP/1.1 200 OK", path)
    length = int(fields["content-length"])
    while len(messages.data) < length:
        messages.more()
    return messages.data.decode()


def download(s, total, chunked):
    s.sendall(request(f"/down/{'chunked' if chunked else 'length'}/{total}"))
    messages = Messages(s)
    line, fields = messages.head()
    expect(line, "HTTP/1.1 200 OK", "download")
    return messages.body(fields)


def volume(edge, origin):
    """Every way once with a little to warm up, then with 100 MB: the sum is right, the peak stays."""
    wanted = {n: sum_of(n) for n in (MB, VOLUME)}
    for total in (MB, VOLUME):
        for tls in (False, True):
            for chunked in (False, True):
                for way in (upload, download):
                    edge.forget_peak()
                    before = edge.memory("VmHWM")
                    with edge.connect(tls) as s:
                        found = way(s, "/up", total, chunked) if way is upload else \
                            way(s, total, chunked)
                    name = f"{way.__name__}, {'chunked' if chunked else 'length'}, " \
                        f"{'TLS' if tls else 'plain'}"
                    expect(found, wanted[total], name)
                    if total < VOLUME:
                        continue
                    growth = edge.memory("VmHWM") - before
                    print(f"100 MB {name}: peak RSS {before} kB {growth:+d} kB")
                    if growth > edge.options.growth_kb:
                        sys.exit(f"{name}: the peak of memory grew by {growth} kB")


def settle(count):
    """Returns what count() is once it has not changed for a while."""
    last, since = count(), time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < SETTLED:
        time.sleep(0.02)
        now = count()
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() > deadline:
            sys.exit(f"never pauses: {now} bytes")
    return last


def pressure(edge, origin):
    for tls in (False, True):
        for chunked in (False, True):
            name = f"{'chunked' if chunked else 'length'}, {'TLS' if tls else 'plain'}"
            total = 20 * MB
            slow_reader(edge, origin, tls, chunked, total, name)
            slow_origin(edge, origin, tls, chunked, total, name)
    pipelined(edge, origin)


def idle_now(edge, name):
    """Whoever waits for a peer costs no CPU."""
    before = edge.cpu_ticks()
    time.sleep(SETTLED)
    spent = edge.cpu_ticks() - before
    if spent > 2:
        sys.exit(f"{name}: waits busily, {spent} ticks in {SETTLED} s")


def slow_reader(edge, origin, tls, chunked, total, name):
    origin.sent[0] = 0
    with edge.connect(tls) as s:
        s.sendall(request(f"/down/{'chunked' if chunked else 'length'}/{total}"))
        select.select([s], [], [], PATIENCE)
        paused = settle(lambda: origin.sent[0])
        print(f"a client that does not read, {name}: the upstream waits after {paused} bytes")
        if not 0 < paused < PAUSED_MAX:
            sys.exit(f"{name}: {paused} bytes were taken from the upstream")
        idle_now(edge, name)
        messages = Messages(s)
        _, fields = messages.head()
        expect(messages.body(fields), sum_of(total), name)


def slow_origin(edge, origin, tls, chunked, total, name):
    origin.release.clear()
    sent, answer = [0], []

    def work(s):
        messages = Messages(s)
        send_body(s, total, chunked, sent)
        _, fields = messages.head()
        while len(messages.data) < int(fields["content-length"]):
            messages.more()
        answer.append(messages.data.decode())

    with edge.connect(tls) as s:
        s.sendall(request("/stall", framing(total, chunked) + "\r\n", "POST"))
        worker = threading.Thread(target=work, args=(s,))
        worker.start()
        paused = settle(lambda: sent[0])
        print(f"an upstream that does not read, {name}: the client waits after {paused} bytes")
        if not 0 < paused < PAUSED_MAX:
            sys.exit(f"{name}: {paused} bytes were taken from the client")
        idle_now(edge, name)
        origin.release.set()
        worker.join(PATIENCE)
    expect(answer, [sum_of(total)], name)


def pipelined(edge, origin):
    """Requests behind one that is in progress wait with the client."""
    count = 10000
    origin.release.clear()
    sent = [0]

    def work(s):
        view = memoryview(request("/up", f"A: {'a' * 500}\r\n") * count)
        while view:
            n = s.send(view[:MB])
            view = view[n:]
            sent[0] += n

    with edge.connect(False) as s:
        s.sendall(request("/stall"))
        worker = threading.Thread(target=work, args=(s,))
        worker.start()
        paused = settle(lambda: sent[0])
        print(f"requests behind one in progress: the client waits after {paused} bytes")
        if not 0 < paused < PAUSED_MAX:
            sys.exit(f"{paused} bytes of pipelined requests were taken")
        idle_now(edge, "pipelined requests")
        origin.release.set()
        messages = Messages(s)
        for i in range(count + 1):
            line, fields = messages.head()
            expect(line, "HTTP/1.1 200 OK", f"answer {i}")
            messages.take(int(fields["content-length"]))
        worker.join(PATIENCE)


def ended(origin, wanted):
    """The next connection of the upstream ends like this."""
    if not origin.ended.acquire(timeout=PATIENCE):
        sys.exit(f"the upstream's connection did not end: expected {wanted}")
    expect(origin.outcomes.pop(0), wanted, "the upstream's connection")


def incomplete(s, name):
    """The rest of the response does not pass for a complete one."""
    messages = Messages(s)
    try:
        line, fields = messages.head()
        expect(line, "HTTP/1.1 200 OK", name)
        sys.exit(f"{name}: a truncated response came as {messages.body(fields)}")
    except (EOFError, ConnectionResetError, ssl.SSLError):
        pass


def cut(edge, origin):
    for tls in (False, True):
        for chunked in (False, True):
            cut_upload(edge, origin, tls, chunked)
            cut_download(edge, origin, tls, chunked)
            early_answer(edge, origin, tls, chunked)
            cut_waiting(edge, origin, tls)
            with edge.connect(tls) as s:
                s.sendall(request(f"/half/{'chunked' if chunked else 'length'}"))
                incomplete(s, "half a response")
                ended(origin, "ended within a response")
    edge.logged(path="/half/length", response_code=200, response_flags="UC",
                response_code_details="upstream_reset_after_response_started{connection_termination}")
    edge.logged(path="/half/chunked", response_flags="UC")


def cut_upload(edge, origin, tls, chunked):
    path = f"/up/cut-{tls}-{chunked}"
    while origin.begun.acquire(blocking=False):     # requests before this one
        pass
    with edge.connect(tls) as s:
        s.sendall(request(path, framing(VOLUME, chunked) + "\r\n", "POST"))
        s.sendall(b"100000\r\n" + BLOCK if chunked else BLOCK)
        if not origin.begun.acquire(timeout=PATIENCE):
            sys.exit("the request did not reach the upstream")
    ended(origin, "ended within a request")
    edge.logged(path=path, response_code=0, response_flags="DC",
                response_code_details="downstream_remote_disconnect")


def cut_download(edge, origin, tls, chunked):
    with edge.connect(tls) as s:
        s.sendall(request(f"/down/{'chunked' if chunked else 'length'}/{VOLUME}"))
        Messages(s).head()
    ended(origin, "ended within a response")
    edge.logged(path=f"/down/{'chunked' if chunked else 'length'}/{VOLUME}", response_code=200,
                response_flags="DC", response_code_details="downstream_remote_disconnect")


def cut_waiting(edge, origin, tls):
    """A client that resets its connection (it leaves bytes unread) does not wait for an answer."""
    path = f"/wait/{tls}"
    origin.waiting.clear()
    with edge.connect(tls) as s:
        s.sendall(request(path))
        if not origin.waiting.wait(PATIENCE):
            sys.exit("the request did not reach the upstream")
        select.select([s], [], [], PATIENCE)    # 103, or before it what TLS has to say
    ended(origin, "ended within a request")
    edge.logged(path=path, response_code=0, response_flags="DC",
                response_code_details="downstream_remote_disconnect")


def early_answer(edge, origin, tls, chunked):
    """The client gets it and hears that the connection ends; the upstream's is not used again."""
    with edge.connect(tls) as s:
        s.sendall(request("/early", framing(VOLUME, chunked) + "\r\n", "POST"))
        s.sendall(b"100000\r\n" + BLOCK if chunked else BLOCK)
        messages = Messages(s)
        line, fields = messages.head()
        expect(line, "HTTP/1.1 403 Forbidden", "early")
        expect(fields.get("connection"), "close", "early")
        while len(messages.data) < 6:
            messages.more()
        expect(messages.data, b"enough", "early")
        try:
            messages.more()
            sys.exit(f"early: more came: {messages.data}")
        except (EOFError, ConnectionResetError):
            pass
    ended(origin, "ended within a request")


STORIES = {"volume": volume, "pressure": pressure, "cut": cut}


def main():
    options = argparse.ArgumentParser()
    options.add_argument("story", choices=STORIES)
    for name in ("--edge", "--tls", "--origin", "--pid", "--log"):
        options.add_argument(name, required=True)
    options.add_argument("--growth-kb", type=int, default=GROWTH_MAX_KB)
    options = options.parse_args()
    STORIES[options.story](Edge(options), Origin(options.origin))
    sys.stdout.flush()
    os._exit(0)     # threads may wait for connections that stay open


if __name__ == "__main__":
    main()
