//! The program log: what is worth a line that is not about one exchange.
//!
//! Everything uses `tracing`; Pingora and rustls use `log` and are bridged. Lines go to the standard error.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use lines::Lines;

/// What a line of the program log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// The program log of this process, and the right to change its level.
#[derive(Debug)]
pub struct LogHandle {
    level: LevelHandle,
    lines: Lines,
}

/// The right to change the level of a log while it runs.
#[derive(Debug)]
struct LevelHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    level: Mutex<String>,
}

/// Starts the program log of this process. Lines that are lost because nobody takes them are counted in `dropped`.
///
/// # Errors
/// If the level cannot be understood, the system gives no thread, or the process has a program log already.
pub fn start(format: LogFormat, level: &str, dropped: Arc<AtomicU64>) -> Result<LogHandle, String> {
    let lines = Lines::start(io::stderr(), dropped).map_err(|error| error.to_string())?;
    let writer = lines.clone();
    let colours = io::stderr().is_terminal();
    let (subscriber, level) = build(format, level, move || writer.clone(), colours)?;
    subscriber.try_init().map_err(|error| error.to_string())?;
    admit_bridged_records();
    std::panic::set_hook(Box::new(tell_panic));
    Ok(LogHandle { level, lines })
}

/// Says what has panicked, as a line like all others. The standard library's own hook would wait for the output.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let payload = panic.payload();
    let words = payload.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| payload.downcast_ref::<&str>().copied());
    let trace = Backtrace::capture();
    tracing::error!(
        thread = thread.name(),
        place = panic.location().map(tracing::field::display),
        trace =
            (trace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(&trace)),
        "panicked: {}",
        words.unwrap_or("without a word")
    );
}

impl LogHandle {
    /// Changes the level: `debug`, which is for the gateway and leaves its libraries at `warn`, or a list of directives
    /// such as `info,portcullis::engine=trace,h2=debug`.
    ///
    /// # Errors
    /// If the text cannot be understood; the level stays as it was.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        self.level.set(level)
    }

    /// The level as it was last set.
    #[must_use]
    pub fn level(&self) -> String {
        self.level.get()
    }

    /// Waits a moment until what was said so far is written: before something that is to stand behind it, or the end.
    pub fn flush(&self) {
        self.lines.flush(PATIENCE);
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.flush();
    }
}

impl LevelHandle {
    fn set(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())?;
        level.trim().clone_into(&mut current);
        admit_bridged_records();
        Ok(())
    }

    fn get(&self) -> String {
        self.level
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Checks that a level can be understood.
///
/// # Errors
/// With what is wrong, for people.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(|_| ())
}

fn build<W>(
    format: LogFormat,
    level: &str,
    writer: W,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync, LevelHandle), String>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let handle = LevelHandle {
        filter: handle,
        level: Mutex::new(level.trim().to_owned()),
    };
    Ok((Registry::default().with(filter).with(lines), handle))
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let words: Vec<_> = level.split(',').map(str::trim).collect();
    for word in &words {
        // To the filter any other word is the name of a crate: a slip would pass unseen and silence everything.
        if !word.contains(['=', '[', ']', '{', '}']) && !is_level(word) {
            let levels = LEVELS.join(", ");
            return Err(format!("`{word}` is not a level: {levels}"));
        }
    }
    let level = words.join(",");
    let directives = match level.parse::<LevelFilter>() {
        Ok(own) => format!("{},portcullis={own}", own.min(LIBRARIES)),
        Err(_) => format!("{LIBRARIES},{level}"),
    };
    EnvFilter::builder()
        .with_regex(false)
        .parse(directives)
        .map_err(|error| error.to_string())
}

/// Narrower than what `LevelFilter` parses: to it, nothing at all means `error`.
fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
}

/// Lets records of the `log` crate through as far as the filter may want them; their own limit is set once at the start.
fn admit_bridged_records() {
    log::set_max_level(match LevelFilter::current() {
        LevelFilter::OFF => log::LevelFilter::Off,
        LevelFilter::ERROR => log::LevelFilter::Error,
        LevelFilter::WARN => log::LevelFilter::Warn,
        LevelFilter::INFO => log::LevelFilter::Info,
        LevelFilter::DEBUG => log::LevelFilter::Debug,
        LevelFilter::TRACE => log::LevelFilter::Trace,
    });
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// How long the last lines may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// What libraries may say when nobody asked about them.
const LIBRARIES: LevelFilter = LevelFilter::WARN;

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::subscriber::with_default;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    fn built(
        format: LogFormat,
        level: &str,
    ) -> (impl Subscriber + Send + Sync, LevelHandle, Lines) {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, handle) = build(format, level, move || writer.clone(), false).unwrap();
        (subscriber, handle, lines)
    }

    #[test]
    fn the_level_changes_while_the_log_runs() {
        let (subscriber, handle, lines) = built(LogFormat::Text, "info");
        with_default(subscriber, || {
            tracing::debug!("unseen");
            assert_eq!(lines.take(), "");
            handle.set("debug").unwrap();
            assert_eq!(handle.get(), "debug");
            tracing::debug!("seen");
            assert!(lines.take().ends_with("seen\n"));
        });
    }

    #[test]
    fn libraries_stay_at_warn_unless_they_are_named() {
        let (subscriber, handle, lines) = built(LogFormat::Text, "trace");
        with_default(subscriber, || {
            tracing::info!(target: "pingora_core::server", "chatter");
            assert_eq!(lines.take(), "");
            tracing::warn!(target: "pingora_core::server", "trouble");
            assert!(lines.take().contains("trouble"));
            handle.set("info,pingora_core=info").unwrap();
            tracing::info!(target: "pingora_core::server", "asked for");
            assert!(lines.take().contains("asked for"));
            handle.set("error").unwrap();
            tracing::warn!(target: "pingora_core::server", "too much");
            assert_eq!(lines.take(), "");
        });
    }

    #[test]
    fn json_lines_have_the_fields_beside_the_message() {
        let (subscriber, _handle, lines) = built(LogFormat::Json, "info");
        with_default(subscriber, || tracing::info!(generation = 3, "reloaded"));
        let line: serde_json::Value = serde_json::from_str(&lines.take()).unwrap();
        assert_eq!(line["message"], "reloaded");
        assert_eq!(line["generation"], 3);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn a_panic_is_a_line_like_all_others() {
        let (subscriber, _handle, lines) = built(LogFormat::Json, "error");
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(tell_panic));
        let caught = with_default(subscriber, || {
            std::panic::catch_unwind(|| panic!("on purpose"))
        });
        std::panic::set_hook(before);
        assert!(caught.is_err());
        let line: serde_json::Value = serde_json::from_str(&lines.take()).unwrap();
        assert_eq!(line["message"], "panicked: on purpose");
        assert!(
            line["place"].as_str().unwrap().contains("log.rs:"),
            "{line}"
        );
    }

    #[test]
    fn a_level_that_makes_no_sense_is_refused_and_changes_nothing() {
        let (_subscriber, handle, _) = built(LogFormat::Text, "info");
        let refused = handle.set("inof").unwrap_err();
        assert_eq!(
            refused,
            "`inof` is not a level: off, error, warn, info, debug, trace"
        );
        assert!(handle.set("info,h2=loud").is_err());
        assert!(handle.set("").is_err());
        assert_eq!(handle.get(), "info");
        assert_eq!(check_level(" info , h2=debug "), Ok(()));
    }
}
