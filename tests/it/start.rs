//! Starts that fail say why, and which listener is in the way.

use std::fs;
use std::path::Path;

use crate::harness::{Authority, CommandOutput, Gateway, Origin, Request, portcullis};

/// Runs a command on a configuration that is written to a file first.
async fn with_config(command: &[&str], text: &str) -> (CommandOutput, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("gateway.toml");
    fs::write(&path, text).expect("the configuration");
    let path = path.display().to_string();
    let (name, rest) = command.split_first().expect("a command");
    let mut arguments = vec![*name, "--config", &path];
    arguments.extend_from_slice(rest);
    (portcullis(&arguments).await, directory)
}

#[tokio::test]
async fn a_port_in_use_is_exit_code_1_and_names_the_listener() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (output, _directory) = with_config(
        &["run"],
        &format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n[[listener]]\nname = \"front\"\naddress = \"{address}\"\n\
             [[route]]\nname = \"all\"\nrespond = {{ body = \"x\" }}\n"
        ),
    )
    .await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("front"), "{output:?}");
    assert!(output.stderr.contains(&address.to_string()), "{output:?}");
}

#[tokio::test]
async fn an_admin_port_in_use_is_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (output, _directory) = with_config(
        &["run"],
        &format!(
            "[admin]\naddress = \"{address}\"\n[[listener]]\nname = \"front\"\naddress = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"all\"\nrespond = {{ body = \"x\" }}\n"
        ),
    )
    .await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("admin"), "{output:?}");
}

const WRONG: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:99999\"\n\
                     [[route]]\nname = \"all\"\nupstrem = \"app\"\n\
                     [upstream.app]\nendpoints = []\n";

