#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sallyport, nginx and HAProxy side by side: rates and, what counts on a noisy machine, CPU time of the proxy's
own processes per request, handshake or byte; and memory per idle connection.

    run.py [--seconds N] [--connections N] [--rounds N] [case ...]

A case is a module case_*.py with the configurations of all three at its top. Rounds alternate between the
contenders; the best of the rounds is shown. Everything is on 127.0.0.1 and ends with the run."""
import argparse
import importlib
import signal
import sys
import time

from lab import Lab

# In this order: what to say on the command line, and the module that does it.
CASES = {"plain": "case_http1", "tls": "case_http1", "jwt": "case_http1", "hosts": "case_hosts", "regex": "case_hosts",
         "h2": "case_h2", "handshake": "case_handshake", "resume": "case_handshake", "bodies": "case_bodies", "tcp": "case_tcp",
         "idle": "case_idle", "authz": "case_authz", "mirrors": "case_mirrors"}


def interrupted(number, _):
    sys.exit(f"interrupted by signal {number}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=int, default=2, help="length of a round")
    parser.add_argument("--connections", type=int, default=64, help="of the cases plain, tls, jwt, hosts, regex")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    args = parser.parse_args()
    unknown = [case for case in args.cases if case not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]}; there are {', '.join(CASES)}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    wanted = [case for case in CASES if case in (args.cases or CASES)]
    began = time.monotonic()
    print(f"best of {args.rounds} rounds of {args.seconds} s; one worker each on core 0, load and origin on core 1")
    for name in dict.fromkeys(CASES[case] for case in wanted):
        with Lab(args) as lab:
            importlib.import_module(name).run(lab, args, [case for case in wanted if CASES[case] == name])
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
