#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers of relayed connections.

    tcp.py serve

listens on ports of 127.0.0.1 that the kernel gives, one for each behaviour; once all do, the file `vars`
has their numbers and the file `servers` exists:

echo    what comes goes back, then FIN after FIN
other   as echo, but every line is answered with "other: " before it
first   speaks first: "220 hello", then as echo
tail    reads to the end, then says "BYTES SHA256" and FIN
eager   says "first word", sends FIN at once, and writes what it then reads to the file `eager.got`
cut     reads a line, sends 1000 bytes of what should be more, and resets
cold    says "yes" to the first piece and no more; writes how the connection ended to the file `cold.end`

    tcp.py STORY HOST:PORT[/NAME] [words]

/NAME: through TLS with that server name (tls.pem, where there is one, is shown to the server).

say WORDS        sends the words as a line, prints the answer's line
hear             prints what comes until the end
half BYTES       sends so many bytes and FIN, prints what comes; "same" where size and digest are those sent
last WORDS       hears the end, then still sends the words and FIN
refused [SOURCE] "closed" where the connection (from this address) ends without a byte, however that is
chat             lines from its input go there, and what comes back to its output; "over" at its end
leave            sends half a line, hears something and resets
cut              says a line, hears 1000 bytes and says another; prints how many came and how it ended
aged             says and hears lines until the end, then prints "closed"
idle SECONDS     says a line each so many seconds for three times, then nothing; prints when the end came,
                 in tenths of SECONDS since the last line
hold NUMBER      opens so many, each says a line and hears it; prints "held"; waits for its input to end
"""
import hashlib
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time

PATIENCE = float(os.environ.get("PATIENCE", 60))


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def note(name, text):
    with open(name + ".new", "w") as f:
        f.write(text + "\n")
    os.rename(name + ".new", name)


# ---- servers ----

def echo(s, mark=b""):
    while data := s.recv(65536):
        s.sendall(mark + data)
    s.shutdown(socket.SHUT_WR)


def other(s):
    echo(s, b"other: ")


def first(s):
    s.sendall(b"220 hello\n")
    echo(s)


def tail(s):
    digest, size = hashlib.sha256(), 0
    while data := s.recv(65536):
        digest.update(data)
        size += len(data)
    s.sendall(f"{size} {digest.hexdigest()}\n".encode())


def eager(s):
    s.sendall(b"first word\n")
    s.shutdown(socket.SHUT_WR)
    got = b""
    while data := s.recv(65536):
        got += data
    note("eager.got", got.decode())


def cut(s):
    s.recv(100)
    s.sendall(b"x" * 1000)
    s.recv(100)
    reset(s)


def cold(s):
    try:
        s.recv(65536)
        s.sendall(b"yes")
        while s.recv(65536):
            pass
        note("cold.end", "fin")
    except ConnectionResetError:
        note("cold.end", "reset")


def run(serve, s):
    try:
        with s:
            serve(s)
    except OSError:
        pass


def accept_all(listener, serve):
    while True:
        s, _ = listener.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=run, args=(serve, s), daemon=True).start()


def serve_all():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for serve in (echo, other, first, tail, eager, cut, cold):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        with open("vars", "a") as f:
            f.write(f"{serve.__name__}='{listener.getsockname()[1]}'\n")
        threading.Thread(target=accept_all, args=(listener, serve), daemon=True).start()
    note("servers", "ready")
    threading.Event().wait()


# ---- clients ----

def connect(where, source=None):
    address, _, name = where.partition("/")
    host, port = address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), timeout=PATIENCE,
                                 source_address=source and (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not name:
        return s
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if os.path.exists("tls.pem"):
        context.load_cert_chain("tls.pem")
    return context.wrap_socket(s, server_hostname=name)


def end_writing(s):
    """FIN alone: what TLS calls the end, too, is said before it, and reading goes on."""
    if isinstance(s, ssl.SSLSocket):
        raise SystemExit("python's TLS cannot end one way: use openssl s_client")
    s.shutdown(socket.SHUT_WR)


def read_all(s):
    data = b""
    try:
        while more := s.recv(65536):
            data += more
    except (ConnectionResetError, ssl.SSLError) as e:
        return data, type(e).__name__
    return data, ""


def read_line(s):
    line = b""
    while not line.endswith(b"\n"):
        more = s.recv(1)
        if not more:
            break
        line += more
    return line


def say(where, *words):
    s = connect(where)
    s.sendall(" ".join(words).encode() + b"\n")
    print(read_line(s).decode().rstrip())


def hear(where):
    data, how = read_all(connect(where))
    print(data.decode().rstrip(), how)


def half(where, size):
    s = connect(where)
    digest, left = hashlib.sha256(), int(size)
    while left > 0:
        piece = os.urandom(min(left, 65536))
        digest.update(piece)
        s.sendall(piece)
        left -= len(piece)
    end_writing(s)
    answer = read_all(s)[0].decode().strip()
    print("same" if answer == f"{size} {digest.hexdigest()}" else answer)


def last(where, *words):
    s = connect(where)
    data, how = read_all(s)
    s.sendall(" ".join(words).encode())
    end_writing(s)
    print(data.decode().rstrip(), how)


def refused(where, source=None):
    try:
        s = connect(where, source)
        s.sendall(b"anybody?\n")
        data, how = read_all(s)
        print("closed" if not data else f"heard {data!r} {how}")
    except TimeoutError:
        print("open")
    except OSError:
        print("closed")


def chat(where):
    s = connect(where)
    for line in sys.stdin:
        s.sendall(line.encode())
        answer = read_line(s).decode()
        print(answer.rstrip() or "over", flush=True)
        if not answer:
            break


def leave(where):
    s = connect(where)
    s.sendall(b"half a li")
    s.recv(9)
    reset(s)


def cut_off(where):
    s = connect(where)
    s.sendall(b"a line\n")
    data = b""
    while len(data) < 1000:
        data += s.recv(1000)
    s.sendall(b"more\n")
    more, how = read_all(s)
    print(len(data + more), "reset" if how else "fin")


def aged(where):
    s = connect(where)
    try:
        while True:
            s.sendall(b"still here\n")
            if not read_line(s):
                break
            time.sleep(0.01)
    except BrokenPipeError:
        pass
    except ConnectionResetError:
        # What crossed our last line on its way: the end came all the same.
        pass
    print("closed")


def idle(where, seconds):
    seconds = float(seconds)
    s = connect(where)
    for _ in range(3):
        s.sendall(b"still here\n")
        read_line(s)
        time.sleep(seconds)
    s.sendall(b"and now silence\n")
    read_line(s)
    begun = time.monotonic()
    data, _ = read_all(s)
    print(int((time.monotonic() - begun) / seconds * 10) if not data else data)


def hold(where, number):
    all_of = []
    for _ in range(int(number)):
        s = connect(where)
        s.sendall(b"hold\n")
        if not read_line(s):
            sys.exit("not held")
        all_of.append(s)
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve_all()
    else:
        stories = {f.__name__: f for f in (say, hear, half, last, refused, chat, leave, aged, idle, hold)}
        {**stories, "cut": cut_off}[sys.argv[1]](*sys.argv[2:])
