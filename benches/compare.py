#!/usr/bin/env python3
"""CPU per request of Portcullis beside other proxies, in the same run on the same machine.

The proxy has core 0 for itself; the load and the origin share core 1. The peers take turns within each round, so that
whatever else the machine does meets all of them. What counts is the proxy's own CPU time per request (user + system of
its whole process tree), which survives a noisy machine; requests per second and latencies are printed beside it.

benches/README.md tells how to read the table and how to add a peer or a workload.
"""

import argparse
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import (
    ORIGIN_CPU, PROXY_CPU, ROOT, Failed, certificate, cpu_seconds, free_port, is_there, on_core, pids_of, resident, stop,
    wait_for_port, write,
)

# --- the peers: each takes the folder for its files and the ports, and gives the command that runs it -----------------


def portcullis(folder, ports, args, binary=None, name="portcullis"):
    """The gateway as a user runs it: metrics on, access log to a file."""
    config = write(folder / f"{name}.toml", f"""
        [server]
        workers = 1

        [admin]
        address = "127.0.0.1:{free_port()}"

        [log]
        level = "warn"

        [access_log]
        output = "{folder / 'logs' / (name + '.log')}"
        format = "json"

        [[listener]]
        name = "plain"
        address = "127.0.0.1:{ports['plain']}"

        [[listener]]
        name = "tls"
        address = "127.0.0.1:{ports['tls']}"
        [listener.tls]
        certificates = [{{ certificate = "{folder / 'site.crt'}", key = "{folder / 'site.key'}" }}]
        alpn = ["h2", "http/1.1"]

        [[route]]
        name = "all"
        path = "/*"
        upstream = "origin"

        [upstream.origin]
        endpoints = ["127.0.0.1:{ports['origin']}"]
    """)
    return [binary or args.binary, "run", "--config", config]


def before(folder, ports, args):
    """Another build of the gateway, to see what a change has changed."""
    return portcullis(folder, ports, args, args.before, "before")


def haproxy(folder, ports, args):
    log = f"log {'fd@1'} format raw local0" if args.peer_logs else ""
    option = "option httplog\n            log global" if args.peer_logs else ""
    config = write(folder / "haproxy.cfg", f"""
        global
            nbthread 1
            maxconn 8000
            {log}
        defaults
            mode http
            timeout connect 5s
            timeout client 60s
            timeout server 60s
            http-reuse always
            option forwardfor
            {option}
        frontend all
            bind 127.0.0.1:{ports['plain']}
            bind 127.0.0.1:{ports['tls']} ssl crt {folder / 'site.pem'} alpn h2,http/1.1
            default_backend origin
        backend origin
            server one 127.0.0.1:{ports['origin']}
    """)
    return ["haproxy", "-db", "-f", config]


def nginx(folder, ports, args):
    log = f"{folder / 'logs/nginx.log'} combined buffer=64k flush=1s" if args.peer_logs else "off"
    config = write(folder / "nginx.conf", f"""
        daemon off; pid {folder / 'nginx.pid'}; error_log {folder / 'nginx.err'} error; worker_processes 1;
        worker_rlimit_nofile 16384;
        events {{ worker_connections 8192; }}
        http {{
            access_log {log};
            client_body_temp_path {folder / 'nginx-client'}; proxy_temp_path {folder / 'nginx-proxy'};
            fastcgi_temp_path {folder / 'nginx-f'}; uwsgi_temp_path {folder / 'nginx-u'}; scgi_temp_path {folder / 'nginx-s'};
            keepalive_requests 1000000000;
            proxy_max_temp_file_size 0;
            upstream origin {{ server 127.0.0.1:{ports['origin']}; keepalive 512; keepalive_requests 1000000000; }}
            server {{
                listen 127.0.0.1:{ports['plain']};
                listen 127.0.0.1:{ports['tls']} ssl http2;
                ssl_certificate {folder / 'site.crt'};
                ssl_certificate_key {folder / 'site.key'};
                ssl_protocols TLSv1.2 TLSv1.3;
                location / {{
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header X-Forwarded-Proto $scheme;
                    proxy_set_header X-Forwarded-Host $host;
                }}
            }}
        }}
    """)
    return ["nginx", "-c", config, "-e", str(folder / "nginx.err")]


# The first is ours; what it is measured against is the best of the others.
PEERS = {"portcullis": portcullis, "before": before, "haproxy": haproxy, "nginx": nginx}

