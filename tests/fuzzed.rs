//! The inputs that the fuzzers keep, run once each: those that found something, and some that reach far.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(unsafe_code, reason = "a hostile side of a session is made of bare memory")]
#![allow(clippy::disallowed_types, reason = "and rewrites it by atomics")]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

/// Runs all that is kept for a target, and says which one it is that fails.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut ran = 0;
    for entry in std::fs::read_dir(&folder).expect("seeds") {
        let path = entry.expect("a seed").path();
        let bytes = std::fs::read(&path).expect("a seed");
        if let Err(panic) = std::panic::catch_unwind(|| run(&bytes)) {
            eprintln!("it was {}", path.display());
            std::panic::resume_unwind(panic);
        }
        ran += 1;
    }
    assert!(ran > 10, "{folder} has {ran} seeds");
}

/// One after the other: sessions count the descriptors of the process.
#[test]
fn what_the_fuzzers_kept() {
    replay("attach", targets::attach::run);
    replay("broker", targets::broker::run);
    replay("many_records", targets::many_records::run);
    replay("model", targets::model::run);
    replay("recipient", targets::recipient::run);
    replay("recover", targets::recover::run);
    replay("rewrite", targets::rewrite::run);
    replay("session", targets::session::run);
}
