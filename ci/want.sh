# What scripts need that is no part of a Rust toolchain.

want() { # program, the package that it is in
    command -v "$1" >/dev/null && return
    echo "$1 is not there, installing $2" >&2
    local as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
    "${as_root[@]}" apt-get install -y "$2" >/dev/null
}
