# SPDX-License-Identifier: Apache-2.0
"""handshake, resume: TLS 1.3 handshakes without a request, full ones and with a ticket, by handshakes.c."""
import sys

from lab import print_table

CONNECTIONS = 16
KEYS = {"ecdsa": "ECDSA P-256", "rsa": "RSA-2048"}
NGINX = """
http {
    @http@
    server {
        listen 127.0.0.1:@ecdsa@ ssl;
        ssl_certificate @folder@/ecdsa.crt; ssl_certificate_key @folder@/ecdsa.key; ssl_protocols TLSv1.2 TLSv1.3;
        return 404;
    }
    server {
        listen 127.0.0.1:@rsa@ ssl;
        ssl_certificate @folder@/rsa.crt; ssl_certificate_key @folder@/rsa.key; ssl_protocols TLSv1.2 TLSv1.3;
        return 404;
    }
}
"""
HAPROXY = """
    mode http
frontend ecdsa
    bind 127.0.0.1:@ecdsa@ ssl crt @folder@/ecdsa.pem
    http-request return status 404
frontend rsa
    bind 127.0.0.1:@rsa@ ssl crt @folder@/rsa.pem
    http-request return status 404
"""
SALLYPORT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  servers:
  - port: {number: 443, name: https-ecdsa, protocol: HTTPS}
    hosts: [bench.example.com]
    tls: {mode: SIMPLE, serverCertificate: @folder@/ecdsa.crt, privateKey: @folder@/ecdsa.key}
  - port: {number: 444, name: https-rsa, protocol: HTTPS}
    hosts: [bench.example.com]
    tls: {mode: SIMPLE, serverCertificate: @folder@/rsa.crt, privateKey: @folder@/rsa.key}
"""
COLUMNS = [("handshakes/s", "rate", 1, 0), ("CPU us/handshake", "cpu", 1e6, 1), ("load's core %", "busy", 100, 0)]


def run(lab, args, cases):
    for kind in KEYS:
        lab.certificate(kind, kind)
    contenders = lab.three({"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT}, {"ecdsa": 443, "rsa": 444})
    for case in cases:
        mode = "full" if case == "handshake" else "resume"
        for kind in KEYS:
            def load(c, seconds=args.seconds, mode=mode, kind=kind):
                got = lab.gauge("handshakes", mode, c.ports[kind], CONNECTIONS, seconds)
                # The first of each connection cannot be resumed.
                if mode == "resume" and got["resumed"] < got["handshakes"] - CONNECTIONS:
                    sys.exit(f"{c.name}: {got['handshakes'] - got['resumed']} handshakes were not resumed")
                return {"units": got["handshakes"], "rate": got["handshakes"] / got["seconds"],
                        "busy": got["cpu"] / got["seconds"]}
            best = lab.rounds(contenders, load, lambda c, load=load: load(c, 1))
            print_table(f"{case} {kind}", best, COLUMNS, "cpu", "rate")
