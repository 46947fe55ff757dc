#!/usr/bin/env bash
# Weakens one ordering or fence at a time by one step, and prints which models notice: one at least, or the ordering is
# stronger than it need be. Nothing is built for that: a model's atomics (src/sync.rs) are told which site it is. The
# models of the file's own kind run first, the short ones before the long ones, and each only if none before it noticed.
# A site whose reason says "No model: why" is printed with it, not run. Takes a second a site, minutes if nobody notices.
# Usage: [WEAKEN_ONLY=REGEX] ci/weaken.sh [FILE OR FOLDER...]; the expression is for FILE:LINE:TEXT.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- src/shm src/layout src/ring src/wait src/queue src/session
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/weaken"
# What is built runs for less long than it would take to make it fast.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false
built=$(cargo test -p loom-tests --release --no-run 2>&1) || { echo "$built" >&2; exit 1; }
declare -A models
while read -r name path; do models[$name]=$path; done \
    < <(sed -nE 's/^ *Executable tests\/(.*)\.rs \((.*)\)$/\1 \2/p' <<<"$built")
[ ${#models[@]} != 0 ] || { echo "weaken: no models" >&2; exit 1; }
# Whether a model notices, and whether it comes there.
run() { # FILE::MODEL
    local pid line status=0
    noticed=''
    exec 3< <(exec timeout 900 "${models[${1%%::*}]}" --exact "${1#*::}" --nocapture 2>&1)
    pid=$!
    while IFS= read -r -u 3 line; do
        case $line in
        *'weakened: '*) reached=yes ;;
        "thread '"*'panicked at'*)
            noticed="${1/::/: }"
            kill "$pid" 2>/dev/null || true
            break
            ;;
        esac
    done
    exec 3<&-
    wait "$pid" || status=$?
    [ -n "$noticed" ] || [ $status = 0 ] || noticed="${1/::/: } ended by $status"
}
# All of them as they are, which tells how long each takes.
sorted=$(for test in "${!models[@]}"; do
    for name in $("${models[$test]}" --list 2>/dev/null | sed -n 's/: test$//p'); do
        began=${EPOCHREALTIME/[.,]/}
        run "$test::$name"
        [ -z "$noticed" ] || { echo "weaken: fails as it is: $noticed" >&2; exit 1; }
        echo "$((${EPOCHREALTIME/[.,]/} - began)) $test::$name"
    done
done | sort -n | cut -d' ' -f2)
# Those of the file's own kind come first, and of these the short ones.
order() {
    local kind
    case $1 in
    *mpmc* | *participants* | *crowd*) kind='mpmc|mpmc_life|mpmc_record' ;;
    *call* | *cell*) kind=call ;;
    *record*) kind=record ;;
    *session* | *life*) kind=session ;;
    *leash*) kind=leash ;;
    *spsc* | *role* | *end.rs*) kind='spsc|record' ;;
    *) kind=wait ;;
    esac
    grep -E "^($kind)::" <<<"$sorted"
    grep -vE "^($kind)::" <<<"$sorted"
}
caught=0 argued=0 missed=0
while IFS=: read -r file line text; do
    text=$(sed 's/^ *//' <<<"$text")
    # A call whose arguments have lines of their own is where it begins.
    at=$line
    while [[ $(sed -n "${at}p" "$file") =~ ^\ *Ordering:: ]] || [[ $(sed -n "${at}p" "$file") =~ ^\ *[a-z_.0-9]+(\(.*\))?,$ ]]; do
        at=$((at - 1))
    done
    why=$(sed -n "$((at > 9 ? at - 9 : 1)),${at}p" "$file" | tac | sed '/ORDERING(/q' | tac | sed -E 's|^ *// ?||' |
        tr '\n' ' ' | sed -nE 's/.*No model: ([^.]*)\..*/\1/p')
    if [ -n "$why" ]; then
        argued=$((argued + 1))
        noticed="argued: $why"
    else
        reached=''
        export RINGLANE_WEAKEN=$file:$at
        for model in $(order "$file"); do
            run "$model"
            [ -z "$noticed" ] || break
        done
        if [ -n "$noticed" ]; then
            caught=$((caught + 1))
        else
            missed=$((missed + 1))
            noticed="NOBODY${reached:+, who comes there}"
        fi
    fi
    printf '%-72s %s:%s %s\n' "$noticed" "$file" "$line" "$text"
done < <(grep -nE 'Ordering::(Acquire|Release|AcqRel|SeqCst)|\<(light|heavy)_fence\(\)' -Hr "$@" | grep -vE ':\s*//|:use ' |
    grep -E "${WEAKEN_ONLY:-.}")
echo "$((caught + argued + missed)) sites: $caught caught, $argued argued, $missed that no model misses; $((SECONDS / 60)) minutes"
[ "$missed" = 0 ]
