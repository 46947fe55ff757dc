#!/usr/bin/env bash
# The library's tests for the other kinds of Linux that an x86-64 kernel runs: 32 bits, and musl. Installs what it needs
# where apt-get is; musl takes a toolchain of rustup's.
# Usage: ci/linux.sh [i686|musl [ARGUMENTS FOR cargo test...]]; both if it is not said.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/cross.sh
export CARGO_TARGET_I686_UNKNOWN_LINUX_GNU_LINKER=i686-linux-gnu-gcc
what=${1:-both} arguments=("${@:2}")
[ ${#arguments[@]} -gt 0 ] || arguments=(--lib --tests)
if [ "$what" != musl ]; then
    want i686-linux-gnu-gcc gcc-i686-linux-gnu
    [ -e /lib/ld-linux.so.2 ] || want /lib/ld-linux.so.2 libc6-i386
    [ -e /usr/lib32/libgcc_s.so.1 ] || want /usr/lib32/libgcc_s.so.1 lib32gcc-s1
    run_tests i686-unknown-linux-gnu i686 "${arguments[@]}"
fi
if [ "$what" != i686 ]; then
    target=x86_64-unknown-linux-musl
    # What programs begin with and unwind by is not in Debian's sources: it takes rustup's library.
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && ! rustup target add "$target"; then
        echo "linux: needs a toolchain of rustup's for musl" >&2
        exit 2
    fi
    run_tests "$target" musl "${arguments[@]}"
fi
