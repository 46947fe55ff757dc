#!/usr/bin/env bash
# The library's tests for AArch64 Linux on a kernel of that processor's own, Debian's, in a machine that qemu emulates:
# what qemu's user-mode emulation (ci/aarch64.sh) lacks or leaves to its host's kernel is there. Installs what it needs
# where apt-get is, and fetches the kernel. It shows no weak memory: the emulator's two processors are threads of its host.
# Usage: [RINGLANE_PAGE=4096] ci/aarch64-system.sh [ARGUMENTS FOR cargo test...]; pages have 16384 bytes unless told otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
source ci/cross.sh
want qemu-system-aarch64 qemu-system-arm
want aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
want cpio cpio
case ${RINGLANE_PAGE:=16384} in
4096) kernel=linux-image-arm64 ;;
16384) kernel=linux-image-arm64-16k ;;
*) echo "aarch64-system: Debian has no kernel with pages of $RINGLANE_PAGE bytes" >&2 && exit 2 ;;
esac
target=aarch64-unknown-linux-gnu
kept=$(realpath -m "${CARGO_TARGET_DIR:-target}")/$target/system
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# A kernel and a shell for another processor, and in another release: by apt-get with lists of its own, which checks what
# it fetches as it always does.
fetch() { # package, what of it
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    echo "deb http://deb.debian.org/debian trixie main" >"$work/apt/sources"
    local apt=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root
        -o Dir::Etc::sourcelist="$work/apt/sources" -o Dir::Etc::sourceparts=- -o Dir::Cache="$work/apt/cache"
        -o Dir::State::lists="$work/apt/lists" -o Dir::State::status=/dev/null)
    [ -e "$work/apt/cache/pkgcache.bin" ] || apt-get "${apt[@]}" update
    local package=$1
    # The package of this name is empty and needs the newest one.
    case $1 in linux-image-*) package=$(apt-cache "${apt[@]}" depends "$1" | sed -n 's/ *Depends: //p') ;; esac
    (cd "$work" && apt-get "${apt[@]}" download "$package" && dpkg-deb --fsys-tarfile "$package"_*.deb) |
        tar -xO --wildcards "$2"
}
mkdir -p "$kept"
keep() { # what to call it, package, what of it
    [ -e "$kept/$1" ] && return
    fetch "$2" "$3" >"$work/$1"
    mv "$work/$1" "$kept/$1"
}
keep "$kernel" "$kernel" './boot/vmlinuz-*'
keep busybox busybox-static ./usr/bin/busybox

mkdir -p "$root"/{bin,dev,lib,proc,programs,sys,tmp} "$root$PWD"
chmod 1777 "$root/tmp"
install "$kept/busybox" "$root/bin/busybox"
cp /usr/aarch64-linux-gnu/lib/{ld-linux-aarch64.so.1,libc.so.6,libm.so.6,libgcc_s.so.1} "$root/lib"
git ls-files -z | tar -c --null -T - | tar -x -C "$root$PWD"

# What cargo takes to run a test program lays it by, with its arguments.
cat >"$work/lay-by" <<C
#!/bin/sh
name=\$(basename "\$1")
aarch64-linux-gnu-strip --strip-debug -o "$root/programs/\${name%-*}" "\$1"
shift
for argument; do echo "\$argument"; done >"$root/programs/\${name%-*}.arguments"
C
chmod +x "$work/lay-by"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$work/lay-by
# An emulator is slow: what is unoptimised takes longer than watchdogs wait, and what has a second does too little in it.
export CARGO_PROFILE_DEV_OPT_LEVEL=1
seconds=${RINGLANE_SCRIBBLE_SECONDS:-5}
[ $# -gt 0 ] || set -- --lib --tests
cross test "$target" -p ringlane "$@" -- $(skips system)

cat >"$root/init" <<C
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp RINGLANE_SCRIBBLE_SECONDS=$seconds
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ip link set lo up
ulimit -n 20000
cd $PWD
echo "Linux \$(uname -r), \$(uname -m), \$(nproc) processors"
status=0
for program in \$(cd /programs && ls | grep -v '[.]arguments\$'); do
    set --
    while read -r argument; do set -- "\$@" "\$argument"; done </programs/\$program.arguments
    echo "     Running \$program"
    # What its own watchdogs do not end is ended here.
    timeout -s KILL 3600 /programs/\$program "\$@" </dev/null || { echo "\$program FAILED: \$?"; status=1; }
done
echo "all programs ended: \$status"
poweroff -f
C
chmod +x "$root/init"
ln -s busybox "$root/bin/sh"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$work/root.cpio.gz"
rm -rf "$root"

log=$work/log
qemu-system-aarch64 -M virt -cpu neoverse-n1 -accel tcg,thread=multi -smp 2 -m 4096 -nic none -display none -no-reboot \
    -kernel "$kept/$kernel" -initrd "$work/root.cpio.gz" -append "console=ttyAMA0 quiet panic=-1 rootfstype=ramfs" \
    -serial stdio -monitor none </dev/null | sed -u 's/\r$//' | tee "$log"
counts "$target, pages of $RINGLANE_PAGE bytes" system "$log"
grep -q '^all programs ended: 0$' "$log"
