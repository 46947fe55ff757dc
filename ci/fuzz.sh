#!/usr/bin/env bash
# Hostile bytes: each target in fuzz/ for SECONDS (60) seconds. Needs a nightly toolchain; installs
# cargo-fuzz if it is missing. Usage: ci/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: needs a nightly toolchain (rustup toolchain install nightly)" >&2
    exit 2
fi
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
targets=$(cargo +nightly fuzz list)
[ -n "$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }
for target in $targets; do
    echo "fuzz: $target for $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=10
done
