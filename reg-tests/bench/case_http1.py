# SPDX-License-Identifier: Apache-2.0
"""plain, tls, jwt: small HTTP/1.1 requests over kept connections, by wrk."""
import json
import re
import subprocess
import sys
import time

from lab import BUILD, LOAD_CORE, print_table

NGINX = """
http {
    @http@
    upstream origin { server 127.0.0.1:@origin@; keepalive 256; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:@plain@; listen 127.0.0.1:@tls@ ssl; server_name bench.example.com;
        ssl_certificate @folder@/tls.crt; ssl_certificate_key @folder@/tls.key;
        location / {
            proxy_pass http://origin; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Request-Id $request_id;
        }
    }
    # takes no part in the case jwt
    server { listen 127.0.0.1:@jwt@; return 404; }
}
"""
HAPROXY = """
    mode http
    option forwardfor
    unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
    unique-id-header x-request-id
frontend plain
    bind 127.0.0.1:@plain@
    http-request set-header x-forwarded-proto http
    default_backend origin
frontend tls
    bind 127.0.0.1:@tls@ ssl crt @folder@/tls.pem
    http-request set-header x-forwarded-proto https
    default_backend origin
frontend jwt
    bind 127.0.0.1:@jwt@
    http-request set-header x-forwarded-proto http
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request deny unless { var(txn.alg) -m str RS256 }
    http-request deny unless { var(txn.bearer),jwt_payload_query('$.iss') -m str https://issuer.example.com }
    http-request deny unless { var(txn.bearer),jwt_verify(txn.alg,"@folder@/issuer.pub.pem") -m int 1 }
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
    hosts: ["*"]    # wrk names the address as server
    tls: {mode: SIMPLE, serverCertificate: @folder@/tls.crt, privateKey: @folder@/tls.key}
  - {port: {number: 81, name: jwt, protocol: HTTP}, hosts: [jwt.example.com]}
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
kind: VirtualService
metadata: {name: jwt, namespace: default}
spec:
  hosts: [jwt.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{destination: {host: guarded.default.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: origin, namespace: default}
spec:
  hosts: [origin.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @origin@}]
  endpoints: [{address: 127.0.0.1, labels: {app: open}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: guarded, namespace: default}
spec:
  hosts: [guarded.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: @origin@}]
  endpoints: [{address: 127.0.0.1, labels: {app: guarded}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: guarded, namespace: default}
spec:
  selector: {matchLabels: {app: guarded}}
  jwtRules:
  - issuer: https://issuer.example.com
    forwardOriginalToken: true
    jwks: '@jwks@'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guarded, namespace: default}
spec:
  selector: {matchLabels: {app: guarded}}
  rules:
  - from: [{source: {requestPrincipals: ["https://issuer.example.com/*"]}}]
"""
COLUMNS = [("requests/s", "rate", 1, 0), ("p50 us", "p50", 1, 0), ("p99 us", "p99", 1, 0),
           ("CPU us/request", "cpu", 1e6, 2)]


def wrk(url, seconds, connections, headers=(), script=None):
    """One run: units (requests), requests/s, p50 and p99 in microseconds. A bad answer ends the bench."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    command += ["-s", script] if script else []
    for header in headers:
        command += ["-H", header]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scale = {"us": 1, "ms": 1000, "s": 1000000}

    def span(label):
        value, unit = re.search(rf"{label}%\s+([\d.]+)(us|ms|s)", out).groups()
        return float(value) * scale[unit]
    for trouble in (r"Non-2xx or 3xx responses: \d+", r"Socket errors: .*"):
        found = re.search(trouble, out)
        if found:
            sys.exit(f"{url}: {found.group(0)}")
    return {"units": int(re.search(r"(\d+) requests in", out).group(1)),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), "p50": span("50"), "p99": span("99")}


def make_token(lab):
    """A key pair of the issuer, its JWKS, and a token that is good for two hours."""
    tool, path = f"{BUILD}/tools/jwt_tool", f"{lab.folder}/issuer"
    subprocess.run([tool, "keygen", "RS256", path], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", f"{path}.pem", "-pubout", "-out", f"{path}.pub.pem"], check=True)
    jwks = json.load(open(f"{path}.jwks", encoding="ascii"))
    claims = {"iss": "https://issuer.example.com", "sub": "bench", "exp": int(time.time()) + 7200}
    token = subprocess.run([tool, "mint", "--key", f"{path}.pem", "--alg", "RS256", "--kid",
                            jwks["keys"][0]["kid"], "--claims", json.dumps(claims)],
                           check=True, capture_output=True, text=True).stdout.strip()
    return json.dumps(jwks), token


def run(lab, args, cases):
    lab.certificate()
    jwks, token = make_token(lab)
    contenders = lab.three({"nginx": NGINX, "haproxy": HAPROXY, "sallyport": SALLYPORT},
                           {"plain": 80, "tls": 443, "jwt": 81}, origin=lab.small_origin(), jwks=jwks)
    host = "Host: bench.example.com"
    headers = {"plain": (host,), "tls": (host,), "jwt": ("Host: jwt.example.com", f"Authorization: Bearer {token}")}
    for case in cases:
        scheme = "https" if case == "tls" else "http"

        def load(c, seconds=args.seconds, case=case, scheme=scheme):
            return wrk(f"{scheme}://127.0.0.1:{c.ports[case]}/", seconds, args.connections, headers[case])
        best = lab.rounds([c for c in contenders if case != "jwt" or c.name != "nginx"], load,
                          lambda c, load=load: load(c, 1))
        print_table(case, best, COLUMNS, "cpu")


