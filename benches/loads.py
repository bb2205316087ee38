"""The clients that make load, and the origins behind the proxies. All of them run on the core that no proxy has."""

import json
import re

from bench import ORIGIN_CPU, Failed, ask, free_port, write

# --- origins ----------------------------------------------------------------------------------------------------------


def start_origins(stage, load, kinds=("http",), anywhere=False):
    """Starts origins and tells their ports. `anywhere`: on every address of this machine, for many endpoints."""
    ports = {}
    for kind in kinds:
        port = ports[kind] = free_port()
        if kind == "http":
            stage.start("origin", ORIGIN_CPU, http_origin(stage.folder, port, anywhere), port)
        else:
            task = {"grpc": "grpc-origin", "websocket": "websocket-origin", "upload": "origin"}[kind]
            stage.start(f"origin-{kind}", ORIGIN_CPU, [load, task, "--address", f"127.0.0.1:{port}"], port)
    return ports


def http_origin(folder, port, anywhere=False):
    """nginx with answers of 130 bytes from memory, and of 64 KiB and 1 MiB from files."""
    files = folder / "files"
    files.mkdir()
    (files / "64k").write_bytes(b"x" * 64 * 1024)
    (files / "1m").write_bytes(b"x" * 1024 * 1024)
    own = folder / "origin"
    config = write(folder / "origin.conf", f"""
        daemon off; pid {own}.pid; error_log {own}.err error; worker_processes 1; worker_rlimit_nofile 65536;
        events {{ worker_connections 32768; }}
        http {{
            access_log off; sendfile on; tcp_nopush on; open_file_cache max=10;
            keepalive_timeout 3600s; keepalive_requests 1000000000;
            client_body_temp_path {own}-client; proxy_temp_path {own}-proxy;
            fastcgi_temp_path {own}-f; uwsgi_temp_path {own}-u; scgi_temp_path {own}-s;
            server {{
                listen {'0.0.0.0' if anywhere else '127.0.0.1'}:{port} backlog=4096; root {files};
                location / {{ default_type text/plain; return 200 "{'x' * 130}"; }}
                location = /64k {{ }}
                location = /1m {{ }}
            }}
        }}
    """)
    return ["nginx", "-c", config, "-e", f"{own}.err"]


# --- load: each gives what it saw: requests, rps, p50_ms, p99_ms, errors ----------------------------------------------


class Wrk:
    """HTTP/1, closed loop. `script` is Lua for requests that are no plain GET."""

    def __init__(self, path, connections, port="plain", headers=(), script=""):
        self.path, self.connections, self.port, self.headers, self.script = path, connections, port, headers, script

    def run(self, ports, seconds, stage, _load):
        scheme = "https" if self.port == "tls" else "http"
        options = [part for header in self.headers for part in ("-H", header)]
        if self.script:
            options += ["-s", write(stage.folder / "wrk.lua", self.script)]
        text = ask(["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", *options,
                    f"{scheme}://127.0.0.1:{ports[self.port]}{self.path}"])
        requests = re.search(r"(\d+) requests in", text)
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        if not requests or not rate or int(requests[1]) == 0:
            raise Failed(f"wrk saw no answer: {text[-400:]}")
        errors = sum(map(int, re.findall(r"(?:Non-2xx or 3xx responses:|connect|read|write|timeout)\s+(\d+)", text)))
        return {"requests": int(requests[1]), "rps": float(rate[1]), "p50_ms": self.latency(text, "50"),
                "p99_ms": self.latency(text, "99"), "errors": errors}

    @staticmethod
    def latency(text, percent):
        found = re.search(rf"\n\s+{percent}%\s+([\d.]+)(us|ms|s)", text)
        return float(found[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[found[2]] if found else None


class H2load:
    """HTTP/2 over TLS, closed loop. `body` makes it a POST."""

    def __init__(self, path, connections, streams, headers=(), body=b""):
        self.path, self.connections, self.streams, self.headers, self.body = path, connections, streams, headers, body

    def run(self, ports, seconds, stage, _load):
        options = [part for header in self.headers for part in ("-H", header)]
        if self.body:
            (stage.folder / "body").write_bytes(self.body)
            options += ["-d", stage.folder / "body"]
        log = stage.folder / "h2load.log"
        log.unlink(missing_ok=True)
        text = ask(["h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}", "-D", seconds, "--warm-up-time=0",
                    f"--log-file={log}", *options, f"https://127.0.0.1:{ports['tls']}{self.path}"])
        rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", text)
        requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
        if not rate or not requests or int(requests[1]) == 0:
            raise Failed(f"h2load saw no answer: {text[-400:]}")
        # Each line: when it began, its status, how many microseconds it took.
        took = sorted(int(line.split()[2]) for line in log.read_text().splitlines())
        return {"requests": int(requests[1]), "rps": float(rate[1]), "p50_ms": rank(took, 0.5), "p99_ms": rank(took, 0.99),
                "errors": int(requests[2]) + int(requests[3])}


def rank(took, share):
    return took[max(0, int(len(took) * share) - 1)] / 1e3 if took else None


class Websocket:
    """Messages that come back, closed loop."""

    def __init__(self, path, connections, size):
        self.path, self.connections, self.size = path, connections, size

    def run(self, ports, seconds, _stage, load):
        told = json.loads(ask([load, "websocket", "--address", f"127.0.0.1:{ports['plain']}", "--path", self.path,
                               "--connections", self.connections, "--size", self.size, "--seconds", seconds]))
        if not told["answered"]:
            raise Failed(f"no message came back: {told}")
        return {"requests": told["answered"], "rps": told["answered"] / told["seconds"], "p50_ms": told["p50_ms"],
                "p99_ms": told["p99_ms"], "errors": told["failed"]}


def open_loop(load, port, rate, seconds, path="/small", connections=64, **more):
    """HTTP/1 at a rate that is held whatever the answers; what our own generator prints."""
    options = [part for key, value in more.items() for part in (f"--{key.replace('_', '-')}", value)]
    return json.loads(ask([load, "open", "--address", f"127.0.0.1:{port}", "--path", path, "--rate", rate,
                           "--seconds", seconds, "--connections", connections, *options]))


UPLOAD = 'wrk.method = "POST"\nwrk.body = string.rep("x", 1048576)\n'
# Five bytes of frame, and a message with one field of text.
UNARY = b"\x00\x00\x00\x00\x0c\x0a\x0ahello grpc"
