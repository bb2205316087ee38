"""The three proxies with the same limits for clients, each in its own words, in front of the origin of `benches`,
and of origin.py for uploads, which reads them.

Heads and handshakes have 5 s, bodies and readers 5 s without progress, idle connections 10 s: short, so that a minute shows
what they do. Everything else is as it comes. One worker each.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "benches"))
from bench import certificate, write  # noqa: E402
from peers import Haproxy, Nginx, Portcullis, World  # noqa: E402

HEAD, BODY, IDLE = 5, 5, 10


class OurWall(Portcullis):
    def write(self):
        world = self.world
        text = f"""
            [server]
            workers = 1
            [admin]
            address = "127.0.0.1:{world.ports['admin']}"
            [log]
            level = "error"
            [access_log]
            output = "off"
        """
        for name in ("plain", "tls"):
            text += f"""
            [[listener]]
            name = "{name}"
            address = "127.0.0.1:{world.ports[name]}"
            handshake_timeout = "{HEAD}s"
            head_timeout = "{HEAD}s"
            body_timeout = "{BODY}s"
            idle_timeout = "{IDLE}s"
            """
        text += f"""
            [listener.tls]
            certificates = [{{ certificate = "{world.folder / 'site.crt'}", key = "{world.folder / 'site.key'}" }}]
            [[route]]
            name = "all"
            upstream = "main"
            [upstream.main]
            endpoints = ["{world.main_endpoints()[0]}"]
            [[route]]
            name = "upload"
            path = "/upload"
            upstream = "upload"
            [upstream.upload]
            endpoints = ["127.0.0.1:{world.origins['upload']}"]
        """
        write(self.fresh, text)


class HaproxyWall(Haproxy):
    def write(self):
        world = self.world
        write(self.fresh, f"""
            global
                nbthread 1
                no strict-limits
                maxconn 15000
            defaults
                mode http
                timeout connect 5s
                timeout client {BODY}s
                timeout http-request {HEAD}s
                timeout http-keep-alive {IDLE}s
                timeout server 60s
                http-reuse always
                option forwardfor
            frontend all
                bind 127.0.0.1:{world.ports['plain']}
                bind 127.0.0.1:{world.ports['tls']} ssl crt {world.folder / 'site.pem'} alpn h2,http/1.1
                use_backend upload if {{ path /upload }}
                default_backend main
            backend main
                server one {world.main_endpoints()[0]}
            backend upload
                server one 127.0.0.1:{world.origins['upload']}
        """)


class NginxWall(Nginx):
    def write(self):
        world = self.world
        own = world.folder / self.name
        write(self.fresh, f"""
            daemon off; pid {own}.pid; error_log {own}.err crit; worker_processes 1; worker_rlimit_nofile 65536;
            events {{ worker_connections 15000; }}
            http {{
                access_log off;
                client_body_temp_path {own}-client; proxy_temp_path {own}-proxy;
                fastcgi_temp_path {own}-f; uwsgi_temp_path {own}-u; scgi_temp_path {own}-s;
                client_max_body_size 0;
                client_header_timeout {HEAD}s;
                client_body_timeout {BODY}s;
                send_timeout {BODY}s;
                keepalive_timeout {IDLE}s;
                proxy_request_buffering off;
                proxy_max_temp_file_size 0;
                proxy_http_version 1.1;
                proxy_set_header Host $host;
                proxy_set_header Connection "";
                proxy_set_header X-Forwarded-For $remote_addr;
                upstream main {{ server {world.main_endpoints()[0]}; keepalive 512; }}
                server {{
                    listen 127.0.0.1:{world.ports['plain']} backlog=4096;
                    listen 127.0.0.1:{world.ports['tls']} ssl http2 backlog=4096;
                    ssl_certificate {world.folder / 'site.crt'};
                    ssl_certificate_key {world.folder / 'site.key'};
                    location / {{ proxy_pass http://main; }}
                    location = /upload {{ proxy_pass http://127.0.0.1:{world.origins['upload']}; }}
                }}
            }}
        """)


PROXIES = {"portcullis": OurWall, "haproxy": HaproxyWall, "nginx": NginxWall}


def main():
    """Writes the gateway's configurations of the wall and of the soak into the folder that is given, for the test that checks them."""
    import soak

    folder = Path(sys.argv[1])
    certificate(folder)
    print(OurWall("portcullis", World(folder, {"http": 1, "upload": 2}), "portcullis").prepare().config)
    print(soak.config(folder, {"plain": 8080, "tls": 8443, "admin": 9901}, 1))


if __name__ == "__main__":
    main()
