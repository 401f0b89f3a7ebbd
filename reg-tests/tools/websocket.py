#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server and clients of it, by the library of Debian's python3-websockets.

    websocket.py serve NAME            an upstream like those of origin.py; answers by path:
                                       /echo, /flood N bytes until nobody takes them, /code N (closes so),
                                       /refused (403 in place of 101), anything else as /echo
    websocket.py CHECK URI [ARG …]     one of the functions below; TLS is not verified
        echo, ping, close, refused STATUS, many N, crowd N, stall PID KILOBYTES, open FILE
"""
import asyncio
import http
import os
import ssl
import sys

import websockets

PATIENCE = float(os.environ.get("PATIENCE", 60))
MIB = 1 << 20


async def answer(ws, path):
    kind, _, word = path.strip("/").partition("/")
    if kind == "code":
        await ws.close(int(word), "as asked")
        return
    if kind == "flood":
        for _ in range(int(word) >> 16):
            await ws.send(b"x" * 65536)
        return
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        with open("closed", "a") as f:
            f.write(f"{ws.close_code}\n")


async def refuse(path, _):
    if path.startswith("/refused"):
        return http.HTTPStatus.FORBIDDEN, [], b"not here\n"


async def serve(name):
    async with websockets.serve(answer, "127.0.0.1", 0, process_request=refuse, max_size=64 * MIB,
                                ping_interval=None, compression=None) as server:
        with open("vars", "a") as f:
            f.write(f"{name}='{server.sockets[0].getsockname()[1]}'\n")
        open("sockets", "w").close()
        await asyncio.Future()


def connect(uri, **options):
    host = os.environ["ip"]
    tls = None
    if uri.startswith("wss:"):
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        options["server_hostname"] = "shop.example"
    port = os.environ["https" if tls else "http"]
    options.setdefault("compression", None)
    if "TOKEN" in os.environ:
        options["extra_headers"] = {"authorization": "Bearer " + os.environ["TOKEN"]}
    return websockets.connect(uri, host=host, port=int(port), ssl=tls, max_size=64 * MIB, open_timeout=PATIENCE,
                              close_timeout=PATIENCE, ping_interval=None, **options)


async def exchange(ws, sizes):
    for size in sizes:
        message = os.urandom(size)
        await ws.send(message)
        assert await ws.recv() == message, size


async def echo(uri):
    async with connect(uri) as ws:
        await ws.send("grüße")
        assert await ws.recv() == "grüße"
        await exchange(ws, (0, 1, 125, 126, 65535, 65536, MIB, MIB, 8 * MIB))
    async with connect(uri, compression="deflate") as ws:
        await ws.send("a" * MIB)
        assert await ws.recv() == "a" * MIB


async def ping(uri):
    async with connect(uri) as ws:
        for _ in range(20):
            await (await ws.ping())


async def close(uri):
    async with connect(uri.replace("/echo", "/code/4001")) as ws:
        try:
            await ws.recv()
        except websockets.ConnectionClosed as e:
            assert (e.code, e.reason) == (4001, "as asked"), e
    ws = await connect(uri)
    await ws.close(4002, "enough")
    assert ws.close_code == 4002, ws.close_code


async def refused(uri, status):
    try:
        async with connect(uri):
            pass
    except websockets.InvalidStatusCode as e:
        assert e.status_code == int(status), e
        return
    raise AssertionError("granted")


async def many(uri, count):
    """One after the other."""
    for _ in range(int(count)):
        async with connect(uri) as ws:
            await exchange(ws, (10,))


async def crowd(uri, count):
    """All at once, and all of them talk while all are open."""
    async def one(ws):
        await exchange(ws, (1, 100, 20000))

    all_open = [await connect(uri) for _ in range(int(count))]
    await asyncio.gather(*(one(ws) for ws in all_open))
    await asyncio.gather(*(ws.close() for ws in all_open))


def resident_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


async def stall(uri, pid, kilobytes):
    """Nobody reads what is sent to him: the proxy holds little of it, and loses none."""
    before = resident_kb(pid)
    ws = await connect(uri.replace("/echo", "/flood/33554432"), max_queue=1, read_limit=4096)
    most, quiet = 0, 0
    while quiet < 20:
        await asyncio.sleep(0.02)
        now = resident_kb(pid) - before
        quiet = quiet + 1 if now <= most else 0
        most = max(most, now)
    assert most < int(kilobytes), most
    got = 0
    while got < 32 * MIB:
        got += len(await ws.recv())
    await ws.close()
    print(got)


async def open_until(uri, file):
    """Talks until FILE is there; tells in FILE.open that it began, and prints how it ended."""
    async with connect(uri) as ws:
        await exchange(ws, (10,))
        open(file + ".open", "w").close()
        try:
            while not os.path.exists(file):
                await exchange(ws, (1000,))
                await asyncio.sleep(0.01)
        except websockets.ConnectionClosed as e:
            print("cut", e.code)
            return
        await exchange(ws, (10,))
    print("closed", ws.close_code)


def main():
    command, *rest = sys.argv[1:]
    run = {"serve": serve, "echo": echo, "ping": ping, "close": close, "refused": refused, "many": many,
           "crowd": crowd, "stall": stall, "open": open_until}[command]
    asyncio.run(run(*rest))


main()
