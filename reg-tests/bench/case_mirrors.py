# SPDX-License-Identifier: Apache-2.0
"""mirrors: what a copy of every request costs it, for mirrors that answer, that refuse connections, that accept
and stay silent, and that cannot be reached at all; and what is left of that when the load is over."""
import os
import socket
import subprocess
import sys
import time

from case_http1 import wrk
from lab import BUILD, free_ports, resident_kib

KINDS = ("none", "live", "dead", "silent", "absent")
PATIENCE = 2            # seconds: mirrorTimeout
CONNECT_SECONDS = 10    # connectTimeout
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
metadata: {{name: {kind}, namespace: default}}
spec:
  hosts: [{kind}.example.com]
  gateways: [istio-system/edge]
  http:
  - route: [{{destination: {{host: none.default.svc.cluster.local}}}}]
""" + (f"    mirror: {{host: {kind}.default.svc.cluster.local}}\n" if kind != "none" else "") + f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {kind}, namespace: default}}
spec:
  hosts: [{kind}.default.svc.cluster.local]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: @{kind}@}}]
  endpoints: [{{address: 127.0.0.1}}]
""" for kind in KINDS)


class Row:
    """A contender of the rounds: a kind of mirror."""

    def __init__(self, args, kind, proxy):
        self.name, self.pid, self.args = kind, proxy.pid, args
        self.url, self.host = f"http://127.0.0.1:{proxy.ports['http']}/", f"Host: {kind}.example.com"

    def load(self, seconds, connections):
        return wrk(self.url, seconds, connections, [self.host])

    def round(self):
        return self.load(self.args.seconds, self.args.connections)


def listener(backlog):
    """Accepts in the kernel alone."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(backlog)
    return s


def unreachable():
    """The kernel drops who knocks at a full queue, as a network does that has no such host."""
    full = listener(0)
    knocks = [socket.socket() for _ in range(4)]
    for s in knocks:
        s.setblocking(False)
        s.connect_ex(full.getsockname())
    return full, knocks


def counters(lab):
    out = subprocess.run([f"{BUILD}/sallyctl", "-s", f"{lab.folder}/sallyport.sock", "show", "counters"],
                         check=True, capture_output=True, text=True).stdout
    return {name: int(n) for name, _, n in (line.partition(": ") for line in out.splitlines()) if n}


def level(lab, pid):
    now = counters(lab)
    return {"copies": now["mirrors_active"], "bytes held": now["mirror_bytes"],
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")), "RSS KiB": resident_kib(pid)}


def alone_of(rows, args):
    """Of one connection, which waits for nobody else: the best of each, of rounds that alternate."""
    best = {}
    for _ in range(args.rounds):
        for row in rows:
            r = row.load(args.seconds, 1)
            known = best.setdefault(row.name, r)
            best[row.name] = {span: min(known[span], r[span]) for span in ("p50", "p99")}
    return best


def run(lab, args, _):
    silent, (absent, knocks) = listener(65535), unreachable()
    origin = lab.small_origin()
    values = {"none": origin, "live": origin, "dead": free_ports(1)[0],
              "silent": silent.getsockname()[1], "absent": absent.getsockname()[1]}
    proxy = lab.proxy("sallyport", SALLYPORT, {"http": 80}, limits=f", mirrorTimeout: {PATIENCE}s", **values)
    rows = [Row(args, kind, proxy) for kind in KINDS]
    for row in rows[:2]:
        row.load(1, args.connections)
    before = level(lab, proxy.pid)
    best = lab.rounds(rows, Row.round)
    alone = alone_of(rows, args)
    print(f"\n{'mirrors':10} {'requests/s':>11} {'CPU us':>7} {'p50 us':>7} {'p99 us':>7}   one connection: "
          f"{'p50 us':>7} {'p99 us':>7}")
    for kind, r in best.items():
        print(f"{kind:10} {r['rate']:11.0f} {r['cpu'] * 1e6:7.2f} {r['p50']:7.0f} {r['p99']:7.0f}   "
              f"{'':15} {alone[kind]['p50']:7.0f} {alone[kind]['p99']:7.0f}")
    sys.stdout.flush()
    time.sleep(max(PATIENCE, CONNECT_SECONDS) + 1)
    print(f"before: {before}\nafter:  {level(lab, proxy.pid)}\ncopies: "
          f"{ {k: v for k, v in counters(lab).items() if k.startswith('mirrors')} }")
    for s in (silent, absent, *knocks):
        s.close()
