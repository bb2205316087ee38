//! The kinds of findings, each with a word that stays the same over versions.

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal,)*) => {
        /// The kind of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The stable word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The text is not TOML.
    Syntax = "syntax",
    /// A file that is named cannot be read.
    UnreadableFile = "unreadable_file",
    /// Files include each other.
    IncludeCycle = "include_cycle",
    /// A pattern of `include` cannot be understood.
    BadInclude = "bad_include",
    /// A pattern of `include` names no file.
    IncludeMatchesNothing = "include_matches_nothing",
    /// A key that does not exist in this table.
    UnknownKey = "unknown_key",
    /// A key that must be written is not.
    MissingKey = "missing_key",
    /// A value of another type than the key wants.
    WrongType = "wrong_type",
    /// A word that is none of the choices.
    UnknownValue = "unknown_value",
    /// A number outside of what is allowed.
    OutOfRange = "out_of_range",
    /// A text that is not a duration.
    BadDuration = "bad_duration",
    /// A text that `hash` cannot go by.
    BadHash = "bad_hash",
    /// A text that is not a rate.
    BadRate = "bad_rate",
    /// A text that is not a size.
    BadSize = "bad_size",
    /// A text that is not an address.
    BadAddress = "bad_address",
    /// A text that is not a network.
    BadNetwork = "bad_network",
    /// A name with characters that names cannot have.
    BadName = "bad_name",
    /// A secret that cannot be found.
    MissingSecret = "missing_secret",
    /// A secret that is too short or none, or a reference to one that cannot be understood.
    BadSecret = "bad_secret",
    /// A table that may be written once is written in two files.
    DuplicateTable = "duplicate_table",
    /// Two things of a kind with the same name.
    DuplicateName = "duplicate_name",
    /// Two sockets of the process with the same address.
    DuplicateAddress = "duplicate_address",
    /// An upstream with the same endpoint twice.
    DuplicateEndpoint = "duplicate_endpoint",
    /// Keys that cannot stand beside each other.
    ConflictingKeys = "conflicting_keys",
    /// A level of the program log that cannot be understood.
    BadLevel = "bad_level",
    /// A text that is not a host.
    BadHost = "bad_host",
    /// A text that is not a path.
    BadPath = "bad_path",
    /// A text that is not a method.
    BadMethod = "bad_method",
    /// A condition on a field or parameter that cannot be understood.
    BadPattern = "bad_pattern",
    /// A template of the access log that cannot be understood.
    BadTemplate = "bad_template",
    /// A header field that cannot be sent.
    BadField = "bad_field",
    /// A setting of a filter or an action that cannot be used.
    BadFilter = "bad_filter",
    /// A certificate, key or authority that cannot be used.
    BadCertificate = "bad_certificate",
    /// A certificate that is not valid now.
    ExpiredCertificate = "expired_certificate",
    /// An upstream whose certificate nobody verifies.
    UnverifiedUpstream = "unverified_upstream",
    /// A part of `retry` that changes nothing.
    IneffectiveRetry = "ineffective_retry",
    /// An upstream that is named but does not exist.
    UnknownUpstream = "unknown_upstream",
    /// An upstream that no route names.
    UnusedUpstream = "unused_upstream",
    /// A cookie that browsers would not keep.
    BadCookie = "bad_cookie",
    /// A subset that cannot be chosen.
    BadSubset = "bad_subset",
    /// A subset that no endpoint is in.
    EmptySubset = "empty_subset",
    /// A setting that changes nothing as things are.
    WithoutEffect = "without_effect",
    /// An upstream without endpoints.
    NoEndpoints = "no_endpoints",
    /// A configuration that serves nothing.
    NoListeners = "no_listeners",
    /// A route that does not say what to do.
    NoAction = "no_action",
    /// A route that never wins.
    UnreachableRoute = "unreachable_route",
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_words_and_differ() {
        let mut words: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert!(
            words
                .iter()
                .all(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
