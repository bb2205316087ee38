#!/usr/bin/env python3
"""What the gateway costs beside HAProxy and nginx: CPU time of a request, and memory of idle connections.

  benches/compare.py speed    keep-alive on both sides, 130-byte answers, 64 connections, one core for the proxy
  benches/compare.py idle     resident memory with 10,000 idle keep-alive connections

The proxies take turns, several rounds, so that a noisy machine is noisy for all; the medians are compared. CPU time is
user + system of the proxy's processes alone, as /proc/PID/stat counts it. Needs the Debian packages nginx, haproxy and
wrk, and a release build (cargo build --release).
"""

import argparse
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
BODY = "x" * 130
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# HAProxy insists on two files for each connection that it may have.
HAPROXY_CONNECTIONS = min(16000, (FILES - 200) // 2)


def main():
    arguments = parse_arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    for tool in ["nginx", "haproxy", "wrk", "taskset"]:
        if which(tool) is None:
            sys.exit(f"{tool} is not installed: apt-get install nginx haproxy wrk util-linux")
    if "portcullis" in arguments.proxies and not Path(arguments.portcullis).exists():
        sys.exit(f"{arguments.portcullis} is not there: cargo build --release")
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        bench = Bench(arguments, Path(directory))
        try:
            bench.start()
            if arguments.what == "speed":
                speed(bench, arguments)
            else:
                idle(bench, arguments)
        finally:
            bench.stop()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "idle"])
    parser.add_argument("--portcullis", default=str(HERE.parent / "target/release/portcullis"), metavar="FILE")
    parser.add_argument("--proxies", default="portcullis,haproxy,nginx", type=lambda text: text.split(","),
                        help="which ones, in the order of the first round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of load in each round (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=64, help="connections of the load (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=10000, help="idle ones (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=None, help="of Portcullis (default: speed 1, idle 2)")
    parser.add_argument("--proxy-core", default="0")
    parser.add_argument("--load-core", default="1", help="for the load and the origin (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.workers is None:
        arguments.workers = 1 if arguments.what == "speed" else 2
    return arguments


class Bench:
    """The origin and the proxies, each with its configuration in one directory."""

    def __init__(self, arguments, directory):
        self.arguments = arguments
        self.directory = directory
        self.processes = {}
        self.ports = {name: free_port() for name in ["origin", *arguments.proxies]}

    def start(self):
        # Files that the proxies' lesser users may enter and write.
        self.directory.chmod(0o777)
        cores = (self.arguments.proxy_core, self.arguments.load_core)
        pin = self.arguments.what == "speed"
        self.launch("origin", ["nginx", "-c", self.write("origin.conf")], cores[1] if pin else None)
        commands = {
            "portcullis": lambda: [self.arguments.portcullis, "run", "--config", self.write("portcullis.toml")],
            "haproxy": lambda: ["haproxy", "-db", "-f", self.write("haproxy.cfg")],
            "nginx": lambda: ["nginx", "-c", self.write("nginx.conf")],
        }
        for name in self.arguments.proxies:
            self.launch(name, commands[name](), cores[0] if pin else None)

    def launch(self, name, command, core):
        prefix = ["taskset", "-c", core] if core else []
        log = open(self.directory / f"{name}.out", "wb")
        self.processes[name] = subprocess.Popen(prefix + [which(command[0]) or command[0], *command[1:]],
                                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not answers(self.ports[name]):
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} does not answer:\n{(self.directory / f'{name}.out').read_text()}")
            time.sleep(0.05)

    def write(self, name):
        port = self.ports.get({"haproxy.cfg": "haproxy", "nginx.conf": "nginx", "portcullis.toml": "portcullis"}.get(name), 0)
        text = Template((HERE / "compare" / name).read_text()).substitute(
            directory=self.directory, origin=self.ports["origin"], port=port, body=BODY,
            workers=self.arguments.workers, haproxy_connections=HAPROXY_CONNECTIONS)
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def tree(self, name):
        """The process and its children, such as nginx's worker."""
        pids = [self.processes[name].pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        return pids

    def cpu_seconds(self, name):
        total = 0
        for pid in self.tree(name):
            # The second field is a name in parentheses that may hold anything.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_bytes(self, name):
        total = 0
        for pid in self.tree(name):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total


def speed(bench, arguments):
    measured = {name: [] for name in arguments.proxies}
    for name in arguments.proxies:
        load(bench, arguments, name, 1)
    for number in range(arguments.rounds):
        # Another one begins each round.
        shift = number % len(arguments.proxies)
        for name in arguments.proxies[shift:] + arguments.proxies[:shift]:
            before = bench.cpu_seconds(name)
            requests, rate = load(bench, arguments, name, arguments.seconds)
            micros = (bench.cpu_seconds(name) - before) / requests * 1e6
            measured[name].append(micros)
            print(f"round {number + 1}  {name:<10}  {micros:6.2f} µs CPU a request  {rate:8.0f} requests/s", flush=True)
    print()
    median = {name: statistics.median(all) for name, all in measured.items()}
    for name in arguments.proxies:
        line = f"{name:<10}  median {median[name]:6.2f} µs  (from {min(measured[name]):.2f} to {max(measured[name]):.2f})"
        if "portcullis" in median and name != "portcullis":
            line += f"  portcullis / {name} = {median['portcullis'] / median[name]:.2f}"
        print(line)


def load(bench, arguments, name, seconds):
    """Runs wrk; returns how many requests were answered and how many a second."""
    url = f"http://127.0.0.1:{bench.ports[name]}/"
    output = subprocess.run(
        ["taskset", "-c", arguments.load_core, "wrk", "-t1", f"-c{arguments.clients}", f"-d{seconds}s", url],
        check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"{name} lost requests:\n{output}")
    requests = next(int(line.split()[0]) for line in output.splitlines() if "requests in" in line)
    rate = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("Requests/sec"))
    return requests, rate


def idle(bench, arguments):
    if FILES < arguments.connections + 100:
        sys.exit(f"{FILES} files may be open: too few for {arguments.connections} connections")
    for name in arguments.proxies:
        count = arguments.connections
        if name == "haproxy":
            count = min(count, HAPROXY_CONNECTIONS - 10)
        before = bench.resident_bytes(name)
        held = [connection(bench.ports[name]) for _ in range(count)]
        after = bench.resident_bytes(name)
        # Each of them must still be served.
        for kept in held[:: max(1, len(held) // 100)]:
            ask(kept)
        grown = after - before
        print(f"{name:<10}  {grown / 1e6:6.1f} MB for {len(held)} idle connections  "
              f"({grown / len(held):6.0f} bytes each; {after / 1e6:.1f} MB in all)", flush=True)
        for kept in held:
            kept.close()


def connection(port):
    """A keep-alive connection that has had one request."""
    kept = socket.create_connection(("127.0.0.1", port), timeout=20)
    ask(kept)
    return kept


def ask(kept):
    kept.sendall(b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
    answer = b""
    while not answer.endswith(BODY.encode()):
        part = kept.recv(65536)
        if not part:
            sys.exit(f"a connection was closed: {answer!r}")
        answer += part


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            probe.sendall(b"GET / HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
            return b" 200 " in probe.recv(1024)
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def which(tool):
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


if __name__ == "__main__":
    main()
