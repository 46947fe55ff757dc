#!/usr/bin/env bash
# Instructions of a push and of a pop, exactly: callgrind counts two runs of different length, and the
# difference is divided by the difference in messages. The loop, and writing and checking the message, are in.
set -euo pipefail
cd "$(dirname "$0")/.."

source ci/want.sh
want valgrind valgrind
cargo build --quiet --release -p ringlane-bench --example instructions
program="${CARGO_TARGET_DIR:-target}/release/examples/instructions"

count() { # operation, times
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*::counted*' \
        "$program" "$1" "$2" 2>&1 | sed -n 's/^==.*Collected : \([0-9]*\).*/\1/p'
}

few=51200 many=512000
for operation in push-8 pop-8 push-56 pop-56 record-push-56 record-pop-56; do
    short="$(count "$operation" "$few")" long="$(count "$operation" "$many")"
    if [ -z "$short" ] || [ -z "$long" ] || [ "$long" -le "$short" ]; then
        echo "instructions: callgrind counted nothing for $operation" >&2
        exit 1
    fi
    awk -v name="$operation" -v d="$((long - short))" -v m="$((many - few))" \
        'BEGIN { printf "%-16s %8.3f instructions\n", name, d / m }'
done
