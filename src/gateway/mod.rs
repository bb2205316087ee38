//! The decisions of one exchange, in order.
