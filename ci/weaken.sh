#!/usr/bin/env bash
# Weakens one ordering or fence at a time by one step, and prints which models notice: one at least, or the ordering is
# stronger than it need be. Nothing is built for that: a model's atomics (src/sync.rs) are told which site it is. The
# models of the file's own kind run first, and the others only if none of those noticed. A site whose reason says
# "No model: why" is printed with it, not run. Takes seconds a site, minutes if nobody notices.
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
# The models that are the likeliest to notice come first.
order() {
    local first
    case $1 in
    *mpmc* | *participants* | *crowd*) first="mpmc_life mpmc mpmc_record" ;;
    *call* | *cell*) first=call ;;
    *record*) first=record ;;
    *session* | *life*) first=session ;;
    *leash*) first=leash ;;
    *spsc* | *role* | *end.rs*) first="spsc record" ;;
    *) first=wait ;;
    esac
    printf '%s\n' $first "${!models[@]}" | awk '!seen[$0]++'
}
# Which model of one file notices first, and whether any comes there.
run() { # file of models
    local pid line status=0
    noticed=''
    exec 3< <(exec timeout 900 "${models[$1]}" --nocapture 2>&1)
    pid=$!
    while IFS= read -r -u 3 line; do
        case $line in
        *'weakened: '*) reached=yes ;;
        "thread '"*'panicked at'*)
            noticed=${line#thread \'}
            noticed="$1: ${noticed%%\'*}"
            kill "$pid" 2>/dev/null || true
            break
            ;;
        esac
    done
    exec 3<&-
    wait "$pid" || status=$?
    [ -n "$noticed" ] || [ $status = 0 ] || noticed="$1: ended by $status"
}
for test in "${!models[@]}"; do
    run "$test"
    [ -z "$noticed" ] || { echo "weaken: fails as it is: $noticed" >&2; exit 1; }
done
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
        for test in $(order "$file"); do
            run "$test"
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
echo "$((caught + argued + missed)) sites: $caught caught, $argued argued, $missed that no model misses"
[ "$missed" = 0 ]
