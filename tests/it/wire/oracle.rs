//! The same bytes to nginx and HAProxy: where we let through what both of them refuse, a reason has to stand here.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::{
    case::{Case, Upstream},
    framing, paths,
};
use crate::harness::{Client, RecordingOrigin};

/// Cases that we serve although both peers refuse them, each with the reason.
const LAXER: &[(&str, &str)] = &[];

const NGINX: &str = r"
daemon off;
worker_processes 1;
pid <folder>/nginx.pid;
error_log <folder>/nginx.log;
events { worker_connections 64; }
http {
    access_log off;
    client_header_timeout 1s;
    client_body_timeout 1s;
    client_body_temp_path <folder>/body;
    proxy_temp_path <folder>/proxy;
    fastcgi_temp_path <folder>/fastcgi;
    uwsgi_temp_path <folder>/uwsgi;
    scgi_temp_path <folder>/scgi;
    server {
        listen <address>;
        location / {
            proxy_pass http://<origin>;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
        }
    }
}
";

const HAPROXY: &str = r"
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 1s
    timeout server 5s
    timeout http-request 1s
    timeout http-keep-alive 1s
frontend web
    bind fd@3
    default_backend app
backend app
    server origin <origin>
";

/// Another proxy, before an origin of its own.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    origin: RecordingOrigin,
    seen: usize,
    process: Child,
    _folder: TempDir,
}

impl Peer {
    /// Starts it on a socket that listens already, so that nobody has to wait for it.
    async fn start(name: &'static str, template: &str, command: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let origin = RecordingOrigin::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let place = folder.path().display().to_string();
        let config = template
            .replace("<folder>", &place)
            .replace("<address>", &address.to_string())
            .replace("<origin>", &origin.to_string());
        let file = folder.path().join("config");
        fs::write(&file, config).expect("a configuration");
        let process = Command::new("sh")
            .args(["-c", &format!("exec {command} 3<&0 0</dev/null"), "sh"])
            .arg(&file)
            .env("NGINX", "3;")
            .env(
                "PATH",
                "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin",
            )
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`packaging/setup.sh test` installs it");
        Self {
            name,
            address,
            origin,
            seen: 0,
            process,
            _folder: folder,
        }
    }

    /// How many whole requests reach the origin for these bytes.
    async fn passes(&mut self, case: &Case) -> usize {
        let mut client = Client::connect(self.address).await;
        let _ = client.try_send(case.bytes).await;
        for answer in case.answers {
            if client.response(answer.method).await.is_err() {
                break;
            }
        }
        drop(client);
        self.origin.settled().await;
        let count = self.origin.requests().len();
        count - std::mem::replace(&mut self.seen, count)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked, not killed: nginx has a process to end of its own.
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn nothing_is_served_that_nginx_and_haproxy_both_refuse() {
    let mut nginx = Peer::start("nginx", NGINX, "nginx -c \"$1\"").await;
    let mut haproxy = Peer::start("haproxy", HAPROXY, "haproxy -q -db -f \"$1\"").await;
    let mut laxer = Vec::new();
    let (mut compared, mut served) = (0, [0, 0]);
    for case in framing::CASES.iter().chain(paths::CASES) {
        let ours = match case.upstream {
            Upstream::Nothing | Upstream::NothingWhole => 0,
            Upstream::Exactly(sent) => sent.len(),
        };
        let theirs = [nginx.passes(case).await, haproxy.passes(case).await];
        compared += 1;
        for (sum, passed) in served.iter_mut().zip(theirs) {
            *sum += passed;
        }
        if theirs.iter().all(|passed| *passed < ours) {
            laxer.push(case.name);
        }
        println!(
            "{:>3} {:60} ours {ours}  {} {}  {} {}",
            case.number, case.name, nginx.name, theirs[0], haproxy.name, theirs[1]
        );
    }
    // A peer that passes nothing was not there.
    assert!(
        compared > 100 && served.iter().all(|passed| *passed > 20),
        "{compared} {served:?}"
    );
    let known: Vec<_> = LAXER.iter().map(|(name, _)| *name).collect();
    assert_eq!(laxer, known, "laxer than both peers");
}
