# SPDX-License-Identifier: Apache-2.0
"""What the cases share: the contenders' processes, ports, certificates, CPU and memory readings, rounds, tables.

Every proxy gets one worker on core 0; load and origin share core 1. All ends with the lab, also when
interrupted, and also when the whole run is killed: each process has this one's death as its signal."""
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
PROXY_CORE, LOAD_CORE = 0, 1
READY_SECONDS = 120     # a proxy that is not ready by then never will be
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1

# The first lines of every configuration of a proxy; a case adds its own behind.
NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; pid @folder@/@name@.pid; error_log @folder@/@name@.log;
worker_processes 1; worker_rlimit_nofile 20000;
events { worker_connections 16000; }
"""
# What nginx's http block needs to run without its usual folders, and to keep connections.
NGINX_HTTP = """
    access_log off; keepalive_requests 100000000; keepalive_timeout 1h; tcp_nodelay on;
    client_body_temp_path @folder@/@name@1; proxy_temp_path @folder@/@name@2; fastcgi_temp_path @folder@/@name@3;
    uwsgi_temp_path @folder@/@name@4; scgi_temp_path @folder@/@name@5;
"""
HAPROXY = """
global
    nbthread 1
    maxconn 16000
    no strict-limits
defaults
    timeout connect 2s
    timeout client 1h
    timeout server 1h
"""
SALLYPORT = """
apiVersion: sallyport.io/v1
kind: Proxy
metadata: {name: edge, namespace: istio-system}
spec:
  workers: 1
  ports: @ports@
  secrets: {directory: @folder@/secrets}
  admin: {socket: @folder@/@name@.sock}
  http: {http2: true}
  limits: {maxConnections: 12000, maxStreamsPerConnection: 1000000000@limits@}
---
"""


class Contender:
    """One of the three, running."""

    def __init__(self, name, process, ports):
        self.name, self.process, self.ports, self.pid = name, process, ports, process.pid


def fill(text, values):
    """@word@ becomes values["word"]; a word without a value is a mistake of the case."""
    return re.sub(r"@(\w+)@", lambda m: str(values[m.group(1)]), text)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def processes_of(pid):
    """The process and all its descendants that live."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            for child in f.read().split():
                found += processes_of(int(child))
    return found


