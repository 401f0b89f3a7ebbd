#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sallyport, nginx and HAProxy side by side: requests/s, latency and, what counts on a noisy
machine, CPU microseconds per request of the proxy's own processes (utime + stime).

    run.py [--seconds N] [--connections N] [--rounds N] [plain] [tls] [jwt] [hosts]

All three get one worker on core 0; the load (wrk) and the origin (nginx, 2 bytes) share core 1.
Rounds alternate between the contenders; the best of the rounds is shown. Everything is on
127.0.0.1 and ends with the run.
"""
import argparse
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
TICK = os.sysconf("SC_CLK_TCK")
CASES = ("plain", "tls", "jwt", "hosts")
HOSTS = (10, 10000)     # virtual hosts with 10 routes each, for the case `hosts`


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    return path


def await_port(port, process):
    for _ in range(400):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.025)
    sys.exit(f"{process.args[-1]} does not listen on port {port}")


def start(core, *command, log=None):
    return subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log or subprocess.DEVNULL,
                            stderr=subprocess.STDOUT, cwd=TOP)


def children_of(pid):
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            for child in f.read().split():
                found += children_of(int(child))
    return found


def cpu_seconds(pid):
    """Of the process and all its children that live, all threads."""
    total = 0
    for p in children_of(pid):
        with open(f"/proc/{p}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_kib(pid):
    total = 0
    for p in children_of(pid):
        with open(f"/proc/{p}/status", encoding="ascii") as f:
            total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    return total


def nginx_conf(folder, origin, plain, tls):
    return write(folder, "nginx.conf", f"""
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; tcp_nodelay on;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; server_name bench.example.com;
        ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key;
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}""")


def origin_conf(folder, port):
    return write(folder, "origin.conf", f"""
daemon off; pid {folder}/origin.pid; error_log {folder}/origin.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 100000000; keepalive_timeout 1h;
    client_body_temp_path {folder}/o1; proxy_temp_path {folder}/o2; fastcgi_temp_path {folder}/o3;
    uwsgi_temp_path {folder}/o4; scgi_temp_path {folder}/o5;
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "ok"; }} }}
}}""")


def haproxy_conf(folder, origin, plain, tls, jwt):
    return write(folder, "haproxy.cfg", f"""
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option forwardfor
    unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt%pid
    unique-id-header x-request-id
frontend plain
    bind 127.0.0.1:{plain}
    http-request set-header x-forwarded-proto http
    default_backend origin
frontend tls
    bind 127.0.0.1:{tls} ssl crt {folder}/both.pem
    http-request set-header x-forwarded-proto https
    default_backend origin
frontend jwt
    bind 127.0.0.1:{jwt}
    http-request set-header x-forwarded-proto http
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request deny unless {{ var(txn.alg) -m str RS256 }}
    http-request deny unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str https://issuer.example.com }}
    http-request deny unless {{ var(txn.bearer),jwt_verify(txn.alg,"{folder}/issuer.pub.pem") -m int 1 }}
    default_backend origin
backend origin
    http-reuse always
    server o1 127.0.0.1:{origin}
""")


def sallyport_conf(folder, origin, plain, tls, jwt):
    jwks = json.dumps(json.load(open(os.path.join(folder, "issuer.jwks"), encoding="ascii")))
    return write(folder, "sallyport.yaml", f"""
apiVersion: sallyport.io/v1
kind: Proxy
metadata: {{name: edge, namespace: istio-system}}
spec:
  workers: 1
  ports: {{80: {plain}, 443: {tls}, 81: {jwt}}}
  secrets: {{directory: {folder}/secrets}}
  admin: {{socket: {folder}/admin.sock}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: istio-system}}
spec:
  servers:
  - {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [bench.example.com]}}
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: ["*"]    # wrk names the address as server
    tls: {{mode: SIMPLE, serverCertificate: {folder}/tls.crt, privateKey: {folder}/tls.key}}
  - {{port: {{number: 81, name: jwt, protocol: HTTP}}, hosts: [jwt.example.com]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: bench, namespace: default}}
spec:
  hosts: [bench.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{{destination: {{host: origin.default.svc.cluster.local}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: jwt, namespace: default}}
spec:
  hosts: [jwt.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{{destination: {{host: guarded.default.svc.cluster.local}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: origin, namespace: default}}
spec:
  hosts: [origin.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {origin}}}]
  endpoints: [{{address: 127.0.0.1, labels: {{app: open}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: guarded, namespace: default}}
spec:
  hosts: [guarded.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {origin}}}]
  endpoints: [{{address: 127.0.0.1, labels: {{app: guarded}}}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: guarded, namespace: default}}
spec:
  selector: {{matchLabels: {{app: guarded}}}}
  jwtRules:
  - issuer: https://issuer.example.com
    forwardOriginalToken: true
    jwks: '{jwks}'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: guarded, namespace: default}}
