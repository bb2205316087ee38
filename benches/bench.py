"""What the benchmarks share: processes on their cores, and what the kernel tells of them."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY_CPU, ORIGIN_CPU = 0, 1
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Where Debian has what is not for everybody's PATH.
os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Failed(Exception):
    """A measurement that says nothing."""


def on_core(core, command):
    """The command, pinned to that core."""
    return ["taskset", "-c", str(core), *map(str, command)]


def is_there(command):
    return shutil.which(str(command)) is not None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, patience=20):
    """Returns when something listens there."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed(f"nothing listens on port {port}")


def pids_of(root):
    """The process and all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, open_ = [], [root]
    while open_:
        found.append(open_.pop())
        open_.extend(children.get(found[-1], []))
    return found


def cpu_seconds(pids):
    """User and system time that the processes have used, all threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pids):
    """Resident memory of the processes in bytes; pages that they share count for each."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in pids)


def stop(process):
    process.send_signal(signal.SIGINT if process.poll() is None else 0)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return str(path)


def certificate(folder):
    """A self-signed ECDSA P-256 certificate: site.crt, site.key, and both in site.pem."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", folder / "site.key", "-out", folder / "site.crt"],
        check=True, capture_output=True)
    (folder / "site.pem").write_bytes((folder / "site.crt").read_bytes() + (folder / "site.key").read_bytes())


def raise_file_limit(wanted):
    """As many descriptors as can be had, and how many those are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
