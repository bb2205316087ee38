//! What the operator sees: metrics, the access log and the program log.
