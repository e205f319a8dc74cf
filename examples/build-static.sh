#!/bin/sh
# Builds the static binary that runs in any Linux container, target/static/softstop, from packages of Debian 13 (trixie)
# and crates alone; as root, for it installs the packages that are missing. The same on x86-64 and 64-bit Arm.
# Dockerfile.example runs it, so that nothing but a Docker engine is needed.
#
# Static means musl: with glibc an empty program has 0.7 MB already, and this one 1.4. Debian packages no Rust standard
# library for musl, so cargo builds that too, from Debian's rust-src, which is of the very version of its compiler. This
# takes an unstable option of cargo (-Zbuild-std), hence RUSTC_BOOTSTRAP.
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

# The standard library asks for an unwinder, though a program with panic = "abort" never unwinds. What is left of it is
# the printing of backtraces, to which this one answers "no more frames".
cat >"$unwind/unwind.c" <<'END'
int _Unwind_Backtrace(void *trace, void *argument) { (void)trace; (void)argument; return 5; /* end of stack */ }
unsigned long _Unwind_GetIP(void *context) { (void)context; return 0; }
END
musl-gcc -Os -c "$unwind/unwind.c" -o "$unwind/unwind.o"
ar rcsD "$unwind/libunwind.a" "$unwind/unwind.o"

RUSTC_BOOTSTRAP=1 \
RUSTFLAGS="-C linker=musl-gcc -C link-self-contained=no -C target-feature=+crt-static -C relocation-model=static -L native=$unwind" \
    cargo build -p softstop --release --locked --target "$target" -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size

mkdir -p target/static
cp "target/$target/release/softstop" target/static/softstop
ls -l target/static/softstop