def cpu_seconds(pid, alone=False):
    """User and system time of all threads, as the scheduler counts it: with the descendants, or without."""
    total = 0
    for p in [pid] if alone else processes_of(pid):
        for task in os.listdir(f"/proc/{p}/task"):
            with open(f"/proc/{p}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def resident_kib(pid):
    total = 0
    for p in processes_of(pid):
        with open(f"/proc/{p}/status", encoding="ascii") as f:
            total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    return total


class Lab:
    """A folder and the processes of one case; use it with `with`."""

    def __init__(self, args):
        self.args, self.running = args, []
        self.folder = tempfile.mkdtemp(prefix="sallyport-bench-")

    def __enter__(self):
        os.chmod(self.folder, 0o755)
        return self

    def __exit__(self, *_):
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def start(self, core, *command, log=None, **kwargs):
        def end_with_us():
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)],
                                   stdout=kwargs.pop("stdout", log or subprocess.DEVNULL),
                                   stderr=log or subprocess.DEVNULL, cwd=TOP, preexec_fn=end_with_us, **kwargs)
        self.running.append(process)
        return process

    def await_port(self, port, process, log):
        end = time.monotonic() + READY_SECONDS
        while process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        sys.stderr.write(open(log, encoding="utf-8", errors="replace").read()[-2000:])
        sys.exit(f"{' '.join(process.args[3:])} does not listen on port {port}")

    def certificate(self, name="tls", kind="rsa"):
        """<name>.crt, <name>.key and, for HAProxy, both in <name>.pem."""
        key = {"rsa": ["rsa:2048"], "ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}[kind]
        path = os.path.join(self.folder, name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2", "-subj",
                        "/CN=bench.example.com", "-keyout", f"{path}.key", "-out", f"{path}.crt",
                        "-addext", "subjectAltName=DNS:bench.example.com"], check=True, capture_output=True)
        os.chmod(f"{path}.key", 0o640)
        self.write(f"{name}.pem", open(f"{path}.crt", encoding="ascii").read() +
                   open(f"{path}.key", encoding="ascii").read())

    def small_origin(self):
        """nginx that answers 2 bytes; its port."""
        port, = free_ports(1)
        values = {"folder": self.folder, "name": "origin", "http": NGINX_HTTP}
        conf = fill(NGINX, values) + "http {" + fill(NGINX_HTTP, values) + \
            f'server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }} }}'
        process = self.start(LOAD_CORE, "nginx", "-c", self.write("origin.conf", conf))
        self.await_port(port, process, f"{self.folder}/origin.log")
        return port

    def volume_origin(self, kind):
        """origin.c: kind is http, source or sink; its port."""
        port, = free_ports(1)
        with open(f"{self.folder}/{kind}.log", "wb") as log:
            process = self.start(LOAD_CORE, f"{BUILD}/bench/origin", kind, port, log=log)
        if kind != "source":
            self.await_port(port, process, f"{self.folder}/{kind}.log")
        else:
            time.sleep(0.1)     # a probe would be sent to
        return port

    def proxy(self, name, text, ports, label=None, **values):
        """Starts one of the three with its own free port for each (name, Gateway port) of `ports`.

        Of `text`, @name@ is the port of that name. `label` tells several of one program apart; `limits`
        is for our Proxy document."""
        own = dict(zip(ports, free_ports(len(ports))))
        label = label or name
        values = {"folder": self.folder, "name": label, "limits": "", **values, **own}
        values["ports"] = json.dumps({str(gateway): own[port] for port, gateway in ports.items()})
        values["http"] = fill(NGINX_HTTP, values)
        preamble = {"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT}[name]
        conf = self.write(f"{label}.yaml" if name == "sallyport" else f"{label}.conf", fill(preamble + text, values))
        program = {"nginx": ("nginx", "-c"), "haproxy": ("haproxy", "-f"),
                   "sallyport": (f"{BUILD}/sallyport", "-f")}[name]
        out = f"{self.folder}/{label}.out"
        with open(out, "wb") as log:
            process = self.start(PROXY_CORE, *program, conf, log=log)
        for port in own.values():
            self.await_port(port, process, out)
        return Contender(name, process, own)

    def three(self, texts, ports, **values):
        """All three, from {"nginx": text, ...}; those without a text do not take part."""
        return [self.proxy(name, text, ports, **values) for name, text in texts.items()]

    def gauge(self, *command):
        """Runs a load tool of this folder on the load's core; its JSON."""
        run = subprocess.run(["taskset", "-c", str(LOAD_CORE), f"{BUILD}/bench/{command[0]}",
                              *map(str, command[1:])], capture_output=True, text=True, check=False,
                             timeout=self.args.seconds + 60)
        if run.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def rounds(self, contenders, load, warm_up=None):
        """Rounds alternate between the contenders; {name: best result}, by CPU seconds per unit.

        load(contender) gives a dict with `units`; `cpu` (seconds per unit) is added."""
        best = {}
        for c in contenders:
            (warm_up or load)(c)
        for _ in range(self.args.rounds):
            for c in contenders:
                before = cpu_seconds(c.pid)
                result = load(c)
                result["cpu"] = (cpu_seconds(c.pid) - before) / max(result["units"], 1e-9)
                if c.name not in best or result["cpu"] < best[c.name]["cpu"]:
                    best[c.name] = result
        return best


def print_table(case, best, columns, cost, better=None):
    """One line a contender. columns: [(title, key, factor, digits)]; `cost` is the key of what we compare.

    `better` is the key of a rate that is compared too (more is better)."""
    head = "".join(f"{title:>{max(len(title), 9) + 2}}" for title, *_ in columns)
    print(f"\n{case:14} {'proxy':10}{head}  relative")
    for name, result in best.items():
        line = "".join(f"{result[key] * factor:>{max(len(title), 9) + 2}.{digits}f}"
                       for title, key, factor, digits in columns)
        relative = ""
        if name != "sallyport" and "sallyport" in best:
            relative = f"our cost is {best['sallyport'][cost] / result[cost]:.2f} x"
            if better:
                relative += f", our rate {best['sallyport'][better] / result[better]:.2f} x"
        print(f"{case:14} {name:10}{line}  {relative}")
    sys.stdout.flush()
