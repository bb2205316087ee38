#!/usr/bin/env python3
"""CPU per request of Portcullis beside other proxies, in the same run on the same machine.

The proxy has core 0 for itself; the load and the origins share core 1. The peers take turns within each round, so that
whatever else the machine does meets all of them. What counts is the proxy's own CPU time per request (user + system of
its whole process tree), which survives a noisy machine; requests per second and latencies are printed beside it.

benches/README.md tells how to read the table and how to add a peer or a workload.
"""

import statistics
from dataclasses import dataclass

import bench
from bench import Failed, Progress, Stage, chosen, guarded
from loads import UNARY, UPLOAD, H2load, Websocket, Wrk, start_origins
from peers import GRPC_PATH, OURS, PEERS, UPLOAD_PATH, WEBSOCKET_PATH, World, present
from report import save, table

GRPC_HEADERS = ("content-type: application/grpc", "te: trailers")


@dataclass(frozen=True)
class Workload:
    """What is asked by which client, and how the result is called where people read it."""

    title: str
    client: object
    # Access log and metrics on for all, in place of none but our own metrics.
    logs: bool = False


WORKLOADS = {
    "small": Workload("HTTP/1, 130 bytes", Wrk("/small", 64)),
    "small-logs": Workload("HTTP/1, logs and metrics for all", Wrk("/small", 64), logs=True),
    "close": Workload("a connection per request", Wrk("/small", 64, headers=["Connection: close"])),
    "64k": Workload("64 KiB bodies", Wrk("/64k", 16)),
    "1m": Workload("1 MiB bodies", Wrk("/1m", 16)),
    "upload-1m": Workload("1 MiB uploads", Wrk(UPLOAD_PATH, 16, script=UPLOAD)),
    "tls-small": Workload("TLS 1.3, 130 bytes", Wrk("/small", 64, "tls")),
    "tls-logs": Workload("TLS 1.3, logs and metrics for all", Wrk("/small", 64, "tls"), logs=True),
    "tls-handshake": Workload("a full TLS handshake per request", Wrk("/small", 64, "tls", headers=["Connection: close"])),
    "tls-64k": Workload("64 KiB bodies over TLS", Wrk("/64k", 16, "tls")),
    "tls-1m": Workload("1 MiB bodies over TLS", Wrk("/1m", 16, "tls")),
    "h2-small": Workload("HTTP/2 over TLS, 130 bytes", H2load("/small", 16, 16)),
    "h2-logs": Workload("HTTP/2, logs and metrics for all", H2load("/small", 16, 16), logs=True),
    "grpc": Workload("gRPC unary calls over TLS", H2load(f"{GRPC_PATH}Say", 16, 16, GRPC_HEADERS, UNARY)),
    "websocket": Workload("WebSocket messages, 64 bytes", Websocket(WEBSOCKET_PATH, 64, 64)),
}


def measure(workload, peer, seconds, stage, load):
    """One turn of one peer: what its CPU did for how many requests."""
    pids = peer.pids()
    before = bench.cpu_seconds(pids)
    result = workload.client.run(peer.world.ports, seconds, stage, load)
    result["cpu_us"] = (bench.cpu_seconds(pids) - before) / result.pop("requests") * 1e6
    result["rss_mb"] = bench.resident(pids) / 1e6
    return result


def start_peers(stage, args, origins, variants, **world):
    """Every peer that is there, once for each variant: with logs or without."""
    found = present(args)
    running = {}
    for logs in variants:
        for name, binary in found.items():
            own = World(stage.folder, origins, logs=logs, **world)
            peer = PEERS[name](name + ("-logs" if logs else ""), own, binary)
            running[name, logs] = peer.start(stage)
    return found, running


def median(turns, key):
    values = [turn[key] for turn in turns if turn.get(key) is not None]
    return statistics.median(values) if values else None


def main():
    defaults = {"rounds": (5, 1), "seconds": (3, 1)}
    parser = bench.settings(__doc__, **defaults)
    parser.add_argument("--workloads", default="", help=f"which, with commas between: {', '.join(WORKLOADS)}; all without it")
    args = bench.parsed(parser, **defaults)
    names = chosen(args.workloads, WORKLOADS)
    with Stage() as stage:
        origins = start_origins(stage, args.load, ("http", "grpc", "websocket", "upload"))
        variants = sorted({WORKLOADS[name].logs for name in names})
        found, running = start_peers(stage, args, origins, variants)
        progress = Progress("CPU per request", args.rounds * len(names) * len(found), args.seconds + 0.3)
        results = {name: {peer: [] for peer in found} for name in names}
        for _ in range(args.rounds):
            for name in names:
                workload = WORKLOADS[name]
                for peer in found:
                    progress.turn(f"{name}, {peer}")
                    try:
                        turn = measure(workload, running[peer, workload.logs], args.seconds, stage, args.load)
                        results[name][peer].append(turn)
                    except Failed as error:
                        # One proxy that fails in one workload must not cost an hour's figures.
                        print(f"\n{name}, {peer}: {error}")
    summary = {name: summed(turns) for name, turns in results.items()}
    rows = []
    for name, peers in summary.items():
        for peer, row in peers.items():
            rows.append([name, peer, row["cpu_us"], row["cpu_us_min"], row["cpu_us_max"], row["ratio_to_best_peer"],
                         row["rps"], row["p50_ms"], row["p99_ms"], row["rss_mb"], row["errors"]])
    print(table(["workload", "proxy", "CPU µs", "min", "max", "ratio", "req/s", "p50 ms", "p99 ms", "RSS MB", "errors"], rows))
    print("CPU µs: the proxy's own time per request, user + system, median of the rounds; ratio: to the best of the others.")
    titles = {name: WORKLOADS[name].title for name in names}
    save("compare", args, found, {"titles": titles, "workloads": summary})


def summed(peers):
    """The medians of one workload, each beside the best of the other proxies."""
    told = {}
    for name, turns in peers.items():
        if not turns:
            continue
        row = {key: median(turns, key) for key in ("cpu_us", "rps", "p50_ms", "p99_ms", "rss_mb")}
        row["errors"] = sum(turn["errors"] for turn in turns)
        row["cpu_us_all"] = [round(turn["cpu_us"], 3) for turn in turns]
        row["cpu_us_min"], row["cpu_us_max"] = min(row["cpu_us_all"]), max(row["cpu_us_all"])
        told[name] = row
    best = min((row["cpu_us"] for name, row in told.items() if name not in OURS), default=None)
    for row in told.values():
        row["ratio_to_best_peer"] = row["cpu_us"] / best if best else None
    return told


if __name__ == "__main__":
    guarded(main)
