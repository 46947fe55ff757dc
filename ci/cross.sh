# What the scripts for other platforms share: a compiler that can build any target, and counting.

source ci/want.sh

# A toolchain from rustup has most targets' libraries (rustup target add TARGET). Debian's has the sources of all,
# and builds them: RUSTC_BOOTSTRAP lets it.
cross() { # cargo's command, target, further arguments
    local command=$1 target=$2
    shift 2
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
        cargo "$command" --target "$target" "$@"
    else
        want /usr/bin/rustc rustc-web
        want /usr/bin/cargo cargo-web
        [ -d /usr/lib/rustlib/src ] || want rust-src rust-web-src
        RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc /usr/bin/cargo "$command" --target "$target" \
            -Zbuild-std=std,panic_abort "$@"
    fi
}

reasons() { # list
    sed '/^#/d' "ci/skipped/$1.txt"
}

# The arguments that leave out the tests in ci/skipped/LIST: a line there is a test's name and why it cannot pass.
skips() { # list
    reasons "$1" | while read -r name _; do echo "${name:+--skip $name}"; done
}

# What was left out and why, and how much was not.
counts() { # target, list, log
    echo "not applicable here:"
    reasons "$2" | sed 's/^/  /'
    sed -n 's/^test \(.*\) \.\.\. ignored, /  \1: /p' "$3"
    # The last result of each program: those before are of the second processes that its tests start.
    awk 'function count() { passed += last[4]; failed += last[6]; ignored += last[8]; left += last[12]; split("", last) }
        / Running / { count() }
        /^test result/ { split($0, last, " ") }
        END { count(); printf "'"$1"': %d passed, %d failed, %d left out\n", passed, failed, ignored + left }' "$3"
}

run_tests() { # target, list, arguments
    local target=$1 list=$2 log status=0
    shift 2
    log=$(mktemp)
    cross test "$target" -p ringlane --no-fail-fast "$@" -- $(skips "$list") 2>&1 | tee "$log" || status=$?
    counts "$target" "$list" "$log"
    rm -f "$log"
    return "$status"
}
