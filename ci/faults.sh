#!/usr/bin/env bash
# Every system call of every operation failed in turn: the first call of its kind, then the second alone, and so on, each
# with an error of its own, and with EINTR. The process that does the operations has to end well each time, and leave
# no name behind. Needs strace; takes some minutes. Usage: ci/faults.sh [MOST CALLS OF A KIND]
set -euo pipefail
cd "$(dirname "$0")/.."
most=${1:-25}
source ci/want.sh
want strace strace
test=$(cargo test --no-run --test faults --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*faults-[^"]*\)".*/\1/p' | tail -1)
[ -x "$test" ] || { echo "faults: the test was not built" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
name=ringlane-test-$$-faults
drive() { # what strace is to do
    RINGLANE_TEST_PART=injected RINGLANE_TEST_NAME=$name timeout 60 \
        strace -f -qq -o /dev/null "$@" "$test" --exact second_process --nocapture >"$log" 2>&1
}
errors="openat=EMFILE openat=ENOENT memfd_create=ENFILE ftruncate=EPERM fallocate=ENOSPC linkat=EEXIST linkat=EMLINK
unlinkat=EPERM unlink=EPERM fcntl=ENOLCK fcntl=EAGAIN flock=EAGAIN fstat=EIO newfstatat=EACCES statx=EACCES fstatfs=ENOSYS
fchmod=EPERM chmod=EPERM mkdir=EROFS getdents64=EIO mmap=ENOMEM mprotect=ENOMEM madvise=EINVAL membarrier=EPERM
futex_waitv=EINTR futex_waitv=ENOSYS pidfd_open=EMFILE eventfd2=EMFILE epoll_create1=EMFILE epoll_ctl=ENOSPC
epoll_wait=EINTR poll=EINTR poll=ENOMEM socket=EMFILE socketpair=EMFILE bind=EADDRINUSE listen=EADDRINUSE connect=EINTR
connect=EACCES accept4=EINTR accept4=EMFILE accept4=ECONNABORTED sendmsg=EINTR sendmsg=ENOBUFS recvmsg=EINTR recvmsg=ENOMEM
getsockopt=ENOPROTOOPT setsockopt=ENOPROTOOPT shutdown=ENOTCONN clone3=EAGAIN read=EIO read=EINTR"
injected=0 failed=0
for error in $errors; do
    call=${error%=*} errno=${error#*=}
    here=0
    for number in $(seq "$most"); do
        # Those of the program's start are the loader's and the standard library's.
        case $call in
        mmap | mprotect | openat | read | fstat | newfstatat | statx | clone3 | poll | fcntl) from=$((number + 60)) ;;
        *) from=$number ;;
        esac
        if ! drive -e "inject=$call:error=$errno:when=$from"; then
            failed=$((failed + 1))
            echo "FAILED: $call number $from gives $errno"
            sed 's/^/    /' "$log" | grep -E 'panicked|left|right|signal' | head -5 || true
        fi
        left=$(find /dev/shm -name "$name*" | wc -l)
        case $call in openat | unlinkat | unlink | fcntl | flock | fstat | newfstatat) ;; *)
            if [ "$left" != 0 ]; then
                failed=$((failed + 1))
                echo "FAILED: $call number $from gives $errno, and names stay: $left"
            fi
            ;;
        esac
        find /dev/shm /tmp -maxdepth 1 -name "$name*" -delete
        here=$((here + 1))
    done
    injected=$((injected + here))
    echo "faults: $call $errno, $here times"
done
echo "faults: $injected injected, $failed failed"
[ "$failed" = 0 ]
