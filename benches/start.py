#!/usr/bin/env python3
"""How long a proxy takes from its start to its first answer, how large it is then, and how large its binary is."""

import shutil
import time
from pathlib import Path

import bench
from bench import Failed, Progress, Stage, guarded, resident
from compare import median
from loads import start_origins
from peers import PEERS, World, present
from reload import answers
from report import save, table


def main():
    defaults = {"rounds": (5, 1), "routes": (10_000, 100)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    found = present(args)
    turns = {(name, routes): [] for name in found for routes in (0, args.routes)}
    given_up = set()
    progress = Progress("start-up", len(turns) * args.rounds, 2)
    with Stage() as stage:
        origins = start_origins(stage, args.load)
        for _ in range(args.rounds):
            for name, routes in turns:
                progress.turn(f"{name}, {routes} routes")
                if (name, routes) in given_up:
                    continue
                peer = PEERS[name](name, World(stage.folder, origins, routes=routes), found[name]).prepare()
                begin = time.monotonic()
                process = bench.spawn(stage.folder / f"{name}.out", bench.PROXY_CPU, peer.command(), peer.environment)
                try:
                    while not answers(peer.world.ports["plain"], f"/generation-{peer.world.generation}"):
                        if process.poll() is not None or time.monotonic() > begin + 120:
                            raise Failed(f"it did not start: {(stage.folder / f'{name}.out').read_text()[-500:]}")
                        time.sleep(0.001)
                    took = time.monotonic() - begin
                    turns[name, routes].append({"start_ms": took * 1e3, "rss_mb": resident(bench.pids_of(process.pid)) / 1e6})
                except Failed as error:
                    given_up.add((name, routes))
                    print(f"{name}, {routes} routes: {error}")
                finally:
                    bench.stop(process)
    rows, figures = [], {}
    for name, binary in found.items():
        size = Path(shutil.which(binary)).resolve().stat().st_size / 1e6
        few, many = (turns[name, routes] for routes in (0, args.routes))
        row = {"start_ms": median(few, "start_ms"), "rss_mb": median(few, "rss_mb"), "start_many_ms": median(many, "start_ms"),
               "rss_many_mb": median(many, "rss_mb"), "binary_mb": size}
        figures[name] = row
        rows.append([name, *row.values()])
    many = f"{args.routes} routes"
    print(table(["proxy", "start ms", "RSS MB", f"start ms, {many}", f"RSS MB, {many}", "binary MB"], rows))
    save("start", args, found, {"routes": args.routes, "peers": figures})


if __name__ == "__main__":
    guarded(main)
