#!/usr/bin/env python3
"""CPU per request against the number of routes, and against that of endpoints.

Each peer is started with each number; what is asked for is the last of the routes, whose place in the file a search in
order finds last. The endpoints are addresses of 127.0.0.0/8 with one origin behind all of them. A peer that does not
start in time with a number, or answers nothing, has no figure there.
"""

import bench
from bench import Failed, Progress, Stage, guarded
from compare import measure, median
from loads import Wrk, start_origins
from peers import PEERS, World, present, route_path
from report import save, table


class Asked:
    """A workload of this script: what compare.py measures."""

    def __init__(self, path):
        self.client = Wrk(path, 64)


def addresses(count, port):
    """That many addresses of this machine."""
    return tuple(f"127.{1 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}:{port}" for number in range(count))


def variants(args, origins):
    """What is varied, how much, the world's settings and the path."""
    for count in args.routes_list:
        yield "routes", count, {"routes": count}, f"{route_path(count - 1)}x"
    for count in args.endpoints_list:
        yield "endpoints", count, {"endpoints": addresses(count, origins["http"])}, "/small"


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    defaults = {"rounds": (3, 1), "seconds": (3, 1)}
    parser = bench.settings(__doc__, **defaults)
    parser.add_argument("--routes", help="numbers of routes, with commas between")
    parser.add_argument("--endpoints", help="numbers of endpoints, with commas between")
    args = bench.parsed(parser, **defaults)
    args.routes_list = numbers(args.routes or ("10,100" if args.quick else "10,1000,100000"))
    args.endpoints_list = numbers(args.endpoints or ("10,100" if args.quick else "10,1000,10000"))
    turns = {}
    found = present(args)
    count = (len(args.routes_list) + len(args.endpoints_list)) * len(found)
    progress = Progress("routes and endpoints", count, args.rounds * (args.seconds + 0.3) + 4)
    for number in range(len(args.routes_list) + len(args.endpoints_list)):
        for name, binary in found.items():
            with Stage() as stage:
                origins = start_origins(stage, args.load, anywhere=True)
                kind, size, settings, path = list(variants(args, origins))[number]
                progress.turn(f"{size} {kind}, {name}")
                told = turns[kind, size, name] = []
                try:
                    peer = PEERS[name](name, World(stage.folder, origins, **settings), binary).start(stage)
                    # Connections to all endpoints are there before it counts.
                    asked = Asked(path)
                    asked.client.run(peer.world.ports, 1 if kind == "routes" else args.seconds, stage, args.load)
                    told += [measure(asked, peer, args.seconds, stage, args.load) for _ in range(args.rounds)]
                except Failed as error:
                    print(f"{name} with {size} {kind}: {str(error).splitlines()[0]}")
    rows, figures = [], {"routes": {}, "endpoints": {}}
    for (kind, size, name), told in turns.items():
        row = {key: median(told, key) for key in ("cpu_us", "rps", "p99_ms", "rss_mb")}
        row["errors"] = sum(turn["errors"] for turn in told)
        peers = figures[kind].setdefault(str(size), {})
        peers[name] = row
        least = next(iter(figures[kind].values())).get(name, {}).get("cpu_us")
        row["ratio_to_fewest"] = row["cpu_us"] / least if row["cpu_us"] and least else None
        rows.append([kind, size, name, row["cpu_us"], row["ratio_to_fewest"], row["rss_mb"], row["errors"]])
    print(table(["of", "number", "proxy", "CPU µs", "to fewest", "RSS MB", "errors"], rows))
    save("scale", args, found, figures)


if __name__ == "__main__":
    guarded(main)
