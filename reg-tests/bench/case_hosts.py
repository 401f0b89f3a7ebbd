# SPDX-License-Identifier: Apache-2.0
"""hosts, regex: what a request costs with few and with many routes; ours alone.

hosts: 10 and 10 000 virtual hosts of 10 routes each. regex: one virtual host of 1 000 expressions, which tell what they
begin with or don't, beside one of as many prefixes."""
import re
import sys
import time

from case_http1 import wrk
from lab import BUILD, PROXY_CORE, SALLYPORT, fill, free_ports, resident_kib

HOSTS = (10, 10000)
EDGE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
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
HOST = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: h@i@, namespace: default}
spec:
  hosts: [h@i@.example.com]
  gateways: [istio-system/edge]
  http:
"""
ROUTE = """
  - match: [{uri: {prefix: /p@i@/}}]
    route: [{destination: {host: origin.default.svc.cluster.local}}]
"""
REGEX = """
  - match: [{uri: {regex: "@expression@"}}]
    route: [{destination: {host: origin.default.svc.cluster.local}}]
"""
EXPRESSIONS = {"prefixes": None, "with a beginning": "/p@i@/[0-9]+/.*", "without": "/[a-z]*@i@/[0-9]+/.*"}
EXPRESSION_COUNT = 1000
# wrk asks for random hosts and routes.
SCRIPT = """
math.randomseed(1)
request = function()
    wrk.headers["Host"] = "h" .. math.random(0, @last_host@) .. ".example.com"
    return wrk.format("GET", "/p" .. math.random(0, @last_route@) .. "/7/x")
end
"""


def hosts_documents(count):
    routes = "".join(fill(ROUTE, {"i": n}).strip("\n") + "\n" for n in range(10))
    return "".join(fill(HOST, {"i": i}) + routes for i in range(count))


def regex_documents(expression):
    def route(n):
        if expression is None:
            return fill(ROUTE, {"i": n})
        return fill(REGEX, {"expression": fill(expression, {"i": n})})
    return fill(HOST, {"i": 0}) + "".join(route(n).strip("\n") + "\n" for n in range(EXPRESSION_COUNT))


class Count:
    """A contender of the rounds: a proxy with these documents; seconds to load, MiB resident."""

    def __init__(self, lab, origin, name, documents, hosts, routes):
        self.name = name
        self.port, = free_ports(1)
        file = re.sub(r"\W", "-", f"{name}")
        values = {"folder": lab.folder, "name": file, "ports": f"{{80: {self.port}}}", "origin": origin, "limits": ""}
        conf = lab.write(file + ".yaml", fill(SALLYPORT + EDGE, values) + documents)
        self.script = lab.write(file + ".lua", fill(SCRIPT, {"last_host": hosts - 1, "last_route": routes - 1}))
        self.start(lab, conf, f"{lab.folder}/{file}.log")

    def start(self, lab, conf, log_name):
        began = time.monotonic()
        with open(log_name, "wb") as log:
            self.process = lab.start(PROXY_CORE, f"{BUILD}/sallyport", "-f", conf, log=log)
        while "proxy\tready: " not in open(log_name, encoding="utf-8").read():
            if self.process.poll() is not None or time.monotonic() - began > 120:
                sys.exit(f"{self.name}: not ready")
            time.sleep(0.01)
        self.pid = self.process.pid
        self.seconds, self.mib = time.monotonic() - began, resident_kib(self.pid) / 1024


def compare(lab, args, title, counts):
    def load(c, seconds=args.seconds):
        return wrk(f"http://127.0.0.1:{c.port}/", seconds, args.connections, script=c.script)
    best = lab.rounds(counts, load, lambda c: load(c, 1))
    print(f"\n{title:>20} {'load s':>7} {'RSS MiB':>8} {'requests/s':>11} {'CPU us/request':>15}")
    for c in counts:
        print(f"{c.name:>20} {c.seconds:7.2f} {c.mib:8.1f} {best[c.name]['rate']:11.0f} "
              f"{best[c.name]['cpu'] * 1e6:15.2f}")
    for c in counts[1:]:
        print(f"{c.name} costs {best[c.name]['cpu'] / best[counts[0].name]['cpu']:.3f} x {counts[0].name}")


def run(lab, args, cases):
    origin = lab.small_origin()
    if "hosts" in cases:
        compare(lab, args, "hosts x 10", [Count(lab, origin, str(count), hosts_documents(count), count, 10)
                                          for count in HOSTS])
    if "regex" in cases:
        compare(lab, args, f"{EXPRESSION_COUNT} expressions", [
            Count(lab, origin, name, regex_documents(expression), 1, EXPRESSION_COUNT)
            for name, expression in EXPRESSIONS.items()])
