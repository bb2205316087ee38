//! The gateway as its users have it: a process with a configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::config::{Value, complete, fill};
use super::program_log::{Line, ProgramLog};
use super::{
    AccessLog, Client, ClientTls, Record, Request, ResponseMessage, Samples, SystemCalls, within,
};

/// A running gateway; dropping it kills the process.
pub(crate) struct Gateway {
    child: Child,
    log: ProgramLog,
    output: ProgramLog,
    access: AccessLog,
    directory: TempDir,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Gateway {
    /// Starts the gateway with this text, placeholders filled, and waits until it is ready.
    pub(crate) async fn start(text: &str, values: &[(&str, &dyn Value)]) -> Self {
        Self::start_with(text, values, |_command| {}).await
    }

    /// Like `start`, with changes to the command: environment, limits.
    pub(crate) async fn start_with(
        text: &str,
        values: &[(&str, &dyn Value)],
        adjust: impl FnOnce(&mut Command),
    ) -> Self {
        let gateway = Self::spawn(temporary(), &fill(text, values), adjust);
        gateway.ready().await
    }

    /// Like `start`, with each of its system calls written down.
    pub(crate) async fn start_traced(
        trace: &SystemCalls,
        text: &str,
        values: &[(&str, &dyn Value)],
    ) -> Self {
        Self::start_with(text, values, |command| *command = trace.around(command)).await
    }

    /// Like `start`, in a shell that has set these limits, such as `ulimit -n 100`.
    pub(crate) async fn start_under(
        limits: &str,
        text: &str,
        values: &[(&str, &dyn Value)],
    ) -> Self {
        Self::start_with(text, values, |command| {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
                .arg(command.as_std().get_program())
                .args(command.as_std().get_args());
            *command = shell;
        })
        .await
    }

    /// Starts with a text that is written beside the files in a directory.
    pub(crate) async fn start_beside(files: TempDir, text: &str) -> Self {
        Self::spawn(files, text, |_command| {}).ready().await
    }

    /// Starts a gateway that says in another way than by JSON that it is ready.
    pub(crate) async fn start_when(text: &str, is_ready: impl Fn(&Line) -> bool) -> Self {
        let gateway = Self::spawn(temporary(), text, |_command| {});
        gateway
            .log
            .wait("the word that it is ready", |line| {
                is_ready(line).then_some(())
            })
            .await;
        gateway
    }

    async fn ready(self) -> Self {
        self.log
            .wait("\"ready\"", |line| {
                (line.message() == "ready").then_some(())
            })
            .await;
        self
    }

    fn spawn(directory: TempDir, text: &str, adjust: impl FnOnce(&mut Command)) -> Self {
        let config = directory.path().join("gateway.toml");
        std::fs::write(&config, complete(text, directory.path())).expect("the configuration");
        let access = AccessLog::follow(&directory.path().join("access.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["run", "--config"]).arg(&config);
        adjust(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the gateway");
        let log = ProgramLog::follow(child.stderr.take().expect("stderr"));
        let output = ProgramLog::follow(child.stdout.take().expect("stdout"));
        Self {
            child,
            log,
            output,
            access,
            directory,
        }
    }

    /// The address that a listener got.
    pub(crate) async fn address(&self, listener: &str) -> SocketAddr {
        self.log
            .wait(&format!("listener {listener:?}"), |line| {
                (line.message() == "listening" && line.field("listener") == Some(listener))
                    .then(|| line.field("address")?.parse().ok())
                    .flatten()
            })
            .await
    }

    /// The address of the listener that scenarios have when they name none.
    pub(crate) async fn web(&self) -> SocketAddr {
        self.address("web").await
    }

    pub(crate) async fn admin(&self) -> SocketAddr {
        self.address("admin").await
    }

    /// The program log, on stderr.
    pub(crate) fn log(&self) -> &ProgramLog {
        &self.log
    }

    /// What the gateway prints on stdout.
    pub(crate) fn output(&self) -> &ProgramLog {
        &self.output
    }

    pub(crate) fn access_log(&self) -> &AccessLog {
        &self.access
    }

    /// Waits for `count` access records and returns them all.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        self.access.records(count).await
    }

    /// The directory of the configuration file.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("gateway.toml")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a running gateway")
    }

    /// A connection to the plain listener `web`.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.web().await).await
    }

    /// A TLS connection to a listener.
    pub(crate) async fn connect_tls(&self, listener: &str, tls: &ClientTls) -> Client {
        Client::connect_tls(self.address(listener).await, tls).await
    }

    /// One request over a new connection to `web`.
    pub(crate) async fn send(&self, request: Request) -> ResponseMessage {
        self.connect().await.ask(request).await
    }

    pub(crate) async fn get(&self, target: &str) -> ResponseMessage {
        self.send(Request::get(target)).await
    }

    /// One request to the admin address.
    pub(crate) async fn ask_admin(&self, request: Request) -> ResponseMessage {
        let admin = self.admin().await;
        let request = request.host(&admin.to_string());
        Client::connect(admin).await.ask(request).await
    }

    pub(crate) async fn metrics(&self) -> Samples {
        let response = self.ask_admin(Request::get("/metrics")).await;
        assert_eq!(response.status, 200, "{}", response.text());
        Samples::parse(response.text())
    }

    /// Writes another configuration as an editor does, by renaming a new file over the old one.
    pub(crate) fn edit(&self, text: &str, values: &[(&str, &dyn Value)]) {
        let new = self.directory.path().join("gateway.toml.new");
        std::fs::write(&new, complete(&fill(text, values), self.directory.path()))
            .expect("the configuration");
        std::fs::rename(&new, self.config_path()).expect("a rename");
    }

    /// Writes another configuration and has it loaded by `POST /reload`.
    pub(crate) async fn reload(&self, text: &str, values: &[(&str, &dyn Value)]) {
        self.edit(text, values);
        let response = self.post_reload().await;
        assert_eq!(response.status, 200, "{}", response.text());
    }

    pub(crate) async fn post_reload(&self) -> ResponseMessage {
        self.ask_admin(Request::post("/reload", "")).await
    }

    /// Waits until `condition` holds; it is asked again after each line of the program log.
    pub(crate) async fn until<F>(&self, what: &str, mut condition: impl FnMut() -> F)
    where
        F: Future<Output = bool>,
    {
        within(what, async {
            loop {
                let seen = self.log.count();
                if condition().await {
                    return;
                }
                self.log.after(seen).await;
            }
        })
        .await;
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) async fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .await
            .expect("kill");
        assert!(status.success(), "kill -{name}");
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        within("the gateway's exit", self.child.wait())
            .await
            .expect("an exit status")
    }

