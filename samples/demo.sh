#!/usr/bin/env bash
# The demo: ordinary images in a real registry become signed TEE images and run in their enclaves. Needs no SGX and no docker daemon.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export SOURCE_DATE_EPOCH=1767225600 XDG_CACHE_HOME XDG_DATA_HOME

work=$(mktemp -d)
registry_pid=
finish() {
    if [ -n "$registry_pid" ]; then
        kill "$registry_pid" 2>/dev/null || true
        wait "$registry_pid" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
XDG_CACHE_HOME=$work/cache XDG_DATA_HOME=$work/data

title() { printf '\n\033[1m==> %s\033[0m\n' "$1"; }
[ -n "${NO_COLOR:-}" ] && title() { printf '\n==> %s\n' "$1"; }
shown() { printf '$ %s\n' "$*"; "$@"; }
refused() {
    printf '$ %s\n' "$*"
    if "$@"; then
        echo "this should have been refused" >&2
        exit 1
    fi
    echo "(refused, as it must be)"
}

title "A real registry on loopback"
port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<EOF
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:$port}
EOF
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry_pid=$!
for _ in $(seq 100); do
    python - "$port" <<'EOF' && break
import sys, urllib.request
try:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/v2/", timeout=1)
except OSError:
    sys.exit(1)
EOF
    sleep 0.1
done
registry=127.0.0.1:$port
echo "docker-registry listens on $registry"

# push_image NAME ROOTFS ENTRYPOINT...: an ordinary image, made and pushed by ordinary tools.
push_image() {
    local name=$1 rootfs=$2
    shift 2
    local layout=$work/layouts/$name
    mkdir -p "$work/layouts"
    umoci init --layout "$layout"
    umoci new --image "$layout:1"
    umoci insert --rootless --image "$layout:1" "$rootfs" / >/dev/null
    local options=()
    for argument in "$@"; do options+=(--config.entrypoint "$argument"); done
    umoci config --image "$layout:1" --architecture amd64 --os linux "${options[@]}"
    skopeo copy --quiet --dest-tls-verify=false "oci:$layout:1" "docker://$registry/demo/$name:1"
}

title "Three ordinary images: a C program, Debian's busybox, and ruff as published on PyPI for musl"
mkdir -p "$work"/{hello,busybox,ruff}/{bin,etc,tmp} "$work/wheel"
echo 'An ordinary image' | tee "$work"/{hello,busybox,ruff}/etc/os-release >/dev/null
ZIG_GLOBAL_CACHE_DIR=$PWD/native/.cache/global python -m ziglang cc -target x86_64-linux-musl -static -O2 -s samples/hello/hello.c -o "$work/hello/bin/hello"
cp "$(command -v busybox)" "$work/busybox/bin/busybox"
python -m pip download --quiet --no-deps --only-binary :all: --platform musllinux_1_2_x86_64 --dest "$work/wheel" ruff
python -m zipfile -e "$work"/wheel/ruff-*.whl "$work/wheel"
cp "$work"/wheel/ruff-*.data/scripts/ruff "$work/ruff/bin/ruff"
chmod 755 "$work/ruff/bin/ruff"
printf 'import os, sys\n\nprint(undefined_name)\n' >"$work/ruff/example.py"
push_image hello "$work/hello" /bin/hello
push_image busybox "$work/busybox" /bin/busybox ls -l /bin /etc
push_image ruff "$work/ruff" /bin/ruff check --no-cache /example.py
skopeo list-tags --tls-verify=false "docker://$registry/demo/hello" | tr -d '\n ' && echo

title "A signing key"
shown enclavize keygen "$work/enclave-key.pem"

for name in hello busybox ruff; do
    title "Convert, sign, push, inspect, verify, run: $name"
    shown enclavize build "$registry/demo/$name:1" -t "$registry/demo/$name:1-tee" --key "$work/enclave-key.pem" --push --metadata-file "$work/build.json"
    shown enclavize inspect "$registry/demo/$name:1-tee"
    shown enclavize verify "$registry/demo/$name:1-tee" --signer "$work/enclave-key.pub.pem"
    status=0
    shown enclavize run "$registry/demo/$name:1-tee" --simulate || status=$?
    echo "(exit code $status)"
    case $name:$status in hello:0 | busybox:0 | ruff:1) ;; *) exit 1 ;; esac
done

title "What the build did not allow is refused"
refused enclavize run "$registry/demo/hello:1-tee" --simulate 7

title "A tampered copy: the same image with another program in its place"
cp -r "$work/hello" "$work/tampered"
printf 'int main(void) { return 0; }' >"$work/tampered.c"
ZIG_GLOBAL_CACHE_DIR=$PWD/native/.cache/global python -m ziglang cc -target x86_64-linux-musl -static -s "$work/tampered.c" -o "$work/tampered/bin/hello"
skopeo copy --quiet --src-tls-verify=false "docker://$registry/demo/hello:1-tee" "oci:$work/layouts/tampered:1"
umoci insert --rootless --image "$work/layouts/tampered:1" "$work/tampered/bin/hello" /bin/hello >/dev/null
skopeo copy --quiet --dest-tls-verify=false "oci:$work/layouts/tampered:1" "docker://$registry/demo/hello:1-tampered"
refused enclavize verify "$registry/demo/hello:1-tampered" --signer "$work/enclave-key.pub.pem"
refused enclavize run "$registry/demo/hello:1-tampered" --simulate

title "Done. Simulation protects nothing: it shows how the image behaves. On SGX hardware the same image is the same enclave."
