"""Gramine: manifests, measurement and .sig files equal those of gramine-sgx-sign 1.9."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError, UsageError
from enclavize.sgx.gramine_enclave import measure_gramine
from enclavize.sgx.gramine_manifest import complete_manifest
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.vectors import GRAMINE, VECTORS, cases, negative, signer

if TYPE_CHECKING:
    from pathlib import Path

CASES = [pytest.param(case, id=case["name"]) for case in cases(GRAMINE) if case["name"] != "not_power_of_two"]
MANIFEST = (GRAMINE / "cases/small_256M/manifest.toml").read_text()
HASHED = f"[[sgx.trusted_files]]\nuri = 'file:{{}}'\nsha256 = '{0:064}'\n"
LIBPAL = (GRAMINE / "libpal/standin_a.so").read_bytes()


def make_tree(specification: Path, target: Path) -> Path:
    maker = VECTORS / "maketree.py"
    subprocess.run([sys.executable, maker, specification, target], check=True)
    return target


@pytest.mark.parametrize("case", CASES)
def test_manifest_and_signature_are_reproduced(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = GRAMINE / case["manifest"]
    monkeypatch.chdir(manifest.parent)
    chroot = make_tree(GRAMINE / case["tree"], tmp_path / "root") if "tree" in case else None
    completed = complete_manifest(manifest.read_bytes(), chroot=chroot)
    expected = (GRAMINE / case["manifest_sgx"]).read_bytes()
    assert completed.text == expected
    assert complete_manifest(expected, chroot=chroot).text == expected
    measurement = completed.measure((GRAMINE / case["libpal"]).read_bytes())
    assert measurement.mrenclave.hex() == case["mrenclave"]
    signed = sign_sigstruct(Sigstruct(measurement=measurement, date=0), signer())
    assert signed.to_bytes() == (GRAMINE / case["sig"]).read_bytes()


def test_a_size_that_the_loader_refuses_is_refused() -> None:
    case = next(case for case in cases(GRAMINE) if case["name"] == "not_power_of_two")
    completed = complete_manifest((GRAMINE / case["manifest"]).read_bytes())
    with pytest.raises(UsageError, match="no power of two"):
        completed.measure((GRAMINE / case["libpal"]).read_bytes())


@pytest.mark.parametrize(
    "case",
    [case for case in negative(GRAMINE)["cases"] if case["manifest"] is not None],
    ids=lambda case: str(case["name"]),
)
def test_bad_manifests_are_refused_also_where_the_original_signs_them(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if case["name"].startswith("manifest_"):
        with pytest.raises(EnclavizeError):
            complete_manifest(case["manifest"].encode()).measure(LIBPAL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MANIFEST.replace("max_threads = 4", "max_threads = true"), "must be of the type int"),
        (MANIFEST.replace('"256M"', '"-256M"'), "no size"),
        (MANIFEST.replace('"256M"', '"2048T"'), "no size"),
        (MANIFEST.replace('"256M"', '"0"'), "no size"),
        (MANIFEST.replace('"256M"', "256"), "type str"),
        (MANIFEST + "[sgx.cpu_features]\nmpx = 'unspecified'\n", "cannot be"),
        (MANIFEST + "[sgx.cpu_features]\nsse = 'required'\n", "unknown"),
        (MANIFEST.replace("file:/app", "http:/app"), "only file:"),
        (MANIFEST + "[[sgx.trusted_files]]\nuri = 'file:/a'\nsha = 'x'\n", "neither a URI"),
        (MANIFEST + HASHED.format("/proc/"), "cannot have a hash"),
        (MANIFEST + HASHED.format("/app/bin/server"), "two different"),
        ("sgx = 1", "no table"),
        ("a = " + "[" * 5000, "no valid TOML"),
        ("\udc80", "no valid TOML"),
    ],
)  # fmt: skip
def test_malformed_manifests_give_typed_errors(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        complete_manifest(text.encode(errors="surrogateescape")).measure(LIBPAL)


def trusted(*uris: str) -> bytes:
    head, _, _ = MANIFEST.partition("[[sgx.trusted_files]]")
    return f"{head}trusted_files = {list(uris)!r}\n".encode()


def test_links_never_lead_out_of_the_changed_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "secret").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (root / "absolute").symlink_to("/secret")
    (root / "dir/relative").symlink_to("../../../../secret")
    (root / "loop").symlink_to("loop")
    completed = complete_manifest(
        trusted("file:/absolute", "file:/dir/relative", "file:/../secret"), chroot=root
    )
    assert {path.resolve() for path in completed.files} == {(root / "secret").resolve()}
    with pytest.raises(UsageError, match="too many links"):
        complete_manifest(trusted("file:/loop"), chroot=root)
    with pytest.raises(UsageError, match="only absolute"):
        complete_manifest(trusted("file:secret"), chroot=root)


def test_folders_are_expanded_and_special_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/file").write_text("b")
    (tmp_path / "a").write_text("a")
    os.mkfifo(tmp_path / "fifo")
    completed = complete_manifest(trusted(f"file:{tmp_path}/"))
    assert completed.files == (tmp_path / "a", tmp_path / "b/file")
    with pytest.raises(UsageError, match="no regular file"):
        complete_manifest(trusted(f"file:{tmp_path}/fifo"))
    with pytest.raises(UsageError, match="must end with /"):
        complete_manifest(trusted(f"file:{tmp_path}"))
    (tmp_path / os.fsdecode(b"\xff")).write_text("x")
    with pytest.raises(UsageError, match="not UTF-8"):
        complete_manifest(trusted(f"file:{tmp_path}/"))


def test_a_manifest_without_libos_needs_one(tmp_path: Path) -> None:
    text = MANIFEST.partition("[loader.entrypoint]")[0].encode()
    with pytest.raises(UsageError, match=r"loader\.entrypoint\.uri"):
        complete_manifest(text)
    (tmp_path / "libsysdb.so").write_text("libos")
    completed = complete_manifest(text, libos=tmp_path / "libsysdb.so")
    assert f'uri = "file:{tmp_path}/libsysdb.so"'.encode() in completed.text


@pytest.mark.parametrize("libpal", [b"", b"text", LIBPAL[:100], LIBPAL[:300]])
def test_a_bad_libpal_is_refused(libpal: bytes) -> None:
    with pytest.raises(EnclavizeError):
        measure_gramine(libpal, b"", enclave_size=2**28, max_threads=4, edmm=False)


@pytest.mark.parametrize(
    ("size", "threads"), [(2**20, 4), (2**60, 4), (2**40, 1_000_000), (2**30, 0), (0, 4)]
)
def test_impossible_sizes_are_refused(size: int, threads: int) -> None:
    with pytest.raises(UsageError):
        measure_gramine(LIBPAL, b"", enclave_size=size, max_threads=threads, edmm=False)


@pytest.mark.parametrize(
    "text", [f"a = {'9' * 10_000}", f"a = {'[' * 400}1{']' * 400}", f"a = {'[' * 100_000}", "a = \udcff"]
)
def test_a_manifest_that_python_chokes_on_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        complete_manifest(f'[libos]\nentrypoint = "a"\n[x]\n{text}\n'.encode("utf-8", "surrogateescape"))
