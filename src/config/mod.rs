//! What the operator wrote: pure data with the place of every value.
