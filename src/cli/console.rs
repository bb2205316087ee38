//! Where commands write: the only way to standard output in this program.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// Standard output and standard error, or what stands for them in a test.
pub struct Console {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    colours: bool,
}

impl Console {
    /// The streams of this process.
    #[must_use]
    pub fn process() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            colours: io::stdout().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Other streams, without colours.
    #[must_use]
    pub fn new(out: impl Write + Send + 'static, err: impl Write + Send + 'static) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            colours: false,
        }
    }

    pub(super) const fn colours(&self) -> bool {
        self.colours
    }

    /// Writes to standard output.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes to standard error.
    pub(super) fn print_error(&mut self, text: &str) -> io::Result<()> {
        self.err.write_all(text.as_bytes())?;
        self.err.flush()
    }

    /// Says on standard error why the command cannot go on.
    pub(super) fn complain(&mut self, reason: &str) -> io::Result<()> {
        self.print_error(&format!("portcullis: {}\n", reason.trim_end()))
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("colours", &self.colours)
            .finish_non_exhaustive()
    }
}
