#!/usr/bin/env bash
# The library's tests for Windows, under Wine, then the program's demo. Installs what it needs where apt-get is.
# Wine is not Windows: what passes here is "tested under Wine".
# Usage: [RINGLANE_WINE=PROGRAM] ci/windows.sh [ARGUMENTS FOR cargo test...]; ci/wine.sh gets a newer Wine than Debian
# bookworm's.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/cross.sh
wine=${RINGLANE_WINE:-wine}
want "$wine" wine64
want x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
target=x86_64-pc-windows-gnu
built=${CARGO_TARGET_DIR:-target}/$target/debug
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine WINEDEBUG=-all

"$wine" --version

# Rust's library takes one function of a DLL that old Wines lack. It is laid beside the tests, and is no part of
# what users install.
if "$wine" cmd /c 'if exist %SystemRoot%\system32\bcryptprimitives.dll exit 1' 2>/dev/null; then
    mkdir -p "$built/deps"
    x86_64-w64-mingw32-gcc -shared -o "$built/bcryptprimitives.dll" -xc - -ladvapi32 <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len)
{
    return SystemFunction036(data, (ULONG)len);
}
C
    cp "$built/bcryptprimitives.dll" "$built/deps"
fi

[ $# -gt 0 ] || set -- --lib --tests
run_tests "$target" windows "$@"
cross run "$target" -p ringlane-cli -- demo --frames 60 --size 320x240
