#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Routing, told as a table: documents, the requests that they are about, and what becomes of each.

    route_cases.py --build DIR --top DIR --tmp DIR --ip ADDRESS [--only TEXT] FILE.cases ...

For each file one proxy is started with all of its documents. Each case is asked over HTTP/1.1 and over
HTTP/2, and what came back, what the upstream saw and what the access log says is compared. A file is read
from top to bottom:

    %% include FILE             documents of another file, relative to this one, loaded as they are
    %% documents                what follows is YAML, up to the next line with %%; @name@ is the port of an
                                upstream of that name, which is there because it is named; @closed@ a port
                                that nobody listens on; @http@, @https@, @alt@ the ports that stand for 80,
                                443, 8080; @tmp@, @ip@, @top@ as in lib.sh. They may stand in cases, too
    %% certificate NAME HOST …  a self-signed one for these hosts as the secret istio-system/NAME
    %% key NAME                 an issuer's: @jwks-NAME@ are its public keys
    %% token NAME KEY CLAIMS    @token-NAME@ is signed with that key; CLAIMS are members of a JSON object
    %% varying NAME …           fields of which explain cannot know the value: points of time, ports of clients
    %% counter NAME VALUE       at the end `show counters` says so
    %% notes TEXT               the proxy says this while it loads (a part of a line of its log)
    %% cases                    what follows are cases

A case is one line, and what more there is to say in lines behind it:

    METHOD URL [name: value; …] => STATUS WHO ROUTE [FLAGS DETAILS]

    URL         `host/path` is plain, `https://host/path` TLS with that host as its server name. The port in
                it is that of the Host field; connections go to 80 or 443, `on PORT` behind it says another,
                `sni NAME` another server name. `host target` with a blank: any target.
    WHO         the upstream that got the request, `-`: the proxy answered; `a|b`: one of them
    ROUTE       its name, `-`: it has none, or there is no route
    FLAGS …     of the access log; flags `-`: none
    + FIELD     one more field of the request, as it is
    & TEXT      its body
    ^ STATUS [name: value; …]
                what the upstream answers with, if not 200
    < FIELD     the response has this field; `< -NAME`: has no such field; `< body: TEXT`; `< NAME ~ REGEX`;
                `< NAME * N`: has so many of them
    > FIELD     so does the request that the upstream saw; `> METHOD TARGET` is its first line. Target and
                Host have to be those of the request where nothing is said here.
    % NAME      this upstream gets a copy; `% NAME FIELD`: which has the field
    * N WHO LEAST-MOST …
                N requests alike, of which so many percent get there
    ! http/1    this version alone (http/2)
    ! silent    explain is not asked, for a reason that stands behind

Strings are Python's in their escapes. A `#` begins a comment; the last one is shown with a case that fails."""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys

import h2.exceptions

from route_lab import CLIENTS, PATIENCE, Failure, Proxy, check

DESK_EACH = 20         # questions of which one is also asked at the desk, which reads all documents for it


def unescaped(text):
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def field_of(text):
    name, colon, value = text.partition(":")
    check(colon, f"{text!r} is no field")
    return name.strip(), unescaped(value.strip())


def fields_of(text):
    return [field_of(part) for part in text.split(";") if part.strip()]


# ---- cases ----

LINE = re.compile(r"""(?P<method>\S+)\ (?P<url>\S+?)(?:\ (?P<target>[^\s\[=]\S*))??
                      (?:\ on\ (?P<port>\d+))?(?:\ sni\ (?P<sni>\S+))?
                      (?:\ \[(?P<fields>.*?)\])?\ =>\ (?P<status>\d+)\ (?P<who>\S+)\ (?P<route>\S+)
                      (?:\ (?P<flags>\S+)\ (?P<details>\S+))?$""", re.VERBOSE)


