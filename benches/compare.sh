#!/usr/bin/env bash
# Everything that is measured: CPU beside other proxies, memory of idle connections, allocations an exchange.
set -euo pipefail
cd "$(dirname "$0")/.."
benches/compare.py "$@"
printf '\n==> idle connections\n'
benches/idle.py
printf '\n==> allocations an exchange\n'
cargo test --quiet --locked --test allocations -- --nocapture
