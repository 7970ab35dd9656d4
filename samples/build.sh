#!/usr/bin/env bash
# build.sh NAME LAYOUT: builds a sample, and makes an ordinary image of it in an OCI layout (needs umoci).
set -euo pipefail
samples=$(cd "$(dirname "$0")" && pwd)
name=$1 layout=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{etc,tmp}
options=()

# with_libraries FILE...: copies what the dynamic loader would load for these files, to where it looks.
with_libraries() {
    local library
    ldd "$@" 2>/dev/null | grep -oE '/[^ :)]+' | sort -u | while read -r library; do
        case $library in "$root"/*) continue ;; esac
        if [ -e "$library" ]; then install -D -m 755 "$(readlink -f "$library")" "$root$library"; fi
    done
}

case $name in
hello)
    mkdir "$root/bin"
    echo 'An ordinary image' >"$root/etc/os-release"
    musl-gcc -static -O2 -s "$samples/hello/hello.c" -o "$root/bin/hello"
    command=(/bin/hello)
    ;;
goroutines)
    mkdir "$root/bin"
    CGO_ENABLED=0 go build -trimpath -o "$root/bin/goroutines" "$samples/goroutines/main.go"
    command=(/bin/goroutines)
    ;;
server)
    mkdir "$root/bin"
    CGO_ENABLED=0 go build -trimpath -o "$root/bin/server" "$samples/server/main.go"
    command=(/bin/server)
    options=(--config.exposedports 8080/tcp)
    ;;
java)
    mkdir "$root/app"
    javac -d "$root/app" "$samples/java/Hello.java"
    jlink --add-modules java.base --strip-debug --no-man-pages --no-header-files --output "$root/jre"
    with_libraries "$root"/jre/bin/java "$root"/jre/lib/*.so "$root"/jre/lib/server/*.so
    command=(/jre/bin/java -Xmx128m -XX:+UseSerialGC -cp /app Hello)
    ;;
python)
    # Debian's own Python, wherever another one may come first in PATH.
    version=$(/usr/bin/python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    mkdir -p "$root"/{usr/bin,usr/lib,app}
    cp /usr/bin/python3 "$root/usr/bin/python3"
    cp -r "/usr/lib/$version" "$root/usr/lib/"
    find "$root" -name __pycache__ -prune -exec rm -rf {} +
    cp "$samples/python/hello.py" "$root/app/"
    with_libraries /usr/bin/python3 "/usr/lib/$version"/lib-dynload/*.so
    command=(/usr/bin/python3 /app/hello.py)
    ;;
node)
    mkdir -p "$root"/{usr/bin,app}
    cp "$(command -v node)" "$root/usr/bin/node"
    cp "$samples/node/hello.js" "$root/app/"
    with_libraries "$root/usr/bin/node"
    command=(/usr/bin/node /app/hello.js)
    ;;
*)
    echo "build.sh: there is no sample $name" >&2
    exit 2
    ;;
esac

umoci init --layout "$layout"
umoci new --image "$layout:1"
umoci insert --rootless --image "$layout:1" "$root" / >/dev/null
for argument in "${command[@]}"; do options+=(--config.entrypoint "$argument"); done
umoci config --image "$layout:1" --architecture amd64 --os linux "${options[@]}"
