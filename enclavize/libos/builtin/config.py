"""The measured configuration of the builtin LibOS: writer and parser. Format: docs/tee-image.md, section 4.

It is 64 KiB at the symbol ``measured_configuration`` of the enclave: a header, then records in ascending
order of type.

    header   8s magic "ENCLVCFG", u32 version, u32 bytes used
    record   u16 type, u16 flags, u32 size, value, zeros to a multiple of 8

The constants are those of ``enum configuration_record`` in native/include/abi.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING

from enclavize.errors import IncompatibleImageError, InvalidImageError, UsageError
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURATION_SYMBOL = "measured_configuration"
CONFIGURATION_SIZE = 0x10000
MAGIC = b"ENCLVCFG"
VERSION = 1

_HEADER = struct.Struct("<8sII")
_RECORD = struct.Struct("<HHI")
_ROOTFS = struct.Struct("<Q32sQ")
_ALIGNMENT = 8
MAX_GROUPS = 64
"""Supplementary groups that a thread has room for."""
_MAX_PATH = 4095


class Record(IntEnum):
    """Types of records."""

    ENTRYPOINT = 1
    COMMAND = 2
    ENVIRONMENT = 3
    WORKING_DIRECTORY = 4
    USER = 5
    STOP_SIGNAL = 6
    POLICY = 7
    ALLOWED_ENVIRONMENT = 8
    ALLOWED_EXEC = 9
    HEALTHCHECK = 10
    VOLUME = 11
    ROOTFS = 12
    MEMORY = 13
    THREADS = 14
    HOST_SIGNALS = 15
    HOSTNAME = 16
    FAULT_AROUND = 17
    SWITCHLESS = 18


REPEATED = frozenset(
    {
        Record.ENTRYPOINT,
        Record.COMMAND,
        Record.ENVIRONMENT,
        Record.ALLOWED_ENVIRONMENT,
        Record.ALLOWED_EXEC,
        Record.VOLUME,
    }
)
REQUIRED = frozenset(
    {Record.WORKING_DIRECTORY, Record.USER, Record.POLICY, Record.ROOTFS, Record.MEMORY, Record.THREADS}
)


SIZES = {
    Record.ENVIRONMENT: (2, CONFIGURATION_SIZE),
    Record.WORKING_DIRECTORY: (1, _MAX_PATH),
    Record.USER: (8, 8 + 4 * MAX_GROUPS),
    Record.ALLOWED_ENVIRONMENT: (1, CONFIGURATION_SIZE),
    Record.ALLOWED_EXEC: (1, CONFIGURATION_SIZE),
    Record.HEALTHCHECK: (1, CONFIGURATION_SIZE),
    Record.VOLUME: (2, _MAX_PATH),
    Record.HOSTNAME: (1, 64),
}
"""The least and the most bytes of values as native/libos/process/configuration.c has them.

Others have one size, or any.
"""


class PolicyFlag(IntFlag):
    """Bits of the POLICY record."""

    ALLOW_ARGUMENTS = 1
    ALLOW_ANY_EXEC = 2
    ALLOW_HOST_NETWORK_FILES = 4
    NETWORK_LOOPBACK = 8
    NETWORK_ALL = 16


_NETWORK_FLAGS = {
    Network.NONE: PolicyFlag(0),
    Network.LOOPBACK: PolicyFlag.NETWORK_LOOPBACK,
    Network.ALL: PolicyFlag.NETWORK_ALL,
}


class VolumeFlag(IntFlag):
    """Record flags of VOLUME."""

    READ_ONLY = 1
    EXECUTABLE = 2


UNSAFE_VARIABLE = 1
"""Record flag of ALLOWED_ENVIRONMENT."""


@dataclass(frozen=True, kw_only=True)
class User:
    """Who the program runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RootfsBinding:
    """What ties the metadata image to the enclave. Sizes are in bytes."""

    size: int
    verity_digest: bytes
    merkle_size: int


