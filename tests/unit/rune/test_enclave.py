"""The enclave of a bundle, and whether a node admits it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.rune.enclave import Enclave, admit, read_enclave
from enclavize.rune.settings import Settings
from enclavize.sgx.enclave_file.signed import read_signed
from support.rune import SIGNED_ENCLAVE, tee_tree

if TYPE_CHECKING:
    from pathlib import Path

ENCLAVE = Enclave(
    libos="builtin", mrenclave=bytes(32), mrsigner=b"s" * 32, isv_prod_id=7, isv_svn=3, debug=False
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tee_tree(tmp_path / "rootfs", SIGNED_ENCLAVE)


def test_facts_come_from_the_signed_file(tree: Path) -> None:
    sigstruct = read_signed(SIGNED_ENCLAVE).sigstruct
    enclave = read_enclave(tree)
    assert enclave.mrenclave == sigstruct.mrenclave
    assert enclave.mrsigner == sigstruct.mrsigner


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{" * 100_000, b" " * (2 << 20)], ids=repr)
def test_a_malformed_description_is_refused(tree: Path, content: bytes) -> None:
    (tree / ".enclave" / "enclave.json").write_bytes(content)
    with pytest.raises(EnclavizeError, match=r"enclave\.json"):
        read_enclave(tree)


@pytest.mark.parametrize(
    ("debug", "fixed", "expected"), [(0, 2, False), (2, 2, True), (0, 0, True), (2, 0, True)]
)
def test_an_enclave_that_may_be_debugged_is_a_debug_enclave(
    tree: Path, debug: int, fixed: int, expected: bool
) -> None:
    """ATTRIBUTES.DEBUG is bit 1 (SDM volume 3D); what the mask leaves out, EINIT does not compare."""
    path = tree / ".enclave" / "instance" / "enclave.signed.so"
    data = bytearray(path.read_bytes())
    sigstruct = read_signed(path).sigstruct
    at = data.index(sigstruct.to_bytes())
    data[at + 928] = data[at + 928] & ~2 | debug
    data[at + 944] = data[at + 944] & ~2 | fixed
    path.chmod(0o644)
    path.write_bytes(data)
    assert read_enclave(tree).debug is expected


def test_another_libos_is_refused(tree: Path) -> None:
    path = tree / ".enclave" / "enclave.json"
    path.write_text(path.read_text().replace('"builtin"', '"occlum"'))
    with pytest.raises(EnclavizeError, match="occlum"):
        read_enclave(tree)


@pytest.mark.parametrize("part", [".enclave/instance", ".enclave/instance/enclave.signed.so", ".enclave"])
def test_no_link_of_the_image_is_followed(tree: Path, part: str) -> None:
    path = tree / part
    path.rename(tree / "elsewhere")
    path.symlink_to(tree / "elsewhere")
    with pytest.raises(InvalidImageError, match=r"/\.enclave/"):
        read_enclave(tree)


def test_a_device_or_folder_in_place_of_the_enclave_is_refused(tree: Path) -> None:
    path = tree / ".enclave" / "instance" / "enclave.signed.so"
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidImageError, match=r"enclave\.signed\.so"):
        read_enclave(tree)


def test_no_settings_admit_any_signer() -> None:
    admit(ENCLAVE, Settings())
    admit(replace(ENCLAVE, debug=True), Settings())


def test_settings_that_fit() -> None:
    admit(
        ENCLAVE,
        Settings(mrsigners=(b"x" * 32, b"s" * 32), product_ids=(7,), min_isvsvn=3, allow_debug=False),
    )


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (Settings(mrsigners=(b"x" * 32,)), "signer"),
        (Settings(product_ids=(8,)), "product"),
        (Settings(min_isvsvn=4), "version"),
    ],
)
def test_settings_that_do_not_fit(settings: Settings, word: str) -> None:
    with pytest.raises(EnclavizeError, match=word):
        admit(ENCLAVE, settings)


def test_debug_enclaves_can_be_kept_out() -> None:
    with pytest.raises(EnclavizeError, match="debug"):
        admit(replace(ENCLAVE, debug=True), Settings(allow_debug=False))
