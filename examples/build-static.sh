#!/bin/sh
# Builds target/static/softstop, the static binary that runs in any Linux container, from packages of Debian 13 (trixie) and
# crates only, on x86-64 and 64-bit Arm. Needs root to install packages that are missing. Dockerfile.example runs it, so a
# Docker engine is enough.
#
# It is linked with musl: with glibc an empty program already has 0.7 MB, and this one would have 1.4. Debian does not package
# Rust's standard library for musl, so cargo builds that too, from Debian's rust-src, which has the same version as the
# compiler. That requires an unstable option of cargo (-Zbuild-std), hence RUSTC_BOOTSTRAP.
set -eu
cd "$(dirname "$0")/.."

packages='ca-certificates cargo rustc rust-src musl-tools'
if ! dpkg-query --show $packages >/dev/null 2>&1; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages
fi

target="$(uname -m)-unknown-linux-musl"
unwind=$(mktemp -d)
trap 'rm -rf "$unwind"' EXIT

# The standard library needs an unwinder, although a program with panic = "abort" never unwinds. It would only be used to
# print backtraces; this one answers "no more frames".
cat >"$unwind/unwind.c" <<'END'
int _Unwind_Backtrace(void *trace, void *argument) { (void)trace; (void)argument; return 5; /* end of stack */ }
unsigned long _Unwind_GetIP(void *context) { (void)context; return 0; }
END
musl-gcc -Os -c "$unwind/unwind.c" -o "$unwind/unwind.o"
ar rcsD "$unwind/libunwind.a" "$unwind/unwind.o"

# Panics name source files. Without the directories of this machine their names take 3 kB less.
registry="${CARGO_HOME:-$HOME/.cargo}/registry/src/"
library="$(rustc --print sysroot)/lib/rustlib/src/rust/library/"

# With noseparate-code the linker puts constants beside the code, without padding to whole pages between them: 8 kB less.
RUSTC_BOOTSTRAP=1 \
RUSTFLAGS="-C linker=musl-gcc -C link-self-contained=no -C target-feature=+crt-static -C relocation-model=static \
    -C link-arg=-Wl,-z,noseparate-code -L native=$unwind --remap-path-prefix=$registry= --remap-path-prefix=$library=" \
    cargo build -p softstop --release --locked --target "$target" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size

mkdir -p target/static
cp "target/$target/release/softstop" target/static/softstop
ls -l target/static/softstop
