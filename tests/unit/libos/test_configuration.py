"""The measured configuration: written, parsed, refused when malformed."""

import re
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, IncompatibleImageError, InvalidImageError, UsageError
from enclavize.libos.builtin.config import (
    CONFIGURATION_SIZE,
    MeasuredConfiguration,
    RootfsBinding,
    User,
    parse_configuration,
)
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume
from support.programs import REPOSITORY

FULL = MeasuredConfiguration(
    entrypoint=("/bin/app", "--flag", ""),
    command=("a b", "\udcff"),
    environment=("PATH=/bin", "EMPTY="),
    working_directory="/srv",
    user=User(uid=7, gid=8, groups=(9, 10)),
    stop_signal=15,
    policy=Policy(
        allow_arguments=True,
        allowed_environment=(AllowedVariable(name="A"), AllowedVariable(name="LD_PRELOAD", unsafe=True)),
        allow_any_exec=True,
        allowed_exec=(("ls", "-l"), ("id",)),
        volumes=(Volume(path="/data", read_only=True), Volume(path="/x", executable=True)),
        allow_host_network_files=True,
        network=Network.ALL,
    ),
    healthcheck=("/bin/sh", "-c", "true"),
    rootfs=RootfsBinding(size=4096, verity_digest=bytes(range(32)), merkle_size=64),
    memory=1 << 30,
    threads=64,
    host_signals=0x4003,
    hostname="localhost",
)
SMALL = replace(
    FULL,
    command=(),
    environment=(),
    user=User(uid=0, gid=0),
    policy=Policy(network=Network.NONE),
    healthcheck=(),
    hostname="h",
)


LOOPBACK = replace(SMALL, policy=Policy(network=Network.LOOPBACK))


@pytest.mark.parametrize("configuration", [FULL, SMALL, LOOPBACK])
def test_what_is_written_is_read_again(configuration: MeasuredConfiguration) -> None:
    data = configuration.to_bytes()
    assert len(data) == CONFIGURATION_SIZE
    assert parse_configuration(data) == configuration


def test_the_bytes_are_those_of_the_specification() -> None:
    data = SMALL.to_bytes()
    assert data[:16] == b"ENCLVCFG" + struct.pack("<II", 1, 240)
    assert data[16:40] == struct.pack("<HHI", 1, 0, 8) + b"/bin/app" + struct.pack("<HHI", 1, 0, 6)
    assert data[40:56] == b"--flag\0\0" + struct.pack("<HHI", 1, 0, 0)
    assert not any(data[240:])


def test_record_types_are_those_of_the_enclave() -> None:
    from enclavize.libos.builtin.config import Record

    header = (REPOSITORY / "native" / "include" / "abi.h").read_text()
    for record in Record:
        assert f"CONFIGURATION_{record.name} = {record.value}," in header


def test_bits_of_the_policy_are_those_of_the_enclave() -> None:
    from enclavize.libos.builtin.config import PolicyFlag

    header = (REPOSITORY / "native" / "include" / "abi.h").read_text()
    for flag in PolicyFlag:
        assert f"POLICY_{flag.name} = {flag.value}," in header


def test_sizes_of_records_are_those_of_the_enclave() -> None:
    from enclavize.libos.builtin.config import MAX_GROUPS, SIZES, Record

    process = REPOSITORY / "native" / "libos" / "process"
    assert f"#define GROUPS_MAX {MAX_GROUPS}\n" in (process / "credentials.h").read_text()
    names = {"CONFIGURATION_SIZE": CONFIGURATION_SIZE, "PATH_LIMIT": 4095, "HOSTNAME_MAX": 64}
    names["8 + 4 * GROUPS_MAX"] = 8 + 4 * MAX_GROUPS
    text = (process / "configuration.c").read_text()
    rules = re.findall(r"\[CONFIGURATION_(\w+)\] = \{[^,]*, VALUE_\w+, (\d+), ([^,]+),", text)
    sizes = {Record[name]: (int(least), names[most]) for name, least, most in rules if most in names}
    assert {kind: size for kind, size in sizes.items() if size != (0, CONFIGURATION_SIZE)} == SIZES


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            {"user": User(uid=0, gid=0, groups=tuple(range(65)))},
            "is in 65 groups, the enclave has room for 64",
        ),
        ({"working_directory": "/" + "d" * 4095}, "working directory is a path of 4096 bytes"),
        ({"policy": Policy(volumes=(Volume(path="/" + "v" * 4095),))}, "volume is a path of 4096 bytes"),
    ],
)
def test_what_the_enclave_would_refuse_is_not_built(change: dict[str, Any], word: str) -> None:
    with pytest.raises(IncompatibleImageError, match=word):
        replace(SMALL, **change).to_bytes()


def test_two_networks_are_refused() -> None:
    data = LOOPBACK.to_bytes()
    record = struct.pack("<HHIQ", 7, 0, 8, 8)
    assert record in data
    with pytest.raises(InvalidImageError, match="two networks"):
        parse_configuration(data.replace(record, struct.pack("<HHIQ", 7, 0, 8, 24)))


def test_a_configuration_that_is_too_large_is_refused() -> None:
    with pytest.raises(UsageError, match="65536"):
        replace(FULL, environment=("A=" + "x" * CONFIGURATION_SIZE,)).to_bytes()


def malformed(change: str) -> bytes:
    data = bytearray(SMALL.to_bytes())
    match change:
        case "magic":
            data[0] ^= 1
        case "version":
            data[8] = 2
        case "length":
            data[12] += 8
        case "unaligned length":
            data[12] += 1
        case "huge length":
            data[12:16] = b"\xff" * 4
        case "bytes after the end":
            data[-1] = 1
        case "unknown type":
            data[16] = 99
        case "order":
            data[16] = 4
        case "flags":
            data[18] = 1
        case "padding":
            data[47] = 1
        case "record size":
            data[20:24] = b"\xff" * 4
        case "NUL":
            data[24] = 0
        case _:
            raise ValueError(change)
    return bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        "magic", "version", "length", "unaligned length", "huge length", "bytes after the end",
        "unknown type", "order", "flags", "padding", "record size", "NUL",
    ],
)  # fmt: skip
def test_malformed_configurations_are_refused(change: str) -> None:
    with pytest.raises(InvalidImageError, match="malformed"):
        parse_configuration(malformed(change))


def test_a_missing_or_repeated_record_is_refused() -> None:
    header, records = SMALL.to_bytes()[:16], SMALL.to_bytes()[16:240]
    memory = struct.pack("<HHIQ", 13, 0, 8, 1 << 30)
    assert memory in records
    for changed in (records.replace(memory, b""), records.replace(memory, memory * 2)):
        data = header[:12] + struct.pack("<I", 16 + len(changed)) + changed
        with pytest.raises(InvalidImageError, match="MEMORY"):
            parse_configuration(data.ljust(CONFIGURATION_SIZE, b"\0"))


@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=8))
def test_damage_is_refused_or_read_never_a_crash(changes: list[tuple[int, int]]) -> None:
    data = bytearray(FULL.to_bytes())
    for position, value in changes:
        data[position] = value
    try:
        parsed = parse_configuration(bytes(data))
    except EnclavizeError:
        return
    assert parsed.to_bytes() == bytes(data)
