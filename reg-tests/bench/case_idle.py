# SPDX-License-Identifier: Apache-2.0
"""idle: resident memory per idle connection that has had one request answered; plain, TLS, HTTP/2, by idle.c."""
import json
import subprocess
import sys
import time

from case_h2 import SALLYPORT as SALLYPORT_TLS
from lab import BUILD, LOAD_CORE, Lab, resident_kib

CONNECTIONS = 10000
SETTLE_SECONDS = 2      # for what is done a while after a request: timers, freed pools
NGINX = """
http {
    @http@
    upstream origin { server 127.0.0.1:@origin@; keepalive 64; }
    server {
        listen 127.0.0.1:@plain@; listen 127.0.0.1:@tls@ ssl http2; server_name bench.example.com;
        ssl_certificate @folder@/tls.crt; ssl_certificate_key @folder@/tls.key;
        location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
"""
HAPROXY = """
    mode http
frontend edge
    bind 127.0.0.1:@plain@
    bind 127.0.0.1:@tls@ ssl crt @folder@/tls.pem alpn h2,http/1.1
    default_backend origin
backend origin
    http-reuse always
    server o1 127.0.0.1:@origin@
"""
# That of the case h2, and a plain server beside.
SALLYPORT = SALLYPORT_TLS.replace("  servers:\n", """  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [bench.example.com]}
""", 1)


def hold(contender, mode, count):
    """Opens the connections; the process that holds them."""
    port = contender.ports["plain" if mode == "plain" else "tls"]
    process = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), f"{BUILD}/bench/idle", mode, str(port), str(count)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    if not line or json.loads(line)["connections"] != count:
        process.kill()
        sys.exit(f"{contender.name}: {count} {mode} connections cannot be opened")
    return process


def bytes_per_connection(args, proxy, text, mode):
    """Of a fresh process: what it kept from a case before would not be seen."""
    with Lab(args) as lab:
        lab.certificate(kind="ecdsa")
        contender = lab.proxy(proxy, text, {"plain": 80, "tls": 443}, origin=lab.small_origin())
        first = hold(contender, mode, 64)       # what is there once, whatever the number
        before = resident_kib(contender.pid)
        with hold(contender, mode, CONNECTIONS) as holder:
            time.sleep(SETTLE_SECONDS)
            after = resident_kib(contender.pid)
            alive = json.loads(holder.communicate()[0])["alive"]
        first.communicate()
        if alive != CONNECTIONS:
            sys.exit(f"{proxy}: {CONNECTIONS - alive} of the idle {mode} connections were closed")
        return (after - before) * 1024 / CONNECTIONS


def run(_, args, __):
    print(f"\nidle: resident bytes a connection, of {CONNECTIONS}")
    print(f"{'':14} {'nginx':>9} {'haproxy':>9} {'sallyport':>10}  relative")
    for mode in ("plain", "tls", "h2"):
        texts = {"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT}
        cost = {proxy: bytes_per_connection(args, proxy, text, mode) for proxy, text in texts.items()}
        print(f"{mode:14} {cost['nginx']:9.0f} {cost['haproxy']:9.0f} {cost['sallyport']:10.0f}  "
              f"ours is {cost['sallyport'] / cost['nginx']:.2f} x nginx, "
              f"{cost['sallyport'] / cost['haproxy']:.2f} x haproxy")
        sys.stdout.flush()
