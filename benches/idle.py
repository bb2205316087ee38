#!/usr/bin/env python3
"""Memory that idle keep-alive connections cost: 10,000 of them, each after one request, plain and over TLS.

There are two figures: how much the proxy's resident memory grew while they were opened, and how large it is with them. A
proxy that makes room for its connections when it starts grows little, and is large from the beginning: the second figure
tells. Fewer are used, and said, where the limit of open files does not allow as many. A proxy may have dropped nothing
meanwhile.
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


# The heads of the table, and which figure stands under each.
COLUMNS = {"grown MB": "grown_mb", "bytes each": "bytes_each", "ratio": "ratio_to_best_peer", "RSS MB": "rss_mb",
           "RSS ratio": "rss_ratio_to_best_peer"}


def ratio(peers, row, figure):
    """A figure beside the best of the others."""
    others = [other[figure] for name, other in peers.items() if name not in OURS]
    return row[figure] / min(others) if others and min(others) > 0 else None


def ask(connection):
    # Who writes an answer in two pieces would wait for us to acknowledge the first, 40 ms for each of the connections.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
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
    """The bytes that the proxy had before that many connections and with them; the first ones warm it up."""
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
        after = resident(peer.pids())
        with selectors.DefaultSelector() as selector:
            for connection in kept:
                selector.register(connection, selectors.EVENT_READ)
            # TLS tickets may wait to be read; an end may not.
            if any(key.fileobj.recv(1) == b"" for key, _ in selector.select(0) if not context):
                raise Failed("the proxy closed connections meanwhile")
        return before, after
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
                    before, after = measure(peer, peer.world.ports[kind], count, context if kind == "tls" else None)
                except (Failed, OSError) as error:
                    print(f"{kind}, {name}: {error}")
                    continue
            grown = after - before
            figures.setdefault(kind, {})[name] = {"grown_mb": grown / 1e6, "bytes_each": grown / count,
                                                  "rss_before_mb": before / 1e6, "rss_mb": after / 1e6}
    rows = []
    for kind, peers in figures.items():
        for name, row in peers.items():
            row["ratio_to_best_peer"] = ratio(peers, row, "grown_mb")
            row["rss_ratio_to_best_peer"] = ratio(peers, row, "rss_mb")
            rows.append([kind, name, *[row[key] for key in COLUMNS.values()]])
    print(table(["kind", "proxy", *COLUMNS], rows))
    save("idle", args, found, {"connections": count, "kinds": figures})


if __name__ == "__main__":
    guarded(main)
