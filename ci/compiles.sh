#!/usr/bin/env bash
# Platforms that nothing here runs: the library is checked by the compiler. Installs a compiler where it must.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/cross.sh
[ $# -gt 0 ] || set -- aarch64-apple-darwin
for target in "$@"; do
    cross check "$target" -p ringlane --lib
    echo "$target: compiles, not run"
done
