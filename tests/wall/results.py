#!/usr/bin/env python3
"""Where figures go: JSON in `target/wall`, and both of it, once there, in RESULTS.md beside this file.

    tests/wall/results.py       writes RESULTS.md anew from what is in target/wall
"""

import json
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "benches"))
from bench import ROOT  # noqa: E402
from report import machine, markdown, system  # noqa: E402
from verdict import verdict  # noqa: E402

FOLDER = ROOT / "target/wall"
PAGE = Path(__file__).resolve().parent / "RESULTS.md"


def save(name, binary, figures):
    """Writes the figures of a script, with what is needed to judge them, and the page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    told = subprocess.run([binary, "version"], capture_output=True, text=True, check=False).stdout.split()
    facts = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "kernel": platform.release(), "system": system(),
             "commit": commit(), "version": told[1] if len(told) > 1 else "unknown"}
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps({"facts": facts, **figures}, indent=2, ensure_ascii=False) + "\n")
    publish()
    print(f"written: {path.relative_to(ROOT)} and {PAGE.relative_to(ROOT)}", file=sys.stderr)


def commit():
    told = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=False)
    return told.stdout.strip() or "unknown"


# --- tables -----------------------------------------------------------------------------------------------------------


def wall_table(figures):
    rows = []
    for what, peers in figures.items():
        for name, one in peers.items():
            if "failed" in one:
                rows.append([what, name, verdict(one), "–", "–", "–", "–", "–"])
                continue
            rows.append([what, name, verdict(one), f"{one['normal_failures']} of {one['normal_requests']}, {one.get('clients', 3)} clients",
                         f"{one['p99_before_ms'] or 0:.1f} → {one['p99_during_ms'] or 0:.1f}",
                         f"{one['grown_mb']:.1f}", f"{one['kept_mb']:.1f}",
                         one["attacker"] + ("" if one["lives"] else "; **did not answer afterwards**")])
    return markdown(["attack", "proxy", "verdict", "normal requests that failed", "p99, ms", "RSS grew, MB", "kept, MB", "what the attacker saw"], rows)


def tls_table(scans):
    rows = []
    for name, tools in scans.items():
        one, other = tools["sslyze"], tools["testssl"]
        if "failed" in one:
            rows.append([name, one["failed"], "", ""])
            continue
        suites = "; ".join(f"{version.upper().replace('_', ' ', 1).replace('_', '.')}: {', '.join(names)}" for version, names in one["suites"].items())
        departures = "; ".join(one["departures"]) or "none"
        findings = other.get("failed") or "; ".join(other["findings"]) or "none"
        rows.append([name, suites, departures, findings.replace("|", "/")])
    return markdown(["proxy", "protocols and cipher suites", "departs from Mozilla's intermediate", "testssl.sh, low and above"], rows)


def facts_of(told):
    facts = told["facts"]
    return f"{facts['date']}, commit {facts['commit']}, {facts['machine']}, Linux {facts['kernel']}, {facts['system']}"


def soak_text(told):
    promises = [[promise["what"], "held" if promise["held"] else "**broken**", promise["figures"]] for promise in told["promises"]]
    kinds = [[kind, rounds, told["named"].get(kind, 0) + told["unnamed"].get(kind, 0), told["wrong"].get(kind, 0)]
             for kind, rounds in told["rounds"].items()]
    size = told["resident_mb"]
    return f"""## The soak

{facts_of(told)}. {told['minutes']:g} minutes, {told['requests']} requests on {told['connections']} connections, {told['failed_handshakes']} of
which had no handshake. Resident memory: {size['first']:.1f} MB at first, {size['median']:.1f} in the middle, {size['last']:.1f} at last.

{markdown(["promise", "", "figures"], promises)}

{markdown(["traffic", "rounds", "requests", "went wrong"], kinds)}

{markdown(["answer: status, who made it, why", "requests"], [[answer, count] for answer, count in told["by_answer"].items()])}
"""


def wall_text(told):
    others = ", ".join(f"{name} {version}" for name, version in told["versions"].items() if name != "portcullis")
    broken = "\n".join(f"- {word}" for word in told["broken"]) or "All of ours held."
    return f"""## The wall

{facts_of(told)}; {others}. {told['seconds']} seconds for each attack.

{broken}

{wall_table(told["attacks"])}

### TLS

{tls_table(told["tls"])}
"""


def publish():
    """Writes the page from what is there."""
    parts = ["# Under attack\n\nWritten by `make wall` and `make soak`; README.md beside this file says how to read it.\n"]
    for name, text in (("wall", wall_text), ("soak", soak_text)):
        path = FOLDER / f"{name}.json"
        if path.exists():
            parts.append(text(json.loads(path.read_text())))
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    publish()
