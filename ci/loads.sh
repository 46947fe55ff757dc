#!/usr/bin/env bash
# Fails if the machine code of an operation loads a word of a ring twice: what another process can write may have changed
# in between. It is the code as the compiler made it, for one that reloads what it has read is the danger. Valgrind
# tells of every load; `crates/bench/examples/loads.rs` does each operation once. A swap that compares is no load, and
# what is loaded in pieces of more than 8 bytes is a value or a record on its way out.
set -euo pipefail
cd "$(dirname "$0")/.."

source ci/want.sh
want valgrind valgrind
cargo build --quiet --release -p ringlane-bench --example loads
program="${CARGO_TARGET_DIR:-target}/release/examples/loads"
trace=$(mktemp)
trap 'rm -f "$trace" "$trace.out"' EXIT
valgrind --tool=lackey --trace-mem=yes --log-file="$trace" "$program" >"$trace.out"
awk '
    function number(text,    i, n) {
        n = 0
        for (i = 1; i <= length(text); i++)
            n = n * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
        return n
    }
    # What the program said: marks, and where it had shared memory at the time.
    FNR == NR {
        if ($1 == "mark") { sub(/^0x0*/, "", $2); name[$2] = $3; most[$2] = $4; own[$2] = $5; looks[$2] = $6; at[$2] = ranges; count++ }
        if ($1 == "end") { sub(/^0x0*/, "", $2); end = $2 }
        if ($1 == "range") {
            if (last != "range") ranges++
            n = ++many[ranges]
            from[ranges, n] = number($2); to[ranges, n] = number($3)
            offset[ranges, n] = number($4); object[ranges, n] = $5
        }
        last = $1
        next
    }
    $1 != "L" && $1 != "S" { next }
    {
        split($2, parts, ",")
        address = parts[1]
        sub(/^0+/, "", address)
        if ($1 == "S" && address in name) { now = address; words = 0; top = 1; owned = 0; delete seen; next }
        if ($1 == "S" && address == end) {
            if (now != "") { done++; printf "%-28s %4d words loaded\n", name[now], words }
            if (now != "" && (top < most[now] || own[now] > 0 && owned < looks[now])) {
                printf "%s is allowed more than it needs: %d and %d, it needs %d and %d\n", name[now], most[now], looks[now], top, owned
                bad++
            }
            now = ""
            next
        }
        if (now == "" || $1 != "L") next
        a = number(address)
        set = at[now]
        for (r = 1; r <= many[set]; r++) {
            if (a < from[set, r] || a >= to[set, r]) continue
            # A copy, whose last piece may overlap: its bytes decide nothing here.
            if (parts[2] > 8) { words += parts[2] / 4; break }
            # Where it lies in the object, however often that is mapped.
            for (w = a; w < a + parts[2]; w += 4) {
                place = w - from[set, r] + offset[set, r]
                word = object[set, r] " " place
                limit = most[now]
                times = ++seen[word]
                if (own[now] > 0 && place >= own[now] && place < own[now] + 8) {
                    limit = looks[now]
                    if (times > owned) owned = times
                } else if (times > top) top = times
                if (times > limit) {
                    printf "%s loads object %s too often: %d times\n", name[now], word, seen[word]
                    bad++
                }
                words++
            }
            break
        }
    }
    END {
        printf "loads: %d operations, %d words loaded twice\n", done, bad
        exit done != count || done == 0 || bad > 0
    }
' "$trace.out" "$trace"
