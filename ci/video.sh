#!/usr/bin/env bash
# End to end: video through the program, frame by frame the same (installs ffmpeg if it may).
set -euo pipefail
cd "$(dirname "$0")/.."
exec examples/video.sh
