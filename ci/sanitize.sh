#!/usr/bin/env bash
# The tests under AddressSanitizer (memory that is not there any more, or never was) and ThreadSanitizer (accesses that
# nothing orders). Needs a nightly toolchain, for the second one with the library's source (rust-src); takes a quarter of
# an hour or so.
# Usage: ci/sanitize.sh [address|thread [TEST...]]
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "sanitize: needs a nightly toolchain (rustup toolchain install nightly)" >&2
    exit 2
fi
host=$(rustc -vV | sed -n 's/^host: //p')
base=${CARGO_TARGET_DIR:-target}

run() { # sanitizer, cargo's options, tests
    local sanitizer=$1 options=$2
    shift 2
    echo "sanitize: $sanitizer, $*"
    # shellcheck disable=SC2086 # several options, or none
    RUSTFLAGS="-Zsanitizer=$sanitizer" CARGO_TARGET_DIR="$base/$sanitizer" CARGO_PROFILE_DEV_OPT_LEVEL=1 \
        cargo +nightly test $options --target "$host" -p ringlane --no-fail-fast --lib "${@/#/--test=}" -- "${skips[@]}"
}

# AddressSanitizer itself takes more addresses than the first of these has, and lets mlock do nothing.
skips=(--skip the_limit_of_address_space_is_an_error --skip the_limit_of_locked_memory_is_an_error)
what=${1:-both} tests=("${@:2}") status=0
if [ "$what" != thread ]; then
    # Leaks are told of by none: an end that is forgotten on purpose is one. Signals stay what they are: some tests end a
    # process by one.
    export ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0:handle_segv=0:handle_sigbus=0
    some=(spsc record mpmc mpmc_record call attach memory session handle fuzzed scribble)
    run address "" "${tests[@]:-${some[@]}}" || status=$?
fi
if [ "$what" != address ]; then
    # The standard library is built with it, or a thread's start and end, a channel and an `Arc` would order nothing.
    if [ ! -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust" ]; then
        rustup component add rust-src --toolchain nightly
    fi
    export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.txt halt_on_error=0 report_signal_unsafe=0"
    some=(spsc record mpmc mpmc_record call)
    run thread -Zbuild-std "${tests[@]:-${some[@]}}" || status=$?
fi
exit "$status"
