//! What the steps of an exchange cost, each alone: `cargo bench`, or `cargo bench -- 'route match'` for a part of it.
//!
//! The tests run every benchmark once, with small worlds, so that none of them rots.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot begin says why"
)]

mod blocks;
mod compile;
mod filters;
mod heads;
mod pick;
mod records;
mod routes;
mod world;

use std::env;
use std::io::{self, Write};
use std::process::{Command, ExitCode};

use criterion::Criterion;

/// What a test runner that lists tests gets to see and asks for.
const TEST: &str = "every_benchmark_runs";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if asked("--list") && !asked("--bench") {
        // One test for all benchmarks: a process for each of them would build every world again.
        if !asked("--ignored") {
            let listed = writeln!(io::stdout(), "{TEST}: test");
            return ExitCode::from(u8::from(listed.is_err()));
        }
        return ExitCode::SUCCESS;
    }
    if asked(TEST) {
        return every_benchmark_runs();
    }
    let mut criterion = Criterion::default().configure_from_args();
    heads::all(&mut criterion);
    blocks::all(&mut criterion);
    routes::all(&mut criterion);
    filters::all(&mut criterion);
    pick::all(&mut criterion);
    compile::all(&mut criterion);
    records::all(&mut criterion);
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Criterion learns from the arguments of the process alone that it is to measure nothing.
fn every_benchmark_runs() -> ExitCode {
    let run = env::current_exe().and_then(|own| Command::new(own).arg("--test").status());
    ExitCode::from(u8::from(!run.is_ok_and(|status| status.success())))
}

/// `full` where it is measured, and a world that is quickly made where it is only tried.
pub(crate) fn size(full: usize) -> usize {
    if env::args().any(|argument| argument == "--bench") {
        full
    } else {
        full.min(100)
    }
}
