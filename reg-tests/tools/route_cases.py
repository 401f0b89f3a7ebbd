#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routing, told as a table: documents, the requests that they are about, and what becomes of each.

    route_cases.py --build DIR --top DIR --tmp DIR --ip ADDRESS [--only TEXT] FILE.cases ...

For each file one proxy is started with all of its documents. Each case is asked over HTTP/1.1 and over
HTTP/2, and what came back, what the upstream saw and what the access log says is compared. A file is read
from top to bottom:

    %% include FILE             documents of another file, relative to this one, loaded as they are
    %% documents                what follows is YAML, up to the next line with %%; @name@ is the port of an
                                upstream of that name, which is there because it is named; @closed@ a port
                                that nobody listens on; @http@, @https@, @alt@ the ports that stand for 80,
                                443, 8080; @tmp@, @ip@, @top@ as in lib.sh. They may stand in cases, too
    %% certificate NAME HOST …  a self-signed one for these hosts as the secret istio-system/NAME
    %% key NAME                 an issuer's: @jwks-NAME@ are its public keys
    %% token NAME KEY CLAIMS    @token-NAME@ is signed with that key; CLAIMS are members of a JSON object
    %% varying NAME …           fields of which explain cannot know the value: points of time, ports of clients
    %% notes TEXT               the proxy says this while it loads (a part of a line of its log)
    %% cases                    what follows are cases

A case is one line, and what more there is to say in lines behind it:

    METHOD URL [name: value; …] => STATUS WHO ROUTE [FLAGS DETAILS]

    URL         `host/path` is plain, `https://host/path` TLS with that host as its server name. The port in
                it is that of the Host field; connections go to 80 or 443, `on PORT` behind it says another,
                `sni NAME` another server name. `host target` with a blank: any target.
    WHO         the upstream that got the request, `-`: the proxy answered; `a|b`: one of them
    ROUTE       its name, `-`: it has none, or there is no route
    FLAGS …     of the access log; flags `-`: none
    + FIELD     one more field of the request, as it is
    & TEXT      its body
    ^ STATUS [name: value; …]
                what the upstream answers with, if not 200
    < FIELD     the response has this field; `< -NAME`: has no such field; `< body: TEXT`; `< NAME ~ REGEX`;
                `< NAME * N`: has so many of them
    > FIELD     so does the request that the upstream saw; `> METHOD TARGET` is its first line. Target and
                Host have to be those of the request where nothing is said here.
    % NAME      this upstream gets a copy; `% NAME FIELD`: which has the field
    * N WHO LEAST-MOST …
                N requests alike, of which so many percent get there
    ! http/1    this version alone (http/2)
    ! silent    explain is not asked, for a reason that stands behind

Strings are Python's in their escapes. A `#` begins a comment; the last one is shown with a case that fails."""
import argparse
import concurrent.futures
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PATIENCE = float(os.environ.get("PATIENCE", 30))        # seconds; sanitizers are slow
DESK_EACH = 20         # questions of which one is also asked at the desk, which reads all documents for it
FRONTS = {"http": 80, "https": 443, "alt": 8080}        # their ports as documents write them


