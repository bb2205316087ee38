//! `[server]`, `[admin]` and `[log]`: what the snapshot does not hold, but must be right.

use tracing_subscriber::EnvFilter;

use super::Compiler;
use crate::config::Code;

impl Compiler<'_> {
    pub(super) fn check_process(&mut self) {
        let level = &self.config.log.level;
        if EnvFilter::builder().parse(&level.value).is_err() {
            self.refused(
                Code::BadLevel,
                level,
                "level",
                format_args!("\"{level}\" cannot be understood"),
            )
            .help("for example: \"info\", or \"info,portcullis::control=debug\"");
        }
    }
}
