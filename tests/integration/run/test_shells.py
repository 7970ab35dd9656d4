"""Shells, scripts and forked children say in the enclave what they say in a chroot of the same image."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, busybox, need, need_root, static_pie_musl, with_libraries
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.tee import TeeTree

pytestmark = pytest.mark.integration

TERMINAL = REPOSITORY / "tests" / "integration" / "run" / "shells" / "terminal.c"
TOOLS = (
    "bash", "cat", "cut", "dash", "env", "expr", "false", "grep", "head", "kill", "ls", "mkdir", "mktemp",
    "printf", "rm", "sed", "seq", "sleep", "sort", "tail", "tee", "timeout", "tr", "true", "uname",
    "wc", "xargs",
)  # fmt: skip
APPLETS = (
    "sh",
    "cat",
    "cut",
    "grep",
    "head",
    "ls",
    "sed",
    "seq",
    "sleep",
    "sort",
    "tail",
    "tr",
    "wc",
    "xargs",
)

SCRIPTS = {
    "pipeline": "ls / | sort | head -3 | tr a-z A-Z; seq 1 2000 | tail -1 | wc -c",
    "substitution": 'x=$(ls / | wc -l); y=`echo $(echo deep)`; echo "$x $y"; echo $(seq 1 50 | tail -2)',
    "here-document": "cat <<X\nlines $(echo of) a\ndocument\nX\ncat <<'X' | wc -l\n$(not)\nrun\nX\n",
    "subshell": "a=1; (a=2; cd /tmp; exit 3); echo $? $a $PWD; { a=4; }; echo $a",
    "background": "for i in 1 2 3; do (sleep 0.0$i; exit $i) & done; wait; wait $!; echo $?",
    "kill": "sleep 20 & kill $!; wait $!; echo $?; sleep 20 & kill -KILL $!; wait $!; echo $?",
    "trap": "trap 'echo usr1' USR1; trap 'echo bye' EXIT; kill -USR1 $$; (trap - EXIT; echo sub); echo end",
    "trap in a child": """
        (trap 'echo term; exit 5' TERM; while :; do sleep 0.01; done) &
        sleep 0.2; kill $!; wait $!; echo $?
    """,
    "loop in a pipeline": """
        seq 1 30 | while read x; do echo $((x * 2)); done | grep 0 | tail -1
        i=0; while [ $i -lt 9 ]; do i=$((i + 1)); (echo $i) | cat; done | tail -1
    """,
    "exit codes": "false | true; echo $?; true | false; echo $?; (exit 7) || echo $?; /none 2>&-; echo $?",
    "files": """
        cd $(mktemp -d) || exit
        for i in 1 2 3; do echo $i > f$i; done
        cat f* | tail -1; ls | wc -l
        exec 3>out; echo to three >&3; exec 3>&-; cat out; cat < out | sed s/three/four/
    """,
    "arguments": 'set -- a "b c" d; for x; do echo "<$x>"; done; seq 1 5 | xargs echo',
    "functions": "f() { [ $1 -eq 0 ] || { echo $1; f $(($1 - 1)); }; }; x=$(f 5); echo $x",
    "closed reader": "seq 1 100000 | head -1; echo $?",
    "exec": "(exec sh -c 'echo replaced $1' name one); exec sh -c 'exit 9'",
}
"""What every shell does alike. ``sh`` is the shell itself."""

BASH_SCRIPTS = {
    "pipe status": "true | false | (exit 3); echo ${PIPESTATUS[@]}",
    "coprocess": "coproc cat; echo over >&${COPROC[1]}; exec {COPROC[1]}>&-; read x <&${COPROC[0]}; echo $x",
    "jobs": """
        set -m; sleep 20 & kill -STOP %1; sleep 0.1; jobs -s | wc -l
        kill -CONT %1; kill %1; wait %1; echo $?
    """,
    "last pipe": "shopt -s lastpipe; echo in | read x; echo $x",
    "here-string": "tr a-z A-Z <<< 'loud'",
    "wait -n": "(sleep 0.3; exit 1) & (exit 2) & wait -n; echo $?; wait; echo $?",
}

ENTRYPOINT = """#!/bin/sh
set -eu
if [ "${1#-}" != "$1" ]; then set -- server "$@"; fi
if [ "$1" = server ]; then
    for var in $(env | sed -n 's/^APP_\\([A-Z]*\\)=.*/\\1/p' | sort); do
        eval "value=\\$APP_$var"
        echo "$var=$value" | tr A-Z a-z >> /tmp/conf
    done
    [ "$(id -u 2>/dev/null || echo 0)" = 0 ] && echo "prepared $(wc -l < /tmp/conf) settings"
    shift
    exec sh -c 'cat /tmp/conf; echo "$@"' server "$@"