spec:
  selector: {{matchLabels: {{app: guarded}}}}
  rules:
  - from: [{{source: {{requestPrincipals: ["https://issuer.example.com/*"]}}}}]
""")


def hosts_conf(folder, origin, port, count):
    """`count` hosts of 10 routes, one VirtualService each."""
    documents = [f"""
apiVersion: sallyport.io/v1
kind: Proxy
metadata: {{name: edge, namespace: istio-system}}
spec:
  workers: 1
  ports: {{80: {port}}}
  admin: {{socket: {folder}/hosts.sock}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: istio-system}}
spec:
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["*"]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: origin, namespace: default}}
spec:
  hosts: [origin.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {origin}}}]
  endpoints: [{{address: 127.0.0.1}}]
"""]
    for i in range(count):
        routes = "".join(f"""
  - match: [{{uri: {{prefix: /p{n}/}}}}]
    route: [{{destination: {{host: origin.default.svc.cluster.local}}}}]""" for n in range(10))
        documents.append(f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: h{i}, namespace: default}}
spec:
  hosts: [h{i}.example.com]
  gateways: [istio-system/edge]
  http:{routes}
""")
    return write(folder, f"hosts-{count}.yaml", "---".join(documents))


def hosts_script(folder, count):
    return write(folder, f"hosts-{count}.lua", f"""
math.randomseed(1)
request = function()
    wrk.headers["Host"] = "h" .. math.random(0, {count - 1}) .. ".example.com"
    return wrk.format("GET", "/p" .. math.random(0, 9) .. "/x")
end
""")


def hosts_case(folder, args, origin, running):
    """Cost of a request at few and at many hosts: random hosts and routes."""
    print(f"\n{'hosts x 10':>12} {'load s':>7} {'RSS MiB':>8} {'requests/s':>11} {'CPU us/request':>15}")
    best, loaded = {}, {}
    for count in HOSTS:
        port, = free_ports(1)
        name = f"{folder}/hosts-{count}.log"
        process = start(0, f"{BUILD}/sallyport", "-f", hosts_conf(folder, origin, port, count), log=open(name, "wb"))
        running.append(process)
        began = time.monotonic()
        while "proxy\tready: " not in open(name, encoding="utf-8").read():
            if process.poll() is not None or time.monotonic() - began > 120:
                sys.exit(f"{count} hosts: not ready")
            time.sleep(0.01)
        loaded[count] = (process, port, time.monotonic() - began, resident_kib(process.pid) / 1024)
    for _ in range(args.rounds):
        for count, (process, port, _, _) in loaded.items():
            url, script = f"http://127.0.0.1:{port}/", hosts_script(folder, count)
            load(url, 1, args.connections, script=script)
            before = cpu_seconds(process.pid)
            result = load(url, args.seconds, args.connections, script=script)
            result["cpu"] = (cpu_seconds(process.pid) - before) * 1e6 / max(result["requests"], 1)
            if result["errors"] or result["broken"]:
                sys.exit(f"{count} hosts: {result['errors']} bad answers {result['broken']}")
            if count not in best or result["cpu"] < best[count]["cpu"]:
                best[count] = result
    for count, (_, _, seconds, mib) in loaded.items():
        print(f"{count:12} {seconds:7.2f} {mib:8.1f} {best[count]['rate']:11.0f} {best[count]['cpu']:15.2f}")
    print(f"{HOSTS[1]} hosts cost {best[HOSTS[1]]['cpu'] / best[HOSTS[0]]['cpu']:.3f} x {HOSTS[0]} hosts")


