# SPDX-License-Identifier: Apache-2.0
"""The peers of routing cases (route_cases.py): upstreams that remember what they saw, clients of both versions of
HTTP, and a proxy in a folder of its own with the documents, certificates and tokens of a suite."""
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

PATIENCE = float(os.environ.get("PATIENCE", 30))        # seconds; sanitizers are slow
FRONTS = {"http": 80, "https": 443, "alt": 8080}        # their ports as documents write them


class Failure(Exception):
    """What was expected did not come."""


def check(condition, text):
    if not condition:
        raise Failure(text)


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

    def command(self, line):
        """The answer to a command of the admin socket."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(self.folder + "/admin.sock")
            s.sendall(line.encode("latin-1") + b"\n")
            answer = b""
            while got := s.recv(65536):
                answer += got
        return answer.decode("latin-1")

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
