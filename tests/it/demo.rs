//! The demo: what it prints is what a new user types.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{portcullis, within};

/// A running demo and what it prints.
struct Demo {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    async fn start() -> Self {
        // All three are open at the same time, so that they differ.
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [http, https, admin] = free
            .each_ref()
            .map(|socket| socket.local_addr().expect("an address").port().to_string());
        drop(free);
        let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["demo", "--http-port", &http, "--https-port", &https])
            .args(["--admin-port", &admin])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the demo");
        let output = BufReader::new(child.stdout.take().expect("stdout")).lines();
        Self { child, output }
    }

    /// The commands that it prints, without the remarks behind them.
    async fn commands(&mut self) -> Vec<String> {
        let mut commands = Vec::new();
        loop {
            let line = within("a line of the demo", self.output.next_line()).await;
            let line = line.expect("a readable line").expect("a welcome");
            match line.strip_prefix("  ") {
                Some(command) => {
                    let (command, _remark) = command.split_once("  # ").expect("a remark");
                    commands.push(command.trim_end().to_owned());
                }
                None if !commands.is_empty() => return commands,
                None => {}
            }
        }
    }
}

async fn shell(command: &str) -> String {
    let output = Command::new("bash")
        .args(["-o", "pipefail", "-c", command])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(command, output).await.expect("bash");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn every_line_that_the_demo_prints_works() {
    let mut demo = Demo::start().await;
    let commands = demo.commands().await;
    for (begin, part) in [
        ("/users/7", "Grace"),
        ("/orders", "answered_by"),
        ("/echo/hello -d", "x-request-id: "),
        ("x-tier: gold", "gold"),
        ("/ticks", "tick 10 of 10"),
        ("/v0/users/1", "Ada"),
        ("/upstreams", "\"orders\""),
        ("/metrics", "route=\"users\""),
        ("/ping", "PONG"),
    ] {
        let command = commands
            .iter()
            .find(|command| command.contains(begin))
            .unwrap_or_else(|| panic!("no line with {begin} in {commands:?}"));
        let answer = shell(command).await;
        assert!(answer.contains(part), "{command}: {answer}");
    }
    assert_eq!(commands.len(), 9, "{commands:?}");

    let configuration = commands
        .iter()
        .flat_map(|command| command.split(' '))
        .find(|word| word.ends_with("/portcullis.toml"))
        .expect("the path of the configuration");
    assert!(Path::new(configuration).exists());
    let pid = demo.child.id().expect("a running demo").to_string();
    shell(&format!("kill -INT {pid}")).await;
    let status = within("the end of the demo", demo.child.wait()).await;
    assert_eq!(status.expect("a status").code(), Some(0));
    assert!(!Path::new(configuration).exists());
}

#[tokio::test]
async fn a_port_in_use_is_exit_code_1_and_names_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = portcullis(&["demo", "--http-port", &port]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains(&format!("127.0.0.1:{port}")),
        "{output:?}"
    );
    assert!(output.stderr.contains("--http-port"), "{output:?}");
}