fi
exec "$@"
"""


@dataclass(frozen=True, kw_only=True)
class Shells:
    """The same files as a folder and as a TEE image."""

    rootfs: Path
    tree: TeeTree

    def native(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run in a chroot."""
        return subprocess.run(
            [shutil.which("chroot") or "chroot", self.rootfs, *argv],
            env={"PATH": "/bin", **(env or {})},
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def check(self, *argv: str, env: dict[str, str] | None = None) -> None:
        """Run in both places."""
        native = self.native(*argv, env=env)
        done = self.tree.run(*argv, env=env)
        assert (done.stdout, done.returncode) == (native.stdout, native.returncode), done.stderr.decode()


def _tools(rootfs: Path) -> Iterator[Path]:
    for name in TOOLS:
        found = shutil.which(name, path="/usr/bin:/bin")
        if found is None:
            pytest.skip(f"{name} is not installed")
        shutil.copy(found, rootfs / "bin" / name)
        yield rootfs / "bin" / name


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Shells:
    """Return an image with bash, dash, the busybox of the corpus, and what scripts call."""
    need("umoci", "skopeo")
    need_root()
    rootfs = tmp_path_factory.mktemp("shells")
    rootfs.chmod(0o755)
    for folder in ("bin", "bb", "etc", "tmp", "proc", "dev"):
        (rootfs / folder).mkdir()
    (rootfs / "tmp").chmod(0o1777)
    with_libraries(rootfs, *_tools(rootfs))
    shutil.copy(busybox(), rootfs / "bin" / "busybox")
    (rootfs / "bin" / "sh").symlink_to("dash")
    for name in (*APPLETS, "mktemp", "mkdir", "kill", "false", "true", "printf", "echo"):
        (rootfs / "bb" / name).symlink_to("/bin/busybox")
    static_pie_musl(TERMINAL, rootfs / "terminal")
    (rootfs / "entrypoint.sh").write_text(ENTRYPOINT)
    (rootfs / "entrypoint.sh").chmod(0o755)
    base = tmp_path_factory.mktemp("tee")
    image = ordinary_image(
        base / "layout", rootfs, config=["--config.cmd", "/bin/sh", "--config.env", "PATH=/bin"]
    )
    tree = Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--set", "threads=64",
        "--allow-env", "APP_MODE", "--allow-env", "APP_SIZE",
    )  # fmt: skip
    os.mknod(rootfs / "dev" / "null", 0o20666, os.makedev(1, 3))
    (rootfs / "dev" / "null").chmod(0o666)
    (rootfs / "dev" / "fd").symlink_to("/proc/self/fd")
    return Shells(rootfs=rootfs, tree=tree)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash", "/bb/sh"])
def test_scripts_do_what_they_do_natively(shells: Shells, shell: str, script: str) -> None:
    path = "/bb" if shell.startswith("/bb") else "/bin"
    shells.check(shell, "-c", f"PATH={path}; {SCRIPTS[script]}")


@pytest.mark.parametrize("script", BASH_SCRIPTS)
def test_scripts_of_bash_do_what_they_do_natively(shells: Shells, script: str) -> None:
    shells.check("/bin/bash", "-c", BASH_SCRIPTS[script])


def test_bash_reads_from_substituted_processes(shells: Shells) -> None:
    script = "cat <(echo one) <(echo two); wc -l < <(seq 1 7); mapfile -t a < <(seq 1 4); echo ${a[3]}"
    done = shells.tree.run("/bin/bash", "-c", script)
    assert done.stdout == b"one\ntwo\n7\n4\n", done.stderr.decode()


def test_jobs_are_controlled_at_a_terminal(shells: Shells) -> None:
    done = shells.tree.run("/terminal", "/bin/bash")
    seen = ["ready>", "Stopped", "sleep 50", "ready>", "ready>", "status=130", "500", "3"]
    assert [line for line in done.stdout.decode().splitlines() if line] == seen, done.stdout + done.stderr


def test_an_entrypoint_prepares_and_becomes_the_program(shells: Shells) -> None:
    (shells.rootfs / "tmp" / "conf").unlink(missing_ok=True)
    shells.check("/entrypoint.sh", "-v", "x", env={"APP_MODE": "Fast", "APP_SIZE": "12"})


def test_nothing_is_left_of_children(shells: Shells) -> None:
    count = scaled(1000, least=50)
    free = "sed -n 's/^MemFree: *\\([0-9]*\\).*/\\1/p' /proc/meminfo"
    script = (
        f"for i in $(seq 1 20); do sh -c 'ls | wc -l'; done > /tmp/out; before=$({free}); "
        f"for i in $(seq 1 {count}); do sh -c 'ls | wc -l'; done > /tmp/out; after=$({free}); "
        "sort -u /tmp/out | wc -l; echo $((before - after))"
    )
    done = shells.tree.run("/bin/dash", "-c", script, timeout=3000)
    assert done.returncode == 0, done.stderr.decode()
    kinds, lost = map(int, done.stdout.split()[-2:])
    assert kinds == 1
    assert lost < 512, f"{lost} KiB are gone"


def test_a_fork_bomb_is_bounded_and_leaves_the_enclave_usable(shells: Shells) -> None:
    script = """
        bomb() { bomb | bomb & }
        (bomb) 2>/dev/null
        sleep 1; kill -KILL -1 2>/dev/null; sleep 0.5
        echo $(echo usable)
    """
    done = shells.tree.run("/bin/bash", "-c", script)
    assert done.stdout.endswith(b"usable\n"), done.stderr.decode()
