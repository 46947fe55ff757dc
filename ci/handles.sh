#!/usr/bin/env bash
# A hundred thousand handles (or HANDLES), half of them redeemed, every tenth recipient killed in the middle of it:
# descriptors, mappings and the broker's entries are then what they were before. Usage: ci/handles.sh [HANDLES]
set -euo pipefail
cd "$(dirname "$0")/.."
RINGLANE_HANDLES=${1:-100000} cargo test --release --test handle -- --nocapture of_very_many_handles
