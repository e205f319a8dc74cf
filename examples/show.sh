#!/usr/bin/env bash
# Shows what softstop does, with a real nginx and real clients, once without softstop and once with it:
#
#   examples/show.sh
#
# A container platform stops nginx with SIGTERM while downloads are under way, and a balancer goes on sending it new
# requests for some seconds, because it does not know yet. Each nginx is PID 1, or the child of PID 1, of a PID namespace
# of its own, as in a container. It all happens on 127.0.0.1 and in a temporary directory.
#
# Needs Debian (or a relative) and Rust. Leaves with 0 only if the bare nginx lost something and softstop lost nothing.
set -euo pipefail

DOWNLOADS=4         # in flight when SIGTERM comes; each takes about eight seconds
BALANCER_LEARNS=3   # seconds after SIGTERM in which new requests still come

die() {
    echo "show.sh: $*" >&2
    exit 1
}

# --- what it takes -----------------------------------------------------------------------------------------------------

cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin:${HOME:-}/.cargo/bin

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root (or sudo) once, for: $*"
    fi
}

install_missing() {
    local packages=()
    command -v nginx >/dev/null || packages+=(nginx-light)
    command -v curl >/dev/null || packages+=(curl)
    command -v unshare >/dev/null || packages+=(util-linux)
    [ ${#packages[@]} != 0 ] || return 0
    command -v apt-get >/dev/null || die "install these first: ${packages[*]}"
    echo "Installing ${packages[*]}"
    # Debian starts a server as it installs it. We need the program, and nobody asked for a server on port 80.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod +x $policy
    fi
    { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"; } \
        >/dev/null || die "apt-get could not install ${packages[*]}"
}

(install_missing)
command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs or Debian's package cargo"
echo "Building softstop"
cargo build --quiet --release
target=$(cargo metadata --quiet --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
softstop=$target/release/softstop

as_pid_one=(unshare --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || as_pid_one=(unshare --user --map-root-user --pid --fork --kill-child --mount-proc)
"${as_pid_one[@]}" true || die "this machine lets nobody make a PID namespace; in a container, run it --privileged"

work=$(mktemp -d)
server=
leave() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true # and with it everything in its namespace
    { wait || true; } 2>/dev/null
    rm -rf "$work"
}
trap leave EXIT
trap 'exit 130' INT TERM

# --- nginx and its clients ---------------------------------------------------------------------------------------------

head -c 800000 /dev/urandom >"$work/file"

configure() { # where it is to listen
    cat >"$work/nginx.conf" <<END
daemon off;
user root;
worker_processes 2;
pid $work/nginx.pid;
lock_file $work/nginx.lock;
error_log $work/error.log notice;
events { }
http {
    access_log off;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    root $work;
    server {
        listen 127.0.0.1:$1;
        location = / { return 200 "hello\n"; }
        location = /file { limit_rate 100000; }
    }
}
END
}

fresh() {
    curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "http://127.0.0.1:$port/"
}

start() { # the command, on a port that nobody has
    for _ in {1..20}; do
        port=$((RANDOM % 20000 + 12000))
        configure $port
        : >"$work/error.log"
        "${as_pid_one[@]}" "$@" 2>"$work/stderr" >/dev/null &
        server=$!
        for _ in {1..200}; do
            # Somebody else may answer on that port: nginx must not have complained.
            grep -q 'bind() .* failed' "$work/error.log" && break
            kill -0 "$server" 2>/dev/null || break
            fresh && return
            sleep 0.05
        done
        kill -KILL "$server" 2>/dev/null || true
        { wait "$server" || true; } 2>/dev/null
        server=
        grep -q 'bind() .* failed' "$work/error.log" || die "nginx did not start: $(cat "$work/stderr" "$work/error.log")"
    done
    die "found no free port"
}

now() { # in tenths of a second
    local time=${EPOCHREALTIME/[.,]/}
    echo $((time / 100000))
}

seconds() { # from tenths
    echo "$(($1 / 10)).$(($1 % 10)) s"
}

# Runs one scene. Sets answered, refused, whole, cut, took (tenths of a second) and code.
scene() {
    start "$@"
    local first child
    first=$(tr -d ' ' <"/proc/$server/task/$server/children") # its PID 1, as we see it

    local downloads=()
    for number in $(seq $DOWNLOADS); do
        rm -f "$work/got$number"
        curl --silent --noproxy '*' --max-time 30 --output "$work/got$number" "http://127.0.0.1:$port/file" &
        downloads+=($!)
    done
    for number in $(seq $DOWNLOADS); do
        until [ -s "$work/got$number" ]; do sleep 0.02; done
    done

    local began ended=
    began=$(now)
    kill -TERM "$first"
    answered=0 refused=0
    while (($(now) < began + BALANCER_LEARNS * 10)); do
        if fresh; then answered=$((answered + 1)); else refused=$((refused + 1)); fi
        [ -n "$ended" ] || [ -e "/proc/$first" ] || ended=$(now)
        sleep 0.05
    done
    while [ -e "/proc/$first" ]; do sleep 0.05; done
    took=$((${ended:-$(now)} - began))

    whole=0 cut=0
    for child in "${downloads[@]}"; do wait "$child" || true; done
    for number in $(seq $DOWNLOADS); do
        if cmp -s "$work/file" "$work/got$number"; then whole=$((whole + 1)); else cut=$((cut + 1)); fi
    done
    code=0
    wait "$server" || code=$?
    server=
}

tell() {
    printf '  new requests in the %s s after SIGTERM   %4d answered   %4d refused\n' $BALANCER_LEARNS $answered $refused
    printf '  downloads under way at SIGTERM          %4d whole      %4d cut off\n' $whole $cut
    printf '  gone after %s, exit code %s\n' "$(seconds $took)" $code
}

# --- the two scenes ----------------------------------------------------------------------------------------------------

printf '\n1. nginx -c nginx.conf\n\n'
scene nginx -c "$work/nginx.conf"
tell
bare_lost=$((refused + cut))

printf '\n2. softstop nginx -c nginx.conf\n\n'
scene "$softstop" nginx -c "$work/nginx.conf"
tell
soft_lost=$((refused + cut))
printf '\n  What softstop logged:\n\n'
sed -n 's/^softstop: /    &/p' "$work/stderr"
printf '\n  And nginx:\n\n'
grep -m 1 'gracefully shutting down' "$work/error.log" | sed 's/^/    /' || echo "    nothing of a graceful shutdown"

printf '\nWithout softstop %d requests were lost, with it %d.\n' $bare_lost $soft_lost
((bare_lost > 0 && soft_lost == 0 && code == 0))