def load(url, seconds, connections, headers=(), script=None):
    """One wrk run: requests, requests/s, p50 and p99 in microseconds, errors."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    if script:
        command += ["-s", script]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scale = {"us": 1, "ms": 1000, "s": 1000000}

    def span(label):
        value, unit = re.search(rf"{label}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * scale[unit]
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: .*", out)
    return {"requests": int(re.search(r"(\d+) requests in", out).group(1)),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            "p50": span("50"), "p99": span("99"), "errors": int(errors.group(1)) if errors else 0,
            "broken": broken.group(0) if broken else ""}


def measure(pid, url, args, headers):
    load(url, 1, args.connections, headers)     # warm: connections, caches, branch predictors
    before = cpu_seconds(pid)
    result = load(url, args.seconds, args.connections, headers)
    result["cpu"] = (cpu_seconds(pid) - before) * 1e6 / max(result["requests"], 1)
    if result["errors"] or result["broken"]:
        sys.exit(f"{url}: {result['errors']} bad answers {result['broken']}")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("cases", nargs="*", default=[])
    args = parser.parse_args()
    cases = args.cases or CASES
    folder = tempfile.mkdtemp(prefix="sallyport-bench-")
    os.chmod(folder, 0o755)
    running = []
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=bench.example.com", "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt",
                        "-addext", "subjectAltName=DNS:bench.example.com"], check=True, capture_output=True)
        with open(f"{folder}/both.pem", "wb") as both:
            for name in ("tls.crt", "tls.key"):
                both.write(open(f"{folder}/{name}", "rb").read())
        os.chmod(f"{folder}/tls.key", 0o640)
        subprocess.run([f"{BUILD}/tools/jwt_tool", "keygen", "RS256", f"{folder}/issuer"], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", f"{folder}/issuer.pem", "-pubout", "-out",
                        f"{folder}/issuer.pub.pem"], check=True)
        keys = json.load(open(f"{folder}/issuer.jwks", encoding="ascii"))["keys"]
        token = subprocess.run(
            [f"{BUILD}/tools/jwt_tool", "mint", "--key", f"{folder}/issuer.pem", "--alg", "RS256", "--kid",
             keys[0]["kid"], "--claims", json.dumps({"iss": "https://issuer.example.com", "sub": "bench",
                                                     "exp": int(time.time()) + 7200})],
            check=True, capture_output=True, text=True).stdout.strip()

        origin, n1, n2, h1, h2, h3, s1, s2, s3 = free_ports(9)
        log = open(f"{folder}/sallyport.log", "w", encoding="ascii")
        origin_process = start(1, "nginx", "-c", origin_conf(folder, origin))
        running.append(origin_process)
        nginx = start(0, "nginx", "-c", nginx_conf(folder, origin, n1, n2))
        haproxy = start(0, "haproxy", "-f", haproxy_conf(folder, origin, h1, h2, h3))
        sallyport = start(0, f"{BUILD}/sallyport", "-f", sallyport_conf(folder, origin, s1, s2, s3), log=log)
        running += [nginx, haproxy, sallyport]
        for port, process in ((origin, origin_process), (n1, nginx), (h1, haproxy), (s1, sallyport)):
            await_port(port, process)
        for _ in range(400):
            if "proxy\tready: " in open(f"{folder}/sallyport.log", encoding="utf-8").read():
                break
            time.sleep(0.025)

        host, bearer = "Host: bench.example.com", f"Authorization: Bearer {token}"
        plan = {
            "plain": [("nginx", nginx, f"http://127.0.0.1:{n1}/", (host,)),
                      ("haproxy", haproxy, f"http://127.0.0.1:{h1}/", (host,)),
                      ("sallyport", sallyport, f"http://127.0.0.1:{s1}/", (host,))],
            "tls": [("nginx", nginx, f"https://127.0.0.1:{n2}/", (host,)),
                    ("haproxy", haproxy, f"https://127.0.0.1:{h2}/", (host,)),
                    ("sallyport", sallyport, f"https://127.0.0.1:{s2}/", (host,))],
            "jwt": [("haproxy", haproxy, f"http://127.0.0.1:{h3}/", ("Host: jwt.example.com", bearer)),
                    ("sallyport", sallyport, f"http://127.0.0.1:{s3}/", ("Host: jwt.example.com", bearer))],
        }
        print(f"HTTP/1.1 keep-alive, {args.connections} connections, {args.seconds} s, best of {args.rounds} rounds; "
              f"one worker each on core 0, load and origin on core 1\n")
        print(f"{'case':7} {'proxy':10} {'requests/s':>11} {'p50 us':>8} {'p99 us':>8} {'CPU us/request':>15}  relative")
        for case in (c for c in cases if c != "hosts"):
            best = {}
            for _ in range(args.rounds):
                for name, process, url, headers in plan[case]:
                    result = measure(process.pid, url, args, headers)
                    if name not in best or result["cpu"] < best[name]["cpu"]:
                        best[name] = result
            ours = best["sallyport"]["cpu"]
            for name, result in best.items():
                relative = "" if name == "sallyport" else f"ours is {ours / result['cpu']:.2f} x"
                print(f"{case:7} {name:10} {result['rate']:11.0f} {result['p50']:8.0f} {result['p99']:8.0f} "
                      f"{result['cpu']:15.2f}  {relative}")
        if "hosts" in cases:
            hosts_case(folder, args, origin, running)
        parts = {p: open(f"/proc/{p}/comm", encoding="ascii").read().strip() for p in children_of(sallyport.pid)}
        print(f"\nresident KiB: nginx {resident_kib(nginx.pid)}, haproxy {resident_kib(haproxy.pid)}, "
              f"sallyport {resident_kib(sallyport.pid)} ({', '.join(parts.values())})")
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


main()
