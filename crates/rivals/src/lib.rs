//! Nothing. The rivals are dev-dependencies of this package's benches, so that only `cargo bench` builds them.
