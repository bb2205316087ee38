//! From configuration to snapshot: every check and every message.
