#!/usr/bin/env bash
# Sixteen processes race for one name, 10,000 rounds (or ROUNDS); `cargo test` runs 500. About a minute on two
# processors. Usage: ci/races.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_RACE_ROUNDS=${1:-10000} cargo test --release --test memory -- --nocapture sixteen_processes
