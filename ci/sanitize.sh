#!/usr/bin/env bash
# The tests under AddressSanitizer (memory that is not there any more, or never was) and ThreadSanitizer (accesses that
# nothing orders). Needs a nightly toolchain; takes ten minutes or so.
# Usage: ci/sanitize.sh [address|thread [TEST...]]
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: needs a nightly toolchain (rustup toolchain install nightly)" >&2
    exit 2
fi
host=$(rustc -vV | sed -n 's/^host: //p')
base=${CARGO_TARGET_DIR:-target}

run() { # sanitizer, flags, tests
    local sanitizer=$1 flags=$2
    shift 2
    echo "sanitize: $sanitizer, $*"
    RUSTFLAGS="-Zsanitizer=$sanitizer $flags" CARGO_TARGET_DIR="$base/$sanitizer" \
        cargo +nightly test --target "$host" -p ringlane --lib "${@/#/--test=}"
}

what=${1:-both} tests=("${@:2}")
if [ "$what" != thread ]; then
    # Leaks are told of by none: an end that is forgotten on purpose is one.
    export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0
    some=(spsc record mpmc call attach session fuzzed scribble)
    run address "" "${tests[@]:-${some[@]}}"
fi
if [ "$what" != address ]; then
    # The standard library is not instrumented, so what it orders is not seen: see ci/tsan.txt.
    export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.txt halt_on_error=0 report_signal_unsafe=0"
    some=(spsc record mpmc call)
    run thread "-Cunsafe-allow-abi-mismatch=sanitizer" "${tests[@]:-${some[@]}}"
fi
