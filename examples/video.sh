#!/usr/bin/env bash
# Video through a ring: raw frames from one ffmpeg go to another through `ringlane send` and `ringlane recv`.
# The checksum of each frame that came out is compared with that of each frame that went in.
# Prints "equal" and exits 0, or says what differs and exits with another status.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v ffmpeg >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "video.sh: ffmpeg is not installed, and this script can install it only as root with apt-get" >&2
        exit 2
    fi
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends ffmpeg
fi

width=1280 height=720 rate=30 frames=${FRAMES:-300}
bytes=$((width * height * 4))

cargo build -q --release -p ringlane-cli
ringlane=${CARGO_TARGET_DIR:-target}/release/ringlane
work=$(mktemp -d)
ring=video-$$
sender=
tidy() {
    [ -z "$sender" ] || kill "$sender" 2>/dev/null || true
    "$ringlane" rm "$ring" --force >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap tidy EXIT

sums() { # of the raw frames on stdin, one line a frame
    ffmpeg -nostdin -v error -f rawvideo -pix_fmt rgba -video_size ${width}x$height -framerate $rate \
        -i pipe:0 -f framemd5 -
}

draw() { # raw frames to stdout
    ffmpeg -nostdin -v error -f lavfi -i "testsrc2=size=${width}x$height:rate=$rate" \
        -frames:v "$frames" -f rawvideo -pix_fmt rgba -
}

# Both ways round the same: the source is the same every time it runs.
draw | sums >"$work/in"

draw | "$ringlane" send "$ring" --record $bytes --capacity $((bytes * 3)) --timeout 60 &
sender=$!
"$ringlane" recv "$ring" --timeout 60 | sums >"$work/out"
wait "$sender"
sender=

lines=$(grep -vc '^#' "$work/out" || true)
if [ "$lines" != "$frames" ]; then
    echo "video.sh: $frames frames went in, $lines came out" >&2
    exit 1
fi
if ! diff "$work/in" "$work/out" >&2; then
    echo "video.sh: the frames that came out differ from those that went in" >&2
    exit 1
fi
echo "equal: $frames frames of ${width}x$height, $((frames * bytes)) bytes"
