#!/usr/bin/env python3
"""Valid and hostile traffic, mixed, for some minutes; then the account.

Holds at the end, or the exit status is 1: requests sent = access records = sum of the request counters, each request by its
path exactly once; resident memory did not grow; descriptors are as many as before; nothing panicked; valid traffic was served.
"""

import argparse
import json
import os
import re
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "benches"))
import bench  # noqa: E402
import results  # noqa: E402
import traffic  # noqa: E402
from bench import ROOT, Failed, Stage, guarded, resident  # noqa: E402

# The gateway closes what is idle by then, on both sides; what was opened for the traffic has to be gone.
IDLE = 5
SETTLED_AFTER = 60
# Of the straight line through the last two thirds of the run.
MOST_GROWTH = 2 * 1024 * 1024


def config(folder, ports, origin):
    return bench.write(folder / "soak.toml", f"""
        [server]
        workers = 2
        [admin]
        address = "127.0.0.1:{ports['admin']}"
        [log]
        level = "warn"
        [access_log]
        output = "{folder / 'logs' / 'access.log'}"
        [[listener]]
        name = "plain"
        address = "127.0.0.1:{ports['plain']}"
        head_timeout = "{traffic.HEAD_TIMEOUT}s"
        body_timeout = "{traffic.BODY_TIMEOUT}s"
        idle_timeout = "{IDLE}s"
        [[listener]]
        name = "tls"
        address = "127.0.0.1:{ports['tls']}"
        head_timeout = "{traffic.HEAD_TIMEOUT}s"
        body_timeout = "{traffic.BODY_TIMEOUT}s"
        idle_timeout = "{IDLE}s"
        [listener.tls]
        certificates = [{{ certificate = "{folder / 'site.crt'}", key = "{folder / 'site.key'}" }}]
        [[route]]
        name = "all"
        upstream = "origin"
        [upstream.origin]
        endpoints = ["127.0.0.1:{origin}"]
        idle_timeout = "{IDLE}s"
    """)


# --- what the gateway says of itself ----------------------------------------------------------------------------------


class Metrics:
    """What /metrics says at one moment."""

    def __init__(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        self.samples = []
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", page, re.MULTILINE):
            self.samples.append((name, dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)), float(value)))

    def sum(self, name, **labels):
        return int(sum(value for sample, has, value in self.samples
                       if sample == f"portcullis_{name}" and labels.items() <= has.items()))

    def by(self, name, *labels):
        counts = Counter()
        for sample, has, value in self.samples:
            if sample == f"portcullis_{name}":
                counts[tuple(has.get(label, "") for label in labels)] += int(value)
        return counts


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


# What a record and a counter both say of a request.
COMMON = {"listener": "listener", "route": "route", "upstream": "upstream", "status": "code", "source": "source", "reason": "reason"}


class Records:
    """What the access log says."""

    def __init__(self, path):
        self.count, self.paths, self.by = 0, Counter(), Counter()
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                self.count += 1
                self.paths[record.get("path", "")] += 1
                self.by[tuple(str(record.get(field, "")) for field in COMMON)] += 1


# --- the run ----------------------------------------------------------------------------------------------------------


def settled(process, admin, log, before, sent):
    """Waits until nothing is open and the counters agree, or long enough, and gives what is then."""
    end = time.monotonic() + SETTLED_AFTER
    while True:
        metrics, open_now = Metrics(admin), descriptors(process.pid)
        if time.monotonic() > end:
            break
        if open_now <= before and metrics.sum("connections_open") == 0 and metrics.sum("requests_total") >= sent:
            break
        time.sleep(0.5)
    # Lines are written off the request path.
    time.sleep(2)
    # Before the metrics are asked for: that is a connection, which may not be closed yet when the answer is here.
    open_now = descriptors(process.pid)
    return Metrics(admin), open_now, Records(log)


def line_through(samples):
    """The slope of the straight line that fits best (least squares), per second."""
    count = len(samples)
    mean_at, mean_of = sum(at for at, _ in samples) / count, sum(of for _, of in samples) / count
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    return sum((at - mean_at) * (of - mean_of) for at, of in samples) / spread if spread else 0.0


def soak(stage, args):
    ports = {name: bench.free_port() for name in ("plain", "tls", "admin", "origin")}
    stage.start("origin", bench.ORIGIN_CPU, [sys.executable, "-B", Path(__file__).parent / "origin.py", ports["origin"]],
                ports["origin"])
    path = config(stage.folder, ports, ports["origin"])
    gateway = stage.start("portcullis", bench.PROXY_CPU, [args.binary, "run", "--config", path], ports["plain"])
    bench.wait_for_port(ports["admin"], gateway)
    # The first reading opens what is opened but once.
    Metrics(ports["admin"])
    time.sleep(1)
    before = descriptors(gateway.pid)
    world = traffic.World(ports["plain"], ports["tls"])
    stopped = threading.Event()
    threads = [threading.Thread(target=traffic.keep_doing, args=(world, do, rate * args.rate, stopped))
               for do, rate in traffic.KINDS.items()]
    samples, begin = [], time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while (passed := time.monotonic() - begin) < args.minutes * 60:
            if gateway.poll() is not None:
                raise Failed(f"the gateway ended: {(stage.folder / 'portcullis.out').read_text()[-2000:]}")
            samples.append((passed, resident([gateway.pid])))
            if len(samples) % 60 == 0:
                print(f"{passed / 60:.0f} min: {world.account.sent()} requests, {samples[-1][1] / 1e6:.1f} MB, "
                      f"{descriptors(gateway.pid)} descriptors", file=sys.stderr)
            time.sleep(1)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    account = world.account
    log = stage.folder / "logs" / "access.log"
    metrics, after, records = settled(gateway, ports["admin"], log, before, account.sent())
    words = (stage.folder / "portcullis.out").read_text(errors="replace")
    return judged(args, account, metrics, records, samples, (before, after), words)


