//! Behaviours a route adds to an exchange: one file each.
