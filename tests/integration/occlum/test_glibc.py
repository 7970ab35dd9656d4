"""Programs of glibc get Occlum's, with releases that have one."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import INSTANCE, root_files, unpacked, verify
from support.images import build_image, directory, file, write_layout
from support.stand_in_toolchain import LOADER, compile_stand_in, stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

FOLDER = "opt/occlum/glibc/lib"
OWN = "lib/x86_64-linux-gnu/libc.so.6"


@pytest.fixture(scope="module")
def with_glibc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_occlum(tmp_path_factory.mktemp("glibc") / "occlum", "0.29.7")


@pytest.fixture
def image(converter: Converter, with_glibc: Path, tmp_path: Path) -> Callable[..., str]:
    """Return what writes an image with a program, and with the distribution's own library."""
    library = with_glibc / "glibc" / "lib" / "libc.so.6"
    compile_stand_in(
        tmp_path, "app", LOADER, tmp_path / "app", "-pie", "-Wl,-e,_start",
        "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "-Wl,--no-as-needed", library,
    )  # fmt: skip
    members = [
        directory("bin"), directory("lib"), directory("lib/x86_64-linux-gnu"), directory("lib64"),
        file("bin/app", (tmp_path / "app").read_bytes(), 0o755), file(OWN, "the distribution's", 0o755),
        file("lib/x86_64-linux-gnu/libother.so.1", "another", 0o755),
        file("lib64/ld-linux-x86-64.so.2", "the distribution's", 0o755),
    ]  # fmt: skip

    def write(**config: object) -> str:
        built = build_image([members], config={"Entrypoint": ["/bin/app"], **config})
        return f"oci:{write_layout(converter.command.base / 'source', {'1': built})}:1"

    return write


def test_a_program_of_glibc_comes_upon_occlums_alone(
    converter: Converter, image: Callable[..., str], with_glibc: Path, tmp_path: Path
) -> None:
    source = image(Env=["LD_LIBRARY_PATH=/own"])
    name = converter.build(source, "tee", "--toolchain", with_glibc)
    root = root_files(name, tmp_path)
    theirs = with_glibc / "glibc" / "lib"
    loader = root / "lib64" / "ld-linux-x86-64.so.2"
    assert loader.read_bytes() == (theirs / "ld-linux-x86-64.so.2").read_bytes()
    assert (root / FOLDER / "libc.so.6").read_bytes() == (theirs / "libc.so.6").read_bytes()
    assert str((root / OWN).readlink()) == f"/{FOLDER}/libc.so.6"
    assert (root / "lib/x86_64-linux-gnu/libother.so.1").read_bytes() == b"another"
    assert not (root / "lib" / "ld-musl-x86_64.so.1").exists()
    document = json.loads((unpacked(name, tmp_path / "again") / INSTANCE / "Occlum.json").read_text())
    paths = [item for item in document["env"]["default"] if item.startswith("LD_LIBRARY_PATH=")]
    assert len(paths) == 1
    assert paths[0].startswith(f"LD_LIBRARY_PATH=/{FOLDER}:/own:/lib/x86_64-linux-gnu:")
    said = verify(converter, name, toolchain=with_glibc)
    assert re.search(r"trusted +true", said)


def test_a_toolchain_without_glibc_has_nothing_for_it(
    converter: Converter, image: Callable[..., str], with_glibc: Path, tmp_path: Path
) -> None:
    without = tmp_path / "without"
    shutil.copytree(with_glibc, without, symlinks=True)
    shutil.rmtree(without / "glibc")
    said = converter.build(image(), "tee", "--toolchain", without, code=2)
    assert "has no glibc/ld-linux-x86-64.so.2" in said
