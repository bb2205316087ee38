"""What is done to each proxy, and how it is read: one function for each tool. All run on the core that no proxy has."""

import csv
import json
import re
import sys
from pathlib import Path

from bench import Failed
from floods import KINDS, SLOW

HERE = Path(__file__).resolve().parent


class Attack:
    """A command that runs beside the normal clients, and what its output says."""

    # Slow clients show what they do when deadlines pass, and there are many normal ones beside them.
    is_slow = False

    def command(self, ports, seconds, folder):
        raise NotImplementedError

    def told(self, output, folder):
        """What the attacker saw, in a line."""
        raise NotImplementedError


class Slow(Attack):
    """slowhttptest: a thousand slow clients of one kind."""

    is_slow = True

    def __init__(self, *options, path="/small", connections=1_000):
        self.options, self.path, self.connections = options, path, connections

    def command(self, ports, seconds, folder):
        return ["slowhttptest", *self.options, "-c", self.connections, "-r", "500", "-l", seconds, "-p", "3", "-g",
                "-o", folder / "slow", "-u", f"http://127.0.0.1:{ports['plain']}{self.path}"]

    def told(self, output, folder):
        rows = list(csv.reader((folder / "slow.csv").read_text().splitlines()))
        heads = [head.strip().lower() for head in rows[0]]
        most = {head: max(int(row[at]) for row in rows[1:]) for at, head in enumerate(heads) if at > 0}
        last = dict(zip(heads, map(int, rows[-1])))
        return f"{most['connected']} open at most, {last['connected']} at the end, {last['closed']} closed by the proxy"


class Flood(Attack):
    """One of our own."""

    def __init__(self, kind, reads=True, port="tls"):
        self.kind, self.reads, self.port, self.is_slow = kind, reads, port, kind in SLOW

    def command(self, ports, seconds, folder):
        return [sys.executable, "-B", HERE / "floods.py", self.kind, ports[self.port], seconds, *([] if self.reads else ["never-reads"])]

    def told(self, output, folder):
        told = json.loads(output)
        parts = [f"{told['connections']} connections"]
        if "sent_mb" in told:
            parts.append(f"{told['sent_mb']:.1f} MB")
            parts += [f"{told[what]} {what}" for what in ("answers", "resets", "acknowledged") if told[what]]
        ends = sorted(told["ends"].items(), key=lambda pair: -pair[1])
        return ", ".join(parts) + "; " + ", ".join(f"{how} ({count})" for how, count in ends)


class H2load(Attack):
    """Much of what is allowed: many streams on many connections."""

    def command(self, ports, seconds, folder):
        return ["h2load", "-t1", "-c100", "-m100", "-D", seconds, "--warm-up-time=0", f"https://127.0.0.1:{ports['tls']}/small"]

    def told(self, output, folder):
        found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
        if not found:
            raise Failed(f"h2load said nothing: {output[-300:]}")
        return f"{found[1]} requests served, {found[2]} failed"


class Nghttp(Attack):
    """Twenty requests at once, each with a head of 42 KB: more than most would take, and all that nghttp can send."""

    def command(self, ports, seconds, folder):
        fields = [part for number in range(60) for part in ("-H", f"x-{number}: {'y' * 700}")]
        return ["nghttp", "-nv", "-t", "5", "-m", "20", *fields, f"https://127.0.0.1:{ports['tls']}/small"]

    def told(self, output, folder):
        statuses = re.findall(r":status: (\d+)", output)
        parts = [f"{statuses.count(status)} × {status}" for status in sorted(set(statuses))]
        parts += sorted(set(re.findall(r"error_code=(\w+)\(0x0*[1-9a-f]", output)))
        parts += [f"{count} without an answer" for count in [20 - len(statuses)] if count]
        return ", ".join(parts)


ATTACKS = {
    "slow heads": Slow("-H", "-i", "1"),
    "slow bodies": Slow("-B", "-i", "1", "-s", "100000", path="/upload"),
    "slow readers": Slow("-X", "-k", "3", "-w", "10", "-y", "20", "-n", "1", "-z", "16", path="/1m"),
    "ranges": Slow("-R", "-a", "5", "-b", "2000", path="/64k"),
    "half handshakes": Flood("half-handshakes"),
    "silence": Flood("silence", port="plain"),
    "slow HTTP/2 heads": Flood("slow-http2-heads"),
    "one-byte windows": Flood("one-byte-windows"),
    "large heads (nghttp)": Nghttp(),
    "many streams (h2load)": H2load(),
    **{kind.replace("-", " "): Flood(kind) for kind in KINDS},
    **{f"{kind.replace('-', ' ')}, never reads": Flood(kind, False) for kind in ("ping", "settings", "rapid-reset", "made-you-reset")},
}
