#!/usr/bin/env python3
"""Memory that idle keep-alive connections cost: 10,000 of them, each after one request, plain and over TLS.

The figure is how much the proxy's resident memory grew while they were opened. Fewer are used, and said, where the limit
of open files does not allow as many. A proxy may have dropped nothing meanwhile.
"""

import selectors
import socket
import ssl
import time

import bench
from bench import Failed, Progress, Stage, guarded, raise_file_limit, resident
from loads import start_origins
from peers import OURS, PEERS, World, present
from report import save, table

REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"
WARM_UP = 100


def ask(connection):
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 130:
        piece = connection.recv(4096)
        if not piece:
            raise Failed("the proxy closed a connection")
        answer += piece


def opened(port, context):
    connection = socket.create_connection(("127.0.0.1", port), 10)
    if context:
        connection = context.wrap_socket(connection, server_hostname="localhost")
    return connection


def measure(peer, port, count, context):
    """How much the proxy grew, in bytes, for that many connections; the first ones warm it up."""
    kept = []
    try:
        for _ in range(WARM_UP):
            kept.append(opened(port, context))
            ask(kept[-1])
        before = resident(peer.pids())
        for _ in range(count):
            kept.append(opened(port, context))
            ask(kept[-1])
        time.sleep(1)
        grown = resident(peer.pids()) - before
        with selectors.DefaultSelector() as selector:
            for connection in kept:
                selector.register(connection, selectors.EVENT_READ)
            # TLS tickets may wait to be read; an end may not.
            if any(key.fileobj.recv(1) == b"" for key, _ in selector.select(0) if not context):
                raise Failed("the proxy closed connections meanwhile")
        return grown
    finally:
        for connection in kept:
            connection.close()


def main():
    defaults = {"connections": (10_000, 500)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    count = min(args.connections, raise_file_limit(65_536) - 1_000)
    if count < args.connections:
        print(f"the limit of open files allows only {count} connections")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = present(args)
    progress = Progress("idle connections", 2 * len(found), 5 + count / 500)
    figures = {}
    for kind in ("plain", "tls"):
        for name, binary in found.items():
            progress.turn(f"{kind}, {name}")
            with Stage() as stage:
                origins = start_origins(stage, args.load)
                peer = PEERS[name](name, World(stage.folder, origins), binary).start(stage)
                try:
                    grown = measure(peer, peer.world.ports[kind], count, context if kind == "tls" else None)
                except (Failed, OSError) as error:
                    print(f"{kind}, {name}: {error}")
                    continue
            figures.setdefault(kind, {})[name] = {"grown_mb": grown / 1e6, "bytes_each": grown / count}
    rows = []
    for kind, peers in figures.items():
        others = [row["grown_mb"] for name, row in peers.items() if name not in OURS]
        for name, row in peers.items():
            row["ratio_to_best_peer"] = row["grown_mb"] / min(others) if others and min(others) > 0 else None
            rows.append([kind, name, row["grown_mb"], row["bytes_each"], row["ratio_to_best_peer"]])
    print(table(["kind", "proxy", "MB", "bytes each", "ratio"], rows))
    save("idle", args, found, {"connections": count, "kinds": figures})


if __name__ == "__main__":
    guarded(main)
