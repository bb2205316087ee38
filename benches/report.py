"""Where figures go: tables on the screen, and one JSON file a script in `target/bench`, with date, machine and versions."""

import json
import os
import platform
import re
import time
from pathlib import Path

from bench import ROOT
from peers import versions

RESULTS = ROOT / "target/bench"
# What packaging/pgo.sh builds.
PROFILED = ROOT / "target/pgo/portcullis"


def shown(value):
    """A figure with as many digits as one wants to read."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1_000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def table(heads, rows):
    """A table for the screen: words to the left, figures to the right."""
    cells = [list(map(shown, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells)]
    words = [all(isinstance(row[index], str) for row in rows) for index in range(len(heads))]
    def line(row):
        return "  ".join(cell.ljust(width) if word else cell.rjust(width) for cell, width, word in zip(row, widths, words)).rstrip()
    return "\n".join(["", line(heads), *map(line, cells)])


def markdown(heads, rows):
    """The same as Markdown."""
    words = [all(isinstance(row[index], str) for row in rows) for index in range(len(heads))]
    lines = [heads, ["---" if word else "--:" for word in words], *[list(map(shown, row)) for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save(name, args, found, figures):
    """Writes the figures of a script, with what is needed to judge them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "cores": os.cpu_count(), "kernel": platform.release(),
             "system": system(), "rounds": getattr(args, "rounds", None), "seconds": getattr(args, "seconds", None),
             "quick": args.quick, "versions": versions(found), "profile_guided": Path(args.binary).resolve() == PROFILED}
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"facts": facts, **figures}, indent=2, ensure_ascii=False) + "\n")
    print(f"written: {path.relative_to(ROOT)}")


def machine():
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def system():
    found = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    return found[1] if found else platform.system()
