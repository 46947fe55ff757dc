#!/usr/bin/env bash
# Every system call of every kind of operations failed in turn: the first call after the program's start, then the second
# alone, and so on, each with errors of its own. The process that does the operations has to end well each time, and
# leave no name behind. Needs strace; takes ten minutes. Usage: ci/faults.sh [MOST CALLS OF A KIND [SECTION...]]
set -euo pipefail
cd "$(dirname "$0")/.."
most=${1:-25}
source ci/want.sh
want strace strace
test=$(cargo test --no-run --test faults --message-format=json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*faults-[^"]*\)".*/\1/p' | tail -1)
[ -x "$test" ] || { echo "faults: the test was not built" >&2; exit 1; }
sections=${*:2}
[ -n "$sections" ] || sections="memory values records calls many many-records sessions handles"
log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT
name=ringlane-test-$$-faults
drive() { # a section, and what strace is to do
    RINGLANE_TEST_PART="injected $1" RINGLANE_TEST_NAME=$name timeout 60 \
        strace -f -qq -o "$log.calls" "${@:2}" "$test" --exact second_process --nocapture >"$log" 2>&1
}
count() { # how many calls of this kind a run made
    grep -cE "^[0-9]+ +$1\(" "$2" || true
}
errors="openat=EMFILE openat=ENOENT openat=EINTR openat=ENOMEM memfd_create=ENFILE memfd_create=ENOMEM ftruncate=EPERM
ftruncate=EINTR fallocate=ENOSPC fallocate=EINTR linkat=EEXIST linkat=EMLINK linkat=ENOSPC unlinkat=EPERM unlink=EPERM
fcntl=ENOLCK fcntl=EAGAIN fcntl=EINTR flock=EAGAIN flock=EINTR fstat=EIO newfstatat=EACCES statx=EACCES fstatfs=ENOSYS
fchmod=EPERM chmod=EPERM mkdir=EROFS mkdir=ENOSPC getdents64=EIO mmap=ENOMEM mprotect=ENOMEM madvise=EINVAL
madvise=EAGAIN membarrier=EPERM futex_waitv=EINTR futex_waitv=ENOSYS futex_waitv=EAGAIN pidfd_open=EMFILE
pidfd_open=ENOMEM eventfd2=EMFILE epoll_create1=EMFILE epoll_ctl=ENOSPC epoll_ctl=ENOMEM epoll_wait=EINTR poll=EINTR
poll=ENOMEM poll=EAGAIN socket=EMFILE socket=ENOMEM socketpair=EMFILE bind=EADDRINUSE bind=ENOSPC listen=EADDRINUSE
connect=EINTR connect=EACCES connect=EAGAIN accept4=EINTR accept4=EMFILE accept4=ECONNABORTED accept4=ENOMEM
sendmsg=EINTR sendmsg=ENOBUFS sendmsg=EAGAIN recvmsg=EINTR recvmsg=ENOMEM recvmsg=EAGAIN getsockopt=ENOPROTOOPT
setsockopt=ENOPROTOOPT setsockopt=ENOMEM shutdown=ENOTCONN clone3=EAGAIN read=EIO read=EINTR getrandom=EINTR
getrandom=ENOSYS process_vm_readv=EPERM process_vm_readv=ENOMEM"
injected=0 failed=0
drive nothing
cp "$log.calls" "$log.start"
for section in $sections; do
    drive "$section"
    cp "$log.calls" "$log.all"
    here=0
    for error in $errors; do
        call=${error%=*} errno=${error#*=}
        # Those of the program's start are the loader's and the standard library's.
        start=$(count "$call" "$log.start") all=$(count "$call" "$log.all")
        for number in $(seq $((start + 1)) $((all < start + most ? all : start + most))); do
            if ! drive "$section" -e "inject=$call:error=$errno:when=$number"; then
                failed=$((failed + 1))
                echo "FAILED: $section, $call number $number gives $errno"
                sed 's/^/    /' "$log" | grep -E 'panicked|left|right|signal' | head -5 || true
            fi
            left=$(find /dev/shm -name "$name*" | wc -l)
            case $call in openat | unlinkat | unlink | fcntl | flock | fstat | newfstatat) ;; *)
                if [ "$left" != 0 ]; then
                    failed=$((failed + 1))
                    echo "FAILED: $section, $call number $number gives $errno, and names stay: $left"
                fi
                ;;
            esac
            find /dev/shm /tmp -maxdepth 1 -name "$name*" -delete
            here=$((here + 1))
        done
    done
    injected=$((injected + here))
    echo "faults: $section, $here times"
done
echo "faults: $injected injected, $failed failed"
[ "$injected" != 0 ] && [ "$failed" = 0 ]
