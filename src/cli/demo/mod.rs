//! `portcullis demo`: a gateway with sample services in one process, to try.

mod files;
mod services;

use std::{
    fmt::Write,
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use clap::Args;

use super::{Console, Exit, run};
use crate::app;
use files::Files;

/// Start a gateway in front of three sample services, to try.
///
/// Everything lives in this one process and on the loopback interface: the services, a certificate made on the spot,
/// and the admin address. The configuration is an ordinary file in a temporary directory; edit it while the demo runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis demo
  portcullis demo --http-port 18080 --https-port 18443 --admin-port 19901")]
pub(super) struct Demo {
    /// The port for http.
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    http_port: u16,
    /// The port for https.
    #[arg(long, value_name = "PORT", default_value_t = 8443, value_parser = clap::value_parser!(u16).range(1..))]
    https_port: u16,
    /// The port of the admin address.
    #[arg(long, value_name = "PORT", default_value_t = 9901, value_parser = clap::value_parser!(u16).range(1..))]
    admin_port: u16,
}

/// The ports of the demo gateway.
#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    https: u16,
    admin: u16,
}

impl Demo {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        let ports = Ports {
            http: self.http_port,
            https: self.https_port,
            admin: self.admin_port,
        };
        if let Some(reason) = ports.taken() {
            console.complain(&reason)?;
            return Ok(Exit::CannotStart);
        }
        let files = Files::write(ports, services::start()?)?;
        let configuration = files.configuration();
        let welcome = welcome(ports, &configuration);
        let mut options = app::Options::new(configuration);
        options.started = Some(Box::new(move || {
            // Without a reader of its output the demo serves all the same.
            let _ = Console::process().print(&welcome);
        }));
        let outcome = app::run(options);
        drop(files);
        match outcome {
            Ok(()) => Ok(Exit::Done),
            Err(error) => run::cannot_start(&error, console),
        }
    }
}

impl Ports {
    /// Which port somebody else has, and what to do about it.
    ///
    /// The gateway shares its ports between its workers, so that it would not notice another gateway of the same user.
    fn taken(self) -> Option<String> {
        let options = [
            ("--http-port", self.http),
            ("--https-port", self.https),
            ("--admin-port", self.admin),
        ];
        options.into_iter().find_map(|(option, port)| {
            let error = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err()?;
            Some(format!(
                "cannot listen on 127.0.0.1:{port}: {error}\nChoose another port with {option}, for example: portcullis demo {option} {}",
                port.checked_add(10_000).unwrap_or(port - 10_000)
            ))
        })
    }
}

/// What the demo prints when it serves. Each line works as it stands.
fn welcome(ports: Ports, configuration: &Path) -> String {
    let Ports { http, https, admin } = ports;
    let http = format!("http://127.0.0.1:{http}");
    let https = format!("https://127.0.0.1:{https}");
    let admin = format!("http://127.0.0.1:{admin}");
    let configuration = configuration.display();
    let lines = [
        (format!("curl -s {http}/users/7"), "a JSON service"),
        (
            format!("curl -sk {https}/orders"),
            "twice: two endpoints take turns",
        ),
        (
            format!("curl -sk {https}/echo/hello -d 'some text'"),
            "what a service sees",
        ),
        (
            format!("curl -s {http}/echo/hello -H 'x-tier: gold'"),
            "the same path, another route",
        ),
        (format!("curl -sN {http}/ticks"), "a stream, line by line"),
        (
            format!("curl -sL {http}/v0/users/1"),
            "a redirect, followed",
        ),
        (
            format!("curl -s {admin}/upstreams"),
            "the endpoints and their state",
        ),
        (
            format!("curl -s {admin}/metrics | grep requests_total"),
            "the figures for Prometheus",
        ),
        (
            format!("sed -i s/pong/PONG/ {configuration} && sleep 1 && curl -s {http}/ping"),
            "a change, served without a restart",
        ),
    ];
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let mut text = String::from("The gateway serves; Ctrl-C ends it. Try in another terminal:\n\n");
    for (line, about) in lines {
        let _ = writeln!(text, "  {line:width$}  # {about}");
    }
    text.push('\n');
    text
}
