#!/usr/bin/env bash
# Rings for many whose participants are killed at random, 20 times a second, for ten minutes (or SECONDS):
# two and four of each side, values and records, both kinds of delivery, and such as come and go by themselves. Usage: ci/storm.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_STORM_SECONDS=${1:-600} cargo test --release --test mpmc_storm