#[tokio::test]
async fn a_wrong_configuration_is_exit_code_2_with_every_place() {
    for command in ["run", "check"] {
        let (output, _directory) = with_config(&[command], WRONG).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        for part in ["99999", "upstrem", "gateway.toml:3", "gateway.toml:6"] {
            assert!(
                output.stderr.contains(part),
                "{part} is not in {}",
                output.stderr
            );
        }
        assert!(
            output.stderr.contains("upstream"),
            "no suggestion: {}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn a_missing_file_is_exit_code_2() {
    for command in ["run", "check"] {
        let output = portcullis(&[command, "--config", "/nonexistent/gateway.toml"]).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(
            output.stderr.contains("/nonexistent/gateway.toml"),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn a_right_configuration_checks_with_exit_code_0_and_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (output, _directory) = with_config(
        &["check"],
        &format!(
            "[[listener]]\nname = \"web\"\naddress = \"{address}\"\n\
             [[route]]\nname = \"all\"\nrespond = {{ body = \"x\" }}\n"
        ),
    )
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn explain_says_who_wins_and_why_the_others_lose() {
    let text = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
        [[route]]\nname = \"users\"\nhosts = [\"api.example.com\"]\npath = \"/v1/users/*\"\nheaders = { \"x-tier\" = \"gold\" }\nupstream = \"users\"\n\
        filters = [{ kind = \"rewrite\", path = \"/users/*\" }]\n\
        [[route]]\nname = \"rest\"\nrespond = { body = \"x\" }\n\
        [upstream.users]\nendpoints = [\"127.0.0.1:9001\"]\n";
    let url = "https://api.example.com/v1/users/7";
    let (output, _directory) =
        with_config(&["explain", "GET", url, "-H", "x-tier: gold"], text).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    for part in ["users", "rest", "rewrite", "127.0.0.1:9001"] {
        assert!(
            output.stdout.contains(part),
            "{part} is not in {}",
            output.stdout
        );
    }
    let (output, _directory) = with_config(&["explain", "GET", url], text).await;
    assert!(output.stdout.contains("x-tier"), "{}", output.stdout);
}

/// What `explain` says is what the gateway does.
#[tokio::test]
async fn explain_agrees_with_the_gateway() {
    let text = "[[route]]\nname = \"one\"\npath = \"/a/*\"\nrespond = { body = \"one\" }\n\
        [[route]]\nname = \"two\"\npath = \"/a/{x}\"\nmethods = [\"GET\"]\nrespond = { body = \"two\" }\n";
    let gateway = Gateway::start(text, &[]).await;
    let path = gateway.config_path().display().to_string();
    for (method, target) in [("GET", "/a/x"), ("POST", "/a/x"), ("GET", "/a/x/y")] {
        let served = gateway.send(Request::new(method, target)).await;
        let url = format!("http://gateway.test{target}");
        let output = portcullis(&["explain", "--config", &path, method, &url]).await;
        let first = output
            .stdout
            .lines()
            .find(|line| line.contains("one") || line.contains("two"));
        assert!(
            first.is_some_and(|line| line.contains(served.text())),
            "{method} {target} is served by {}: {}",
            served.text(),
            output.stdout
        );
    }
}

#[tokio::test]
async fn the_reference_is_the_one_in_the_repository() {
    let output = portcullis(&["reference"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/reference.md");
    let kept = fs::read_to_string(&path).expect("conf/reference.md");
    assert!(
        output.stdout == kept,
        "conf/reference.md is stale: write the output of `portcullis reference` to it"
    );
}

#[tokio::test]
async fn wrong_arguments_are_exit_code_2_with_help() {
    for arguments in [&["nonsense"][..], &["run"], &["run", "--config"]] {
        let output = portcullis(arguments).await;
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("--help"), "{output:?}");
    }
    let help = portcullis(&["run", "--help"]).await;
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("Examples"), "{}", help.stdout);
}

/// Every example that is shipped starts, once its certificates are there.
#[tokio::test]
async fn the_examples_start() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut files = vec![conf.join("portcullis.toml")];
    for entry in fs::read_dir(conf.join("examples")).expect("conf/examples") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    assert!(files.len() > 20, "{files:?}");
    let listening = regex::Regex::new(r#"(?m)^address = "([^":]+):\d+""#).expect("a pattern");
    let authority = Authority::new("examples");
    let identities = ["site", "other"].map(|name| (name, authority.issue(&["gateway.test"])));
    for file in files {
        let copy = tempfile::tempdir().expect("a directory");
        copy_folder(file.parent().expect("a folder"), copy.path());
        let tls = copy.path().join("tls");
        fs::create_dir_all(&tls).expect("a folder");
        fs::copy(authority.file(), tls.join("ca.pem")).expect("the authority");
        for (name, identity) in &identities {
            let (certificate, key) = (identity.certificate_file(), identity.key_file());
            fs::copy(certificate, tls.join(format!("{name}.pem"))).expect("a certificate");
            fs::copy(key, tls.join(format!("{name}.key"))).expect("a key");
        }
        let text = fs::read_to_string(&file).expect("an example");
        let text = listening.replace_all(&text, "address = \"127.0.0.1:0\"");
        let gateway = Gateway::start_beside(copy, &text).await;
        let health = gateway.ask_admin(Request::get("/healthz")).await;
        assert_eq!(health.status, 200, "{}", file.display());
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a copy");
        }
    }
}

/// Case 84: a gateway that was killed leaves nothing behind that stops the next one.
#[tokio::test]
async fn case_84_a_killed_gateway_starts_again_on_its_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address");
    drop(free);
    let origin = Origin::answering("ok").await;
    let text = format!(
        "[[listener]]\nname = \"web\"\naddress = \"{address}\"\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"{origin}\"]\n"
    );
    let mut first = Gateway::start(&text, &[]).await;
    assert_eq!(first.get("/").await.status, 200);
    first.signal("KILL").await;
    first.exit().await;
    let second = Gateway::start(&text, &[]).await;
    assert_eq!(second.get("/").await.status, 200);
}

const PLAIN: &str = r#"
    [server]
    max_connections = 2000
    [[route]]
    name = "all"
    respond = { body = "x" }
"#;

/// What the system lets the process have open: now, and at most.
fn open_files(gateway: &Gateway) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).expect("limits");
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let mut numbers = line
        .expect("the line")
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    (
        numbers.next().expect("the soft limit"),
        numbers.next().expect("the hard limit"),
    )
}

#[tokio::test]
async fn as_many_files_are_open_as_the_system_lets_it() {
    let limits = "ulimit -Sn 256; ulimit -Hn 4096";
    let gateway = Gateway::start_under(limits, PLAIN, &[]).await;
    assert_eq!(open_files(&gateway), (4096, 4096));
    assert!(!gateway.log().text().contains("files run out first"));
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("process_max_fds", &[]), 4096.0);
}

#[tokio::test]
async fn who_asks_for_more_connections_than_files_is_told() {
    let limits = "ulimit -Sn 256; ulimit -Hn 3999";
    let gateway = Gateway::start_under(limits, PLAIN, &[]).await;
    let told = gateway
        .log()
        .wait("a warning", |line| {
            let words = line.message().contains("files run out first");
            words.then(|| line.text().to_owned())
        })
        .await;
    assert!(told.contains("3999"), "{told}");
    // And `check` says it before.
    let config = gateway.config_path();
    let check = |limit: u32| {
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")])
            .args([env!("CARGO_BIN_EXE_portcullis"), "check", "--config"])
            .arg(&config)
            .output()
            .expect("the command");
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let warning = check(1999);
    assert!(
        warning.contains("warning[without_effect]") && warning.contains("files run out at 1999"),
        "{warning}"
    );
    assert_eq!(check(2000), "");
}
