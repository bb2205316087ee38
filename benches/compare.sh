#!/usr/bin/env bash
# Everything that is measured, one after the other; what is given goes to every script, for example --quick.
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in
    *" --quick "*) echo 'Everything in small, about five minutes: the figures say nothing.' ;;
    *) echo 'Everything, about an hour, with nothing else on this machine. Each part says how long it takes.' ;;
esac
# As releases are built, where the toolchain can. A quick run tells nothing anyway.
binary=target/release/portcullis
case " $* " in
    *" --quick "* | *" --binary"*) ;;
    *)
        if packaging/pgo.sh; then
            binary=target/pgo/portcullis
        else
            echo 'No profile could be made: the plain release build is measured.'
        fi
        ;;
esac
failed=()
for script in compare latency policies idle scale reload start; do
    printf '\n==> benches/%s.py\n' "$script"
    "benches/$script.py" --binary "$binary" "$@" || failed+=("benches/$script.py")
done
printf '\n==> allocations an exchange\n'
cargo test --quiet --locked --test allocations -- --nocapture
if [ "${#failed[@]}" -gt 0 ]; then
    printf 'failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
