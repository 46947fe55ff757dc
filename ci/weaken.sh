#!/usr/bin/env bash
# Weakens one ordering or fence at a time, in a copy of the last commit, and prints which models notice: one at
# least, or the ordering is stronger than it need be. The models of the file's own kind run first, and the others only if
# none of those noticed. Sites whose reason says "no model" are listed, not run. Takes half a minute a site.
# Usage: [WEAKEN_ONLY=REGEX] ci/weaken.sh [FILE OR FOLDER...]; the expression is for FILE:LINE:TEXT.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- src/ring src/wait src/queue src/layout
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar -x -C "$copy"
export RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$copy/target}
# What is built runs once.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false
cd "$copy"
all=$(cd loom-tests/tests && ls ./*.rs | sed 's|./||; s|\.rs$||')
# The models that are the likeliest to notice.
first() {
    case $1 in
    *mpmc* | *crowd* | *participants*) echo mpmc ;;
    *call*) echo call ;;
    *record*) echo record ;;
    *session*) echo session ;;
    *spsc* | *role*) echo spsc ;;
    *) echo wait ;;
    esac
}
cargo test -q -p loom-tests --release >/dev/null # as it is, every model passes
caught=0 left_out=0 suspects=()

# Weakens a site, and says which models of the given tests notice.
weaken() { # file, line, text, tests
    cp "$1" "$copy/original"
    case $3 in
    *fence\(*) sed -i "${2}s/fence(Ordering::SeqCst)/()/; ${2}s/light_fence()/()/" "$1" ;;
    *) sed -i -E "${2}s/Ordering::(Acquire|Release|AcqRel|SeqCst)/Ordering::Relaxed/" "$1" ;;
    esac
    local test out count
    for test in $4; do
        out=$(cargo test -p loom-tests --release --no-fail-fast --test "$test" 2>&1 || true)
        if grep -q '^error: could not compile' <<<"$out"; then
            echo "does not build"
            break
        elif ! grep -q '^test result' <<<"$out"; then
            # A panic while another one unwinds.
            echo "1 $test: aborted"
            break
        fi
        count=$(grep -cE '^test .* FAILED$' <<<"$out" || true)
        if [ "$count" != 0 ]; then
            echo "$count $test: $(sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p' <<<"$out" | head -1 | cut -c 1-30)"
            break
        fi
    done
    cp "$copy/original" "$1"
}

while IFS=: read -r file line text; do
    text=$(sed 's/^ *//' <<<"$text")
    if sed -n "$((line > 6 ? line - 6 : 1)),${line}p" "$file" | tac | sed '/ORDERING(/q' | grep -q 'no model'; then
        left_out=$((left_out + 1))
        printf '%-44s %s:%s %s\n' "no model can" "$file" "$line" "$text"
        continue
    fi
    noticed=$(weaken "$file" "$line" "$text" "$(first "$file")")
    if [ -n "$noticed" ]; then
        caught=$((caught + 1))
        printf '%-44s %s:%s %s\n' "$noticed" "$file" "$line" "$text"
    else
        suspects+=("$file:$line:$text")
        echo "  to be asked of the others: $file:$line"
    fi
done < <(grep -nE 'Ordering::(Acquire|Release|AcqRel|SeqCst)|light_fence\(\)' -Hr "$@" | grep -vE ':\s*//|use ' | grep -E "${WEAKEN_ONLY:-.}")
missed=0
for suspect in "${suspects[@]}"; do
    IFS=: read -r file line text <<<"$suspect"
    noticed=$(weaken "$file" "$line" "$text" "$(grep -vx "$(first "$file")" <<<"$all" | tr '\n' ' ')")
    if [ -n "$noticed" ]; then caught=$((caught + 1)); else missed=$((missed + 1)); fi
    printf '%-44s %s:%s %s\n' "${noticed:-NOBODY}" "$file" "$line" "$text"
done
echo "$caught caught, $left_out that no model can show, $missed sites that no model misses"
[ "$missed" = 0 ]
