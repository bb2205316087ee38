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
        self.check_overload();
    }

    /// What refuses requests must come after what only asks for connections to end.
    fn check_overload(&mut self) {
        let overload = &self.config.server.overload;
        let (relieve, shed) = (&overload.relieve_at, &overload.shed_at);
        if let (Some(first), Some(then)) = (relieve.limit(), shed.limit())
            && then.hundredths() < first.hundredths()
        {
            self.found.error(
                Code::ConflictingKeys,
                shed.place,
                "`shed_at` cannot be less than `relieve_at`: connections end before requests are refused",
            )
            .help("for example: relieve_at = \"80%\", shed_at = \"90%\"");
        }
        let (relieve, shed) = (&overload.relieve_delay, &overload.shed_delay);
        if let (Some(first), Some(then)) = (relieve.limit(), shed.limit())
            && then.get() < first.get()
        {
            self.found.error(
                Code::ConflictingKeys,
                shed.place,
                "`shed_delay` cannot be less than `relieve_delay`: connections end before requests are refused",
            )
            .help("for example: relieve_delay = \"500ms\", shed_delay = \"2s\"");
        }
    }
}
