//! Clients that nobody here wrote.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::{CommandOutput, DEADLINE, within};

/// curl, silent but for errors.
pub(crate) async fn curl(arguments: &[&str]) -> CommandOutput {
    let limit = DEADLINE.as_secs().to_string();
    let mut all = vec!["--silent", "--show-error", "--max-time", &limit];
    all.extend_from_slice(arguments);
    run("curl", &all).await
}

/// nghttp of nghttp2.
pub(crate) async fn nghttp(arguments: &[&str]) -> CommandOutput {
    run("nghttp", arguments).await
}

/// h2load of nghttp2.
pub(crate) async fn h2load(arguments: &[&str]) -> CommandOutput {
    run("h2load", arguments).await
}

/// What sslyze says of a TLS listener, held against what Mozilla calls "intermediate". It is on PyPI alone, and `make
/// setup` brings it where that can be reached: nothing without it.
pub(crate) async fn sslyze(address: SocketAddr) -> Option<CommandOutput> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/wall/bin/sslyze");
    if !Path::new(program).exists() {
        return None;
    }
    let target = address.to_string();
    Some(run(program, &["--mozilla_config=intermediate", &target]).await)
}

async fn run(program: &str, arguments: &[&str]) -> CommandOutput {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match within(&format!("the end of {program}"), output).await {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{program} is not installed; `make setup` installs what the tests need")
        }
        Err(error) => panic!("{program}: {error}"),
    };
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
