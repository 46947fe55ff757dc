#!/usr/bin/env bash
# ringlane in one run with its peers: builds crates/peers, runs it part by part, prints the tables, and leaves
# what each part told, the tables and the plots in DIRECTORY. Then rings for many, from crates/rivals.
# Needs libclang and a C compiler for iceoryx2; RINGLANE_LIGHT=1 leaves iceoryx2 and zenoh out. RINGLANE_UNDER
# is a command that each part is run under; RINGLANE_ROUNDS says how often each row is run.
# Usage: ci/compare.sh [DIRECTORY [PART...]]
set -euo pipefail
cd "$(dirname "$0")/.."
into=${1:-target/compare}
shift || true
mkdir -p "$into"
features=(--features heavy)
[ -z "${RINGLANE_LIGHT:-}" ] || features=()
manifest=crates/peers/Cargo.toml
cargo build --release --locked --manifest-path "$manifest" "${features[@]}"
program="${CARGO_TARGET_DIR:-crates/peers/target}/release/ringlane-peers"

# What each part measures, by what the names of its rows hold. None takes much more than a minute.
parts=(
    "trips-8|round trip 8 B|two lines|one line"
    "trips-64|round trip 64 B: |round trip 56 B"
    "trips-1024|round trip 1 KiB|round trip 64 KiB"
    "trips-large|round trip 1 MiB"
    "one-way-8|one way 8 B|slots of 8 B|spans of 64 x 8 B in place"
    "one-way-56|one way 56 B|one way 1 KiB"
    "one-way-frames|one way 64 KiB|frames of 64 KiB"
    "one-way-large|one way 1 MiB|one way 8.3 MB|frames of 1 MiB|frames of 8.3 MB"
    "late-slow|every 100 us|every 10 us"
    "late-fast|every 1 us"
    "asleep|both asleep"
    "costs|idle waiter|start|memory"
)
for part in "${parts[@]}"; do
    name=${part%%|*}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    IFS='|' read -ra rows <<<"${part#*|}"
    # shellcheck disable=SC2086 # a command and its arguments
    ${RINGLANE_UNDER:-} "$program" --rounds "${RINGLANE_ROUNDS:-5}" --json "$into/$name.json" \
        "${rows[@]}" >"$into/$name.txt"
    echo "compare: $name is done" >&2
done
"$program" report "$into"/*.json --plots "$into" | tee "$into/tables.md"
if [ $# = 0 ] || [[ " $* " == *" many "* ]]; then
    cargo bench -p ringlane-rivals --bench mpmc --no-run
    # shellcheck disable=SC2086
    ${RINGLANE_UNDER:-} cargo bench -p ringlane-rivals --bench mpmc -- 8 56 | tee "$into/many.txt"
fi
