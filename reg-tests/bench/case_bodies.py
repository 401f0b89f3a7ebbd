# SPDX-License-Identifier: Apache-2.0
"""bodies: 1 MiB responses and 1 MiB uploads over HTTP/1.1, plain and TLS, by transfer.c and origin.c."""
from lab import print_table

CONNECTIONS = 8
# proxy_buffering, proxy_request_buffering and all buffer sizes as shipped, but for client_max_body_size, whose
# default refuses what is a byte over 1 MiB.
NGINX = """
http {
    @http@
    upstream origin { server 127.0.0.1:@origin@; keepalive 256; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:@plain@; listen 127.0.0.1:@tls@ ssl; server_name bench.example.com;
        ssl_certificate @folder@/tls.crt; ssl_certificate_key @folder@/tls.key;
        client_max_body_size 2m;
        location / {
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $host;
        }
    }
}
"""
HAPROXY = """
    mode http
    option forwardfor
frontend edge
    bind 127.0.0.1:@plain@
    bind 127.0.0.1:@tls@ ssl crt @folder@/tls.pem
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
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [bench.example.com]}
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
COLUMNS = [("bodies/s", "rate", 1, 0), ("GB/s", "gb", 1, 2), ("CPU ms/GB", "cpu", 1e3, 1)]


def run(lab, args, _):
    lab.certificate()
    contenders = lab.three({"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT}, {"plain": 80, "tls": 443},
                           origin=lab.volume_origin("http"))
    for verb, title in (("get", "down"), ("put", "up")):
        for port in ("plain", "tls"):
            def load(c, seconds=args.seconds, verb=verb, port=port):
                got = lab.gauge("transfer", verb, port, c.ports[port], CONNECTIONS, seconds)
                return {"units": got["bytes"] / 1e9, "rate": got["messages"] / got["seconds"],
                        "gb": got["bytes"] / 1e9 / got["seconds"]}
            best = lab.rounds(contenders, load, lambda c, load=load: load(c, 1))
            print_table(f"{title} {port}", best, COLUMNS, "cpu")
