//! The one writer: reload, discovery, drain.
