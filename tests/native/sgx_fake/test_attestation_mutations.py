"""Faults planted in what makes reports and keys: one who reads them by the manual finds each."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.attestation_mutations import ATTESTATION_MUTATIONS
from support.sgx_fake import CPU_SECRET, FAKE, cmac, compile_c, host_zig_objects, run_judged
from support.torture import NATIVE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.attestation_mutations import AttestationMutation

# The enclave of attest.c.
FLAGS, XFRM, MISC, PRODUCT, SVN = 5, 0xE7, 1, 3, 2
MRENCLAVE, MRSIGNER = bytes(range(0x10, 0x30)), bytes(range(0x80, 0xA0))
DATA = bytes(range(1, 65))
# For whom the report is.
TARGET = b"T" * 32 + struct.pack("<QQHHI", 7, 3, 0, 0, 9) + bytes(8 + 64 + 384)
EINVAL, EACCES = -22, -13
INVALID_ATTRIBUTE, INVALID_CPUSVN, INVALID_ISVSVN = 2, 32, 64
REPORT_KEY, SEAL_KEY = 3, 4
POLICY_MRENCLAVE, POLICY_MRSIGNER = 1, 2
SEAL_XFRM_MASK = 0xFFFFFFFFFFF9FF1B
"""Gramine's default."""


@dataclass(frozen=True, kw_only=True)
class Dependencies:
    """What a key depends on (SDM volume 3D, KEYDEPENDENCIES)."""

    name: int
    flags: int
    xfrm: int
    misc: int
    mrenclave: bytes = bytes(32)
    mrsigner: bytes = bytes(32)
    key_id: bytes = bytes(32)
    cpu_svn: bytes = bytes(16)
    policy: int = 0
    product: int = 0
    svn: int = 0
    flags_mask: int = 0
    xfrm_mask: int = 0
    misc_mask: int = 0


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """One that derives keys: the fake of hardware's, and simulation's."""

    name: str
    cpu_svn: bytes
    key_id: bytes
    derive: Callable[[Dependencies], bytes]


def _fake(on: Dependencies) -> bytes:
    fields = struct.pack(
        "<HHHHQQQQ", on.name, on.product, on.svn, 0, on.flags, on.xfrm, on.flags_mask, on.xfrm_mask
    )
    fields += on.mrenclave + on.mrsigner + on.key_id + on.cpu_svn + bytes(64)
    return cmac(CPU_SECRET, fields + struct.pack("<IIH6x", on.misc, on.misc_mask, on.policy))


def _simulated(on: Dependencies) -> bytes:
    fields = struct.pack("<HHHHH6x", on.name, on.policy, on.product, on.svn, 0)
    fields += struct.pack("<QQQQII", on.flags, on.xfrm, on.flags_mask, on.xfrm_mask, on.misc, on.misc_mask)
    fields += on.mrenclave + on.mrsigner + on.key_id + on.cpu_svn + bytes(64)
    return (b"SIMULATED " + cmac(b"SIMULATION KEY!!", fields))[:16]


CPUS = (
    Cpu(name="fake", cpu_svn=bytes([7, 5]) + bytes(14), key_id=b"K" * 32, derive=_fake),
    Cpu(name="sim", cpu_svn=bytes(16), key_id=b"SIMULATED REPORT, NO PROTECTION!", derive=_simulated),
)


def _report(cpu: Cpu) -> bytes:
    body = cpu.cpu_svn + struct.pack("<I28x", MISC) + struct.pack("<QQ", FLAGS, XFRM)
    body += MRENCLAVE + bytes(32) + MRSIGNER + bytes(32 + 64)
    body += struct.pack("<HHH58x", PRODUCT, SVN, 0) + DATA
    key = cpu.derive(
        Dependencies(
            name=REPORT_KEY, flags=7, xfrm=3, misc=9, mrenclave=b"T" * 32, key_id=cpu.key_id,
            cpu_svn=cpu.cpu_svn,
        )
    )  # fmt: skip
    return body + cpu.key_id + cmac(key, body)


def _sealing(cpu: Cpu, policy: int, *, key_id: bytes = bytes(32), masks: tuple[int, int, int]) -> bytes:
    flags_mask, xfrm_mask, misc_mask = masks
    return cpu.derive(
        Dependencies(
            name=SEAL_KEY, policy=policy, product=PRODUCT, svn=SVN, cpu_svn=cpu.cpu_svn, key_id=key_id,
            flags=FLAGS & (flags_mask | 3), flags_mask=flags_mask,
            xfrm=XFRM & xfrm_mask, xfrm_mask=xfrm_mask,
            misc=MISC & misc_mask, misc_mask=misc_mask ^ 0xFFFFFFFF,
            mrenclave=MRENCLAVE if policy & POLICY_MRENCLAVE else bytes(32),
            mrsigner=MRSIGNER if policy & POLICY_MRSIGNER else bytes(32),
        )
    )  # fmt: skip


