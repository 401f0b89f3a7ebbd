# SPDX-License-Identifier: Apache-2.0
"""h2: small requests over HTTP/2 and TLS, by h2load; HTTP/1.1 upstream for all."""
import re
import subprocess
import sys

from lab import LOAD_CORE, print_table

CONNECTIONS, STREAMS = 16, 32
NGINX = """
http {
    @http@
    upstream origin { server 127.0.0.1:@origin@; keepalive 1024; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:@tls@ ssl http2; server_name bench.example.com;
        ssl_certificate @folder@/tls.crt; ssl_certificate_key @folder@/tls.key;
        location / {
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
        }
    }
}
"""
HAPROXY = """
    mode http
    option forwardfor
    unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
    unique-id-header x-request-id
frontend tls
    bind 127.0.0.1:@tls@ ssl crt @folder@/tls.pem alpn h2,http/1.1
    http-request set-header x-forwarded-proto https
    default_backend origin
backend origin
    http-reuse always
    server o1 127.0.0.1:@origin@
"""
SALLYPORT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [bench.example.com]
    tls: {mode: SIMPLE, serverCertificate: @folder@/tls.crt, privateKey: @folder@/tls.key}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bench, namespace: default}
spec:
  hosts: [bench.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{destination: {host: origin.default.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: origin, namespace: default}
spec:
  hosts: [origin.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @origin@}]
  endpoints: [{address: 127.0.0.1}]
"""
COLUMNS = [("requests/s", "rate", 1, 0), ("CPU us/request", "cpu", 1e6, 2)]


def h2load(port, *much):
    out = subprocess.run(["taskset", "-c", str(LOAD_CORE), "h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", *much,
                          f"--connect-to=127.0.0.1:{port}", f"https://bench.example.com:{port}/"],
                         capture_output=True, text=True, check=True).stdout
    done, failed = (int(re.search(rf"(\d+) {word}", out).group(1)) for word in ("succeeded", "failed"))
    if "Application protocol: h2" not in out or failed > 0 or "2xx" not in out:
        sys.exit(f"h2load: {out[-800:]}")
    return {"units": done, "rate": float(re.search(r"([\d.]+) req/s", out).group(1))}


def run(lab, args, _):
    lab.certificate()
    contenders = lab.three({"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT}, {"tls": 443},
                           origin=lab.small_origin())
    best = lab.rounds(contenders, lambda c: h2load(c.ports["tls"], f"-D{args.seconds}"),
                      lambda c: h2load(c.ports["tls"], "-n20000"))
    print_table("h2", best, COLUMNS, "cpu")
