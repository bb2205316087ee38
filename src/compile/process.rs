//! `[server]`, `[admin]` and `[log]`: what the snapshot does not hold, but must be right.

use super::Compiler;
use crate::{config::Code, observe::log};

impl Compiler<'_> {
    pub(super) fn check_process(&mut self) {
        let level = &self.config.log.level;
        if let Err(reason) = log::check_level(level) {
            self.refused(Code::BadLevel, level, "level", reason)
                .help("for example: \"info\", or \"info,portcullis::control=debug\"");
        }
    }
}
