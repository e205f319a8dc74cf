#!/bin/sh
# Builds the static binary that runs in any Linux container: target/static/softstop.
#
#     docker run --rm -v "$PWD:/src" -w /src debian:trixie-slim examples/build-static.sh
#
# The same on x86-64 and Arm, and in a Dockerfile (see Dockerfile.example). All it needs are packages of Debian 13
# (trixie), and crates: Debian packages no standard library for musl, so cargo builds it, from Debian's rust-src, which
# is of the very version of its compiler. That asks for an unstable option of cargo (-Zbuild-std), hence
# RUSTC_BOOTSTRAP. With rustup, `rustup target add $(uname -m)-unknown-linux-musl` gives a ready-made one instead.
set -eu

if ! command -v musl-gcc >/dev/null || ! command -v cargo >/dev/null || [ ! -d /usr/lib/rustlib/src ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update
    apt-get install -y --no-install-recommends ca-certificates cargo rustc rust-src musl-tools
fi

target="$(uname -m)-unknown-linux-musl"
unwind=$(mktemp -d)
trap 'rm -rf "$unwind"' EXIT

# The standard library asks for an unwinder, though a program built with panic = "abort" never unwinds. What is left is
# the printing of backtraces, to which this one answers "no more frames".
cat >"$unwind/unwind.c" <<'EOF'
int _Unwind_Backtrace(void *trace, void *argument) { (void)trace; (void)argument; return 5; /* end of stack */ }
unsigned long _Unwind_GetIP(void *context) { (void)context; return 0; }
EOF
musl-gcc -Os -c "$unwind/unwind.c" -o "$unwind/unwind.o"
ar rcsD "$unwind/libunwind.a" "$unwind/unwind.o"

RUSTC_BOOTSTRAP=1 \
RUSTFLAGS="-C linker=musl-gcc -C link-self-contained=no -C target-feature=+crt-static -C relocation-model=static -L native=$unwind" \
    cargo build --release --locked --target "$target" -Zbuild-std=std,panic_abort -Zbuild-std-features=

mkdir -p target/static
cp "target/$target/release/softstop" target/static/softstop
# As root in a container we leave nothing behind that the owner of the sources could not delete.
chown -R --reference=Cargo.toml target
ls -l target/static/softstop
