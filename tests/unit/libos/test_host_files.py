"""Digests of files that run outside of an enclave: made of a toolchain, written, read, compared."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import UsageError
from enclavize.libos.host_files import host_files_of
from enclavize.libos.toolchain import open_toolchain
from enclavize.oci.cache import BlobCache
from enclavize.progress import Reporter
from enclavize.tee.host_files import HostFiles, read_host_files
from support.stand_in_toolchain import stand_in_gramine, stand_in_occlum

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.libos.toolchain import Toolchain

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture(scope="module")
def toolchains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Toolchain]:
    base = tmp_path_factory.mktemp("toolchains")
    folders = {"gramine": stand_in_gramine(base / "gramine"), "occlum": stand_in_occlum(base / "occlum")}
    return {
        libos: open_toolchain(str(folder), libos=libos, cache=BlobCache(base / "cache"), reporter=Reporter())
        for libos, folder in folders.items()
    }


@pytest.mark.parametrize("libos", ["gramine", "occlum"])
def test_what_is_written_is_read_again(toolchains: dict[str, Toolchain], libos: str, tmp_path: Path) -> None:
    made = host_files_of(toolchains[libos])
    file = tmp_path / "host-files"
    file.write_text(made.to_text("a title"))
    read = read_host_files(file)
    assert read.files == made.files
    assert read.origin == str(file)
    assert made.version == toolchains[libos].version
    assert list(read.differences(made.files)) == []


def test_a_toolchain_gives_the_files_as_they_are_in_images(toolchains: dict[str, Toolchain]) -> None:
    gramine = host_files_of(toolchains["gramine"]).files
    assert {"gramine/sgx/loader", "gramine/direct/libpal.so", "gramine/libsysdb.so"} <= gramine.keys()
    assert any(path.startswith("gramine/host/") for path in gramine)
    assert not any(path.startswith("bin/") for path in gramine)
    # The loader gets another interpreter on its way into an image.
    assert gramine["gramine/sgx/loader"] != toolchains["gramine"].files["sgx/loader"].sha256
    occlum = host_files_of(toolchains["occlum"]).files
    assert list(occlum) == ["instance/build/lib/libocclum-pal.so"]


def test_what_sha256sum_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / "gramine").mkdir()
    (tmp_path / "gramine" / "a-file").write_text("content")
    file = tmp_path / "host-files"
    digest = hashlib.sha256(b"content").hexdigest()
    for option in ("--text", "--binary"):
        done = subprocess.run(
            ["sha256sum", option, "gramine/a-file"], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        file.write_text(f"# ours\n\n{done.stdout}")
        assert read_host_files(file).files == {"gramine/a-file": digest}
    file.write_bytes(f"{digest.upper()} *./gramine/x\r\n".encode())
    assert read_host_files(file).files == {"gramine/x": digest}


def test_sha256sum_reads_what_is_written(toolchains: dict[str, Toolchain], tmp_path: Path) -> None:
    text = host_files_of(toolchains["occlum"]).to_text("a title")
    (path,) = host_files_of(toolchains["occlum"]).files
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(toolchains["occlum"].require("lib/libocclum-pal.so").open().read())
    subprocess.run(["sha256sum", "--check", "--quiet", "-"], cwd=tmp_path, input=text, text=True, check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no file"),
        ("# nothing\n", "lists no file"),
        (f"{ONE} gramine/x\n", "line 1: "),
        (f"{ONE[1:]}  gramine/x\n", "line 1: "),
        (f"# a\n{ONE}  gramine/a b\n", "line 2: "),
        (f"\\{ONE}  gramine/x\\\\y\n", "line 1: "),
        (f"{ONE}  /gramine/x\n", "not a path below /.enclave/"),
        (f"{ONE}  gramine/../x\n", "not a path below /.enclave/"),
        (f"{ONE}  ../x\n", "not a path below /.enclave/"),
        (f"{ONE}  gramine//x\n", "not a path below /.enclave/"),
        (f"{ONE}  a\n{ONE}  ./a\n", "line 2: a stands twice"),
        ("\x1b[31m\n", "line 1: '\\\\x1b[31m'"),
        ("#" * (1 << 21), "at most 1048576 bytes"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "host-files"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_host_files(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_host_files(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\n")
    with pytest.raises(UsageError, match="binary, line 1"):
        read_host_files(tmp_path / "binary")


def test_every_difference_is_told() -> None:
    pinned = HostFiles(origin="a file", files={"a": ONE, "b": ONE})
    assert list(pinned.differences({"a": ONE, "b": ONE})) == []
    assert list(pinned.differences({"a": ONE, "b": TWO})) == ["b is another file"]
    assert list(pinned.differences({"a": ONE})) == ["b is missing"]
    assert list(pinned.differences({"a": ONE, "b": ONE, "c": ONE})) == ["c is not among its files"]
