#!/usr/bin/env python3
"""What a policy does with one slow and one flaky endpoint: a rate that is held, all policies in the same run.

Of the endpoints one takes ten times as long as the others, and one ends a fifth of its connections without an answer. The
rest are alike. Each policy has two turns: as the proxy comes, which in all of them sends a request again that met a
connection that was closed, and with the retries and ejections that one configures for such a pool. Prints the table as
Markdown, too.
"""

import bench
from bench import ORIGIN_CPU, Progress, Stage, free_port, guarded
from compare import median
from loads import open_loop
from peers import PEERS, World, present
from report import markdown, save, table

GOOD_MS, SLOW_MS, DROPPED = 2, 20, 20
POOLS = {"plain": False, "retries and ejection": True}


def endpoints(stage, args):
    """The addresses of all endpoints: alike, slow, flaky."""
    kinds = [("good", GOOD_MS, 0)] * (args.endpoints - 2) + [("slow", SLOW_MS, 0), ("flaky", GOOD_MS, DROPPED)]
    found = []
    for number, (kind, delay, dropped) in enumerate(kinds):
        port = free_port()
        stage.start(f"{kind}-{number}", ORIGIN_CPU, [args.load, "origin", "--address", f"127.0.0.1:{port}",
                                                     "--delay", delay / 1e3, "--dropped", dropped], port)
        found.append(f"127.0.0.1:{port}")
    return tuple(found)


def main():
    defaults = {"rounds": (5, 1), "seconds": (10, 2), "rate": (1_000, 200), "endpoints": (5, 5)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    with Stage() as stage:
        found = {name: binary for name, binary in present(args).items() if PEERS[name].policies}
        addresses = endpoints(stage, args)
        running = {}
        for name, binary in found.items():
            for policy in PEERS[name].policies:
                for pool, is_careful in POOLS.items():
                    world = World(stage.folder, {"http": 0}, endpoints=addresses, balance=policy, is_careful=is_careful)
                    own = PEERS[name](f"{name}-{len(running)}", world, binary)
                    running[name, policy or "round robin", pool] = own.start(stage)
        turns = {key: [] for key in running}
        progress = Progress("policies", args.rounds * len(turns), args.seconds + 1.5)
        for _ in range(args.rounds):
            for key, peer in running.items():
                progress.turn(" ".join(key))
                turns[key].append(open_loop(args.load, peer.world.ports["plain"], args.rate, args.seconds, connections=512))
    figures, rows = [], []
    for (name, policy, pool), told in turns.items():
        row = {"proxy": name, "policy": policy, "pool": pool, "answered": sum(turn["answered"] for turn in told),
               "failed": sum(turn["failed"] for turn in told), "failures": merged(turn["failures"] for turn in told),
               **{key: median(told, key) for key in ("p50_ms", "p99_ms", "p999_ms")}}
        figures.append(row)
        failed = f"{row['failed'] / max(1, row['answered'] + row['failed']):.2%}"
        rows.append([name, policy, pool, row["p50_ms"], row["p99_ms"], row["p999_ms"], failed])
    heads = ["proxy", "policy", "pool", "p50 ms", "p99 ms", "p99.9 ms", "failed"]
    print(table(heads, rows))
    print(f"\n{markdown(heads, rows)}\n")
    setting = {"rate": args.rate, "endpoints": args.endpoints, "good_ms": GOOD_MS, "slow_ms": SLOW_MS, "dropped_percent": DROPPED}
    save("policies", args, found, {"setting": setting, "policies": figures})


def merged(counts):
    total = {}
    for count in counts:
        for reason, number in count.items():
            total[reason] = total.get(reason, 0) + number
    return total


if __name__ == "__main__":
    guarded(main)
