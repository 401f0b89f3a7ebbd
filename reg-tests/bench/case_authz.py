# SPDX-License-Identifier: Apache-2.0
"""authz: what a verdict costs, proxy and agent apart: without policies, by a policy without a token, by a token
seen before, by tokens never seen; and with 1, 100 and 10 000 policies. HAProxy verifies with jwt_verify."""
import json
import subprocess
import time

from case_http1 import wrk
from lab import BUILD, cpu_seconds

ISSUER = "https://issuer.example.com"
TOKENS = 256            # one after the other, past a cache of one
COUNTS = (1, 100, 10000)
HAPROXY = """
    mode http
    option forwardfor
    unique-id-format %{+X}o%ci%cp%fi%fp%Ts%rt%pid
    unique-id-header x-request-id
frontend open
    bind 127.0.0.1:@open@
    http-request set-header x-forwarded-proto http
    default_backend origin
frontend jwt
    bind 127.0.0.1:@guarded@
    http-request set-header x-forwarded-proto http
    http-request set-var(txn.bearer) http_auth_bearer
    http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
    http-request deny unless { var(txn.bearer),jwt_payload_query('$.iss') -m str @issuer@ }
    acl rsa var(txn.alg) -m str RS256
    acl ecdsa var(txn.alg) -m str ES256
    http-request deny unless rsa || ecdsa
    http-request deny if rsa !{ var(txn.bearer),jwt_verify(txn.alg,"@folder@/RS256.pub.pem") -m int 1 }
    http-request deny if ecdsa !{ var(txn.bearer),jwt_verify(txn.alg,"@folder@/ES256.pub.pem") -m int 1 }
    default_backend origin
backend origin
    http-reuse always
    server o1 127.0.0.1:@origin@
"""
# A host and a workload for each kind of verdict.
SALLYPORT = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
""" + "".join(f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{{destination: {{host: {name}.default.svc.cluster.local}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: default}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: @origin@}}]
  endpoints: [{{address: 127.0.0.1, labels: {{app: {name}}}}}]
""" for name in ("open", "policy", "guarded")) + """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: policy, namespace: default}
spec:
  selector: {matchLabels: {app: policy}}
  rules:
  - to: [{operation: {methods: [GET], paths: ["/api/*"]}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: guarded, namespace: default}
spec:
  selector: {matchLabels: {app: guarded}}
  jwtRules:
  - issuer: @issuer@
    forwardOriginalToken: true
    jwks: '@jwks@'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: guarded, namespace: default}
spec:
  selector: {matchLabels: {app: guarded}}
  rules:
  - from: [{source: {requestPrincipals: ["@issuer@/*"]}}]
"""
# Further policies: of other workloads, or of the same one for other paths.
FURTHER = """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: further-{n}, namespace: default}}
spec:
  selector: {{matchLabels: {{app: {app}}}}}
  rules:
  - to: [{{operation: {{methods: [GET], paths: ["/further/{n}/*"]}}}}]
"""
# wrk goes through the tokens of a file.
SCRIPT = """
local tokens, at = {}, 0
for line in io.lines("@folder@/@alg@.tokens") do tokens[#tokens + 1] = "Bearer " .. line end
request = function()
    at = at % #tokens + 1
    wrk.headers["Authorization"] = tokens[at]
    return wrk.format("GET", "/api/x")
end
"""


def tool(*words):
    return subprocess.run([f"{BUILD}/tools/jwt_tool", *words], check=True, capture_output=True, text=True).stdout


def make_tokens(lab):
    """Keys of both kinds, one JWKS of them, and the files of tokens."""
    for alg in ("RS256", "ES256"):
        path = f"{lab.folder}/{alg}"
        tool("keygen", alg, path)
        claims = {"iss": ISSUER, "exp": int(time.time()) + 7200}
        lab.write(f"{alg}.tokens", "".join(
            tool("mint", "--key", f"{path}.pem", "--alg", alg, "--kid", alg,
                 "--claims", json.dumps(claims | {"sub": f"user-{n}"})) for n in range(TOKENS)))
        lab.write(f"{alg}.lua", SCRIPT.replace("@folder@", lab.folder).replace("@alg@", alg))
    return json.dumps(json.loads(tool("jwks", f"{lab.folder}/RS256.jwk", f"{lab.folder}/ES256.jwk")))


