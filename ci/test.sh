#!/usr/bin/env bash
# Behaviour: the README's test command.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test "$@"
