#!/usr/bin/env python3
"""A reload with 10,000 routes under load: how long until the new configuration answers, and what requests feel of it.

The load is open-loop, over connections that are kept. In the middle of it the configuration is written anew and the proxy
is told. The time counts until a new connection gets an answer that only the new configuration gives; writing the file
does not count.
"""

import http.client
import json
import subprocess
import time

import bench
from bench import ORIGIN_CPU, Failed, Progress, Stage, guarded, on_core
from compare import median
from loads import start_origins
from peers import PEERS, World, present, route_path, with_other
from report import save, table

SLICE = 0.1


def answers(port, path):
    """Whether a new connection gets a 200 with what only a configuration says."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status == 200 and response.read() == b"here"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reloaded(peer, world):
    """Seconds until the new world answers."""
    begin = peer.reload(world)
    path = f"/generation-{world.generation}"
    while not answers(world.ports["plain"], path):
        if time.monotonic() > begin + 60:
            raise Failed("the new configuration did not answer within a minute")
        time.sleep(0.001)
    return time.monotonic() - begin


def turn(peer, generation, args):
    """One run of the load with a reload in its middle."""
    half = args.seconds / 2
    command = [args.load, "open", "--address", f"127.0.0.1:{peer.world.ports['plain']}", "--rate", args.rate,
               "--path", f"{route_path(args.routes - 1)}x", "--seconds", args.seconds, "--warm-up", 1, "--slice", SLICE]
    load = subprocess.Popen(on_core(ORIGIN_CPU, command), stdout=subprocess.PIPE, text=True)
    time.sleep(1 + half)
    try:
        took = reloaded(peer, with_other(peer.world, generation=generation))
    finally:
        told = json.loads(load.communicate(timeout=args.seconds + 60)[0])
    quiet = sorted(piece["p99_ms"] for piece in told["slices"] if piece["p99_ms"] is not None and piece["at_ms"] < half * 800)
    after = [piece["p99_ms"] for piece in told["slices"] if piece["p99_ms"] is not None and piece["at_ms"] >= half * 800]
    if not quiet or not after:
        raise Failed(f"too few answers: {told}")
    return {"reload_ms": took * 1e3, "quiet_p99_ms": quiet[len(quiet) // 2], "worst_p99_ms": max(after),
            "failed": told["failed"], "failures": told["failures"], "answered": told["answered"]}


def main():
    defaults = {"rounds": (5, 1), "seconds": (6, 3), "rate": (2_000, 200), "routes": (10_000, 200)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    found = present(args)
    turns = {name: [] for name in found}
    progress = Progress("reload", len(found) * args.rounds, args.seconds + 3)
    for name, binary in found.items():
        with Stage() as stage:
            origins = start_origins(stage, args.load)
            try:
                peer = PEERS[name](name, World(stage.folder, origins, routes=args.routes), binary).start(stage)
                for number in range(args.rounds):
                    progress.turn(name)
                    turns[name].append(turn(peer, number + 2, args))
            except Failed as error:
                print(f"{name}: {error}")
    rows, figures = [], {}
    for name, told in turns.items():
        row = {key: median(told, key) for key in ("reload_ms", "quiet_p99_ms", "worst_p99_ms")}
        row["failed"], row["answered"] = (sum(one[key] for one in told) for key in ("failed", "answered"))
        row["turns"] = told
        figures[name] = row
        rows.append([name, row["reload_ms"], row["quiet_p99_ms"], row["worst_p99_ms"], row["failed"], row["answered"]])
    print(table(["proxy", "reload ms", "p99 before", "worst p99 of 0.1 s", "failed", "answered"], rows))
    save("reload", args, found, {"routes": args.routes, "rate": args.rate, "peers": figures})


if __name__ == "__main__":
    guarded(main)
