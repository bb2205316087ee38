#!/usr/bin/env python3
"""Lets an instrumented build of the gateway do each workload of compare.py for a while, so that the compiler learns what is
hot. packaging/pgo.sh runs it; figures are thrown away."""

import bench
from bench import Progress, Stage, guarded
from compare import WORKLOADS, measure
from loads import start_origins
from peers import PEERS, World


def main():
    defaults = {"seconds": (4, 1)}
    args = bench.parsed(bench.settings(__doc__, **defaults), **defaults)
    with Stage() as stage:
        origins = start_origins(stage, args.load, ("http", "grpc", "websocket", "upload"))
        peers = {logs: PEERS["portcullis"](f"trained-{logs}", World(stage.folder, origins, logs=logs), args.binary).start(stage)
                 for logs in (False, True)}
        progress = Progress("training", len(WORKLOADS), args.seconds + 0.3)
        for name, workload in WORKLOADS.items():
            progress.turn(name)
            measure(workload, peers[workload.logs], args.seconds, stage, args.load)


if __name__ == "__main__":
    guarded(main)
