//! Pure matching: which route wins for a request, and why the others lost.
