"""Reports and keys of enclaves: /dev/attestation, and one TEE image that verifies the report of another.

Each test runs on the fake of SGX hardware and in simulation: the enclave's side is the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from support.programs import REPOSITORY, need, need_native, static_pie_musl
from support.sgx_fake import cmac
from support.tee import Converter, ordinary_image
from support.torture import NATIVE, build_script

if TYPE_CHECKING:
    import subprocess

    from support.sgx_fake import Machine
    from support.tee import TeeTree

DATA = bytes(range(64))
MRENCLAVE, KEY_ID, MAC = slice(64, 96), slice(384, 416), slice(416, 432)
"""SDM volume 3D, REPORT."""
STATUS_MAC = 3
"""What the program ends with when a report is not one for it."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """Of one program and one signer: ``first`` and ``second`` have other measurements."""

    first: TeeTree
    second: TeeTree


class Run(Protocol):
    """Runs the program of an image; what it has printed, as bytes: structures are printed in hex."""

    def __call__(self, tree: TeeTree, *arguments: str, status: int = 0) -> list[bytes]: ...


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    need("umoci", "skopeo")
    need_native()
    base, rootfs = tmp_path_factory.mktemp("attesting"), tmp_path_factory.mktemp("rootfs")
    build = build_script()
    cmac_object = build.build_zig_object(
        build.ZigObject("crypto/cmac.zig"), build.HOST_TARGET, base, NATIVE / ".cache"
    )
    program = REPOSITORY / "tests" / "native" / "programs" / "attestation.c"
    static_pie_musl(program, rootfs / "attestation", str(cmac_object))
    image = ordinary_image(base / "layout", rootfs, config=["--config.entrypoint", "/attestation"])
    converter = Converter.create(base)
    first = converter.tree(image, "first", "--allow-args", "--isvprodid", "3", "--isvsvn", "2")
    second = converter.tree(
        image, "second", "--allow-args", "--isvprodid", "3", "--isvsvn", "2", "--set", "threads=9"
    )
    return Images(first=first, second=second)


def _lines(
    done: subprocess.CompletedProcess[str] | subprocess.CompletedProcess[bytes], status: int
) -> list[bytes]:
    assert done.returncode == status, done.stderr
    text = done.stdout if isinstance(done.stdout, str) else done.stdout.decode()
    return [bytes.fromhex(line) for line in text.splitlines()]


@pytest.fixture(params=["hardware", "simulation"])
def run(request: pytest.FixtureRequest, machine: Machine) -> Run:
    def on_fake(tree: TeeTree, *arguments: str, status: int = 0) -> list[bytes]:
        done = machine.run(tree.instance, *arguments, options=f"root={tree.root}")
        return _lines(done, status)

    def simulated(tree: TeeTree, *arguments: str, status: int = 0) -> list[bytes]:
        return _lines(tree.run(*arguments), status)

    return on_fake if request.param == "hardware" else simulated


def test_files_are_as_gramine_has_them(run: Run, images: Images) -> None:
    run(images.first, "files")


def test_enclave_verifies_the_report_of_another_one(run: Run, images: Images) -> None:
    """Local attestation: EGETKEY of the report key gives it to the target alone."""
    (target,) = run(images.second, "target")
    (report,) = run(images.first, "report", target.hex(), DATA.hex())
    (own,) = run(images.first, "target")
    assert report[MRENCLAVE] == own[:32]
    assert own[:32] != target[:32]
    (verified,) = run(images.second, "verify", report.hex(), DATA.hex())
    assert verified == own[:32]
    run(images.first, "verify", report.hex(), DATA.hex(), status=STATUS_MAC)  # it is not the target


def test_report_that_was_changed_is_none(machine: Machine, images: Images) -> None:
    def lines(tree: TeeTree, *arguments: str, status: int = 0) -> list[bytes]:
        return _lines(machine.run(tree.instance, *arguments, options=f"root={tree.root}"), status)

    (target,) = lines(images.second, "target")
    (report,) = lines(images.first, "report", target.hex(), DATA.hex())
    for position in (0, 48, 64, 128, 256, 320, 383, 384, 431):
        changed = bytes(byte ^ (index == position) for index, byte in enumerate(report))
        lines(images.second, "verify", changed.hex(), DATA.hex(), status=STATUS_MAC)


def test_sealing_keys_stay_and_tell_enclaves_apart(run: Run, images: Images) -> None:
    first, again, second = run(images.first, "keys"), run(images.first, "keys"), run(images.second, "keys")
    assert first == again
    mrenclave, mrsigner = zip(first, second, strict=True)
    assert mrenclave[0] != mrenclave[1]
    assert mrsigner[0] == mrsigner[1]
    assert mrsigner[0] not in mrenclave


def test_what_is_simulated_says_so(images: Images) -> None:
    (target,) = _lines(images.first.run("target"), 0)
    (report,) = _lines(images.first.run("report", target.hex(), DATA.hex()), 0)
    assert report[KEY_ID] == b"SIMULATED REPORT, NO PROTECTION!"
    for key in _lines(images.first.run("keys"), 0):
        assert key.startswith(b"SIMULATED ")


def test_simulated_report_is_none_on_hardware(machine: Machine, images: Images) -> None:
    (target,) = _lines(images.second.run("target"), 0)
    (report,) = _lines(images.first.run("report", target.hex(), DATA.hex()), 0)
    done = machine.run(
        images.second.instance, "verify", report.hex(), DATA.hex(), options=f"root={images.second.root}"
    )
    _lines(done, STATUS_MAC)


def test_aes_cmac_of_rfc_4493() -> None:
    """The judge's, by which all of this is judged: example 2 of the RFC."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    message = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    assert cmac(key, message).hex() == "070a16b46b4d4144f79bdd9dd04a287c"
