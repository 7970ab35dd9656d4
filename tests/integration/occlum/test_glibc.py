"""Programs of glibc get Occlum's, with releases that have one."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import INSTANCE, root_files, unpacked, verify
from support.images import build_image, directory, file, write_layout
from support.stand_in_toolchain import LOADER, compile_stand_in, stand_in_occlum, versioned_library

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

FOLDER = "opt/occlum/glibc/lib"
OWN = "lib/x86_64-linux-gnu/libc.so.6"
KEPT = "__attribute__((used, retain))"
"""Linkers drop what nobody needs."""


@pytest.fixture(scope="module")
def with_glibc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_occlum(tmp_path_factory.mktemp("glibc") / "occlum", "0.29.7")


@pytest.fixture
def image(converter: Converter, with_glibc: Path, tmp_path: Path) -> Callable[..., str]:
    """Return what writes an image with a program, and with the distribution's own library."""

    def write(
        library: Path = with_glibc / "glibc" / "lib" / "libc.so.6", *, imports: str = "", **config: object
    ) -> str:
        code = f"int {imports}(void);\n{KEPT} int (*imported)(void) = {imports};\n" if imports else ""
        compile_stand_in(
            tmp_path, "app", LOADER + code, tmp_path / "app", "-pie", "-Wl,-e,_start",
            "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2", "-Wl,--no-as-needed", library,
        )  # fmt: skip
        members = [
            directory("bin"), directory("lib"), directory("lib/x86_64-linux-gnu"), directory("lib64"),
            file("bin/app", (tmp_path / "app").read_bytes(), 0o755), file(OWN, "the distribution's", 0o755),
            file("lib/x86_64-linux-gnu/libother.so.1", "another", 0o755),
            file("lib64/ld-linux-x86-64.so.2", "the distribution's", 0o755),
        ]  # fmt: skip
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
    source = image()
    said = converter.build(source, "tee", "--toolchain", without, code=3)
    assert "Occlum 0.29.7 without glibc" in said
    done = converter.command.run("check", source, "--toolchain", without, code=3)
    assert "OCC006" in done.stdout
    assert "without glibc" in done.stderr


def test_the_glibc_that_is_there_decides(
    converter: Converter, image: Callable[..., str], with_glibc: Path, tmp_path: Path
) -> None:
    """One release has glibc 2.31 for one distribution and 2.35 for another."""
    newer, older = tmp_path / "newer", tmp_path / "older"
    for toolchain, version in ((newer, "GLIBC_2.35"), (older, "GLIBC_2.31")):
        shutil.copytree(with_glibc, toolchain, symlinks=True)
        versioned_library(tmp_path, toolchain / "glibc" / "lib" / "libc.so.6", version)
    source = image(newer / "glibc" / "lib" / "libc.so.6", imports="stand_in")
    said = converter.build(source, "tee", "--toolchain", older, code=3)
    assert "needs GLIBC_2.35; Occlum 0.29.7 has GLIBC_2.31" in said
    assert "OCC016" in converter.command.run("check", source, "--toolchain", older, code=3).stdout
    assert "OCC016" not in converter.command.run("check", source, "--toolchain", newer).stdout
    name = converter.build(source, "tee", "--toolchain", newer)
    assert re.search(r"trusted +true", verify(converter, name, toolchain=newer))