class Failure(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failure(text)


def unescaped(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def field_of(text):
    name, colon, value = text.partition(":" if not text.startswith(":") else "::")
    check(colon, f"{text!r} is no field")
    return name.strip(), unescaped(value.strip())


def fields_of(text):
    return [field_of(part) for part in text.split(";") if part.strip()]


# ---- cases ----

LINE = re.compile(r"""(?P<method>\S+)\ (?P<url>\S+?)(?:\ (?P<target>[^\s\[=]\S*))??
                      (?:\ on\ (?P<port>\d+))?(?:\ sni\ (?P<sni>\S+))?
                      (?:\ \[(?P<fields>.*?)\])?\ =>\ (?P<status>\d+)\ (?P<who>\S+)\ (?P<route>\S+)
                      (?:\ (?P<flags>\S+)\ (?P<details>\S+))?$""", re.VERBOSE)


class Case:
    """One request and what is expected of it."""

    def __init__(self, line, where, title):
        found = LINE.match(line)
        if not found:
            sys.exit(f"{where}: cannot read {line!r}")
        self.line, self.where, self.title = line, where, title
        self.method, self.target = found["method"], found["target"]
        self.tls = found["url"].startswith("https://")
        self.authority, slash, path = found["url"].removeprefix("https://").partition("/")
        if self.target is None:
            self.target = slash + path or "/"
        self.target = unescaped(self.target)
        self.port = int(found["port"] or (443 if self.tls else 80))
        self.sni = found["sni"] or self.authority.rpartition(":")[0] or self.authority
        self.fields = fields_of(found["fields"] or "")
        self.status = int(found["status"])
        self.who = [] if found["who"] == "-" else found["who"].split("|")
        self.route = "" if found["route"] == "-" else found["route"]
        self.flags, self.details = found["flags"], found["details"]
        self.body, self.answer = None, (200, [])
        self.response, self.seen, self.draws, self.versions = [], [], None, ("http/1", "http/2")
        self.copies, self.copied = [], []
        self.silent = False

    def add(self, line):
        kind, text = line[0], line[2:].strip()
        if kind == "+":
            self.fields.append(field_of(text))
        elif kind == "&":
            self.body = unescaped(text).encode("latin-1")
        elif kind == "^":
            status, _, fields = text.partition(" ")
            self.answer = (int(status), fields_of(fields.strip("[]")))
        elif kind == "<":
            self.response.append(text)
        elif kind == ">":
            self.seen.append(text)
        elif kind == "%":
            name, _, field = text.partition(" ")
            self.copies += [name] if name not in self.copies else []
            self.copied += [(name, field)] if field else []
        elif kind == "*":
            words = text.split()
            shares = dict(zip(words[1::2], words[2::2]))
            self.draws = int(words[0]), {w: tuple(map(int, s.split("-"))) for w, s in shares.items()}
        elif kind == "!" and text.startswith("http/"):
            self.versions = (text,)
        elif kind == "!" and text.startswith("silent"):
            self.silent = True
        else:
            sys.exit(f"{self.where}: what is {line!r}?")

    def name(self):
        return f"{self.where}: {self.title}: {self.line}" if self.title else f"{self.where}: {self.line}"


class Suite:
    """A file of cases: its documents, and what is to be there for them."""

    def __init__(self, path):
        self.path, self.folder = path, os.path.dirname(path)
        self.name = os.path.basename(path).removesuffix(".cases")
        self.documents, self.included, self.certificates, self.notes, self.lines = [], [], [], [], []
        self.varying, self.keys, self.tokens = set(), [], []
        self.documents_wanted = False
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                line = line.rstrip()
                if line.startswith("%% "):
                    self.command(line[3:], number)
                elif self.documents_wanted:
                    self.documents[-1] += line + "\n"
                elif line:
                    self.lines.append((number, line))

    def cases(self, fill):
        cases, title = [], ""
        for number, line in self.lines:
            if line.startswith("#"):
                title = line.lstrip("# ")
            elif line[0] in "+&^<>%*!":
                cases[-1].add(fill(line))
            else:
                cases.append(Case(fill(line), f"{self.name}:{number}", title))
        return cases

    def command(self, text, number):
        word, _, rest = text.partition(" ")
        self.documents_wanted = word == "documents"
        if word == "documents":
            # As many empty lines as stand before: what is said about a line says its number here.
            self.documents.append("\n" * (number - sum(d.count("\n") for d in self.documents) - 1) + "---\n")
        elif word == "include":
            self.included.append(os.path.join(self.folder, rest))
        elif word == "certificate":
            self.certificates.append(rest.split())
        elif word == "key":
            self.keys.append(rest)
        elif word == "token":
            self.tokens.append(rest.split(" ", 2))
        elif word == "varying":
            self.varying.update(rest.split())
        elif word == "notes":
            self.notes.append(rest)
        elif word != "cases":
            sys.exit(f"{self.path}:{number}: what is {text!r}?")


# ---- upstreams ----

def read_body(stream, fields):
    """Of a message of HTTP/1.1."""
    if fields.get("transfer-encoding") != "chunked":
        return stream.read(int(fields.get("content-length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size + 2)[:-2]
    stream.readline()
    return body


class Upstreams:
    """Servers of HTTP/1.1 by name. One case at a time says what they answer with, and reads what they saw."""

    def __init__(self, ip):
        self.ip, self.ports, self.lock = ip, {}, threading.Condition()
        self.answer, self.seen = (200, []), []
        refusing = socket.socket()
        refusing.bind((ip, 0))                          # bound, and never listened on
        self.refusing = refusing
        self.ports["closed"] = refusing.getsockname()[1]

    def port(self, name):
        if name not in self.ports:
            listening = socket.socket()
            listening.bind((self.ip, 0))
            listening.listen(1024)
            self.ports[name] = listening.getsockname()[1]
            threading.Thread(target=self.accept, args=(name, listening), daemon=True).start()
        return self.ports[name]

    def accept(self, name, listening):
        while True:
            peer, _ = listening.accept()
            threading.Thread(target=self.serve, args=(name, peer), daemon=True).start()

    def serve(self, name, peer):
        stream = peer.makefile("rb")
        try:
            while line := stream.readline().strip():
                method, target, _ = line.decode("latin-1").split(" ")
                fields = []
                while field := stream.readline().strip():
                    key, _, value = field.decode("latin-1").partition(":")
                    fields.append((key.lower(), value.strip()))
                read_body(stream, dict(fields))
                with self.lock:
                    self.seen.append((name, method, target, fields))
                    status, extra = self.answer
                    self.lock.notify_all()
                body = b"" if method == "HEAD" or status in (204, 304) else name.encode()
                head = f"HTTP/1.1 {status} Said\r\n" + "".join(f"{k}: {v}\r\n" for k, v in extra)
                if status not in (204, 304):
                    head += f"content-length: {len(name)}\r\n"
                peer.sendall(head.encode("latin-1") + b"\r\n" + body)
        except (OSError, ValueError):
            pass
        peer.close()

    def saw(self, count):
        """What has come, the requests before the copies; copies take their time."""
        with self.lock:
            self.lock.wait_for(lambda: len(self.seen) >= count, PATIENCE if count > 1 else 0)
            return list(self.seen)

    def expect(self, answer):
        with self.lock:
            self.answer, self.seen = answer, []


# ---- clients ----

class Http1:
    """A connection that is kept; `ask` returns status, fields and body."""

    def __init__(self, address, server_name):
        self.socket = connect(address, server_name, ["http/1.1"])
        self.stream = self.socket.makefile("rb")

    def ask(self, case):
        fields = "".join(f"{k}: {v}\r\n" for k, v in case.fields)
        if case.body is not None:
            fields += f"content-length: {len(case.body)}\r\n"
        self.socket.sendall(f"{case.method} {case.target} HTTP/1.1\r\nhost: {case.authority}\r\n{fields}\r\n"
                            .encode("latin-1") + (case.body or b""))
        line = self.stream.readline()
        check(line, "the connection ends without a response")
        status, fields = int(line.split()[1]), []
        while field := self.stream.readline().strip():
            key, _, value = field.decode("latin-1").partition(":")
            fields.append((key.lower(), value.strip()))
        named = dict(fields)
        bodiless = case.method == "HEAD" or status in (204, 304)
        body = b"" if bodiless else read_body(self.stream, named)
        self.open = named.get("connection") != "close"
        return status, fields, body


class Http2:
    """The same over HTTP/2: one stream after the other."""

    def __init__(self, address, server_name):
        self.socket = connect(address, server_name, ["h2"])
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding="latin-1", validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=True))
        self.h2.initiate_connection()
        self.open = True

    def ask(self, case):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", case.method)]
        if case.method != "CONNECT":
            head += [(":scheme", "https" if case.tls else "http"), (":path", case.target)]
        head += [(":authority", case.authority)] + [(k.lower(), v) for k, v in case.fields]
        head = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in head]
        self.h2.send_headers(stream, head, end_stream=case.body is None)
        if case.body is not None:
            self.h2.send_data(stream, case.body, end_stream=True)
        status, fields, body = None, [], b""
        while True:
            self.socket.sendall(self.h2.data_to_send())
            data = self.socket.recv(65536)
            check(data, "the connection ends without a response")
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                    fields = [(k, v) for k, v in event.headers if not k.startswith(":")]
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    raise Failure(f"the stream was reset: {event.error_code}")
                elif isinstance(event, h2.events.ConnectionTerminated):
                    raise Failure(f"the connection was ended: {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded) and event.stream_id == stream:
                    self.socket.sendall(self.h2.data_to_send())
                    return status, fields, body


def connect(address, server_name, alpn):
    plain = socket.create_connection(address, PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if server_name is None:
        return plain
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(alpn)
    return context.wrap_socket(plain, server_hostname=server_name)


CLIENTS = {"http/1": Http1, "http/2": Http2}


# ---- the proxy ----

class Proxy:
    """The one that serves a suite; in a folder of its own."""

    def __init__(self, suite, options):
        self.suite, self.options = suite, options
        self.folder = os.path.join(options.tmp, suite.name)
        self.conf = os.path.join(self.folder, "conf")
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.conf)
        self.upstreams = Upstreams(options.ip)
        self.fronts = {name: free_port() for name in FRONTS}
        self.log_path = os.path.join(self.folder, "access.log")
        self.connections, self.tokens = {}, {}
        self.make_tokens()
        self.write_documents()
        self.write_certificates()
        self.start()

    def fill(self, text):
        known = {"tmp": self.folder, "ip": self.options.ip, "top": self.options.top, **self.fronts, **self.tokens}

        def value(found):
            return str(known.get(found[1]) or self.upstreams.port(found[1]))
        return re.sub(r"@([a-z0-9-]+)@", value, text)

    def write_documents(self):
        with open(os.path.join(self.conf, self.suite.name + ".cases.yaml"), "w", encoding="utf-8") as out:
            out.write(self.fill("".join(self.suite.documents)))
        for path in self.suite.included:
            with open(path, encoding="utf-8") as source, \
                    open(os.path.join(self.conf, os.path.basename(path)), "w", encoding="utf-8") as out:
                out.write(self.fill(source.read()))

    def make_tokens(self):
        def jwt_tool(*words):
            return subprocess.run([self.options.build + "/tools/jwt_tool", *words], check=True, cwd=self.folder,
                                  stdout=subprocess.PIPE, encoding="ascii").stdout.strip()
        for key in self.suite.keys:
            jwt_tool("keygen", "RS256", key)
            self.tokens["jwks-" + key] = jwt_tool("jwks", key + ".jwk")
        for name, key, claims in self.suite.tokens:
            self.tokens["token-" + name] = jwt_tool("mint", "--key", key + ".pem", "--alg", "RS256", "--kid", key,
                                                    "--claims", "{" + claims + "}")

    def write_certificates(self):
        for name, *hosts in self.suite.certificates:
            folder = os.path.join(self.folder, "secrets/istio-system", name)
            os.makedirs(folder)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", folder + "/tls.key",
                            "-addext", "subjectAltName=" + ",".join("DNS:" + h for h in hosts),
                            "-out", folder + "/tls.crt"], check=True, stderr=subprocess.DEVNULL)
            os.chmod(folder + "/tls.key", 0o600)

    def said(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def start(self):
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen([self.options.build + "/sallyport", "-f", self.conf], stderr=log,
                                            stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not re.search(r"proxy.ready: ", self.said()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.suite.name}: never ready:\n{self.said()}")
            time.sleep(0.01)

    def front(self, number):
        """What is bound for this port of the documents."""
        return self.fronts[next(name for name, port in FRONTS.items() if port == number)]

    def connection(self, case, version):
        key = (version, case.port, case.sni if case.tls else None)
        found = self.connections.get(key)
        if found is None or not found.open:
            found = CLIENTS[version]((self.options.ip, self.front(case.port)), key[2])
            self.connections[key] = found
        return key, found

    def ask(self, case, version):
        key, connection = self.connection(case, version)
        try:
            return connection.ask(case)
        except (Failure, OSError, ValueError):
            del self.connections[key]
            raise

    def log_lines(self, count):
        """The access log once it has so many lines."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with open(self.log_path, encoding="utf-8", errors="replace") as log:
                    lines = log.read().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= count or time.monotonic() > deadline:
                return [json.loads(line) for line in lines]
            time.sleep(0.02)

    def stop(self):
        for connection in self.connections.values():
            connection.socket.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "no end"
        return [] if status == 0 else [f"{self.suite.name}: the proxy ends with {status}:\n{self.said()[-4000:]}"]


GIVEN, GIVING = set(), threading.Lock()


def free_port():
    """Below those that the kernel gives to clients, free on every address, and given to no other suite."""
    with GIVING:
        while True:
            port = random.SystemRandom().randrange(10000, 32000)
            with socket.socket(socket.AF_INET6) as s:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                try:
                    s.bind(("::", port))
                except OSError:
                    continue
            if port not in GIVEN:
                GIVEN.add(port)
                return port


# ---- explain ----

def question(case, version, proxy):
    """The words that ask `sallyctl explain` for this case."""
    scheme, front = ("https" if case.tls else "http"), proxy.front(case.port)
    words = ["--connect-to", f"{proxy.options.ip}:{front}", "--client-ip", "127.0.0.1", "-X", case.method]
    if case.tls:
        words += ["--sni", case.sni]
    if version == "http/2":
        words.append("--http2")
    if case.body is not None:
        words += ["--body-bytes", str(len(case.body))]
    for name, value in [("host", case.authority)] + case.fields:
        words += ["-H", f"{name}: {value}"]
    return words + [f"{scheme}://h:{case.port}{case.target}"]


def ask_live(words, proxy):
    """What serves, over its admin socket."""
    line = " ".join(re.sub(r"([^A-Za-z0-9])", r"\\\1", word) or '""' for word in words)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(proxy.folder + "/admin.sock")
        s.sendall(f"explain {line} json\n".encode("latin-1"))
        answer = b""
        while got := s.recv(65536):
            answer += got
    return json.loads(answer)


def ask_desk(words, proxy):
    """The documents, without a proxy."""
    found = subprocess.run([proxy.options.build + "/sallyctl", "explain", "-f", proxy.conf, "-o", "json"] +
                           [word.encode("latin-1") for word in words], capture_output=True, check=False)
    check(found.returncode == 0, f"exit {found.returncode}: {found.stderr.decode()}")
    return json.loads(found.stdout)


# What a codec adds for its version, what only a connection knows, the proxy's own address, and the time left.
NOT_TOLD = {"content-length", "transfer-encoding", "date", "host", "x-request-id", "x-forwarded-for", "grpc-timeout",
            "x-envoy-expected-rq-timeout-ms"}


def told_fields(suite, fields):
    return sorted([k.lower(), v] for k, v in fields if k.lower() not in NOT_TOLD and k.lower() not in suite.varying)


def same(what, told, real):
    check(told == real, f"it tells {what} {told!r}, and it was {real!r}")


def compare_answer(suite, case, told, real):
    """A reply of ours, to the letter."""
    status, fields, body = real
    response = told["response"] or {"status": None, "headers": [], "body": None}
    same("status", told["status"], status)
    same("location", told["location"], dict(fields).get("location"))
    same("fields", told_fields(suite, response["headers"]), told_fields(suite, fields))
    if case.method != "HEAD":
        same("body", response["body"] or "", body.decode("latin-1"))


def compare_upstream(suite, told, seen, cluster):
    who, method, target, fields = seen
    request = next((d["upstream"] for d in told["destinations"] if d["cluster"] == cluster), None)
    check(request is not None, f"it tells nothing of {cluster}, where {who} is")
    same("method", request["method"], method)
    same("path", request["path"], target)
    same("authority", request["authority"], dict(fields)["host"])
    same("fields", told_fields(suite, request["headers"]), told_fields(suite, fields))


def compare(suite, case, told, real, seen, line):
    """What explain tells of a case, and what came of it."""
    reached = line["upstream_host"] is not None
    same("route", (told["route"] or {}).get("name") or "", line["route_name"] or "")
    if reached:
        same("outcome", told["outcome"], "forwarded")
        if seen:
            compare_upstream(suite, told, seen[0], line["upstream_cluster"])
        return
    same("details", told["details"], line["response_code_details"])
    same("flags", told["flags"] or "-", line["response_flags"] or "-")
    compare_answer(suite, case, told, real)


# ---- what is compared ----

def check_fields(wanted, fields, whose):
    """Lines of the kinds `name: value`, `-name`, `name ~ regex` and `name * count`."""
    def values(name):
        return [v for k, v in fields if k == name.lower()]
    if wanted.startswith("-"):
        check(not values(wanted[1:]), f"{whose} has {wanted[1:]}: {values(wanted[1:])}")
    elif found := re.match(r"([!-9;-~]+) ~ (.*)$", wanted):
        check(any(re.fullmatch(found[2], v) for v in values(found[1])),
              f"{whose} has no {wanted}, but {values(found[1])}")
    elif found := re.match(r"([!-9;-~]+) \* (\d+)$", wanted):
        check(len(values(found[1])) == int(found[2]), f"{whose} has {found[1]}: {values(found[1])}")
    else:
        name, value = field_of(wanted)
        check(value in values(name), f"{whose} has {name}: {values(name)}, wanted {value!r}")


def check_response(case, status, fields, body):
    check(status == case.status, f"status {status}")
    for wanted in case.response:
        if wanted.startswith("body:"):
            found = body.decode("latin-1")
            check(found == unescaped(wanted[5:].strip()), f"body {found!r}")
        else:
            check_fields(wanted, fields, "the response")


def is_first_line(wanted):
    return re.match(r"[A-Z]+ [/*]", wanted)


def check_seen(case, seen):
    """The upstream saw what is written, and else what was sent."""
    if not case.who:
        check(not seen, f"an upstream saw {seen}")
        return
    check(sorted(request[0] for request in seen[1:]) == sorted(case.copies), f"the upstreams saw {seen}")
    for name, field in case.copied:
        check_fields(field, next(request[3] for request in seen if request[0] == name), name)
    who, method, target, fields = seen[0]
    check(who in case.who, f"it went to {who}")
    line = next(filter(is_first_line, case.seen), f"{case.method} {case.target}")
    check(f"{method} {target}" == line, f"{who} saw {method} {target}")
    if not any(w.lower().startswith("host") for w in case.seen):
        check_fields(f"host: {case.authority}", fields, who)
    for wanted in case.seen:
        if not is_first_line(wanted):
            check_fields(wanted, fields, who)


def check_log(case, line):
    check(line["response_code"] == case.status, f"the log has {line['response_code']}")
    check((line["route_name"] or "") == case.route, f"the log has route {line['route_name']!r}")
    if case.details is not None:
        flags, details = line["response_flags"] or "-", line["response_code_details"]
        check(flags == case.flags and details == case.details, f"the log has {flags} {details}")


class Run:
    """Asks all cases of one suite, then compares the log, line by line in the same order, and what explain
    tells of each case with what came of it."""

    def __init__(self, proxy):
        self.proxy, self.asked, self.failures, self.explained = proxy, [], [], 0

    def fail(self, case, version, why):
        self.failures.append(f"{case.name()}\n\t{version}: {str(why) or repr(why)}")

    def once(self, case, version):
        upstreams = self.proxy.upstreams
        upstreams.expect(case.answer)
        got, seen = None, []
        try:
            got = self.proxy.ask(case, version)
            seen = upstreams.saw(len(case.copies) + len(case.who[:1]))
            seen.sort(key=lambda request: request[0] not in case.who)
        finally:
            self.asked.append((case, version, got, seen))
        check_response(case, *got)
        check_seen(case, seen)
        return seen[0][0] if seen else "-"

    def case(self, case, version):
        try:
            if case.draws is None:
                self.once(case, version)
                return
            times, shares = case.draws
            got = [self.once(case, version) for _ in range(times)]
            for who, (least, most) in shares.items():
                percent = got.count(who) * 100 / times
                check(least <= percent <= most, f"{who} got {percent} % of {times}")
        except (Failure, OSError, ValueError, h2.exceptions.H2Error) as why:
            self.fail(case, version, why)

    def log(self):
        lines = self.proxy.log_lines(len(self.asked))
        if len(lines) != len(self.asked):
            self.failures.append(f"{self.proxy.suite.name}: the log has {len(lines)} lines for {len(self.asked)}")
        for (case, version, got, seen), line in zip(self.asked, lines):
            try:
                check_log(case, line)
            except Failure as why:
                self.fail(case, version, why)
            if got is not None and not case.silent:
                self.explain(case, version, got, seen, line)

    def explain(self, case, version, got, seen, line):
        words = question(case, version, self.proxy)
        ways = {"explain": ask_live}
        if self.explained % DESK_EACH == 0:
            ways["explain at the desk"] = ask_desk
        self.explained += 1
        for way, ask in ways.items():
            try:
                compare(self.proxy.suite, case, ask(words, self.proxy), got, seen, line)
            except (Failure, OSError, ValueError, LookupError) as why:
                self.fail(case, f"{version}, {way}", repr(why) if isinstance(why, LookupError) else why)

    def notes(self):
        said = self.proxy.said()
        for note in self.proxy.suite.notes:
            if note not in said:
                self.failures.append(f"{self.proxy.suite.name}: the proxy does not say {note!r}:\n{said}")


def run_suite(path, options):
    suite = Suite(path)
    proxy = Proxy(suite, options)
    run = Run(proxy)
    cases = [case for case in suite.cases(proxy.fill) if options.only in case.line or options.only in case.title]
    for version in CLIENTS:
        for case in cases:
            if version in case.versions:
                run.case(case, version)
    run.log()
    run.notes()
    run.failures += proxy.stop()
    return len(cases), len(run.asked), run.failures


def main():
    options = argparse.ArgumentParser()
    options.add_argument("files", nargs="+")
    for name in ("build", "top", "tmp", "ip"):
        options.add_argument("--" + name, required=True)
    options.add_argument("--only", default="")
    options = options.parse_args()
    options.build, options.top, options.tmp = map(os.path.abspath, (options.build, options.top, options.tmp))
    cases = requests = 0
    failures = []
    # Side by side: most of the time is waiting for a log to be written and for a proxy to end.
    with concurrent.futures.ThreadPoolExecutor(len(options.files)) as pool:
        runs = [pool.submit(run_suite, path, options) for path in options.files]
        for path, result in zip(options.files, runs):
            more, asked, failed = result.result()
            cases, requests, failures = cases + more, requests + asked, failures + failed
            print(f"{os.path.basename(path)}: {more} cases in {asked} requests, {len(failed)} failures", flush=True)
    for failure in failures:
        print(failure)
    print(f"{cases} cases in {requests} requests, {len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
