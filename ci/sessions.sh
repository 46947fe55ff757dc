#!/usr/bin/env bash
# The session tests at full size: 1,000 sessions of 1,000 messages each from 50 processes, of which a tenth is killed;
# a thousand kills in the middle of a transfer; a gibibyte. `cargo test` runs smaller ones.
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_SOAK_SECONDS=${1:-600} cargo test --release --test session -- \
    one_thread_serves z_05 d_0 x_23
