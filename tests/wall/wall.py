#!/usr/bin/env python3
"""Attacks on Portcullis, HAProxy and nginx in turn, with a normal client beside them, and what two scanners say of their TLS.

Exits with 1 when the gateway does not hold what it promises: under each attack its resident memory grows by less than 64 MB,
the normal client is served, the process lives; its TLS is what Mozilla calls "intermediate".
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "benches"))
import bench  # noqa: E402
import loads  # noqa: E402
import results  # noqa: E402
import tls  # noqa: E402
from attacks import ATTACKS  # noqa: E402
from bench import ORIGIN_CPU, ROOT, Failed, Progress, Stage, chosen, guarded, is_there, on_core, resident, spawn  # noqa: E402
from peers import World, versions  # noqa: E402
from proxies import PROXIES  # noqa: E402
from verdict import broken  # noqa: E402

# Normal clients beside slow ones, and their requests in a second; beside floods there are three, with sixty.
MANY, RATE = 200, 100
# How much longer slow clients stay than floods last: as long as heads and bodies may take.
LONGER = 5
HERE = Path(__file__).resolve().parent


def normal(stage, ports, seconds, *many):
    """Normal clients, started."""
    output = stage.folder / "normal.out"
    output.unlink(missing_ok=True)
    return spawn(output, ORIGIN_CPU, [sys.executable, "-B", HERE / "normal.py", ports["plain"], ports["tls"], seconds, *many]), output


def saw(client):
    process, output = client
    process.wait(120)
    try:
        return json.loads(output.read_text().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise Failed(f"the normal client said nothing: {output.read_text()[-300:]}") from error


def attack(stage, peer, what, args):
    """One attack on one proxy, and what it did to it."""
    ports, root = peer.world.ports, peer.process.pid
    # Warm, so that what it takes once is not charged to the attack.
    many = (MANY, RATE) if ATTACKS[what].is_slow else ()
    seconds = duration(what, args)
    before = saw(normal(stage, ports, args.calm, *many))
    base = resident(peer.pids())
    output = stage.folder / "attack.out"
    output.unlink(missing_ok=True)
    attacker = spawn(output, ORIGIN_CPU, ATTACKS[what].command(ports, seconds, stage.folder))
    beside = normal(stage, ports, seconds, *many)
    most, end = base, time.monotonic() + seconds + 60
    try:
        while (attacker.poll() is None or beside[0].poll() is None) and time.monotonic() < end:
            if peer.process.poll() is None:
                most = max(most, memory(peer) or 0)
            time.sleep(0.1)
    finally:
        for process in (attacker, beside[0]):
            if process.poll() is None:
                process.kill()
                process.wait()
    text = output.read_text(errors="replace")
    try:
        told = ATTACKS[what].told(text, stage.folder)
    except (ValueError, LookupError, OSError) as error:
        raise Failed(f"the attacker said nothing: {error}: {text[-300:]}") from error
    during = saw(beside)
    alive = peer.process.poll() is None
    after = saw(normal(stage, ports, 1)) if alive else {"failures": 1}
    ratio = during["p99_ms"] / before["p99_ms"] if during["p99_ms"] and before["p99_ms"] else None
    return {
        "attacker": told, "clients": during["clients"], "normal_requests": during["requests"], "normal_failures": during["failures"], "why": during["why"],
        "p99_before_ms": before["p99_ms"], "p99_during_ms": during["p99_ms"], "p99_ratio": ratio,
        "grown_mb": (most - base) / 1e6, "kept_mb": ((memory(peer) or base) - base) / 1e6,
        "lives": alive and peer.process.pid == root and after["failures"] == 0,
    }


def duration(what, args):
    """How long an attack lasts: slow clients long enough for the deadlines to pass."""
    return args.seconds + LONGER if ATTACKS[what].is_slow else args.seconds


def memory(peer):
    """Resident memory, or nothing where a process ended while it was read."""
    try:
        return resident(peer.pids())
    except OSError:
        return None


def on_stage(name, binary, do):
    """Starts an origin and a proxy, both new, and does something with them."""
    with Stage() as stage:
        origins = {"http": bench.free_port(), "upload": bench.free_port()}
        stage.start("origin", ORIGIN_CPU, loads.http_origin(stage.folder, origins["http"]), origins["http"])
        stage.start("uploads", ORIGIN_CPU, [sys.executable, "-B", HERE / "origin.py", origins["upload"]], origins["upload"])
        peer = PROXIES[name](name, World(stage.folder, origins), binary).start(stage)
        return do(stage, peer)


def run(found, attacks, args, keep):
    """All figures, by attack and by proxy; what there is so far is kept after each attack."""
    mean = sum(duration(what, args) for what in attacks) / max(1, len(attacks))
    figures, progress = {}, Progress("attacks", len(attacks) * len(found), mean + args.calm + 3)
    for what in attacks:
        for name, binary in found.items():
            progress.turn(f"{what}, {name}")
            try:
                told = on_stage(name, binary, lambda stage, peer, what=what: attack(stage, peer, what, args))
            except (Failed, OSError, subprocess.TimeoutExpired) as error:
                told = {"failed": str(error)}
            figures.setdefault(what, {})[name] = told
        keep(figures)
    return figures


def scan(found):
    """What the scanners say of each."""
    told = {}
    for name, binary in found.items():
        for tool in (tls.sslyze, tls.testssl):
            try:
                said = on_stage(name, binary, lambda stage, peer, tool=tool: tool(peer.world.ports["tls"], stage.folder))
            except (Failed, OSError, ValueError, LookupError, subprocess.TimeoutExpired) as error:
                said = {"failed": f"{type(error).__name__}: {error}"}
            told.setdefault(name, {})[tool.__name__] = said
    return told


def judged(figures, scans):
    """What the gateway did not hold."""
    words = []
    for what, peers in figures.items():
        ours = peers.get("portcullis", {})
        words += [f"{what}: {word}" for word in (broken(ours) if ours else [])]
    if ours := scans.get("portcullis"):
        if "failed" in ours["sslyze"]:
            words.append(f"sslyze: {ours['sslyze']['failed']}")
        elif ours["sslyze"]["departures"]:
            words.append(f"TLS is not Mozilla's intermediate: {ours['sslyze']['departures']}")
    return words


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/portcullis"), help="the gateway's binary")
    parser.add_argument("--peers", default="", help="which, with commas between; all without it")
    parser.add_argument("--attacks", default="", help=f"which, with commas between: {', '.join(ATTACKS)}; all without it")
    parser.add_argument("--seconds", type=int, default=3, help="how long a flood lasts; slow clients stay five seconds longer; 3 without it")
    parser.add_argument("--calm", type=int, default=2, help="how long the normal clients run alone before it; 2 without it")
    parser.add_argument("--no-scan", action="store_true", help="without sslyze and testssl.sh")
    args = parser.parse_args()
    if not is_there(args.binary):
        sys.exit(f"{args.binary} is missing; `make wall` builds it")
    for tool in ("slowhttptest", "h2load", "nghttp", "nginx", "haproxy"):
        if not is_there(tool):
            sys.exit(f"{tool} is missing; packaging/setup.sh wall installs it")
    bench.raise_file_limit(65_536)
    return args


def main():
    args = arguments()
    found = {name: args.binary if name == "portcullis" else PROXIES[name].find() for name in chosen(args.peers, PROXIES)}
    scans = {} if args.no_scan else scan(found)
    told = versions(found)
    def keep(figures):
        results.save("wall", args.binary, {"seconds": args.seconds, "versions": told, "attacks": figures, "tls": scans,
                                           "broken": judged(figures, scans)})
    figures = run(found, chosen(args.attacks, ATTACKS), args, keep)
    words = judged(figures, scans)
    print(results.wall_table(figures))
    print(results.tls_table(scans))
    for word in words:
        print(f"BROKEN  {word}")
    if words:
        sys.exit(1)


if __name__ == "__main__":
    guarded(main)