class Case:
    """One request and what is expected of it."""

    def __init__(self, line, where, title):
        found = LINE.match(line)
        if not found:
            sys.exit(f"{where}: cannot read {line!r}")
        self.line, self.where, self.title = line, where, title
        self.method, self.target = found["method"], found["target"]
        self.tls = found["url"].startswith("https://")
        self.authority, slash, path = found["url"].removeprefix("https://").partition("/")
        if self.target is None:
            self.target = slash + path or "/"
        self.target = unescaped(self.target)
        self.port = int(found["port"] or (443 if self.tls else 80))
        self.sni = found["sni"] or self.authority.rpartition(":")[0] or self.authority
        self.fields = fields_of(found["fields"] or "")
        self.status = int(found["status"])
        self.who = [] if found["who"] == "-" else found["who"].split("|")
        self.route = "" if found["route"] == "-" else found["route"]
        self.flags, self.details = found["flags"], found["details"]
        self.body, self.answer = None, (200, [])
        self.response, self.seen, self.draws, self.versions = [], [], None, ("http/1", "http/2")
        self.copies, self.copied = [], []
        self.silent = False

    def add(self, line):
        kind, text = line[0], line[2:].strip()
        if kind == "+":
            self.fields.append(field_of(text))
        elif kind == "&":
            self.body = unescaped(text).encode("latin-1")
        elif kind == "^":
            status, _, fields = text.partition(" ")
            self.answer = (int(status), fields_of(fields.strip("[]")))
        elif kind == "<":
            self.response.append(text)
        elif kind == ">":
            self.seen.append(text)
        elif kind == "%":
            name, _, field = text.partition(" ")
            self.copies += [name] if name not in self.copies else []
            self.copied += [(name, field)] if field else []
        elif kind == "*":
            words = text.split()
            shares = dict(zip(words[1::2], words[2::2]))
            self.draws = int(words[0]), {w: tuple(map(int, s.split("-"))) for w, s in shares.items()}
        elif kind == "!" and text.startswith("http/"):
            self.versions = (text,)
        elif kind == "!" and text.startswith("silent"):
            self.silent = True
        else:
            sys.exit(f"{self.where}: what is {line!r}?")

    def name(self):
        return f"{self.where}: {self.title}: {self.line}" if self.title else f"{self.where}: {self.line}"


class Suite:
    """A file of cases: its documents, and what is to be there for them."""

    def __init__(self, path):
        self.path, self.folder = path, os.path.dirname(path)
        self.name = os.path.basename(path).removesuffix(".cases")
        self.documents, self.included, self.certificates, self.notes, self.lines = [], [], [], [], []
        self.varying, self.keys, self.tokens, self.counters = set(), [], [], []
        self.documents_wanted = False
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                line = line.rstrip()
                if line.startswith("%% "):
                    self.command(line[3:], number)
                elif self.documents_wanted:
                    self.documents[-1] += line + "\n"
                elif line:
                    self.lines.append((number, line))

    def cases(self, fill):
        cases, title = [], ""
        for number, line in self.lines:
            if line.startswith("#"):
                title = line.lstrip("# ")
            elif line[0] in "+&^<>%*!":
                cases[-1].add(fill(line))
            else:
                cases.append(Case(fill(line), f"{self.name}:{number}", title))
        return cases

    def command(self, text, number):
        word, _, rest = text.partition(" ")
        self.documents_wanted = word == "documents"
        if word == "documents":
            # As many empty lines as stand before: what is said about a line says its number here.
            self.documents.append("\n" * (number - sum(d.count("\n") for d in self.documents) - 1) + "---\n")
        elif word == "include":
            self.included.append(os.path.join(self.folder, rest))
        elif word == "certificate":
            self.certificates.append(rest.split())
        elif word == "key":
            self.keys.append(rest)
        elif word == "counter":
            self.counters.append(rest.replace(" ", ": "))
        elif word == "token":
            self.tokens.append(rest.split(" ", 2))
        elif word == "varying":
            self.varying.update(rest.split())
        elif word == "notes":
            self.notes.append(rest)
        elif word != "cases":
            sys.exit(f"{self.path}:{number}: what is {text!r}?")


# ---- explain ----

def question(case, version, proxy):
    """The words that ask `sallyctl explain` for this case."""
    scheme, front = ("https" if case.tls else "http"), proxy.front(case.port)
    words = ["--connect-to", f"{proxy.options.ip}:{front}", "--client-ip", "127.0.0.1", "-X", case.method]
    if case.tls:
        words += ["--sni", case.sni]
    if version == "http/2":
        words.append("--http2")
    if case.body is not None:
        words += ["--body-bytes", str(len(case.body))]
    for name, value in [("host", case.authority)] + case.fields:
        words += ["-H", f"{name}: {value}"]
    return words + [f"{scheme}://h:{case.port}{case.target}"]


def ask_live(words, proxy):
    """What serves, over its admin socket."""
    line = " ".join(re.sub(r"([^A-Za-z0-9])", r"\\\1", word) or '""' for word in words)
    return json.loads(proxy.command(f"explain {line} json"))


def ask_desk(words, proxy):
    """The documents, without a proxy."""
    found = subprocess.run([proxy.options.build + "/sallyctl", "explain", "-f", proxy.conf, "-o", "json"] +
                           [word.encode("latin-1") for word in words], capture_output=True, check=False)
    check(found.returncode == 0, f"exit {found.returncode}: {found.stderr.decode()}")
    return json.loads(found.stdout)


