//! The command: arguments in, exit code out.

use std::process::ExitCode;

/// Exchanges allocate small things on one thread and free them there, which mimalloc does without a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
