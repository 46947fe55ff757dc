#!/usr/bin/env bash
# Form: formatting, lints, documentation. A checker that this toolchain lacks is skipped, and said so.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { # component, what it checks
    if cargo "$1" --version >/dev/null 2>&1; then return 0; fi
    echo "SKIPPED $2: cargo $1 is not installed (rustup component add $3)" >&2
    return 1
}

if have fmt formatting rustfmt; then cargo fmt --all --check; fi
# All targets, so that the benches compile, too, which no test builds.
if have clippy lints clippy; then
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    # What is Windows' own.
    windows=x86_64-pc-windows-gnu
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$windows/lib" ]; then
        cargo clippy --target "$windows" -p ringlane --lib --tests -- -D warnings
    else
        echo "SKIPPED lints for Windows: rustup target add $windows" >&2
    fi
else
    cargo check --workspace --all-targets --all-features
fi
# The library only: its program has the same name, and its documentation is --help.
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib -p ringlane
echo "check: done"
