#!/usr/bin/env python3
"""Latency at a rate that is held: half and four fifths of what the slowest peer can do, the same for all of them.

A closed loop, as in compare.py, asks a proxy less when it is slow. Here each request is due at a time that no answer
changes, and its clock runs from then on. First each peer is driven to its limit, to know that rate.
"""

import bench
from bench import Progress, Stage, guarded
from compare import median, start_peers
from loads import Wrk, open_loop, start_origins
from report import save, table

SHARES = (0.5, 0.8)


def main():
    defaults = {"rounds": (5, 1), "seconds": (10, 1)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    with Stage() as stage:
        origins = start_origins(stage, args.load)
        found, running = start_peers(stage, args, origins, [False])
        progress = Progress("latency", len(found) * (1 + args.rounds * len(SHARES)), args.seconds + 1.5)
        limits = {}
        for name in found:
            progress.turn(f"the limit of {name}")
            limits[name] = Wrk("/small", 64).run(running[name, False].world.ports, min(args.seconds, 3), stage, args.load)["rps"]
        turns = {(share, name): [] for share in SHARES for name in found}
        for _ in range(args.rounds):
            for share, name in turns:
                progress.turn(f"{share:.0%}, {name}")
                rate = min(limits.values()) * share
                port = running[name, False].world.ports["plain"]
                turns[share, name].append(open_loop(args.load, port, rate, args.seconds))
    rows, figures = [], {}
    for (share, name), told in turns.items():
        row = {key: median(told, key) for key in ("p50_ms", "p99_ms", "p999_ms", "max_ms", "generator_late_p99_ms")}
        row["rate"], row["failed"] = min(limits.values()) * share, sum(turn["failed"] for turn in told)
        figures.setdefault(f"{share:.0%}", {})[name] = row
        rows.append([f"{share:.0%}", name, row["rate"], row["p50_ms"], row["p99_ms"], row["p999_ms"], row["max_ms"], row["failed"]])
    for peers in figures.values():
        others = [row["p999_ms"] for name, row in peers.items() if name not in ("portcullis", "before")]
        for row in peers.values():
            row["p999_ratio_to_best_peer"] = row["p999_ms"] / min(others) if others else None
    print(table(["load", "proxy", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "failed"], rows))
    late = max(row["generator_late_p99_ms"] for peers in figures.values() for row in peers.values())
    print(f"The generator itself was late by {late:.2f} ms at its p99; what is not well above that says nothing.")
    save("latency", args, found, {"limits": limits, "loads": figures})


if __name__ == "__main__":
    guarded(main)
