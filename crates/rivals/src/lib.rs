//! Nothing. The rivals are dev-dependencies of this package's bench `goals`, so that only `cargo bench`
//! builds them.
