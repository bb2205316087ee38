//! The frozen world that a request sees, and the cell that publishes it.
