#!/usr/bin/env bash
# Hostile bytes: each target in fuzz/, or those that are named, for SECONDS (60) seconds. Needs a nightly toolchain;
# installs cargo-fuzz if it is missing. Usage: ci/fuzz.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: needs a nightly toolchain (rustup toolchain install nightly)" >&2
    exit 2
fi
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
targets=${*:2}
[ -n "$targets" ] || targets=$(cargo +nightly fuzz list)
[ -n "$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }
for target in $targets; do
    echo "fuzz: $target for $seconds s"
    # What is found goes into the corpus, which is not kept; what is kept, `cargo test` runs, too.
    mkdir -p "fuzz/corpus/$target"
    # To print names of functions, a process is started, by descriptors that some targets would miss at the end.
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -print_funcs=0 -max_len=2000 -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=10
done
