"""Enclave files: what is written, what is refused, and hostile input."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError, IntegrityError, UsageError
from enclavize.sgx.enclave_file import (
    EnclaveConfig,
    check_metadata,
    measure_enclave,
    parse_config,
    read_signed,
    remeasure,
    write_signed,
)
from enclavize.sgx.enclave_file.layout import LayoutEntry, LayoutGroup
from enclavize.sgx.enclave_file.metadata import parse_blocks
from enclavize.sgx.errors import InvalidEnclaveError
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.enclave_builder import Enclave, Extra, W
from support.scale import scaled
from support.vectors import INTEL, signer

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.sgx.enclave_file import (
        UnsignedEnclave,
    )

ENCLAVE = INTEL / "enclaves/enclave_a.so"
SIGNED = INTEL / "cases/misc_dual/signed.so"
BUILTIN = EnclaveConfig(
    heap_min_size=0x10000,
    heap_max_size=0x10000,
    stack_min_size=0x10000,
    stack_max_size=0x10000,
    tcs_num=4,
    tcs_min_pool=4,
    misc_select=1,
    elrange_start_address=0,
    elrange_size=2**36,
    enclave_image_address=0xF00000000,
    disable_debug=1,
)


def signed(unsigned: UnsignedEnclave) -> Sigstruct:
    return sign_sigstruct(Sigstruct(measurement=unsigned.measurement, date=0x20260101), signer())


def test_output_keeps_mode_bits_and_the_input_is_untouched(tmp_path: Path) -> None:
    source, output = tmp_path / "enclave.so", tmp_path / "signed.so"
    source.write_bytes(ENCLAVE.read_bytes())
    source.chmod(0o750)
    unsigned = measure_enclave(source, EnclaveConfig())
    write_signed(unsigned, signed(unsigned), output)
    assert source.read_bytes() == ENCLAVE.read_bytes()
    assert output.stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in tmp_path.iterdir()) == ["enclave.so", "signed.so"]


def test_a_failure_leaves_the_old_output(tmp_path: Path) -> None:
    output = tmp_path / "signed.so"
    output.write_bytes(b"precious")
    unsigned = measure_enclave(ENCLAVE, EnclaveConfig())
    other = measure_enclave(ENCLAVE, EnclaveConfig(prod_id=1))
    with pytest.raises(IntegrityError, match="not that of this enclave"):
        write_signed(unsigned, signed(other), output)
    with pytest.raises(UsageError, match="cannot write"):
        write_signed(unsigned, signed(unsigned), tmp_path / "missing" / "signed.so")
    assert output.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [output]


def test_an_unsigned_sigstruct_is_not_written(tmp_path: Path) -> None:
    unsigned = measure_enclave(ENCLAVE, EnclaveConfig())
    with pytest.raises(IntegrityError, match="not signed"):
        write_signed(unsigned, Sigstruct(measurement=unsigned.measurement, date=0), tmp_path / "out.so")
    assert not list(tmp_path.iterdir())


def test_the_builtin_libos_configuration_is_measured_from_memory() -> None:
    image = Enclave(bss=0x20000, extras=[Extra(content=b"x" * 5000, flags=W)]).build()
    unsigned = measure_enclave(image, BUILTIN)
    assert [block.version for block in unsigned.blocks] == [(11, 5)]
    assert unsigned.measurement.attributes_mask.debug
    data = b"".join(unsigned.signed_image(signed(unsigned)))
    enclave = read_signed(data)
    enclave.verify()
    assert enclave.blocks[0].secs_size == 2**36
    assert enclave.blocks[0].image_offset == 0xF00000000


def test_memory_and_file_measure_alike() -> None:
    from_file = measure_enclave(ENCLAVE, EnclaveConfig())
    assert measure_enclave(ENCLAVE.read_bytes(), EnclaveConfig()).measurement == from_file.measurement


@pytest.mark.parametrize("where", ["code", "metadata"])
def test_a_changed_enclave_does_not_verify(where: str) -> None:
    data = bytearray(SIGNED.read_bytes())
    enclave = read_signed(bytes(data))
    if where == "code":
        data[enclave.elf.segments[1].offset] ^= 1
    else:
        data[enclave.elf.metadata_offset + 1904 + 72 + 8] ^= 1  # the enclave's size in its global data
    with pytest.raises(IntegrityError, match=r"measures|different enclaves"):
        read_signed(bytes(data)).verify()


def test_every_byte_of_the_metadata_is_that_of_the_configuration() -> None:
    data = SIGNED.read_bytes()
    enclave = read_signed(data)
    config = EnclaveConfig(misc_select=1, misc_mask=0xFFFFFFFE)
    check_metadata(data, config, enclave.sigstruct)
    start, size = enclave.elf.metadata_offset, enclave.elf.metadata_size
    for at in [*range(start, start + 64), *range(start + 64, start + size, 601), start + size - 1]:
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(IntegrityError, match="not that of its configuration"):
            check_metadata(bytes(changed), config, enclave.sigstruct)
    with pytest.raises(IntegrityError, match="not that of its configuration"):
        check_metadata(data, replace(config, tcs_policy=0), enclave.sigstruct)


def test_intels_signer_writes_no_bytes_that_mean_nothing() -> None:
    found = [*INTEL.parent.glob("intel*/cases/*/metadata.bin")]
    assert len(found) > 20
    for path in found:
        blocks = parse_blocks(path.read_bytes())
        assert blocks
        assert all(block.is_exact for block in blocks), path


def test_bytes_that_mean_nothing_are_refused() -> None:
    data = SIGNED.read_bytes()
    enclave = read_signed(data)
    enclave.check_metadata()
    start, size = enclave.elf.metadata_offset, enclave.elf.metadata_size
    behind = start + sum(len(block.data) for block in enclave.blocks)
    for at in (start + 1872 + 24, behind, start + size - 1):
        changed = bytearray(data)
        assert changed[at] == 0
        changed[at] = 1
        with pytest.raises(IntegrityError, match="bytes that mean nothing"):
            read_signed(bytes(changed)).check_metadata()


def test_attributes_must_be_those_of_the_sigstruct() -> None:
    data = bytearray(SIGNED.read_bytes())
    data[read_signed(bytes(data)).elf.metadata_offset + 48] |= 0x80  # KSS
    with pytest.raises(IntegrityError, match="attributes"):
        read_signed(bytes(data)).verify()


def test_blocks_must_agree() -> None:
    data = bytearray(SIGNED.read_bytes())
    enclave = read_signed(bytes(data))
    second = enclave.elf.metadata_offset + len(enclave.blocks[0].data)
    changed = bytearray(data)
    changed[second + 64 + 20] ^= 1
    with pytest.raises(IntegrityError, match="different SIGSTRUCTs"):
        read_signed(bytes(changed))
    changed = bytearray(data)
    changed[second + 1904 + 72 + 8] ^= 1
    with pytest.raises(IntegrityError, match="different enclaves"):
        remeasure(bytes(changed))


def test_an_unsigned_file_cannot_be_read_as_signed() -> None:
    with pytest.raises(InvalidEnclaveError, match="not signed"):
        read_signed(ENCLAVE)


@pytest.mark.parametrize(
    ("enclave", "message"),
    [
        (Enclave(sdk=(2, 25)), "SDK 2.25.100"),
        (Enclave(sdk=(2, 20), global_data_size=1760, description_size=0x4000), "room"),
        (Enclave(global_data_size=1000), "not backed"),
        (Enclave(symbols=[(b"printf", 0x10)]), "printf is undefined"),
        (Enclave(relocations=[(0x2000, 37)]), "type 37"),
        (Enclave(relocations=[(0x1000, 8)]), "in its code"),
        (Enclave(sections=[(b".ctors", 3)]), r"\.ctors"),
        (Enclave(sections=[(b".init", 4)]), r"\.init"),
        (Enclave(entry_symbol=False), "no entry point"),
        (Enclave(extras=[Extra(content=b"x", flags=0)]), "neither read"),
    ],
)
def test_unfit_enclaves_are_refused_with_the_reason(enclave: Enclave, message: str) -> None:
    with pytest.raises(InvalidEnclaveError, match=message):
        measure_enclave(enclave.build(), EnclaveConfig())


def test_metadata_in_a_loaded_segment_is_refused() -> None:
    image = bytearray(Enclave().build())
    struct.pack_into(
        "<QQ", image, 64 + 2 * 56 + 32, len(image) - 0x2000, len(image)
    )  # the data segment's sizes
    with pytest.raises(InvalidEnclaveError, match="measure itself"):
        measure_enclave(bytes(image), EnclaveConfig())


@pytest.mark.parametrize(
    "config",
    [
        {"heap_max_size": 0x100000001000},  # sgx_sign signs a heap of one page
        {"heap_max_size": 2**62, "heap_min_size": 2**62},
        {"reserved_mem_max_size": 2**45},
        {"tcs_num": 2**32 - 1, "tcs_min_pool": 2**32 - 1},
        {"user_region_size": 2**50, "misc_select": 1},
        {"stack_max_size": 2**43, "stack_min_size": 2**43},
        {"heap_max_size": 2**43, "heap_min_size": 2**43},
    ],
)
def test_configurations_too_large_for_the_format_or_for_anybody_are_refused(config: dict[str, int]) -> None:
    with pytest.raises(EnclavizeError, match=r"too large|more than"):
        measure_enclave(ENCLAVE, EnclaveConfig(**config))


def test_an_elrange_must_hold_the_enclave() -> None:
    config = EnclaveConfig(elrange_size=2**25, elrange_start_address=0, enclave_image_address=0x200000)
    with pytest.raises(UsageError, match="ELRangeSize is too small"):
        measure_enclave(ENCLAVE, config)


def test_layout_tables_from_outside_are_bounded() -> None:
    """Each table is put into a signed file in place of the real one, and refused without delay."""
    entry = LayoutEntry(id=1, attributes=3, page_count=1, rva=0x5000, secinfo_flags=0x203)
    tables: list[list[LayoutEntry | LayoutGroup]] = [
        [entry, LayoutGroup(id=0x1009, entry_count=1, load_times=2**32 - 1, load_step=0)],
        [entry, LayoutGroup(id=0x1009, entry_count=0, load_times=2**32 - 1, load_step=0)],
        [entry, LayoutGroup(id=0x1009, entry_count=2, load_times=1, load_step=4096)],
        [entry, LayoutGroup(id=0x1009, entry_count=1, load_times=1, load_step=4096)] * 2,
        [LayoutEntry(id=1, attributes=3, page_count=2**32 - 1, rva=0x5000, secinfo_flags=0x203)],
        [LayoutEntry(id=1, attributes=3, page_count=1, rva=0x5008, secinfo_flags=0x203)],
        [LayoutEntry(id=1, attributes=3, page_count=1, rva=2**64 - 4096, secinfo_flags=0x203)],
        [LayoutEntry(id=1, attributes=3, page_count=1, rva=0x5000, secinfo_flags=0x400)],
        [LayoutEntry(id=4, attributes=3, page_count=1, rva=0x5000, content_offset=64, secinfo_flags=0x203)],
        [LayoutEntry(id=1, attributes=3, page_count=1, rva=0, secinfo_flags=0x203)],
        [
            LayoutEntry(
                id=4,
                attributes=3,
                page_count=1,
                rva=0x5000,
                content_offset=2**31,
                content_size=72,
                secinfo_flags=0x100,
            )
        ],
    ]
    data = SIGNED.read_bytes()
    enclave = read_signed(data)
    at = enclave.elf.metadata_offset
    layout_at = struct.unpack_from("<I", data, at + 1880)[0]
    for table in tables:
        changed = bytearray(data)
        raw = b"".join(record.to_bytes() for record in table)
        changed[at + layout_at : at + layout_at + len(raw)] = raw
        struct.pack_into("<I", changed, at + 1884, len(raw))
        with pytest.raises(EnclavizeError):
            remeasure(bytes(changed))


@pytest.mark.parametrize("source", [SIGNED, INTEL / "cases/rich_mixed/signed.so"], ids=["dual", "rich"])
def test_fuzzed_files_give_typed_errors_only(source: Path) -> None:
    original = source.read_bytes()
    at = read_signed(original).elf.metadata_offset
    places = [(0, 64), (64, 700), (at, at + 4300), (len(original) - 1300, len(original)), (0, len(original))]
    rng = random.Random(20)
    for _ in range(scaled(4000)):
        data = bytearray(original)
        low, high = rng.choice(places)
        for _ in range(rng.randrange(1, 4)):
            size = rng.choice((1, 1, 2, 4, 8))
            offset = rng.randrange(low, high - size)
            data[offset : offset + size] = rng.choice((rng.randbytes(size), b"\xff" * size, bytes(size)))
        if rng.random() < 0.1:
            del data[rng.randrange(len(data)) :]
        for operation in (
            lambda image: read_signed(image).verify(),
            lambda image: measure_enclave(image, EnclaveConfig(), resign=True),
        ):
            with contextlib.suppress(EnclavizeError):
                operation(bytes(data))


def test_fuzzed_configurations_give_typed_errors_only() -> None:
    original = (INTEL / "cases/edmm/config.xml").read_bytes()
    rng = random.Random(21)
    for _ in range(scaled(20000)):
        data = bytearray(original)
        for _ in range(rng.randrange(1, 5)):
            offset = rng.randrange(len(data))
            data[offset : offset + rng.randrange(3)] = os.urandom(rng.randrange(3))
        with contextlib.suppress(UsageError):
            parse_config(bytes(data))


def test_extreme_configurations_give_typed_errors_only() -> None:
    rng = random.Random(22)
    elements = fields(EnclaveConfig)
    for _ in range(scaled(4000)):
        chosen = rng.sample(elements, rng.randrange(1, 12))
        values = {}
        for element in chosen:
            low, high = element.metadata["range"]
            values[element.name] = rng.choice(
                (low, high, high // 2 + 1, high & -4096, min(high, 2 ** rng.randrange(64)))
            )
        with contextlib.suppress(EnclavizeError):
            config = EnclaveConfig(**values)
            if config.heap_init + config.reserved_mem_init < 2**36:
                measure_enclave(ENCLAVE, config)


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "1">]><EnclaveConfiguration><ProdID>&a;</ProdID></EnclaveConfiguration>',
        "<EnclaveConfiguration><ProdID>0x</ProdID></EnclaveConfiguration>",
        "<EnclaveConfiguration><ProdID>08</ProdID></EnclaveConfiguration>",
        "<EnclaveConfiguration><ProdID>99999999999999999999</ProdID></EnclaveConfiguration>",
        "<EnclaveConfiguration><ProdID>1<x/></ProdID></EnclaveConfiguration>",
        "<EnclaveConfiguration><ProdID>\u0661</ProdID></EnclaveConfiguration>",
        "<EnclaveConfiguration><EnableOSSLFIPS>1</EnableOSSLFIPS></EnclaveConfiguration>",
    ],
)
def test_odd_configurations_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_config(text.encode())


def test_a_measurement_says_what_the_configuration_says() -> None:
    config = EnclaveConfig(prod_id=7, isv_svn=3, enable_kss=1, isv_family_id_l=1, isv_family_id_h=2)
    measurement = measure_enclave(Enclave(code=b"\x90" * 5000, tls_size=10).build(), config).measurement
    assert isinstance(measurement, Measurement)
    assert (measurement.isv_prod_id, measurement.isv_svn) == (7, 3)
    assert measurement.isv_family_id == struct.pack("<QQ", 1, 2)


def test_regions_never_lie_over_a_segment() -> None:
    """sgx_sign takes the end of the first of two segments with one address, here an empty one."""
    image = Enclave(extras=[Extra(content=b""), Extra(content=b"x" * 5000)]).build()
    with pytest.raises(InvalidEnclaveError, match="overlap"):
        measure_enclave(image, EnclaveConfig())