def _request(name: int, *, policy: int = 0, svn: int = SVN, cpu_svn: bytes = bytes(16)) -> str:
    """KEYREQUEST, with KEYID and masks of its own."""
    fields = struct.pack("<HHHH", name, policy, svn, 0) + cpu_svn + struct.pack("<QQ", 4, 6) + b"I" * 32
    return (fields + bytes(512 - len(fields))).hex()


_MASKS = ((1 << 64) - 1, SEAL_XFRM_MASK, (1 << 32) - 1)


def _expected(cpu: Cpu) -> dict[str, str]:
    """What is asked for, and what is to be answered."""
    target = MRENCLAVE + struct.pack("<QQHHI", FLAGS, XFRM, 0, 0, MISC) + bytes(456)
    report_key = Dependencies(
        name=REPORT_KEY, flags=FLAGS, xfrm=XFRM, misc=MISC, mrenclave=MRENCLAVE, key_id=b"I" * 32,
        cpu_svn=cpu.cpu_svn,
    )  # fmt: skip
    answers = {
        f"report {TARGET.hex()} {DATA.hex()}": _report(cpu).hex(),
        "target": target.hex(),
        "key mrenclave": _sealing(cpu, POLICY_MRENCLAVE, masks=_MASKS).hex(),
        "key mrsigner": _sealing(cpu, POLICY_MRSIGNER, masks=_MASKS).hex(),
        f"raw {_request(REPORT_KEY)}": cpu.derive(report_key).hex(),
        f"raw {_request(1)}": str(INVALID_ATTRIBUTE),
        f"raw {_request(SEAL_KEY, svn=SVN + 1, cpu_svn=cpu.cpu_svn)}": str(INVALID_ISVSVN),
        f"raw {_request(SEAL_KEY, cpu_svn=bytes(15) + bytes([1]))}": str(INVALID_CPUSVN),
    }
    for policy in range(4):
        sealing = _sealing(cpu, policy, key_id=b"I" * 32, masks=(4, 6, 0)).hex()
        answers[f"raw {_request(SEAL_KEY, policy=policy, cpu_svn=cpu.cpu_svn)}"] = sealing
    for position in (49, 56, 63, 128, 511):
        reserved = bytes(byte | (index == position) for index, byte in enumerate(TARGET))
        answers[f"report {reserved.hex()} {DATA.hex()}"] = str(EINVAL)
    return {f"{cpu.name} {request}": answer for request, answer in answers.items()}


EXPECTED = {**_expected(CPUS[0]), **_expected(CPUS[1]), "broken key mrsigner": str(EACCES)}


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Builds attest.c with the product's sources, or one of them with a fault."""

    folder: Path
    objects: dict[str, Path]

    @staticmethod
    def create(folder: Path) -> Workshop:
        objects = {str(path): path for path in host_zig_objects(folder)}
        for source in (
            *(FAKE / name for name in ("attest.c", "attest_sim.c", "cpu_keys.c", "judge.c", "faults.c")),
            FAKE / "attest_libos.c", NATIVE / "pal" / "sim_keys.c",
        ):  # fmt: skip
            objects[source.name] = folder / f"{source.name}.o"
            compile_c("-D_GNU_SOURCE", "-c", source, "-I", NATIVE / "libos", "-o", objects[source.name])
        return Workshop(folder=folder, objects=objects)

    def build(self, fault: AttestationMutation | None = None) -> Path:
        objects = dict(self.objects)
        if fault:
            text = (NATIVE / fault.file).read_text()
            assert text.count(fault.old) == 1, fault
            changed = self.folder / "changed" / fault.file
            changed.parent.mkdir(parents=True, exist_ok=True)
            changed.write_text(text.replace(fault.old, fault.new))
            simulation = fault.file.endswith("sim_keys.c")
            source = changed if simulation else FAKE / "attest_libos.c"
            name = source.name
            objects[name] = self.folder / "changed.o"
            first = ("-iquote", changed.parent, "-iquote", changed.parent.parent)
            compile_c(*first, "-c", source, "-I", NATIVE / "libos", "-o", objects[name])
            changed.unlink()
        compile_c("-pie", *objects.values(), "-pthread", "-o", self.folder / "program")
        return self.folder / "program"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop.create(tmp_path_factory.mktemp("attest"))


def _answers(program: Path) -> list[str]:
    return run_judged([program, *EXPECTED], timeout=60).stdout.split()


def test_reports_and_keys_are_those_of_the_manual(workshop: Workshop) -> None:
    answers = dict(zip(EXPECTED, _answers(workshop.build()), strict=True))
    assert answers == EXPECTED


@pytest.mark.parametrize("name", ATTESTATION_MUTATIONS)
def test_fault_is_found(name: str, workshop: Workshop) -> None:
    assert _answers(workshop.build(ATTESTATION_MUTATIONS[name])) != list(EXPECTED.values())
