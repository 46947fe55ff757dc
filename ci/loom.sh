#!/usr/bin/env bash
# Orderings: the models in loom-tests, which run the library's own code under every interleaving that loom
# explores. Fails if no model ran. LOOM_MAX_PREEMPTIONS changes how far loom goes.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test -p loom-tests --release "$@" 2>&1 | tee "$log"
models=$(grep -c '^test .* \.\.\. ok$' "$log" || true)
if [ "$models" = 0 ]; then
    echo "loom: no model ran" >&2
    exit 1
fi
echo "loom: $models models"
