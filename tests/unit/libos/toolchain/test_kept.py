"""Toolchains that are kept, by the command line."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError, UsageError
from support.command import Command
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.libos.toolchain import Toolchain

    Opened = Callable[..., Toolchain]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Give the command."""
    return Command(base=tmp_path, native=tmp_path)


@pytest.fixture
def kept_opened(opened: Opened, command: Command, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Give ``open_toolchain`` with the data folder of the command."""
    monkeypatch.setenv("XDG_DATA_HOME", command.variables()["XDG_DATA_HOME"])
    return opened


def test_a_kept_toolchain_is_the_imported_one(
    command: Command, kept_opened: Opened, gramine_copy: Path
) -> None:
    before = kept_opened(gramine_copy)
    command.run("toolchain", "import", gramine_copy, "--name", "mine")
    gramine_copy.rename(gramine_copy.with_name("elsewhere"))
    after = kept_opened("mine", "gramine")
    assert after.digest == before.digest
    assert after.title == before.title
    assert after.require("sgx/loader").open().read()
    assert str(gramine_copy) in after.origin
    with pytest.raises(UsageError, match=f"has no sgx/none; looked for it in {gramine_copy}"):
        after.require("sgx/none")
    with pytest.raises(UsageError, match=r"holds Gramine 1\.9, not Occlum"):
        kept_opened("mine", "occlum")


def test_toolchains_are_listed_and_removed(
    command: Command, gramine_stand_in: Path, occlum_stand_in: Path
) -> None:
    assert json.loads(command.run("toolchain", "list", "--format", "json").stdout) == []
    command.run("toolchain", "import", gramine_stand_in, "--name", "g")
    command.run("toolchain", "import", occlum_stand_in, "--name", "o")
    rows = json.loads(command.run("toolchain", "list", "--format", "json").stdout)
    assert [(row["name"], row["libos"], row["version"]) for row in rows] == [
        ("g", "gramine", "1.9"), ("o", "occlum", "0.29.7"),
    ]  # fmt: skip
    assert command.run("toolchain", "list").stdout.splitlines()[1].startswith("g     gramine")
    command.run("toolchain", "rm", "g")
    assert command.run("toolchain", "list").stdout.splitlines()[1].startswith("o ")
    command.run("toolchain", "inspect", "o")
    command.run("toolchain", "rm", "o")
    root = command.base / "data" / "enclavize" / "toolchains"
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["lock"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "{gramine}", "--name", "taken"), "there is a toolchain taken already"),
        (("import", "{gramine}", "--name", "../x"), "--name '../x'"),
        (("import", "{gramine}", "--name", "x", "--libos", "occlum"), "not Occlum"),
        (("rm", "none"), "there is no toolchain none"),
        (("rm", "../../x"), "there is no toolchain ../../x"),
    ],
)
def test_refusals(command: Command, gramine_stand_in: Path, arguments: tuple[str, ...], message: str) -> None:
    command.run("toolchain", "import", gramine_stand_in, "--name", "taken")
    done = command.run("toolchain", *(text.format(gramine=gramine_stand_in) for text in arguments), code=2)
    assert message in done.stderr


def test_inspect_shows_files_and_what_is_missing(command: Command, gramine_copy: Path) -> None:
    next(gramine_copy.rglob("libsysdb.so")).with_name("sgx").joinpath("loader").unlink()
    facts = json.loads(command.run("toolchain", "inspect", gramine_copy, "--format", "json").stdout)
    assert facts["missing"] == ["sgx/loader"]
    assert {"path": "direct/loader", "link": "libpal.so"}.items() <= facts["files"][1].items()
    text = command.run("toolchain", "inspect", gramine_copy, "--libos", "graphene").stdout
    assert "version  1.9" in text
    assert "missing: sgx/loader" in text


def test_of_imports_at_the_same_time_one_wins(
    command: Command, kept_opened: Opened, gramine_stand_in: Path
) -> None:
    imports = [command.start("toolchain", "import", gramine_stand_in, "--name", "mine") for _ in range(4)]
    for process in imports:
        process.communicate()
    assert sorted(process.returncode for process in imports) == [0, 2, 2, 2]
    assert kept_opened("mine").digest == kept_opened(gramine_stand_in).digest


def test_a_killed_import_leaves_no_toolchain(
    command: Command, kept_opened: Opened, gramine_stand_in: Path
) -> None:
    chance = random.Random(5)
    root = command.base / "data" / "enclavize" / "toolchains"
    for number in range(scaled(100)):
        process = command.start("toolchain", "import", gramine_stand_in, "--name", f"n{number}")
        time.sleep(chance.uniform(0.2, 0.6))
        process.kill()
        process.communicate()
    for path in root.glob("*.json"):
        for file in kept_opened(path.stem).files.values():
            with file.open() as stream:
                stream.read()
    command.run("toolchain", "import", gramine_stand_in, "--name", "last")
    for row in json.loads(command.run("toolchain", "list", "--format", "json").stdout):
        command.run("toolchain", "rm", row["name"])
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["lock"]


def test_a_damaged_copy_is_noticed(command: Command, kept_opened: Opened, gramine_stand_in: Path) -> None:
    command.run("toolchain", "import", gramine_stand_in, "--name", "mine")
    root = command.base / "data" / "enclavize" / "toolchains"
    file = kept_opened("mine").require("libsysdb.so")
    stored = root / "sha256" / file.sha256
    stored.chmod(0o644)
    stored.write_bytes(bytes(file.size))
    with pytest.raises(IntegrityError, match=r"the kept toolchain's libsysdb\.so"), file.open() as stream:
        stream.read()
    (root / "mine.json").write_text('{"format": 1, "files": [{"path": 1}]}')
    assert "mine.json" in command.run("toolchain", "inspect", "mine", code=1).stderr
