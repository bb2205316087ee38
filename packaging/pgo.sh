#!/usr/bin/env bash
# Builds target/pgo/portcullis: the release binary, with what the compiler learned from the workloads of `make compare`
# (profile-guided optimisation). Three steps: a build that counts, a minute of load, and a build that knows.
#
#   packaging/pgo.sh            what is given goes to benches/train.py, for example --seconds 1
#
# Needs what `packaging/setup.sh compare` installs, and the load generator (`make pgo` sees to both). A profile belongs to one compiler and nearly the same source: it is made
# anew each time and is not committed.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc -vV | sed -n 's/^host: //p')
folder=target/pgo
profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$profdata" ] || { echo 'llvm-profdata is missing: rustup component add llvm-tools' >&2; exit 1; }

# With --target, the flags are for the gateway alone and not for what runs during the build.
build() {
    RUSTFLAGS="$1" cargo build --release --locked --bin portcullis --target "$host" --target-dir "$folder/$2"
}

rm -rf "$folder/raw"
mkdir -p "$folder/raw"
printf '\n==> building the release binary that counts\n'
build "-Cprofile-generate=$PWD/$folder/raw" counting
printf '\n==> training it\n'
benches/train.py --binary "$folder/counting/$host/release/portcullis" "$@"
"$profdata" merge -o "$folder/portcullis.profdata" "$folder/raw"
printf '\n==> building the release binary that knows\n'
# Cargo does not see that the profile is another one.
rm -rf "$folder/knowing"
build "-Cprofile-use=$PWD/$folder/portcullis.profdata" knowing
cp "$folder/knowing/$host/release/portcullis" "$folder/portcullis"
printf '\n==> built: %s\n' "$folder/portcullis"
