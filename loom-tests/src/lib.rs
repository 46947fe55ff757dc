//! Models of the shipped code; see `tests/`.
