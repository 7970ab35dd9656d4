"""Damaged and hostile toolchains end in an error with words, or in a toolchain; never in anything else."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.libos.toolchain import Toolchain

    Opened = Callable[..., Toolchain]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Change, remove or repeat a few bytes."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                data[at : at + 8] = chance.randbytes(8)
            case 2:
                del data[at : at + chance.randrange(64)]
            case _:
                data[at:at] = data[at : at + 64] * chance.randrange(4)
    return bytes(data)


@pytest.mark.parametrize("which", ["gramine_copy", "occlum_copy"])
def test_damaged_files_do_no_harm(opened: Opened, request: pytest.FixtureRequest, which: str) -> None:
    prefix: Path = request.getfixturevalue(which)
    chance = random.Random(20)
    files = [path for path in sorted(prefix.rglob("*")) if path.is_file() and not path.is_symlink()]
    contents = {path: path.read_bytes() for path in files}
    for _ in range(scaled(2000)):
        path = chance.choice(files)
        path.write_bytes(damaged(contents[path], chance))
        with suppress(EnclavizeError):
            for file in opened(prefix).files.values():
                with file.open() as stream:
                    stream.read()
        path.write_bytes(contents[path])


@pytest.mark.parametrize("which", ["gramine_copy", "occlum_copy"])
def test_odd_trees_do_no_harm(opened: Opened, request: pytest.FixtureRequest, which: str) -> None:
    original: Path = request.getfixturevalue(which)
    prefix = original.with_name("odd")
    chance = random.Random(21)
    names = sorted(str(path.relative_to(original)) for path in original.rglob("*"))
    for _ in range(scaled(1000)):
        shutil.copytree(original, prefix, symlinks=True)
        for name in sorted(chance.sample(names, 3), reverse=True):  # what is below a folder first
            path = prefix / name
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            with suppress(OSError):
                match chance.randrange(6):
                    case 0:
                        path.symlink_to(prefix / chance.choice(names))
                    case 1:
                        path.symlink_to("/etc/" + chance.choice(["passwd", "none", "."]))
                    case 2:
                        path.symlink_to(path.name)
                    case 3:
                        os.mkfifo(path)
                    case 4:
                        path.mkdir()
                    case _:
                        pass
        with suppress(EnclavizeError):
            for file in opened(prefix).files.values():
                with file.open() as stream:
                    assert len(stream.read()) == file.size
        shutil.rmtree(prefix)