def judged(args, account, metrics, records, samples, open_files, words):
    """The figures, and each promise with whether it held."""
    last = [sample for sample in samples if sample[0] >= samples[-1][0] / 3]
    slope = line_through(last)
    growth = slope * (last[-1][0] - last[0][0])
    sent = account.sent()
    counted = metrics.sum("requests_total") + metrics.sum("series_overflow_total")
    # By what is behind the part of the path that the origin goes by.
    found = Counter()
    for path, count in records.paths.items():
        found[path.partition("/")[2].partition("/")[2]] += count
    expected = [f"{kind}/{number}" for kind, count in account.named.items() for number in range(1, count + 1)]
    missing = [path for path in expected if found[path] == 0]
    twice = [path for path in expected if found[path] > 1]
    unseen = records.paths["/unseen"]
    counters = metrics.by("requests_total", *COMMON.values())
    differing = {" ".join(key): (records.by[key], counters[key]) for key in {*records.by, *counters} if records.by[key] != counters[key]}
    promises = [
        ("requests sent = access records", sent == records.count, f"{sent} and {records.count}"),
        ("access records = sum of the counters", records.count == counted, f"{records.count} and {counted}"),
        ("records and counters agree by status, reason, route and listener", not differing, str(differing or len(counters))),
        ("each request with a path is recorded once", not missing and not twice,
         f"{len(missing)} missing {missing[:5]}, {len(twice)} twice {twice[:5]}"),
        ("nothing behind a refused head is seen", unseen == 0, str(unseen)),
        ("no line of the access log was dropped", metrics.sum("access_log_dropped_total") == 0,
         str(metrics.sum("access_log_dropped_total"))),
        ("each round went as it should", not account.wrong.total(), f"{account.wrong.total()} did not: {account.why}"),
        ("no panic", metrics.sum("panics_total") == 0 and "panicked" not in words, str(metrics.sum("panics_total"))),
        (f"resident memory grew by less than {MOST_GROWTH // 1024 // 1024} MiB along the line through the last two thirds",
         growth < MOST_GROWTH, f"{growth / 1024:.0f} KiB, {slope * 3600 / 1024 / 1024:.2f} MiB an hour"),
        ("descriptors are as many as before", open_files[1] <= open_files[0], f"{open_files[0]} before, {open_files[1]} after"),
        ("no connection is open", metrics.sum("connections_open") == 0, str(metrics.sum("connections_open"))),
    ]
    sizes = [size for _, size in samples]
    return {
        "minutes": args.minutes, "requests": sent, "records": records.count, "counted": counted,
        "rounds": dict(account.rounds), "wrong": dict(account.wrong), "why": account.why,
        "named": dict(account.named), "unnamed": dict(account.unnamed),
        "by_answer": {f"{status} {source} {reason}".strip(): count for (status, source, reason), count in sorted(
            metrics.by("requests_total", "code", "source", "reason").items())},
        "connections": metrics.sum("connections_total"), "refused_connections": metrics.sum("connections_refused_total"),
        "failed_handshakes": metrics.sum("tls_handshake_failures_total"),
        "resident_mb": {"first": sizes[0] / 1e6, "median": sorted(sizes)[len(sizes) // 2] / 1e6, "last": sizes[-1] / 1e6, "most": max(sizes) / 1e6},
        "descriptors": open_files,
        "promises": [{"what": what, "held": held, "figures": figures} for what, held, figures in promises],
        "words": words[-4000:],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/portcullis"), help="the gateway's binary")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long; 10 without it")
    parser.add_argument("--rate", type=float, default=1.0, help="how many times the usual traffic, about 200 requests a second")
    args = parser.parse_args()
    if not bench.is_there(args.binary):
        sys.exit(f"{args.binary} is missing; `make soak` builds it")
    with Stage() as stage:
        figures = soak(stage, args)
    for promise in figures["promises"]:
        print(f"{'held  ' if promise['held'] else 'BROKEN'}  {promise['what']}: {promise['figures']}")
    if figures["words"]:
        print(f"what it said itself:\n{figures['words']}")
    results.save("soak", args.binary, figures)
    if not all(promise["held"] for promise in figures["promises"]):
        sys.exit(1)


if __name__ == "__main__":
    guarded(main)
