# SPDX-License-Identifier: Apache-2.0
"""tcp: bytes without a protocol through the proxy, to the client (pull), from it (push), and to it over TLS that
the proxy terminates (pull tls); by transfer.c and origin.c."""
from lab import print_table

CONNECTIONS = 8
NGINX = """
stream {
    server { listen 127.0.0.1:@pull@; proxy_pass 127.0.0.1:@source@; }
    server { listen 127.0.0.1:@push@; proxy_pass 127.0.0.1:@sink@; }
    server {
        listen 127.0.0.1:@tls@ ssl; proxy_pass 127.0.0.1:@source@;
        ssl_certificate @folder@/tls.crt; ssl_certificate_key @folder@/tls.key;
    }
}
"""
HAPROXY = """
    mode tcp
    option splice-auto
listen pull
    bind 127.0.0.1:@pull@
    server source 127.0.0.1:@source@
listen push
    bind 127.0.0.1:@push@
    server sink 127.0.0.1:@sink@
listen tls
    bind 127.0.0.1:@tls@ ssl crt @folder@/tls.pem
    server source 127.0.0.1:@source@
"""
SALLYPORT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  servers:
  - {port: {number: 1000, name: tcp-pull, protocol: TCP}, hosts: ["*"]}
  - {port: {number: 1001, name: tcp-push, protocol: TCP}, hosts: ["*"]}
  - port: {number: 1002, name: tls-pull, protocol: TLS}
    hosts: ["*"]
    tls: {mode: SIMPLE, serverCertificate: @folder@/tls.crt, privateKey: @folder@/tls.key}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bench, namespace: default}
spec:
  hosts: ["*"]
  gateways: [istio-system/edge]
  tcp:
  - match: [{port: 1001}]
    route: [{destination: {host: sink.default.svc.cluster.local}}]
  - route: [{destination: {host: source.default.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: source, namespace: default}
spec:
  hosts: [source.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 1000, name: tcp, protocol: TCP, targetPort: @source@}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sink, namespace: default}
spec:
  hosts: [sink.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 1001, name: tcp, protocol: TCP, targetPort: @sink@}]
  endpoints: [{address: 127.0.0.1}]
"""
COLUMNS = [("GB/s", "rate", 1, 2), ("CPU ms/GB", "cpu", 1e3, 1), ("load's core %", "busy", 100, 0)]


def run(lab, args, _):
    lab.certificate()
    contenders = lab.three({"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT},
                           {"pull": 1000, "push": 1001, "tls": 1002},
                           source=lab.volume_origin("source"), sink=lab.volume_origin("sink"))
    for verb, kind, port in (("pull", "plain", "pull"), ("push", "plain", "push"), ("pull", "tls", "tls")):
        def load(c, seconds=args.seconds, verb=verb, kind=kind, port=port):
            got = lab.gauge("transfer", verb, kind, c.ports[port], CONNECTIONS, seconds)
            return {"units": got["bytes"] / 1e9, "rate": got["bytes"] / 1e9 / got["seconds"],
                    "busy": got["cpu"] / got["seconds"]}
        best = lab.rounds(contenders, load, lambda c, load=load: load(c, 1))
        print_table(f"tcp {verb} {kind}", best, COLUMNS, "cpu", "rate")
