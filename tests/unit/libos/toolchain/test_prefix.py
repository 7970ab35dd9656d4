"""Toolchains in install prefixes: what is found, and what messages say about the rest."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import IntegrityError, UsageError
from enclavize.libos.toolchain.tree import MAX_FILE_SIZE
from enclavize.sgx.enclave_file import measure_enclave
from enclavize.sgx.enclave_file.config import EnclaveConfig
from enclavize.sgx.gramine_enclave import measure_gramine
from support.stand_in_toolchain import PACKAGE, stand_in_gramine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.libos.toolchain import Toolchain

    Opened = Callable[..., Toolchain]

GRAMINE_FILES = {
    "libsysdb.so",
    "direct/libpal.so",
    "direct/loader",
    "sgx/libpal.so",
    "sgx/loader",
    "host/ld-linux-x86-64.so.2",
    "host/libc.so.6",
    "host/libprotobuf-c.so.1",
}
OCCLUM_FILES = {
    "lib/libocclum-libos.so",
    "lib/libocclum-pal.so",
    "bin/occlum-run",
    "initfs/bin/init",
    "template/Occlum.json",
    "musl/ld-musl-x86_64.so.1",
    "musl/libc.so",
    "glibc/libc.so.6",
    "glibc/libstdc++.so.6",
}


def test_gramine_is_found_under_its_prefix(opened: Opened, gramine: Path) -> None:
    toolchain = opened(gramine)
    assert toolchain.libos == "gramine"
    assert toolchain.version.startswith("1.")
    assert toolchain.files.keys() >= GRAMINE_FILES
    assert not toolchain.missing
    assert toolchain.below("runtime")
    assert toolchain.require("direct/loader").link_target == "libpal.so"


def test_occlum_is_found_under_its_prefix(opened: Opened, occlum: Path) -> None:
    toolchain = opened(occlum)
    assert toolchain.libos == "occlum"
    assert toolchain.version.startswith("0.")
    assert toolchain.files.keys() >= OCCLUM_FILES
    assert not toolchain.missing


@pytest.mark.parametrize("which", ["gramine", "occlum"])
def test_files_are_what_they_are_said_to_be(
    opened: Opened, request: pytest.FixtureRequest, which: str
) -> None:
    for file in opened(request.getfixturevalue(which)).files.values():
        with file.open() as stream:
            content = stream.read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        assert file.mode in (0o644, 0o755)


def test_enclaves_of_toolchains_can_be_measured(opened: Opened, gramine: Path, occlum: Path) -> None:
    libpal = opened(gramine).require("sgx/libpal.so").open().read()
    assert len(measure_gramine(libpal, b"", enclave_size=1 << 28, max_threads=4, edmm=False)) == 32
    libos = opened(occlum).require("lib/libocclum-libos.so").open().read()
    assert len(measure_enclave(libos, EnclaveConfig()).measurement.mrenclave) == 32


def test_a_prefix_is_found_below_a_root(opened: Opened, gramine_copy: Path, tmp_path: Path) -> None:
    for prefix in ("usr", "usr/local", "opt/anything"):
        root = tmp_path / prefix.replace("/", "-")
        (root / prefix).parent.mkdir(parents=True)
        (root / prefix).symlink_to(os.path.relpath(gramine_copy, (root / prefix).parent))
        with pytest.raises(UsageError, match="outside the toolchain"):
            opened(root)
        (root / prefix).unlink()
        gramine_copy.rename(root / prefix)
        assert opened(root).digest == opened(root / prefix).digest
        (root / prefix).rename(gramine_copy)


def test_development_links_and_archives_are_left_out(opened: Opened, gramine_copy: Path) -> None:
    runtime = gramine_copy / PACKAGE / "runtime" / "glibc"
    assert (runtime / "libm.so").is_symlink()
    (runtime / "libc.a").write_bytes(b"!<arch>\n")
    (runtime / "crt1.o").write_bytes(b"")
    names = {file.path.rpartition("/")[2] for file in opened(gramine_copy).below("runtime/glibc")}
    assert names == {"ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libpthread.so.0"}


def test_the_version_is_read_from_pkg_config_where_python_is_not_there(
    opened: Opened, gramine_copy: Path
) -> None:
    (metadata,) = gramine_copy.glob("lib/python3*/*/graminelibos.dist-info/METADATA")
    metadata.unlink()
    with pytest.raises(
        UsageError, match=r"cannot tell which version of Gramine .* holds; looked at"
    ) as caught:
        opened(gramine_copy)
    assert "ra_tls_gramine.pc" in str(caught.value)
    folder = gramine_copy / "lib" / "x86_64-linux-gnu" / "pkgconfig"
    folder.mkdir()
    (folder / "ra_tls_gramine.pc").write_text("Name: ra_tls_gramine\nVersion: 1.8post~UNRELEASED\n")
    assert opened(gramine_copy).version == "1.8post"
    (folder / "ra_tls_gramine.pc").write_text("Version: $(id)\n")
    with pytest.raises(UsageError, match="is no version"):
        opened(gramine_copy)


def test_the_version_of_occlum_is_in_the_name_of_its_libos(opened: Opened, occlum_copy: Path) -> None:
    library = occlum_copy / "build" / "lib"
    for link in ("libocclum-libos.so", "libocclum-libos.so.0"):
        (library / link).unlink()
    (library / "libocclum-libos.so.0.9.100").write_bytes(b"older")
    assert opened(occlum_copy).version == "0.29.7"
    for file in library.glob("libocclum-libos.so*"):
        file.unlink()
    (library / "libocclum-libos.so").write_bytes(b"of unknown version")
    with pytest.raises(UsageError, match="cannot tell which version of Occlum"):
        opened(occlum_copy)


def test_a_runtime_installation_lacks_the_libos(opened: Opened, occlum_copy: Path) -> None:
    for file in (occlum_copy / "build" / "lib").glob("libocclum-libos*"):
        file.unlink()
    toolchain = opened(occlum_copy)
    assert toolchain.version == "0.29.7"
    assert toolchain.missing == ("lib/libocclum-libos.so",)
    with pytest.raises(UsageError, match=r"has no lib/libocclum-libos\.so") as caught:
        toolchain.require("lib/libocclum-libos.so")
    assert f"looked for it in {occlum_copy}/build/lib" in str(caught.value)
    assert "--toolchain" in str(caught.value.hint)


def test_missing_files_are_named(opened: Opened, gramine_copy: Path) -> None:
    (gramine_copy / PACKAGE / "sgx" / "libpal.so").unlink()
    (gramine_copy / "lib" / "x86_64-linux-gnu" / "libprotobuf-c.so.1").write_bytes(b"not ELF")
    toolchain = opened(gramine_copy)
    assert "sgx/libpal.so" in toolchain.missing
    with pytest.raises(UsageError, match=f"looked for it in {gramine_copy}/{PACKAGE}/sgx"):
        toolchain.require("sgx/libpal.so")
    if "host/libprotobuf-c.so.1" in toolchain.missing:  # this machine has none either
        with pytest.raises(UsageError, match=r"looked for it in .*/usr/lib") as caught:
            toolchain.require("host/libprotobuf-c.so.1")
        assert "install the library" in str(caught.value.hint)


def test_the_other_libos_has_its_own_message(opened: Opened, gramine: Path, occlum: Path) -> None:
    with pytest.raises(UsageError, match=r"holds Gramine.*, not Occlum"):
        opened(gramine, "occlum")
    with pytest.raises(UsageError, match=r"holds Occlum 0\..*, not Gramine"):
        opened(occlum, "gramine")
    with pytest.raises(UsageError, match="needs no toolchain"):
        opened(gramine, "builtin")


def test_two_liboses_need_a_word(opened: Opened, gramine_copy: Path, occlum_copy: Path) -> None:
    (occlum_copy / "build").rename(gramine_copy / "build")
    with pytest.raises(UsageError, match="holds Gramine and Occlum") as caught:
        opened(gramine_copy)
    assert caught.value.hint == "add --libos"
    assert opened(gramine_copy, "occlum").libos == "occlum"


def test_nothing_there_is_said_with_the_places(opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no Gramine; looked for .*libsysdb\.so"):
        opened(tmp_path, "gramine")
    with pytest.raises(UsageError, match="no such folder"):
        opened(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="neither a kept toolchain nor a folder"):
        opened("nowhere")


def test_a_file_that_changes_later_is_noticed(opened: Opened, gramine_copy: Path) -> None:
    toolchain = opened(gramine_copy)
    path = gramine_copy / PACKAGE / "sgx" / "libpal.so"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with (
        pytest.raises(IntegrityError, match="has changed"),
        toolchain.require("sgx/libpal.so").open() as file,
    ):
        file.read()


def test_the_digest_depends_on_content_alone(
    opened: Opened, gramine_copy: Path, gramine_stand_in: Path
) -> None:
    assert opened(gramine_copy).digest == opened(gramine_stand_in).digest
    with (gramine_copy / PACKAGE / "libsysdb.so").open("ab") as file:
        file.write(b"!")
    assert opened(gramine_copy).digest != opened(gramine_stand_in).digest


def test_symbolic_link_loops_are_refused(opened: Opened, gramine_copy: Path) -> None:
    path = gramine_copy / PACKAGE / "sgx" / "libpal.so"
    path.unlink()
    path.symlink_to("libpal.so")
    with pytest.raises(UsageError, match=r"sgx/libpal\.so: Too many levels"):
        opened(gramine_copy)


def test_links_to_files_elsewhere_are_refused(opened: Opened, gramine_copy: Path) -> None:
    path = gramine_copy / PACKAGE / "runtime" / "glibc" / "libcrypt.so.1"
    path.symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match=r"libcrypt\.so\.1 is a link to /etc/passwd, outside the toolchain"):
        opened(gramine_copy)


@pytest.mark.parametrize("kind", ["folder", "fifo", "huge"])
def test_what_is_no_ordinary_file_is_refused(opened: Opened, gramine_copy: Path, kind: str) -> None:
    path = gramine_copy / PACKAGE / "sgx" / "libpal.so"
    path.unlink()
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            with path.open("wb") as file:
                file.truncate(MAX_FILE_SIZE + 1)
    with pytest.raises(UsageError, match=r"sgx/libpal\.so (is no regular file|has \d+ bytes)"):
        opened(gramine_copy)


@pytest.mark.parametrize("run_path", ["$ORIGIN/../private", "${ORIGIN}/../private", "{prefix}/elsewhere"])
def test_libraries_are_found_by_run_path(opened: Opened, tmp_path: Path, run_path: str) -> None:
    prefix = tmp_path / "prefix"
    stand_in_gramine(prefix, run_path=run_path.replace("{prefix}", str(prefix)))
    folder = prefix / PACKAGE / "private" if "ORIGIN" in run_path else prefix / "elsewhere"
    folder.mkdir()
    library = prefix / "lib" / "x86_64-linux-gnu" / "libprotobuf-c.so.1"
    content = library.read_bytes()
    library.rename(folder / library.name)
    library.write_bytes(b"not ELF")
    assert opened(prefix).require("host/libprotobuf-c.so.1").open().read() == content


def test_hostile_names_of_libraries_are_harmless(opened: Opened, gramine_copy: Path) -> None:
    loader = gramine_copy / PACKAGE / "sgx" / "loader"
    content = loader.read_bytes()
    for name in (b"\x1b[2Jotobuf-c.so.1", b"../../../etc/issue", b"/////////////////.", b"x" * 18):
        loader.write_bytes(content.replace(b"libprotobuf-c.so.1", name.ljust(18, b"x")))
        (missing,) = opened(gramine_copy).missing
        assert missing.startswith("host/")
        assert missing.isprintable()
    loader.write_bytes(content.replace(b"/lib64/ld-linux-x86-64.so.2", b"/".ljust(27, b"\x1b")))
    assert all(path.isprintable() for path in opened(gramine_copy).missing)


def test_libraries_that_need_each_other_end(opened: Opened, gramine_copy: Path) -> None:
    protobuf = gramine_copy / "lib" / "x86_64-linux-gnu" / "libprotobuf-c.so.1"
    protobuf.write_bytes(protobuf.read_bytes().replace(b"\0libc.so.6\0", b"\0libm.so.6\0"))
    toolchain = opened(gramine_copy)
    assert {"host/libc.so.6", "host/libm.so.6"} <= toolchain.files.keys()