# What a codec adds for its version, what only a connection knows, the proxy's own address, and the time left.
NOT_TOLD = {"content-length", "transfer-encoding", "date", "host", "x-request-id", "x-forwarded-for", "grpc-timeout",
            "x-envoy-expected-rq-timeout-ms"}


def told_fields(suite, fields):
    return sorted([k.lower(), v] for k, v in fields if k.lower() not in NOT_TOLD and k.lower() not in suite.varying)


def same(what, told, real):
    check(told == real, f"it tells {what} {told!r}, and it was {real!r}")


def compare_answer(suite, case, told, real):
    """A reply of ours, to the letter."""
    status, fields, body = real
    response = told["response"] or {"status": None, "headers": [], "body": None}
    same("status", told["status"], status)
    same("location", told["location"], dict(fields).get("location"))
    same("fields", told_fields(suite, response["headers"]), told_fields(suite, fields))
    if case.method != "HEAD":
        same("body", response["body"] or "", body.decode("latin-1"))


def compare_upstream(suite, told, seen, cluster):
    who, method, target, fields = seen
    request = next((d["upstream"] for d in told["destinations"] if d["cluster"] == cluster), None)
    check(request is not None, f"it tells nothing of {cluster}, where {who} is")
    same("method", request["method"], method)
    same("path", request["path"], target)
    same("authority", request["authority"], dict(fields)["host"])
    same("fields", told_fields(suite, request["headers"]), told_fields(suite, fields))


def compare(suite, case, told, real, seen, line):
    """What explain tells of a case, and what came of it."""
    reached = line["upstream_host"] is not None
    same("route", (told["route"] or {}).get("name") or "", line["route_name"] or "")
    if reached:
        same("outcome", told["outcome"], "forwarded")
        if seen:
            compare_upstream(suite, told, seen[0], line["upstream_cluster"])
        return
    same("details", told["details"], line["response_code_details"])
    same("flags", told["flags"] or "-", line["response_flags"] or "-")
    compare_answer(suite, case, told, real)


# ---- what is compared ----

def check_fields(wanted, fields, whose):
    """Lines of the kinds `name: value`, `-name`, `name ~ regex` and `name * count`."""
    def values(name):
        return [v for k, v in fields if k == name.lower()]
    if wanted.startswith("-"):
        check(not values(wanted[1:]), f"{whose} has {wanted[1:]}: {values(wanted[1:])}")
    elif found := re.match(r"([!-9;-~]+) ~ (.*)$", wanted):
        check(any(re.fullmatch(found[2], v) for v in values(found[1])),
              f"{whose} has no {wanted}, but {values(found[1])}")
    elif found := re.match(r"([!-9;-~]+) \* (\d+)$", wanted):
        check(len(values(found[1])) == int(found[2]), f"{whose} has {found[1]}: {values(found[1])}")
    else:
        name, value = field_of(wanted)
        check(value in values(name), f"{whose} has {name}: {values(name)}, wanted {value!r}")


def check_response(case, status, fields, body):
    check(status == case.status, f"status {status}")
    for wanted in case.response:
        if wanted.startswith("body:"):
            found = body.decode("latin-1")
            check(found == unescaped(wanted[5:].strip()), f"body {found!r}")
        else:
            check_fields(wanted, fields, "the response")


def is_first_line(wanted):
    return re.match(r"[A-Z]+ [/*]", wanted)


def check_seen(case, seen):
    """The upstream saw what is written, and else what was sent."""
    if not case.who:
        check(not seen, f"an upstream saw {seen}")
        return
    check(sorted(request[0] for request in seen[1:]) == sorted(case.copies), f"the upstreams saw {seen}")
    for name, field in case.copied:
        check_fields(field, next(request[3] for request in seen if request[0] == name), name)
    who, method, target, fields = seen[0]
    check(who in case.who, f"it went to {who}")
    line = next(filter(is_first_line, case.seen), f"{case.method} {case.target}")
    check(f"{method} {target}" == line, f"{who} saw {method} {target}")
    if not any(w.lower().startswith("host") for w in case.seen):
        check_fields(f"host: {case.authority}", fields, who)
    for wanted in case.seen:
        if not is_first_line(wanted):
            check_fields(wanted, fields, who)


