"""Files that are opened below a tree are seen; the report says which of them an enclave lists."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.rune.gramine_trace import (
    Lists,
    lists_of,
    open_manifest,
    report_text,
    summary,
    traced,
    user_of,
)
from enclavize.rune.opened_files import OpenedFiles, watched

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
[loader]
uid = 7
gid = 8
[loader.entrypoint]
uri = "file:/.enclave/gramine/libsysdb.so"
sha256 = "00"
[loader.env]
uid = "9"
[libos]
entrypoint = "/bin/app"
[fs]
start_dir = "/"
[sgx]
allowed_files = ["file:/data/", "file:/etc/one"]
trusted_files = [{ uri = "file:/bin/app", sha256 = "00" }]
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("bin/app", "bin/other", "data/x", "usr/lib/odd\nname", ".enclave/instance/app.manifest.sgx"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MANIFEST)
    (root / "link").symlink_to("bin/app")
    return root


def test_every_open_is_seen_by_the_name_without_links(tree: Path) -> None:
    with watched(tree, {"/.enclave"}) as opened:
        subprocess.run(["cat", tree / "link", tree / "data/x"], check=True, stdout=subprocess.DEVNULL)
        os.close(os.open(tree / ".enclave/instance/app.manifest.sgx", os.O_RDONLY))
        list((tree / "usr").iterdir())
    assert opened.paths == {"/bin/app", "/data/x"}
    assert not opened.overflowed
    (tree / "bin/other").read_bytes()
    assert "/bin/other" not in opened.paths


def test_many_opens_are_all_noted(tree: Path) -> None:
    for number in range(3000):
        (tree / "data" / str(number)).touch()
    with watched(tree, ()) as opened:
        for number in range(3000):
            os.close(os.open(tree / "data" / str(number), os.O_RDONLY))
    assert opened.overflowed or len(opened.paths) == 3000


def test_the_report_has_what_only_opened_takes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tree.parent / "report"
    with traced(tree, tree.parent, report, simulate=True) as manifest:
        for name in ("bin/app", "bin/other", "data/x", "usr/lib/odd\nname"):
            (tree / name).read_bytes()
        text = manifest.read_text()
    assert "trusted_files = []" in text
    assert 'file_check_policy = "allow_all_but_log"' in text
    assert [line for line in report.read_text().splitlines() if line[0] != "#"] == [
        "/bin/app",
        "/data/x",
        "/bin/other",
    ]
    said = capsys.readouterr().err
    assert "does not list 2 of them" in said
    assert "  /bin/other\n" in said
    assert "odd\nname" not in said


def test_without_simulation_nothing_is_traced(tree: Path) -> None:
    with (
        pytest.raises(UsageError, match="in simulation alone"),
        traced(tree, tree.parent, None, simulate=False),
    ):
        pass


def test_lists_and_ids_are_read_from_the_manifest(tree: Path) -> None:
    import tomllib

    manifest = tomllib.loads(MANIFEST)
    lists = lists_of(manifest)
    assert lists == Lists(trusted=frozenset({"/bin/app"}), allowed=("/data/", "/etc/one"))
    assert [lists.has(path) for path in ("/bin/app", "/data/x", "/data", "/etc/one", "/etc/one/x")] == [
        True, True, False, True, False,
    ]  # fmt: skip
    assert open_manifest(manifest)["loader"] == manifest["loader"]
    assert manifest["sgx"]["trusted_files"]
    assert user_of(tree) == (7, 8)


def test_what_was_missed_is_said() -> None:
    opened = OpenedFiles()
    opened.overflowed = True
    nothing = Lists(trusted=frozenset(), allowed=())
    assert "NOT COMPLETE" in report_text(opened, nothing)
    assert "NOT COMPLETE" in summary(opened, nothing)
    opened.paths = {f"/{number}" for number in range(25)}
    assert "and 5 more" in summary(opened, nothing)
