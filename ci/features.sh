#!/usr/bin/env bash
# Optional features: rings in memory that the crate `shared_memory` made.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test -p ringlane --all-features --test memory
