#!/usr/bin/env bash
# Ten minutes, or SECONDS, of two processes that exchange random records with random pauses and keep the sums:
# nothing lost, nothing changed, no stall. `cargo test` runs 5 seconds of it. Usage: ci/soak.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_SOAK_SECONDS=${1:-600} cargo test --release --test soak -- --nocapture two_processes
