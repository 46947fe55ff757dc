#!/usr/bin/env bash
# Debian trixie's Wine (10.0) in a directory of its own, beside whatever the system has. Prints its program, for
# RINGLANE_WINE. It takes 750 MB, and as much again when it first runs.
# Usage: ci/wine.sh DIRECTORY
set -euo pipefail
[ $# = 1 ] || { sed -n 2,4p "$0" >&2; exit 2; }
source "$(dirname "$0")/want.sh"
mkdir -p "$1"
root=$(cd "$1" && pwd)
program=$root/wine
if [ -x "$program" ]; then
    echo "$program"
    exit
fi
want patchelf patchelf

# What programs without windows take. Another release's index, so apt-get is told of no other.
apt=$root/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/etc/preferences.d"
: >"$apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
    >"$apt/etc/sources.list"
get() {
    apt-get -q -o Dir::Etc="$apt/etc" -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
        -o APT::Sandbox::User= "$@" >&2
}
get update
(cd "$apt/archives" && get download wine64 libwine libz-mingw-w64 libunwind8 liblzma5 libgcc-s1 libc6)
for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
rm -rf "$apt"

# Programs of 64 bits only.
rm -rf "$root/usr/lib/x86_64-linux-gnu/wine/i386-windows"

# It takes a newer C library than the system's, and finds it here: said in its programs, for the variable
# would reach the system's own.
library=$root/usr/lib/x86_64-linux-gnu
for file in wine64 wineserver64; do
    file=$root/usr/lib/wine/$file
    patchelf --set-interpreter "$library/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$library" "$file"
done
ln -sf wineserver64 "$root/usr/lib/wine/wineserver"
cat >"$program" <<SH
#!/bin/sh
export WINEPREFIX="\${WINEPREFIX:-$root/prefix}"
# Where Debian has one of the DLLs that Wine's own take.
export WINEPATH="Z:$root/usr/x86_64-w64-mingw32/lib"
exec "$root/usr/lib/wine/wine64" "\$@"
SH
chmod +x "$program"
echo "$program"
