//! What a process asks of the kernel, as strace writes it down.

use std::fs;

use tempfile::TempDir;
use tokio::process::Command;

/// The system calls of one process, a file for each of its threads.
pub(crate) struct SystemCalls {
    folder: TempDir,
}

/// One call of one thread.
pub(crate) struct Call {
    pub(crate) name: String,
    /// Whether the kernel did what was asked.
    pub(crate) succeeded: bool,
}

impl SystemCalls {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The command under strace. The tracer is a process of its own, so that the child is the command itself.
    pub(super) fn around(&self, command: &Command) -> Command {
        let mut traced = Command::new("strace");
        traced
            .args(["-D", "-ff", "-e", "signal=none", "-o"])
            .arg(self.folder.path().join("calls"))
            .arg(command.as_std().get_program())
            .args(command.as_std().get_args());
        traced
    }

    /// The calls of the thread that gave itself this name, in order; the process must have ended.
    pub(crate) fn of_thread(&self, name: &str) -> Vec<Call> {
        let naming = format!("prctl(PR_SET_NAME, \"{name}\"");
        fs::read_dir(self.folder.path())
            .expect("the directory")
            .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("the calls"))
            .find(|calls| calls.contains(&naming))
            .unwrap_or_else(|| {
                panic!(
                    "no calls of a thread {name:?}; strace must be installed and allowed to trace"
                )
            })
            .lines()
            .filter_map(Call::parse)
            .collect()
    }
}

impl Call {
    /// Reads `name(arguments) = result`; other lines tell of signals and ends.
    fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        name.bytes().all(is_name).then(|| Self {
            name: name.to_owned(),
            succeeded: rest
                .rsplit_once("= ")
                .is_some_and(|(_, result)| !result.starts_with('-')),
        })
    }
}