# --- the workloads: what is asked over which port, and by which client ------------------------------------------------


def read_wrk(text):
    requests = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not requests or not rate or int(requests[1]) == 0:
        return None
    errors = sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout)\s+(\d+)", text)))
    return {"requests": int(requests[1]), "rps": float(rate[1]), "p50_ms": latency(text, "50"),
            "p99_ms": latency(text, "99"), "errors": errors}


def latency(text, percent):
    found = re.search(rf"\n\s+{percent}%\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[found[2]] if found else None


def read_h2load(text):
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
    requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if not rate or not requests or int(requests[1]) == 0:
        return None
    return {"requests": int(requests[1]), "rps": float(rate[1]), "p50_ms": None, "p99_ms": None,
            "errors": int(requests[2]) + int(requests[3])}


def wrk(path, connections, port="plain", headers=()):
    """HTTP/1, closed loop."""
    def command(ports, seconds):
        scheme = "https" if port == "tls" else "http"
        fields = [part for header in headers for part in ("-H", header)]
        return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *fields,
                f"{scheme}://127.0.0.1:{ports[port]}{path}"]
    return command, read_wrk


def h2load(path, connections, streams):
    """HTTP/2 over TLS, closed loop."""
    def command(ports, seconds):
        return ["h2load", "-t1", f"-c{connections}", f"-m{streams}", "-D", str(seconds), "--warm-up-time=0",
                f"https://127.0.0.1:{ports['tls']}{path}"]
    return command, read_h2load


WORKLOADS = {
    "small": wrk("/small", 64),
    "close": wrk("/small", 64, headers=["Connection: close"]),
    "64k": wrk("/64k", 16),
    "1m": wrk("/1m", 16),
    "tls-small": wrk("/small", 64, "tls"),
    "tls-64k": wrk("/64k", 16, "tls"),
    "tls-1m": wrk("/1m", 16, "tls"),
    "h2-small": h2load("/small", 16, 16),
}

# --- running them ------------------------------------------------------------------------------------------------------


def origin(folder, port):
    """The service behind the proxies: nginx with answers from memory and from small files."""
    files = folder / "files"
    files.mkdir()
    (files / "64k").write_bytes(b"x" * 64 * 1024)
    (files / "1m").write_bytes(b"x" * 1024 * 1024)
    config = write(folder / "origin.conf", f"""
        daemon off; pid {folder / 'origin.pid'}; error_log {folder / 'origin.err'} error; worker_processes 1;
        worker_rlimit_nofile 16384;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; open_file_cache max=10; keepalive_requests 1000000000;
            client_body_temp_path {folder / 'origin-client'}; proxy_temp_path {folder / 'origin-proxy'};
            fastcgi_temp_path {folder / 'origin-f'}; uwsgi_temp_path {folder / 'origin-u'}; scgi_temp_path {folder / 'origin-s'};
            server {{
                listen 127.0.0.1:{port} backlog=4096; root {files};
                location = /small {{ default_type text/plain; return 200 "{'x' * 130}"; }}
            }}
        }}
    """)
    command = ["nginx", "-c", config, "-e", str(folder / "origin.err")]
    return subprocess.Popen(on_core(ORIGIN_CPU, command))


def measure(workload, ports, pid, seconds):
    """One turn of one peer: what its CPU did for how many requests."""
    make, read = WORKLOADS[workload]
    pids = pids_of(pid)
    before = cpu_seconds(pids)
    done = subprocess.run(on_core(ORIGIN_CPU, make(ports, seconds)), capture_output=True, text=True, check=False)
    used = cpu_seconds(pids) - before
    result = read(done.stdout)
    if result is None:
        raise Failed(f"{workload}: {done.stdout[-400:]}{done.stderr[-400:]}")
    result["cpu_us"] = used / result.pop("requests") * 1e6
    result["rss_mb"] = resident(pids) / 1e6
    return result


