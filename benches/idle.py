#!/usr/bin/env python3
"""Memory that idle keep-alive connections cost: 10,000 of them, each after one request, plain and over TLS.

Prints how much the gateway's resident memory grew while they were opened. Fewer are used, and said, where the limit of
open files does not allow as many.
"""

import argparse
import json
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import (
    ORIGIN_CPU, PROXY_CPU, ROOT, Failed, certificate, free_port, on_core, pids_of, raise_file_limit, resident, stop,
    wait_for_port, write,
)
from compare import origin

REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: idle\r\nAccept: */*\r\n\r\n"


def gateway(folder, ports, binary):
    config = write(folder / "portcullis.toml", f"""
        [server]
        workers = 1
        max_connections = 12000

        [admin]
        address = "127.0.0.1:{free_port()}"

        [log]
        level = "warn"

        [access_log]
        output = "{folder / 'access.log'}"

        [[listener]]
        name = "plain"
        address = "127.0.0.1:{ports['plain']}"
        max_connections = 12000
        idle_timeout = "10m"

        [[listener]]
        name = "tls"
        address = "127.0.0.1:{ports['tls']}"
        max_connections = 12000
        idle_timeout = "10m"
        [listener.tls]
        certificates = [{{ certificate = "{folder / 'site.crt'}", key = "{folder / 'site.key'}" }}]

        [[route]]
        name = "all"
        path = "/*"
        upstream = "origin"

        [upstream.origin]
        endpoints = ["127.0.0.1:{ports['origin']}"]
    """)
    return subprocess.Popen(on_core(PROXY_CPU, [binary, "run", "--config", config]))


def ask(connection):
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 130:
        piece = connection.recv(4096)
        if not piece:
            raise Failed("the gateway closed a connection")
        answer += piece


def opened(port, context):
    connection = socket.create_connection(("127.0.0.1", port))
    if context:
        connection = context.wrap_socket(connection, server_hostname="localhost")
    return connection


def measure(pid, port, count, context):
    """How much the gateway grew, in bytes, for that many connections; the first hundred warm it up."""
    kept = [opened(port, context) for _ in range(100)]
    for connection in kept:
        ask(connection)
    pids = pids_of(pid)
    before = resident(pids)
    fresh = []
    for _ in range(count):
        connection = opened(port, context)
        ask(connection)
        fresh.append(connection)
    time.sleep(1)
    grown = resident(pids) - before
    with selectors.DefaultSelector() as selector:
        for connection in fresh:
            selector.register(connection, selectors.EVENT_READ)
        # TLS tickets may wait to be read; an end may not.
        if any(key.fileobj.recv(1) == b"" for key, _ in selector.select(0) if not context):
            raise Failed("the gateway closed connections meanwhile")
    for connection in kept + fresh:
        connection.close()
    return grown


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/portcullis"), help="the gateway's binary")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--json", default=str(ROOT / "target/idle.json"), help="where the figures go")
    args = parser.parse_args()
    limit = raise_file_limit(args.connections + 2_000)
    count = min(args.connections, limit - 500)
    if count < args.connections:
        print(f"the limit of open files allows only {count} connections")
    figures = {}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for kind in ("plain", "tls"):
        running = []
        with tempfile.TemporaryDirectory(prefix="portcullis-idle-") as folder:
            folder = Path(folder)
            folder.chmod(0o755)
            certificate(folder)
            ports = {name: free_port() for name in ("origin", "plain", "tls")}
            try:
                running.append(origin(folder, ports["origin"]))
                running.append(gateway(folder, ports, args.binary))
                for port in ports.values():
                    wait_for_port(port)
                grown = measure(running[1].pid, ports[kind], count, context if kind == "tls" else None)
            finally:
                for process in running:
                    stop(process)
        figures[kind] = {"connections": count, "bytes": grown, "bytes_per_connection": grown / count}
        print(f"{kind:<6}{count:>7} idle connections: {grown / 1e6:6.1f} MB, {grown / count:7.0f} bytes each")
    target = Path(args.json)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (Failed, OSError) as error:
        sys.exit(f"{error}")
