#!/usr/bin/env bash
# A hostile process rewrites all that it can write to while a victim works: ten minutes (or SECONDS) for each of 23
# roles, all of them optimized. `cargo test` runs a second of each. Usage: ci/scribble.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_SCRIBBLE_SECONDS=${1:-600} cargo test --release --test scribble -- --nocapture --test-threads 1
