#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent that answers wrongly, in a way that the file MODE names, or rightly (allow, deny).

    junk_agent.py SOCKET MODE

    silent      says nothing at all          close       hangs up at once
    http        speaks another protocol      huge        announces a frame of 4 GiB
    noise       bytes without a meaning      version     says HELLO in a version nobody speaks
    mute        HELLO, and then nothing      hang_up     HELLO, and hangs up when it is asked
    empty       an ACK without a verdict     wrong_type  `allow` is a text
    half        `allow`, then half an action unfinished  an ACK that is a fragment
    other       allows questions nobody asked            wild  an ACK with bytes behind the end
    claims      allows, and tells claims in JSON         claims_none  that there are none
    claims_bad  claims that are no object

The mode is read anew for every connection and every question. When it has become one that says no
HELLO, a question on an older connection ends that one. The file MODE.asked has a line `asked MODE` for
each question, `met MODE` for each connection that got no HELLO, `early MODE` for a question on one of them.
"""
import os
import signal
import socketserver
import sys

ALLOW = b"\x01\x03\x02\x05allow\x11"
DENY = b"\x01\x03\x02\x06status\x03\xf3\x0a\x01\x03\x02\x05allow\x01"
HELLO = (b"\x07version\x08\x03%s\x0emax-frame-size\x03\xfc\xf0\x06"
         b"\x0ccapabilities\x08\x0apipelining")
ACTIONS = {
    "allow": ALLOW, "deny": DENY, "empty": b"", "wrong_type": b"\x01\x03\x02\x05allow\x08\x04true",
    "half": ALLOW + b"\x01\x03\x02\x06status\x03", "unfinished": ALLOW, "other": ALLOW,
    "wild": ALLOW + b"\xff" * 9,
}
for name, text in (("claims", b'{"sub":"ann","groups":["staff"]}'), ("claims_none", b"{}"), ("claims_bad", b"[]")):
    ACTIONS[name] = b"\x01\x03\x02\x06claims\x08" + bytes([len(text)]) + text + ALLOW
JUNK = {
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "huge": b"\xff\xff\xff\xffe",
    "noise": bytes(range(7, 256, 11)) * 200,
}
NO_HELLO = ("silent", "close", "version", *JUNK)


def varint(value):
    if value < 240:
        return bytes([value])
    out, value = [value & 0xff | 0xf0], (value - 240) >> 4
    while value >= 128:
        out.append(value & 0xff | 0x80)
        value = (value - 128) >> 7
    return bytes(out + [value])


def read_varint(data, at):
    value, at = data[at], at + 1
    shift = 4
    if value >= 240:
        while True:
            value += data[at] << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                break
    return value, at


def frame(kind, payload, stream=0, number=0, flags=1):
    body = bytes([kind]) + flags.to_bytes(4, "big") + varint(stream) + varint(number) + payload
    return len(body).to_bytes(4, "big") + body


def mode():
    with open(sys.argv[2], encoding="ascii") as f:
        return f.read().strip()


class Handler(socketserver.StreamRequestHandler):
    def read_frame(self):
        length = self.rfile.read(4)
        return self.rfile.read(int.from_bytes(length, "big")) if len(length) == 4 else b""

    def note(self, what, how):
        with open(sys.argv[2] + ".asked", "a", encoding="ascii") as asked:
            asked.write(f"{what} {how}\n")

    def answer(self, how, stream, number):
        if how in NO_HELLO:
            return False
        self.note("asked", how)
        if how == "hang_up":
            return False
        if how in ACTIONS:
            self.wfile.write(frame(103, ACTIONS[how], stream + 1000 * (how == "other"), number,
                                   flags=0 if how == "unfinished" else 1))
        return True

    def handle(self):
        how = mode()
        greets = how not in NO_HELLO
        if not greets:
            self.note("met", how)
        if how == "close":
            return
        hello = self.read_frame()
        if how in JUNK:
            self.wfile.write(JUNK[how])
        elif how != "silent":
            self.wfile.write(frame(101, HELLO % (b"9.9" if how == "version" else b"2.0")))
        if b"healthcheck" in hello:
            return
        while (got := self.read_frame()):
            if got[0] == 2:
                return
            stream, at = read_varint(got, 5)
            number, _ = read_varint(got, at)
            if got[0] == 3 and not greets:
                self.note("early", how)
            elif got[0] == 3 and not self.answer(mode(), stream, number):
                return


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, *args):
        """The proxy may hang up on an agent like this."""


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(sys.argv[1], Handler).serve_forever()
