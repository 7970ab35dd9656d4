"""The MAC of the configuration goes into the enclave file as objcopy would put it there."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError, UsageError
from enclavize.libos.occlum.section import read_mac, with_mac
from enclavize.libos.occlum.versions import parse_release
from enclavize.sgx.enclave_file.elf import parse_elf
from support.programs import need
from support.stand_in_toolchain import stand_in_occlum

if TYPE_CHECKING:
    from pathlib import Path

MAC = bytes(range(0xA0, 0xB0))
TEXT = b"a0-a1-a2-a3-a4-a5-a6-a7-a8-a9-aa-ab-ac-ad-ae-af"
NEW, OLD = parse_release("0.31.0"), parse_release("0.23.1")


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return an unsigned enclave file."""
    folder = stand_in_occlum(tmp_path_factory.mktemp("section") / "occlum", "0.31.0")
    return (folder / "build" / "lib" / "libocclum-libos.so.0.31.0").read_bytes()


def header(image: bytes, name: bytes) -> int:
    """Return where the header of a section is."""
    elf = parse_elf(image)
    names = [section.name for section in elf.sections]
    return int.from_bytes(image[40:48], "little") + names.index(name) * 64


def changed(image: bytes, offset: int, value: int) -> bytes:
    """Return the file with another number in it."""
    return image[:offset] + value.to_bytes(8, "little") + image[offset + 8 :]


def test_only_the_section_and_its_size_change(unsigned: bytes) -> None:
    patched = with_mac(unsigned, MAC, NEW)
    section = parse_elf(patched).section_named(b".builtin_config")
    assert section is not None
    assert patched[section.offset : section.offset + 48] == TEXT + b"\n"
    assert section.size == 48
    assert len(patched) == len(unsigned)
    different = {at for at, (old, new) in enumerate(zip(unsigned, patched, strict=True)) if old != new}
    size = header(unsigned, b".builtin_config") + 32
    assert different <= {*range(section.offset, section.offset + 48), *range(size, size + 8)}
    assert read_mac(parse_elf(patched)) == MAC


def test_old_releases_end_it_with_a_nul(unsigned: bytes) -> None:
    assert TEXT + b"\0" in with_mac(unsigned, MAC, OLD)


def test_what_is_loaded_is_what_objcopy_makes(unsigned: bytes, tmp_path: Path) -> None:
    need("objcopy")
    (tmp_path / "mac").write_bytes(TEXT + b"\n")
    (tmp_path / "libos.so").write_bytes(unsigned)
    subprocess.run(
        ["objcopy", "--update-section", ".builtin_config=mac", "libos.so"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    theirs, ours = parse_elf((tmp_path / "libos.so").read_bytes()), parse_elf(with_mac(unsigned, MAC, NEW))
    for their, our in zip(theirs.segments, ours.segments, strict=True):
        assert (their.address, their.file_size) == (our.address, our.file_size)
        skipped = 64 if our.offset == 0 else 0  # the ELF header says where the section headers are
        assert (
            theirs.image[their.offset + skipped : their.offset + their.file_size]
            == ours.image[our.offset + skipped : our.offset + our.file_size]
        )


def test_a_file_that_has_a_mac_is_refused(unsigned: bytes) -> None:
    with pytest.raises(UsageError, match="has the MAC of a configuration already"):
        with_mac(with_mac(unsigned, MAC, NEW), MAC, NEW)


def test_a_file_without_the_section_is_refused(unsigned: bytes) -> None:
    other = unsigned.replace(b".builtin_config\0", b".builtin_confiG\0")
    with pytest.raises(UsageError, match=r"has no section \.builtin_config"):
        with_mac(other, MAC, NEW)
    with pytest.raises(InvalidImageError, match=r"has no section \.builtin_config"):
        read_mac(parse_elf(other))


@pytest.mark.parametrize("size", [0, 46, 49, 1 << 40])
def test_a_section_of_another_size_is_refused(unsigned: bytes, size: int) -> None:
    with pytest.raises(EnclavizeError):
        with_mac(changed(unsigned, header(unsigned, b".builtin_config") + 32, size), MAC, NEW)


def test_a_section_without_room_for_the_newline_is_refused(unsigned: bytes) -> None:
    section = parse_elf(unsigned).section_named(b".builtin_config")
    assert section is not None
    neighbour = header(unsigned, b".text") + 24
    with pytest.raises(UsageError, match=r"has no room: \.text begins in its last byte"):
        with_mac(changed(unsigned, neighbour, section.offset + 47), MAC, NEW)


def test_a_section_that_is_elsewhere_in_memory_is_refused(unsigned: bytes) -> None:
    address = header(unsigned, b".builtin_config") + 16
    with pytest.raises(EnclavizeError):
        with_mac(changed(unsigned, address, 1 << 40), MAC, NEW)
    with pytest.raises(UsageError, match="is not where its segments say"):
        with_mac(changed(unsigned, address, parse_elf(unsigned).segments[0].address), MAC, NEW)


def test_what_is_no_mac_is_refused(unsigned: bytes) -> None:
    with pytest.raises(InvalidImageError, match="holds no MAC"):
        read_mac(parse_elf(unsigned))
