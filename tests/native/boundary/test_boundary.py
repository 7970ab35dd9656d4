"""The enclave's boundary and the PAL, with a torture program in the LibOS's place."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.enclave_file import measure_enclave, read_signed
from support.programs import REPOSITORY
from support.scale import scaled
from support.torture import CONFIG, HERE, NATIVE, sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.signing.local import LocalSigner
    from support.torture import Host

MODES = ("enclu=gate", "enclu=trap", "enclu=gate syscall-trap=seccomp", "enclu=trap syscall-trap=seccomp")
BANNER = "SIMULATION: this enclave protects NOTHING"


@pytest.mark.parametrize("options", MODES)
def test_exit_code_of_the_enclave_is_that_of_the_process(host: Host, options: str) -> None:
    done = host.run("exit", "7", options=options)
    assert (done.returncode, BANNER in done.stderr) == (7, True)


@pytest.mark.parametrize("options", MODES)
def test_code_under_a_storm_of_signals_keeps_its_registers(host: Host, options: str) -> None:
    """General and vector registers, flags, red zone, FS base; system calls of both kinds; page faults."""
    done = host.run("torture", "4", str(scaled(200_000)), options=options, storm=20)
    assert done.returncode == 0, done.stderr
    assert "sent 0 signals" not in done.stderr


def test_signals_are_not_lost_between_looking_and_sleeping(host: Host) -> None:
    done = host.run("signals", str(scaled(100_000)), storm=5)
    assert done.returncode == 0, done.stderr


def test_signals_are_not_lost_on_the_way_back_to_the_application(host: Host) -> None:
    """A program that makes no system call sees a signal that came at the very end of its last one."""
    done = host.run("window", str(scaled(400_000)), storm=-1)
    assert done.returncode == 0, done.stderr


def test_signals_go_to_another_thread_when_the_first_has_ended(host: Host) -> None:
    done = host.run("orphan", str(scaled(10_000)), storm=5)
    assert done.returncode == 0, done.stderr


def test_shared_library_runs_in_a_program_with_another_libc(shared_host: Host) -> None:
    done = shared_host.run("torture", "4", str(scaled(100_000)), storm=50)
    assert done.returncode == 0, done.stderr


def test_first_entry_without_memory_is_refused(hostile_host: Host) -> None:
    """The answer comes while frames of the first entry lie on the small stack."""
    done = replace(hostile_host, environment={"HOSTILE_ANSWERS": "no-memory"}).run("exit", "0")
    assert "the enclave refused ECALL" in done.stderr


def test_enclave_whose_end_is_ignored_cannot_be_entered(hostile_host: Host) -> None:
    done = replace(hostile_host, environment={"HOSTILE_ANSWERS": "immortal"}).run("exit", "0")
    assert done.returncode == 42, done.stderr


@pytest.mark.parametrize("what", ["twice", "cycle"])
def test_dynamic_memory_keeps_to_the_rules_of_the_epcm(host: Host, what: str) -> None:
    for options in MODES[:2]:
        done = host.run("abuse", what, options=options)
        assert done.returncode == 0, done.stderr


def test_no_instruction_is_illegal_in_an_enclave(host: Host) -> None:
    """Each is looked at first: entry, exceptions, OCALLs, and the end."""
    for arguments in (("exit", "7"), ("abuse", "cycle")):
        done = host.run(*arguments, options="enclu=step")
        assert done.returncode == (7 if arguments[0] == "exit" else 0), done.stderr
        assert "illegal in an enclave" not in done.stderr


def test_pending_page_cannot_be_used_in_trap_mode(host: Host) -> None:
    assert host.run("abuse", "pending", options="enclu=trap").returncode == 99


def test_exception_without_stack_ends_the_enclave_with_a_message(host: Host) -> None:
    done = host.run("abuse", "recursion")
    assert done.returncode in (99, 139)
    assert "exception" in done.stderr


def test_sha256_is_right_with_what_this_cpu_has_with_less_and_with_nothing(host: Host) -> None:
    assert host.run("sha256").returncode == 0


def test_runs_as_nobody_without_any_rights(host: Host) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid() != 0:
        pytest.skip("setpriv as root is needed")
    rights = ["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
    for path in (*host.instance.parents, *host.program.parents):
        if path.is_relative_to(tempfile.gettempdir()) and path.owner() == "root":
            path.chmod(path.stat().st_mode | 0o055)
    done = host.run("exit", "7", wrapper=["prlimit", "--core=0", setpriv, *rights])
    assert done.returncode == 7, done.stderr


# What the loader refuses.


def _flipped(path: Path, offset: int, bit: int = 0) -> bytes:
    image = bytearray(path.read_bytes())
    image[offset] ^= 1 << bit
    return bytes(image)


def _refusal(host: Host, tmp_path: Path, image: bytes, mode: str = "mode=sim") -> str:
    (tmp_path / "enclave.signed.so").write_bytes(image)
    done = host.run("exit", "0", instance=tmp_path, mode=mode)
    assert done.returncode == 125, done.stderr
    return done.stderr


def _measured_offsets(signed: Path) -> Iterator[int]:
    """The first, a middle and the last byte of each segment."""
    for segment in read_signed(signed).elf.segments:
        if segment.file_size:
            yield segment.offset
            yield segment.offset + segment.file_size // 2
            yield segment.offset + segment.file_size - 1


def test_any_flipped_bit_of_code_or_configuration_is_refused(
    host: Host, signed_enclave: Path, tmp_path: Path
) -> None:
    for index, offset in enumerate(_measured_offsets(signed_enclave)):
        message = _refusal(host, tmp_path, _flipped(signed_enclave, offset, index % 8))
        assert "the enclave file" in message, offset


def test_any_flipped_bit_of_the_sigstruct_is_refused(
    host: Host, signed_enclave: Path, tmp_path: Path
) -> None:
    image = signed_enclave.read_bytes()
    start = image.index(bytes.fromhex("06000000e100000000000100"))
    step = max(1, 1808 // scaled(1808, least=60))
    for offset in range(0, 1808, step):
        message = _refusal(host, tmp_path, _flipped(signed_enclave, start + offset, offset % 8))
        assert "SIGSTRUCT is refused" in message, offset


def test_unsigned_and_foreign_files_are_refused(
    host: Host, unsigned_enclave: Path, signed_enclave: Path, tmp_path: Path
) -> None:
    assert "not signed" in _refusal(host, tmp_path, unsigned_enclave.read_bytes())
    assert "malformed" in _refusal(host, tmp_path, b"no enclave")
    assert "empty" in _refusal(host, tmp_path, b"")
    truncated = signed_enclave.read_bytes()[:-1000]
    assert "malformed" in _refusal(host, tmp_path, truncated)
    intel = REPOSITORY / "tests" / "vectors" / "intel" / "cases" / "default" / "signed.so"
    assert "not one of the builtin LibOS" in _refusal(host, tmp_path, intel.read_bytes())


def test_signature_of_another_enclave_is_refused(
    host: Host, signed_enclave: Path, unsigned_enclave: Path, signer: LocalSigner, tmp_path: Path
) -> None:
    """A SIGSTRUCT that verifies, over another measurement."""
    other = bytearray(unsigned_enclave.read_bytes())
    window = other.index(b"\x0f\x01\xd7\xc3")
    other[window + 8] ^= 1
    (tmp_path / "other.so").write_bytes(other)
    signed = sign(tmp_path / "other.so", tmp_path / "other" / "enclave.signed.so", signer)
    image = signed.read_bytes()
    mixed = image[: window + 8] + signed_enclave.read_bytes()[window + 8 : window + 9] + image[window + 9 :]
    assert "differs from what was signed" in _refusal(host, tmp_path, mixed)


def test_an_enclave_that_waits_for_its_signature_is_refused(
    host: Host, unsigned_enclave: Path, tmp_path: Path
) -> None:
    prepared = measure_enclave(unsigned_enclave, CONFIG).prepared_image(0x20260102)
    assert "it has no signature yet" in _refusal(host, tmp_path, b"".join(prepared))


@pytest.mark.skipif(Path("/dev/sgx_enclave").exists(), reason="this machine has SGX")
def test_production_enclave_does_not_fall_into_simulation(
    host: Host, unsigned_enclave: Path, signer: LocalSigner, tmp_path: Path
) -> None:
    production = sign(
        unsigned_enclave, tmp_path / "p" / "enclave.signed.so", signer, replace(CONFIG, disable_debug=1)
    )
    refused = host.run("exit", "7", instance=production.parent, mode="")
    assert (refused.returncode, "/dev/sgx_enclave is missing" in refused.stderr) == (125, True)
    assert host.run("exit", "7", instance=production.parent).returncode == 7
    assert host.run("debug", instance=production.parent).returncode == 0


@pytest.mark.skipif(Path("/dev/sgx_enclave").exists(), reason="this machine has SGX")
def test_debug_enclave_falls_into_simulation_and_says_so(host: Host) -> None:
    done = host.run("debug", mode="")
    assert (done.returncode, BANNER in done.stderr) == (1, True)
    assert host.run("debug", mode="mode=hw").returncode == 125


def test_unknown_words_are_refused(host: Host) -> None:
    assert "'enclu=maybe' is not known" in host.run("exit", "0", options="enclu=maybe").stderr
    assert host.run("exit", "0", options="no-epm").returncode == 0


def test_parser_survives_broken_files(signed_enclave: Path, tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc, whose sanitizers are used here, is not installed")
    program = tmp_path / "fuzz"
    sources = [HERE / "fuzz_enclave_file.c", NATIVE / "pal" / "enclave_file.c", NATIVE / "pal" / "log.c"]
    subprocess.run(
        [
            compiler, "-std=gnu17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
            f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'pal'}", *sources, "-o", program, "-pthread",
        ],
        check=True,
    )  # fmt: skip
    done = subprocess.run(
        [program, signed_enclave, str(scaled(20_000)), "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_libos_leaves_the_vector_registers_alone(unsigned_enclave: Path) -> None:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("objdump is not installed")
    listing = subprocess.run(
        [objdump, "-d", "--no-show-raw-insn", unsigned_enclave], capture_output=True, text=True, check=True
    ).stdout
    allowed = ("sha256_", "places_", "sse_", "torture_round")
    function = ""
    for line in listing.splitlines():
        if line.endswith(">:"):
            function = line.partition("<")[2][:-2]
        elif "mm" in line.partition("%")[2][:4] and not function.startswith(allowed):
            pytest.fail(f"{function}: {line.strip()}")