@dataclass(frozen=True, kw_only=True)
class MeasuredConfiguration:
    """Everything that the enclave knows about its program. ``host_signals`` has bit (n - 1) for signal n."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    user: User
    stop_signal: int
    policy: Policy
    healthcheck: tuple[str, ...]
    rootfs: RootfsBinding
    memory: int
    threads: int
    host_signals: int
    hostname: str
    fault_around: int | None = None
    switchless: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return (*self.entrypoint, *self.command)

    def to_bytes(self) -> bytes:
        """Return the 65,536 bytes. Raises UsageError if they do not suffice.

        Raises IncompatibleImageError for a path or groups that the enclave would refuse when it starts.
        """
        records = b"".join(_record(kind, flags, value) for kind, flags, value in _records(self))
        used = _HEADER.size + len(records)
        if used > CONFIGURATION_SIZE:
            raise UsageError(
                f"the run configuration takes {used} bytes, the enclave has room for {CONFIGURATION_SIZE}",
                hint="shorten the environment or the command of the image",
            )
        return (_HEADER.pack(MAGIC, VERSION, used) + records).ljust(CONFIGURATION_SIZE, b"\0")


def _records(config: MeasuredConfiguration) -> Iterator[tuple[Record, int, bytes]]:
    policy = config.policy
    for argument in config.entrypoint:
        yield Record.ENTRYPOINT, 0, _text(argument)
    for argument in config.command:
        yield Record.COMMAND, 0, _text(argument)
    for variable in config.environment:
        yield Record.ENVIRONMENT, 0, _text(variable)
    yield Record.WORKING_DIRECTORY, 0, _text(config.working_directory)
    user = (config.user.uid, config.user.gid, *config.user.groups)
    yield Record.USER, 0, struct.pack(f"<{len(user)}I", *user)
    yield Record.STOP_SIGNAL, 0, struct.pack("<I", config.stop_signal)
    yield Record.POLICY, 0, struct.pack("<Q", _policy_flags(policy))
    for allowed in policy.allowed_environment:
        yield Record.ALLOWED_ENVIRONMENT, UNSAFE_VARIABLE if allowed.unsafe else 0, _text(allowed.name)
    for arguments in policy.allowed_exec:
        yield Record.ALLOWED_EXEC, 0, _arguments(arguments)
    if config.healthcheck:
        yield Record.HEALTHCHECK, 0, _arguments(config.healthcheck)
    for volume in policy.volumes:
        yield Record.VOLUME, _volume_flags(volume), _text(volume.path)
    rootfs = config.rootfs
    yield Record.ROOTFS, 0, _ROOTFS.pack(rootfs.size, rootfs.verity_digest, rootfs.merkle_size)
    yield Record.MEMORY, 0, struct.pack("<Q", config.memory)
    yield Record.THREADS, 0, struct.pack("<I", config.threads)
    yield Record.HOST_SIGNALS, 0, struct.pack("<Q", config.host_signals)
    yield Record.HOSTNAME, 0, _text(config.hostname)
    if config.fault_around is not None:
        yield Record.FAULT_AROUND, 0, struct.pack("<Q", config.fault_around)
    if config.switchless:
        yield Record.SWITCHLESS, 0, struct.pack("<I", config.switchless)


def _record(kind: Record, flags: int, value: bytes) -> bytes:
    most = SIZES[kind][1] if kind in SIZES else CONFIGURATION_SIZE
    if kind is Record.USER and len(value) > most:
        raise IncompatibleImageError(
            f"the image's user is in {len(value) // 4 - 2} groups, the enclave has room for {MAX_GROUPS}",
            hint="name a group in the image's USER (USER name:group), and there are no others",
        )
    if most == _MAX_PATH and len(value) > most:
        name = kind.name.lower().replace("_", " ")
        raise IncompatibleImageError(f"the image's {name} is a path of {len(value)} bytes, of at most {most}")
    return _RECORD.pack(kind, flags, len(value)) + value + bytes(-len(value) % _ALIGNMENT)


def _policy_flags(policy: Policy) -> PolicyFlag:
    flags = PolicyFlag(0)
    if policy.allow_arguments:
        flags |= PolicyFlag.ALLOW_ARGUMENTS
    if policy.allow_any_exec:
        flags |= PolicyFlag.ALLOW_ANY_EXEC
    if policy.allow_host_network_files:
        flags |= PolicyFlag.ALLOW_HOST_NETWORK_FILES
    return flags | _NETWORK_FLAGS[policy.network or Network.NONE]


def _volume_flags(volume: Volume) -> VolumeFlag:
    flags = VolumeFlag(0)
    if volume.read_only:
        flags |= VolumeFlag.READ_ONLY
    if volume.executable:
        flags |= VolumeFlag.EXECUTABLE
    return flags


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _arguments(arguments: tuple[str, ...]) -> bytes:
    return b"".join(_text(argument) + b"\0" for argument in arguments)


def parse_configuration(data: bytes) -> MeasuredConfiguration:
    """Parse what ``to_bytes`` writes, as strictly as the enclave does. Raises InvalidImageError."""
    values: dict[Record, list[tuple[int, bytes]]] = {kind: [] for kind in Record}
    for kind, flags, value in _split(data):
        if values[kind] and kind not in REPEATED:
            raise _wrong(f"{kind.name} stands twice")
        values[kind].append((flags, value))
    for kind in REQUIRED:
        if not values[kind]:
            raise _wrong(f"{kind.name} is missing")

    def texts(kind: Record) -> tuple[str, ...]:
        return tuple(_parse_text(value, kind) for _, value in values[kind])

    def number(kind: Record, form: str) -> int:
        return _parse_number(form, values[kind][0][1], kind) if values[kind] else 0

    user = _parse_user(values[Record.USER][0][1])
    policy_bits = number(Record.POLICY, "<Q")
    if policy_bits & ~sum(PolicyFlag):
        raise _wrong("POLICY has unknown bits")
    flags = PolicyFlag(policy_bits)
    working_directory, *_ = texts(Record.WORKING_DIRECTORY)
    if not working_directory.startswith("/"):
        raise _wrong("WORKING_DIRECTORY is not absolute")
    healthcheck = values[Record.HEALTHCHECK]
    return MeasuredConfiguration(
        entrypoint=texts(Record.ENTRYPOINT),
        command=texts(Record.COMMAND),
        environment=texts(Record.ENVIRONMENT),
        working_directory=working_directory,
        user=user,
        stop_signal=number(Record.STOP_SIGNAL, "<I"),
        policy=Policy(
            allow_arguments=PolicyFlag.ALLOW_ARGUMENTS in flags,
            allowed_environment=tuple(
                AllowedVariable(name=_parse_text(value, Record.ALLOWED_ENVIRONMENT), unsafe=bool(mark))
                for mark, value in values[Record.ALLOWED_ENVIRONMENT]
            ),
            allow_any_exec=PolicyFlag.ALLOW_ANY_EXEC in flags,
            allowed_exec=tuple(
                _parse_arguments(value, Record.ALLOWED_EXEC) for _, value in values[Record.ALLOWED_EXEC]
            ),
            volumes=tuple(
                Volume(
                    path=_parse_text(value, Record.VOLUME),
                    read_only=bool(mark & VolumeFlag.READ_ONLY),
                    executable=bool(mark & VolumeFlag.EXECUTABLE),
                )
                for mark, value in values[Record.VOLUME]
            ),
            allow_host_network_files=PolicyFlag.ALLOW_HOST_NETWORK_FILES in flags,
            network=_parse_network(flags),
        ),
        healthcheck=_parse_arguments(healthcheck[0][1], Record.HEALTHCHECK) if healthcheck else (),
        rootfs=_parse_rootfs(values[Record.ROOTFS][0][1]),
        memory=number(Record.MEMORY, "<Q"),
        threads=number(Record.THREADS, "<I"),
        host_signals=number(Record.HOST_SIGNALS, "<Q"),
        hostname="".join(texts(Record.HOSTNAME)),
        fault_around=number(Record.FAULT_AROUND, "<Q") if values[Record.FAULT_AROUND] else None,
        switchless=number(Record.SWITCHLESS, "<I"),
    )


def _parse_network(flags: PolicyFlag) -> Network:
    chosen = flags & (PolicyFlag.NETWORK_LOOPBACK | PolicyFlag.NETWORK_ALL)
    for network, bits in _NETWORK_FLAGS.items():
        if chosen == bits:
            return network
    raise _wrong("POLICY allows two networks")


_ALLOWED_FLAGS: dict[Record, int] = {
    Record.ALLOWED_ENVIRONMENT: UNSAFE_VARIABLE,
    Record.VOLUME: int(sum(VolumeFlag)),
}


def _split(data: bytes) -> Iterator[tuple[Record, int, bytes]]:
    if len(data) != CONFIGURATION_SIZE:
        raise _wrong(f"it has {len(data)} bytes, not {CONFIGURATION_SIZE}")
    magic, version, used = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise _wrong("the magic number or the version is wrong")
    if not _HEADER.size <= used <= CONFIGURATION_SIZE or used % _ALIGNMENT:
        raise _wrong("its length is wrong")
    if any(data[used:]):
        raise _wrong("bytes after its end are not zero")
    offset, last = _HEADER.size, 0
    while offset < used:
        kind, flags, size = _RECORD.unpack_from(data, offset)  # used and offset are multiples of 8
        offset += _RECORD.size
        end = offset + size + (-size % _ALIGNMENT)
        if end > used:
            raise _wrong("a record runs over the end")
        if kind not in Record.__members__.values():
            raise _wrong(f"record type {kind} is unknown")
        if kind < last:
            raise _wrong("records are not in order")
        least, most = SIZES.get(Record(kind), (0, CONFIGURATION_SIZE))
        if not least <= size <= most:
            raise _wrong(f"{Record(kind).name} has a wrong size")
        if flags & ~_ALLOWED_FLAGS.get(Record(kind), 0):
            raise _wrong(f"{Record(kind).name} has unknown flags")
        if any(data[offset + size : end]):
            raise _wrong("padding is not zero")
        yield Record(kind), flags, data[offset : offset + size]
        offset, last = end, kind


def _parse_number(form: str, value: bytes, kind: Record) -> int:
    if struct.calcsize(form) != len(value):
        raise _wrong(f"{kind.name} has a wrong size")
    (number,) = struct.unpack(form, value)
    return int(number)


def _parse_rootfs(value: bytes) -> RootfsBinding:
    if len(value) != _ROOTFS.size:
        raise _wrong("ROOTFS has a wrong size")
    size, digest, merkle_size = _ROOTFS.unpack(value)
    return RootfsBinding(size=size, verity_digest=digest, merkle_size=merkle_size)


def _parse_user(value: bytes) -> User:
    if len(value) % 4:
        raise _wrong("USER has a wrong size")
    uid, gid, *groups = struct.unpack(f"<{len(value) // 4}I", value)
    return User(uid=uid, gid=gid, groups=tuple(groups))


def _parse_text(value: bytes, kind: Record) -> str:
    if b"\0" in value:
        raise _wrong(f"{kind.name} has a NUL")
    return value.decode("utf-8", "surrogateescape")


def _parse_arguments(value: bytes, kind: Record) -> tuple[str, ...]:
    if not value.endswith(b"\0"):
        raise _wrong(f"{kind.name} does not end with NUL")
    return tuple(part.decode("utf-8", "surrogateescape") for part in value[:-1].split(b"\0"))


def _wrong(problem: str) -> InvalidImageError:
    return InvalidImageError(f"the measured configuration is malformed: {problem}")