def median(results, key):
    values = [result[key] for result in results if result[key] is not None]
    return statistics.median(values) if values else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/portcullis"), help="the gateway's binary")
    parser.add_argument("--before", help="another build of the gateway, which takes its turns too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="how long each peer is loaded in a round")
    parser.add_argument("--peers", default=",".join(PEERS), help="which, with commas between")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="which, with commas between")
    parser.add_argument("--peer-logs", action="store_true", help="access logs on for the peers, too")
    parser.add_argument("--json", default=str(ROOT / "target/compare.json"), help="where the figures go")
    args = parser.parse_args()

    for tool in ("nginx", "wrk", "h2load", "taskset", "openssl"):
        if not is_there(tool):
            sys.exit(f"{tool} is missing")
    wanted = [name for name in args.peers.split(",") if name in PEERS and (name != "before" or args.before)]
    workloads = [name for name in args.workloads.split(",") if name in WORKLOADS]
    running = []
    with tempfile.TemporaryDirectory(prefix="portcullis-compare-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        certificate(folder)
        (folder / "logs").mkdir()
        ports = {"origin": free_port()}
        try:
            running.append(origin(folder, ports["origin"]))
            wait_for_port(ports["origin"])
            peers = {}
            for name in wanted:
                own = {**ports, "plain": free_port(), "tls": free_port()}
                command = PEERS[name](folder, own, args)
                if not is_there(command[0]):
                    print(f"skipped: {name} ({command[0]} is missing)")
                    continue
                output = open(folder / f"{name}.out", "wb")
                process = subprocess.Popen(on_core(PROXY_CPU, command), stdout=output, stderr=subprocess.STDOUT)
                running.append(process)
                try:
                    wait_for_port(own["plain"])
                except Failed as error:
                    raise Failed(f"{name}: {error}\n{(folder / f'{name}.out').read_text()}") from error
                peers[name] = (process.pid, own)
            results = {workload: {name: [] for name in peers} for workload in workloads}
            for round_number in range(args.rounds):
                for workload in workloads:
                    for name, (pid, own) in peers.items():
                        results[workload][name].append(measure(workload, own, pid, args.seconds))
                    print(f"\rround {round_number + 1} of {args.rounds}: {workload:<12}", end="", file=sys.stderr)
            print(file=sys.stderr)
        finally:
            for process in running:
                stop(process)
    report(results, args)


def report(results, args):
    """The table on the screen, the same as JSON in a file."""
    summary = {}
    print(f"\n{'workload':<11}{'proxy':<13}{'CPU µs':>9}{'min':>9}{'max':>9}{'ratio':>7}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'RSS MB':>8}{'errors':>8}")
    for workload, peers in results.items():
        others = [median(turns, "cpu_us") for name, turns in peers.items() if name not in ("portcullis", "before")]
        best = min(others, default=None)
        for name, turns in peers.items():
            row = {key: median(turns, key) for key in ("cpu_us", "rps", "p50_ms", "p99_ms", "rss_mb")}
            row["errors"] = sum(turn["errors"] for turn in turns)
            row["cpu_us_all"] = [round(turn["cpu_us"], 3) for turn in turns]
            row["ratio_to_best_peer"] = row["cpu_us"] / best if best else None
            summary.setdefault(workload, {})[name] = row
            shown = [f"{row[key]:.2f}" if row[key] is not None else "-"
                     for key in ("p50_ms", "p99_ms", "rss_mb")]
            ratio = f"{row['ratio_to_best_peer']:.2f}" if best else "-"
            print(f"{workload:<11}{name:<13}{row['cpu_us']:>9.2f}{min(row['cpu_us_all']):>9.2f}{max(row['cpu_us_all']):>9.2f}"
                  f"{ratio:>7}{row['rps']:>10.0f}{shown[0]:>9}{shown[1]:>9}{shown[2]:>8}{row['errors']:>8}")
    print("\nCPU µs: the proxy's own time per request, user + system, median of the rounds; ratio: to the best of the other proxies.")
    target = Path(args.json)
    target.parent.mkdir(parents=True, exist_ok=True)
    facts = {"date": time.strftime("%Y-%m-%d"), "kernel": platform.release(), "machine": machine(),
             "rounds": args.rounds, "seconds": args.seconds, "peer_logs": args.peer_logs, "versions": versions(args)}
    target.write_text(json.dumps({**facts, "workloads": summary}, indent=2) + "\n")


def machine():
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def versions(args):
    told = {}
    for name, command in {"portcullis": [args.binary, "version"], "haproxy": ["haproxy", "-v"], "nginx": ["nginx", "-v"]}.items():
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            told[name] = ((done.stdout + done.stderr).splitlines() or [""])[0]
    return told


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        sys.exit(f"\n{error}")
