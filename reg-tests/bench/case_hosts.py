# SPDX-License-Identifier: Apache-2.0
"""hosts: what a request costs with few and with many virtual hosts of 10 routes each; ours alone."""
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
# wrk asks for random hosts and routes.
SCRIPT = """
math.randomseed(1)
request = function()
    wrk.headers["Host"] = "h" .. math.random(0, @last@) .. ".example.com"
    return wrk.format("GET", "/p" .. math.random(0, 9) .. "/x")
end
"""


def start(lab, origin, count):
    """A proxy with so many hosts: process, port, seconds to load, MiB resident."""
    port, = free_ports(1)
    routes = "".join(fill(ROUTE, {"i": n}).strip("\n") + "\n" for n in range(10))
    values = {"folder": lab.folder, "name": f"hosts-{count}", "ports": f"{{80: {port}}}", "origin": origin,
              "limits": ""}
    conf = lab.write(f"hosts-{count}.yaml", fill(SALLYPORT + EDGE, values) +
                     "".join(fill(HOST, {"i": i}) + routes for i in range(count)))
    name = f"{lab.folder}/hosts-{count}.log"
    began = time.monotonic()
    with open(name, "wb") as log:
        process = lab.start(PROXY_CORE, f"{BUILD}/sallyport", "-f", conf, log=log)
    while "proxy\tready: " not in open(name, encoding="utf-8").read():
        if process.poll() is not None or time.monotonic() - began > 120:
            sys.exit(f"{count} hosts: not ready")
        time.sleep(0.01)
    return process, port, time.monotonic() - began, resident_kib(process.pid) / 1024


class Count:
    """A contender of the rounds: the proxy with so many hosts."""

    def __init__(self, lab, origin, count):
        self.name = count
        self.process, self.port, self.seconds, self.mib = start(lab, origin, count)
        self.pid = self.process.pid
        self.script = lab.write(f"hosts-{count}.lua", fill(SCRIPT, {"last": count - 1}))


def run(lab, args, _):
    origin = lab.small_origin()
    counts = [Count(lab, origin, count) for count in HOSTS]

    def load(c, seconds=args.seconds):
        return wrk(f"http://127.0.0.1:{c.port}/", seconds, args.connections, script=c.script)
    best = lab.rounds(counts, load, lambda c: load(c, 1))
    print(f"\n{'hosts x 10':>14} {'load s':>7} {'RSS MiB':>8} {'requests/s':>11} {'CPU us/request':>15}")
    for c in counts:
        print(f"{c.name:14} {c.seconds:7.2f} {c.mib:8.1f} {best[c.name]['rate']:11.0f} "
              f"{best[c.name]['cpu'] * 1e6:15.2f}")
    print(f"{HOSTS[1]} hosts cost {best[HOSTS[1]]['cpu'] / best[HOSTS[0]]['cpu']:.3f} x {HOSTS[0]} hosts")