    /// Ends the gateway by SIGTERM and returns every record that it wrote in its life.
    pub(crate) async fn stop(mut self) -> Vec<Record> {
        self.signal("TERM").await;
        let status = self.exit().await;
        assert_eq!(status.code(), Some(0), "{}", self.log.text());
        self.access
            .lines_now()
            .iter()
            .map(|line| Record::parse(line))
            .collect()
    }

    /// How many threads have a name with this in it.
    pub(crate) fn threads_named(&self, part: &str) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid()))
            .expect("/proc")
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("comm")).ok())
            .filter(|name| name.contains(part))
            .count()
    }

    /// How many descriptors the process has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("/proc")
            .count()
    }

    /// How many ends of pipes the process has open.
    pub(crate) fn pipes(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("/proc")
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("pipe:"))
            .count()
    }

    /// The resident memory of the process in bytes.
    pub(crate) fn resident(&self) -> u64 {
        status_figure(self.pid(), "VmRSS:") * 1024
    }

    /// The highest resident memory of the process so far in bytes.
    pub(crate) fn peak_resident(&self) -> u64 {
        status_figure(self.pid(), "VmHWM:") * 1024
    }
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn status_figure(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|figure| figure.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Runs `portcullis` with these arguments to its end.
pub(crate) async fn portcullis(arguments: &[&str]) -> CommandOutput {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("the end of the command", output)
        .await
        .expect("the command");
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}