class Row:
    """A contender of the rounds: a proxy, asked in one way."""

    def __init__(self, lab, args, title, proxy, host, alg=None, one_token=False):
        self.name, self.proxy, self.pid, self.args = title, proxy, proxy.pid, args
        self.url = f"http://127.0.0.1:{proxy.ports['open' if host == 'open' else 'guarded']}/api/x"
        self.headers = [f"Host: {host}.example.com"]
        self.script = f"{lab.folder}/{alg}.lua" if alg and not one_token else None
        if one_token:
            with open(f"{lab.folder}/{alg}.tokens", encoding="ascii") as f:
                self.headers.append(f"Authorization: Bearer {f.readline().strip()}")

    def load(self, seconds, connections):
        return wrk(self.url, seconds, connections, self.headers, self.script)

    def round(self):
        """Under load: CPU time of the proxy's own process apart from that of the agent, its child."""
        before = cpu_seconds(self.pid, alone=True)
        result = self.load(self.args.seconds, self.args.connections)
        result["proxy"] = (cpu_seconds(self.pid, alone=True) - before) / result["units"]
        return result


def measure(lab, rows):
    """{title: result}; latencies are those of one connection, which waits for nobody else."""
    best = lab.rounds(rows, Row.round, lambda row: row.load(1, row.args.connections))
    for row in rows:
        alone = row.load(1, 1)
        best[row.name].update(p50=alone["p50"], p99=alone["p99"])
    return best


def print_verdicts(best):
    print(f"\n{'authz':22} {'requests/s':>11} {'CPU us: proxy':>14} {'agent':>7} {'both':>7} "
          f"{'added p50 us':>13} {'p99':>6}  relative")
    for title, r in best.items():
        base = best["haproxy, open" if title.startswith("haproxy") else "open"]
        agent = r["cpu"] - r["proxy"]
        print(f"{title:22} {r['rate']:11.0f} {r['proxy'] * 1e6:14.2f} {agent * 1e6:7.2f} {r['cpu'] * 1e6:7.2f} "
              f"{r['p50'] - base['p50']:13.0f} {r['p99'] - base['p99']:6.0f}", end="")
        peer = {"cached RS256": "haproxy, RS256", "uncached RS256": "haproxy, RS256",
                "uncached ES256": "haproxy, ES256"}.get(title)
        print(f"  {r['cpu'] / best[peer]['cpu']:.2f} x HAProxy's jwt_verify" if peer else "")


def print_counts(kind, best):
    print(f"\n{'policies, ' + kind:32} {'requests/s':>11} {'CPU us/request':>15}  relative")
    for count, r in best.items():
        print(f"{count:32} {r['rate']:11.0f} {r['cpu'] * 1e6:15.2f}  "
              f"{r['cpu'] / best[COUNTS[1]]['cpu']:.3f} x {COUNTS[1]} policies")


def run(lab, args, _):
    values = {"origin": lab.small_origin(), "jwks": make_tokens(lab), "issuer": ISSUER}

    def ours(label, further="", limits=""):
        return lab.proxy("sallyport", SALLYPORT + further, {"guarded": 80}, label=label, limits=limits, **values)
    edge = ours("edge")
    edge.ports["open"] = edge.ports["guarded"]
    forgetful = ours("forgetful", limits=", tokenCacheEntries: 1")
    haproxy = lab.proxy("haproxy", HAPROXY, {"open": 80, "guarded": 81}, **values)
    print_verdicts(measure(lab, [
        Row(lab, args, "open", edge, "open"),
        Row(lab, args, "policy", edge, "policy"),
        Row(lab, args, "cached RS256", edge, "guarded", "RS256", one_token=True),
        Row(lab, args, "uncached RS256", forgetful, "guarded", "RS256"),
        Row(lab, args, "uncached ES256", forgetful, "guarded", "ES256"),
        Row(lab, args, "haproxy, open", haproxy, "open"),
        Row(lab, args, "haproxy, RS256", haproxy, "guarded", "RS256"),
        Row(lab, args, "haproxy, ES256", haproxy, "guarded", "ES256")]))
    for kind, app in (("of other workloads", "other-{n}"), ("of the same workload", "policy")):
        rows = []
        for count in COUNTS:
            further = "".join(FURTHER.format(n=n, app=app.format(n=n)) for n in range(count - 1))
            rows.append(Row(lab, args, count, ours(f"{kind[3:].replace(' ', '-')}-{count}", further), "policy"))
        print_counts(kind, lab.rounds(rows, Row.round, lambda row: row.load(1, row.args.connections)))
