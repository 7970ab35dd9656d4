"""``enclavize verify`` refuses a TEE image of Occlum in which anything was changed, and says what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.images import directory, file, symlink
from support.tampering import TamperedImage, changes_of_documents, changes_of_members, flipped, some_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter
    from support.tampering import Change

pytestmark = pytest.mark.integration

OWN_LAYERS = 2
INSTANCE = ".enclave/instance"
BUILD = f"{INSTANCE}/build"


@pytest.fixture
def built(converter: Converter, make: Callable[..., str]) -> Path:
    """Return the layout of a TEE image."""
    return converter.command.base / converter.build(make(), "tee").rpartition("/")[2]


def accepted(
    converter: Converter, built: Path, copy: Path, changes: list[Change], *, redescribed: bool = False
) -> list[str]:
    """Return the names of the changes that were not refused, or not with a message."""
    found = []
    for name, change in changes:
        image = TamperedImage(built, copy)
        change(image)
        if redescribed:
            image.redescribe()
        try:
            message = verify(converter, image.save())
        except AssertionError as error:
            found.append(f"{name}: {error}")
        else:
            if "ERROR" not in message:
                found.append(f"{name}: {message}")
    return found


def verify(converter: Converter, name: str, code: int = 1) -> str:
    """Verify an image; return what is said."""
    key = converter.key.with_name("key.pub.pem")
    return converter.command.run(
        "verify",
        name,
        "--signer",
        key,
        "--toolchain",
        converter.toolchain,
        "--allow-integrity-only",
        code=code,
    ).stderr


def test_an_untouched_copy_is_accepted(converter: Converter, built: Path, tmp_path: Path) -> None:
    verify(converter, TamperedImage(built, tmp_path / "copy").save(), code=0)


def test_every_changed_member_is_refused(converter: Converter, built: Path, tmp_path: Path) -> None:
    changes = changes_of_members(TamperedImage(built, tmp_path / "copy"), OWN_LAYERS)
    assert len(changes) > 200
    assert accepted(converter, built, tmp_path / "copy", some_of(changes)) == []


def test_every_lie_in_a_document_is_refused(converter: Converter, built: Path, tmp_path: Path) -> None:
    assert accepted(converter, built, tmp_path / "copy", changes_of_documents()) == []


def test_what_is_measured_is_refused_whatever_the_description_says(
    converter: Converter, built: Path, tmp_path: Path
) -> None:
    measured = (f"{BUILD}/.Occlum_sys.json.protected", f"{BUILD}/mount/", f"{BUILD}/initfs/")
    image = TamperedImage(built, tmp_path / "copy")
    changes: list[Change] = [
        (member.path, lambda image, path=member.path: image.change_data(path, flipped))  # type: ignore[misc]
        for member in image.layers[-1]
        if member.data and member.path.startswith(measured)
    ]
    assert len(changes) > 10
    assert accepted(converter, built, tmp_path / "copy", changes, redescribed=True) == []


def test_a_folder_with_two_names_is_refused(converter: Converter, built: Path, tmp_path: Path) -> None:
    """Both names are the same one to the kernel; what a build writes has one alone."""
    image = TamperedImage(built, tmp_path / "copy")
    number = next(
        at for at, member in enumerate(image.layers[-1]) if member.mode == 0o777 and not member.link
    )
    twin = image.layers[-1][number]
    image.layers[-1].insert(number + 1, replace(twin, path=f"{twin.path}//"))
    assert "is not of the enclave" in verify(converter, image.save())


def test_what_is_added_is_refused(converter: Converter, built: Path, tmp_path: Path) -> None:
    def own(path: str) -> Callable[[TamperedImage], object]:
        return lambda image: image.layers[-1].append(file(path, "x", 0o444))

    changes: list[Change] = [
        ("a file on top", lambda image: image.add_layer([file("srv/data", "evil\n")])),
        ("an empty layer on top", lambda image: image.add_layer([])),
        ("the same on top", lambda image: image.add_layer(image.layers[-1])),
        ("no PAL", lambda image: image.remove_layer(-2)),
        ("no instance", lambda image: image.remove_layer(-1)),
        ("a file beside", own("run/rune/more")),
        ("a file below", own(".enclave/more")),
        ("a node", own(f"{BUILD}/mount/__ROOT/{'f' * 32}")),
        ("a second configuration", own(f"{BUILD}/.Occlum_app.json.protected")),
        ("what the LibOS left", own(f"{INSTANCE}/run/mount/__ROOT/metadata")),
        (
            "another instance",
            lambda image: image.layers[-1].append(symlink("run/rune/other", "/.enclave/instance")),
        ),
        ("a folder below", lambda image: image.layers[-1].append(directory(".enclave/x", 0o555))),
        ("a folder beside", lambda image: image.layers[-1].append(directory("run/x", 0o555))),
    ]
    assert accepted(converter, built, tmp_path / "copy", changes) == []
