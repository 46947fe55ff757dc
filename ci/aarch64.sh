#!/usr/bin/env bash
# The library's tests for AArch64 Linux, under qemu's user-mode emulation. Installs what it needs where apt-get
# is. It shows that the code is right for another processor's instructions; it shows no weak memory, because the
# emulator orders memory as its host does: ci/loom.sh is for that.
# Usage: [RINGLANE_PAGE=BYTES] ci/aarch64.sh [ARGUMENTS FOR cargo test...]; pages have 4096 bytes unless told otherwise,
# 16384 and 65536 are what such processors have, too.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/cross.sh
want qemu-aarch64 qemu-user
want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
target=aarch64-unknown-linux-gnu
emulator="qemu-aarch64 -p ${RINGLANE_PAGE:-4096} -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulator" RINGLANE_TEST_RUNNER="$emulator"
# An emulator is slow: what is unoptimised takes longer than watchdogs wait, and what has a second does too little in it.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 RINGLANE_SCRIBBLE_SECONDS=${RINGLANE_SCRIBBLE_SECONDS:-5}
[ $# -gt 0 ] || set -- --lib --tests
if [ "${RINGLANE_PAGE:-4096}" != 4096 ]; then
    # To print where a panic came from, the standard library maps its program, and qemu, whose pages are then not its
    # host's, does that wrongly.
    export RUST_BACKTRACE=0
fi
run_tests "$target" aarch64 "$@"
