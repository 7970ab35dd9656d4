"""Gramine's C library behaves as the image's, in a real Gramine: the same scripts give the same outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.images import directory, file, symlink
from support.programs import need, need_root

if TYPE_CHECKING:
    from support.images import Member

    from .conftest import Lab

pytestmark = pytest.mark.integration

PROGRAMS = (
    "/bin/sh", "/bin/date", "/bin/cat", "/bin/echo", "/usr/bin/wc", "/usr/bin/env", "/usr/bin/iconv",
    "/usr/bin/locale", "/usr/bin/getent", "/usr/bin/id", "/usr/bin/od",
)  # fmt: skip
DATA = (
    "/usr/lib/locale/C.utf8",
    "/usr/lib/x86_64-linux-gnu/gconv",
    "/usr/share/zoneinfo/Europe/Berlin",
    "/usr/share/zoneinfo/Asia/Tokyo",
)
SCRIPT = r"""#!/bin/sh
date -d @0 '+%H:%M %Z'
TZ=Asia/Tokyo date -d @0 '+%H:%M %Z'
env -i PATH=/usr/bin:/bin date -d @0 '+%H:%M %Z'
printf '\303\244\303\266' | wc -m
printf '\344' | iconv -f ISO-8859-15 -t UTF-8 | od -c
locale charmap
env -i /bin/echo a clean environment
LD_LIBRARY_PATH=/lib/x86_64-linux-gnu /bin/echo a path of its own
echo "LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
(unset LD_LIBRARY_PATH; /bin/echo none)
"""
ENVIRONMENT = ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]


def libraries(*programs: str) -> set[str]:
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"(/lib\S+\.so\S*) \(", listed))


def members_of_this_machine() -> list[Member]:
    """Return programs and data, under the names that they have here."""
    need("ldd", *PROGRAMS)
    paths = {Path(path) for path in (*PROGRAMS, *libraries(*PROGRAMS))}
    for place in map(Path, DATA):
        if not place.exists():
            pytest.skip(f"{place} is not here")
        paths |= {path for path in place.rglob("*") if path.is_file()} if place.is_dir() else {place}
    folders = {str(folder)[1:] for path in paths for folder in path.parents if folder != Path("/")}
    return [
        *map(directory, sorted(folders | {"etc"})),
        *(file(str(path)[1:], path.read_bytes(), 0o755) for path in sorted(paths)),
        symlink("etc/localtime", "/usr/share/zoneinfo/Europe/Berlin"),
    ]


@pytest.fixture(scope="module")
def source(real: Lab) -> str:
    need_root()
    members = [*members_of_this_machine(), file("run.sh", SCRIPT, 0o755)]
    return real.image("libc", members, {"Entrypoint": ["/run.sh"], "Env": ENVIRONMENT})


def test_a_script_prints_what_it_prints_outside(real: Lab, source: str, tmp_path: Path) -> None:
    need("chroot")
    native = tmp_path / "native"
    real.converter.run("build", source, *real.options(), "-o", f"type=local,dest={native}")
    wanted = subprocess.run(
        [shutil.which("chroot") or "chroot", native, "/run.sh"],
        env=dict(item.split("=") for item in ENVIRONMENT), capture_output=True, text=True, check=False,
    )  # fmt: skip
    done = real.run(real.build(source, "libc-tee"))
    assert wanted.stdout.startswith("01:00 CET\n09:00 JST\n01:00 CET\n2\n")
    assert (done.stdout, done.returncode) == (wanted.stdout, wanted.returncode), done.stderr


def test_what_was_traced_is_enough_for_the_same_run(real: Lab, source: str, tmp_path: Path) -> None:
    layout = real.build(source, "libc-traced")
    report = tmp_path / "opened"
    traced = real.run(layout, "--trace", "--report", str(report))
    assert traced.returncode == 0, traced.stderr
    paths = [line for line in report.read_text().splitlines() if not line.startswith("#")]
    assert {"/run.sh", "/usr/share/zoneinfo/Asia/Tokyo"} <= set(paths)
    assert not [path for path in paths if path.startswith("/.enclave")]
    small = real.run(real.build(source, "libc-small", "--only-opened", str(report)))
    assert (small.stdout, small.returncode) == (traced.stdout, 0)


def test_files_of_a_volume_are_the_users(real: Lab, tmp_path: Path) -> None:
    members = members_of_this_machine()
    config = {"Entrypoint": ["/bin/sh", "-c", "cat /data/own && id -u >/data/new"], "User": "100:101"}
    layout = real.build(
        real.image("user", members, {**config, "Env": ENVIRONMENT}), "user-tee", "--volume", "/data"
    )
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "own").write_text("its own\n")
    for path in (folder, folder / "own"):
        os.chown(path, 100, 101)
    done = real.run(layout, "-v", f"{folder}:/data")
    assert (done.stdout, done.returncode) == ("its own\n", 0), done.stderr
    assert (folder / "new").read_text() == "100\n"
    assert (folder / "new").stat().st_uid == 100