def check_log(case, line):
    check(line["response_code"] == case.status, f"the log has {line['response_code']}")
    check((line["route_name"] or "") == case.route, f"the log has route {line['route_name']!r}")
    if case.details is not None:
        flags, details = line["response_flags"] or "-", line["response_code_details"]
        check(flags == case.flags and details == case.details, f"the log has {flags} {details}")


class Run:
    """Asks all cases of one suite, then compares the log, line by line in the same order, and what explain
    tells of each case with what came of it."""

    def __init__(self, proxy):
        self.proxy, self.asked, self.failures, self.explained = proxy, [], [], 0

    def fail(self, case, version, why):
        self.failures.append(f"{case.name()}\n\t{version}: {str(why) or repr(why)}")

    def once(self, case, version):
        upstreams = self.proxy.upstreams
        upstreams.expect(case.answer)
        got, seen = None, []
        try:
            got = self.proxy.ask(case, version)
            seen = upstreams.saw(len(case.copies) + len(case.who[:1]))
            seen.sort(key=lambda request: request[0] not in case.who)
        finally:
            self.asked.append((case, version, got, seen))
        check_response(case, *got)
        check_seen(case, seen)
        return seen[0][0] if seen else "-"

    def case(self, case, version):
        try:
            if case.draws is None:
                self.once(case, version)
                return
            times, shares = case.draws
            got = [self.once(case, version) for _ in range(times)]
            for who, (least, most) in shares.items():
                percent = got.count(who) * 100 / times
                check(least <= percent <= most, f"{who} got {percent} % of {times}")
        except (Failure, OSError, ValueError, h2.exceptions.H2Error) as why:
            self.fail(case, version, why)

    def log(self):
        lines = self.proxy.log_lines(len(self.asked))
        if len(lines) != len(self.asked):
            self.failures.append(f"{self.proxy.suite.name}: the log has {len(lines)} lines for {len(self.asked)}")
        for (case, version, got, seen), line in zip(self.asked, lines):
            try:
                check_log(case, line)
            except Failure as why:
                self.fail(case, version, why)
            if got is not None and not case.silent:
                self.explain(case, version, got, seen, line)

    def explain(self, case, version, got, seen, line):
        words = question(case, version, self.proxy)
        ways = {"explain": ask_live}
        if self.explained % DESK_EACH == 0:
            ways["explain at the desk"] = ask_desk
        self.explained += 1
        for way, ask in ways.items():
            try:
                compare(self.proxy.suite, case, ask(words, self.proxy), got, seen, line)
            except (Failure, OSError, ValueError, LookupError) as why:
                self.fail(case, f"{version}, {way}", repr(why) if isinstance(why, LookupError) else why)

    def counters(self):
        counted = self.proxy.command("show counters").splitlines() if self.proxy.suite.counters else []
        for counter in self.proxy.suite.counters:
            if counter not in counted:
                self.failures.append(f"{self.proxy.suite.name}: no {counter!r} in {counted}")

    def notes(self):
        said = self.proxy.said()
        for note in self.proxy.suite.notes:
            if note not in said:
                self.failures.append(f"{self.proxy.suite.name}: the proxy does not say {note!r}:\n{said}")


def run_suite(path, options):
    suite = Suite(path)
    proxy = Proxy(suite, options)
    run = Run(proxy)
    cases = [case for case in suite.cases(proxy.fill) if options.only in case.line or options.only in case.title]
    for version in CLIENTS:
        for case in cases:
            if version in case.versions:
                run.case(case, version)
    run.log()
    run.notes()
    run.counters()
    run.failures += proxy.stop()
    return len(cases), len(run.asked), run.failures


def main():
    options = argparse.ArgumentParser()
    options.add_argument("files", nargs="+")
    for name in ("build", "top", "tmp", "ip"):
        options.add_argument("--" + name, required=True)
    options.add_argument("--only", default="")
    options = options.parse_args()
    options.build, options.top, options.tmp = map(os.path.abspath, (options.build, options.top, options.tmp))
    cases = requests = 0
    failures = []
    # Side by side: most of the time is waiting for a log to be written and for a proxy to end.
    with concurrent.futures.ThreadPoolExecutor(len(options.files)) as pool:
        runs = [pool.submit(run_suite, path, options) for path in options.files]
        for path, result in zip(options.files, runs):
            more, asked, failed = result.result()
            cases, requests, failures = cases + more, requests + asked, failures + failed
            print(f"{os.path.basename(path)}: {more} cases in {asked} requests, {len(failed)} failures", flush=True)
    for failure in failures:
        print(failure)
    print(f"{cases} cases in {requests} requests, {len(failures)} failures")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
