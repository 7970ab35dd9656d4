"""The PAL's machine that is SGX hardware, on a fake of CPU and driver that shares nothing with it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.sgx.enclave_file import measure_enclave, write_signed
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import AttributeFlags, Attributes
from enclavize.signing.local import sign_sigstruct
from support.scale import scaled
from support.torture import CONFIG

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from enclavize.signing.local import LocalSigner
    from support.sgx_fake import Machine
    from support.tee import TeeTree

PROGRAMS = {
    "memory": (),
    "signals": (),
    "threads": (scaled(1_000, least=50),),
    "pipes": (),
    "tcp": (),
    "step_down": (),
    "spawn": (),
    "forks": (),
}

REFUSALS = [
    ({"cpu": "none"}, "the CPU has no SGX"),
    ({"cpu": "sgx1"}, "needs SGX2"),
    ({"cpu": "small"}, "at most 2^35 bytes"),
    ({"kernel": "5.19"}, "needs Linux 6.0 or later"),
    ({"kernel": "vdso=0"}, "has no __vdso_sgx_enter_enclave"),
    ({"kernel": "none"}, "/dev/sgx_enclave is missing"),
    ({"kernel": "forbidden"}, "/dev/sgx_enclave cannot be opened"),
    ({"kernel": "noexec"}, "mounted noexec"),
    ({"kernel": "setarch -X"}, "READ_IMPLIES_EXEC"),
    ({"kernel": "launch-control"}, "launch control"),
    ({"epc": 50}, "the enclave page cache (EPC) is full"),
]


def _counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """What the fake has counted."""
    lines = [line.split() for line in done.stderr.splitlines() if line.startswith("fake: ")]
    return {name: int(number) for _, name, number in lines}


def test_exit_code_of_the_enclave_is_that_of_the_process(machine: Machine, torture: Path) -> None:
    done = machine.run(torture, "exit", "7")
    assert done.returncode == 7, done.stderr
    assert "SIMULATION" not in done.stderr
    counts = _counts(done)
    assert counts["eenter"] == counts["eexit"]
    assert counts["aex"] == counts["eresume"] <= counts["eaug"]  # pages are made from outside


def test_hardware_is_chosen_where_the_device_is(machine: Machine, torture: Path) -> None:
    assert "SIMULATION" not in machine.run(torture, "exit", "7", mode="").stderr
    assert "SIMULATION" in machine.run(torture, "exit", "7", mode="mode=sim").stderr


@pytest.mark.parametrize("enclu", ["trap", "step"])
def test_strict_simulation_is_none_of_hardware(machine: Machine, torture: Path, enclu: str) -> None:
    done = machine.run(torture, "exit", "0", mode="", options=f"enclu={enclu}")
    assert (done.returncode, "strict simulation" in done.stderr) == (125, True), done.stderr
    assert "STRICT SIMULATION" in machine.run(torture, "exit", "0", mode=f"mode=sim enclu={enclu}").stderr


@pytest.mark.parametrize(("settings", "message"), REFUSALS)
def test_machine_that_cannot_run_it_says_why(
    machine: Machine, torture: Path, settings: dict[str, str | int], message: str
) -> None:
    done = machine.run(torture, "exit", "0", fake=settings)
    assert (done.returncode, message in done.stderr) == (125, True), done.stderr


def test_attributes_that_are_demanded_in_vain_are_named(
    machine: Machine, torture: Path, signer: LocalSigner, tmp_path: Path
) -> None:
    """AVX, which SIGSTRUCT demands, and the CPU does not give to enclaves."""
    avx = Attributes(flags=AttributeFlags.MODE64BIT, xfrm=7)
    enclave = measure_enclave(torture / "enclave.signed.so", CONFIG, resign=True)
    demanding = replace(enclave.measurement, attributes=avx, attributes_mask=avx)
    sigstruct = sign_sigstruct(Sigstruct(measurement=demanding, date=0x20260101), signer)
    write_signed(replace(enclave, measurement=demanding), sigstruct, tmp_path / "enclave.signed.so")
    done = machine.run(tmp_path, "exit", "0", fake={"cpu": "sse"})
    assert done.returncode == 125
    assert (
        "the SIGSTRUCT demands other attributes: flags 0x4, XFRM 0x7; this CPU and file give" in done.stderr
    )


@pytest.mark.parametrize("fake", [{}, {"spurious": 2}, {"interrupt": 3}])
def test_code_under_a_storm_of_signals_keeps_its_registers(
    machine: Machine, torture: Path, fake: dict[str, str | int]
) -> None:
    """General and vector registers, flags, red zone, FS base; system calls; page faults."""
    done = machine.run(torture, "torture", "4", str(scaled(20_000)), storm=50, fake=fake)
    assert done.returncode == 0, done.stderr
    assert "sent 0 signals" not in done.stderr


def test_signals_are_not_lost_between_looking_and_sleeping(machine: Machine, torture: Path) -> None:
    done = machine.run(torture, "signals", str(scaled(10_000)), storm=5)
    assert done.returncode == 0, done.stderr


def test_thread_that_leaves_by_itself_is_told_of_signals(machine: Machine, torture: Path) -> None:
    done = machine.run(torture, "orphan", str(scaled(4_000)), storm=5)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("pages", [1, 3])
def test_requests_that_are_done_by_parts_are_continued(machine: Machine, torture: Path, pages: int) -> None:
    """EINTR before the first page, fewer pages than asked for, EAGAIN after some, EINTR of EINIT."""
    done = machine.run(torture, "torture", "2", "50", fake={"partial": pages})
    assert done.returncode == 0, done.stderr


def test_dynamic_memory_comes_and_goes(machine: Machine, torture: Path) -> None:
    done = machine.run(torture, "abuse", "cycle")
    assert done.returncode == 0, done.stderr


def test_enclave_that_is_lost_ends_with_a_message(machine: Machine, torture: Path) -> None:
    done = machine.run(torture, "torture", "2", str(scaled(4_000)), fake={"lost": 200})
    assert (done.returncode, "the enclave is lost" in done.stderr) == (139, True), done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_finds_what_linux_promises(name: str, machine: Machine, tree: TeeTree) -> None:
    arguments = [str(count) for count in PROGRAMS[name]]
    done = machine.run(tree.instance, f"/{name}", *arguments, options=f"root={tree.root}")
    assert done.returncode == 0, done.stderr


def test_instructions_that_are_illegal_in_enclaves_are_answered(machine: Machine, tree: TeeTree) -> None:
    """CPUID is #UD, RDTSC #GP where the system forbids it: the program stops before, the fake faults."""
    done = machine.run(tree.instance, "/victim", "illegal", options=f"root={tree.root}")
    assert done.returncode == 0, done.stderr


def test_program_ends_with_threads_that_never_leave_the_enclave(machine: Machine, tree: TeeTree) -> None:
    done = machine.run(tree.instance, "/spin", options=f"root={tree.root}")
    assert done.returncode == 23, done.stderr


@pytest.mark.parametrize("fake", [{"partial": 2, "spurious": 40}, {"interrupt": 5}])
def test_program_goes_on_after_requests_by_parts_and_interrupts(
    machine: Machine, tree: TeeTree, fake: dict[str, str | int]
) -> None:
    done = machine.run(
        tree.instance, "/spawn", options=f"root={tree.root}", fake={"partial": 2, "spurious": 40}
    )
    assert done.returncode == 0, done.stderr


def test_program_without_memory_is_told_so(machine: Machine, tree: TeeTree) -> None:
    """EACCEPT of a page that the kernel does not bring."""
    done = machine.run(tree.instance, "/memory", options=f"root={tree.root}", fake={"epc": 1000})
    assert done.returncode not in {0, 139}, done.stderr
    assert "the enclave page cache (EPC) is full" in done.stderr


MEBIBYTES = 32
PAGES = MEBIBYTES * 256


def _transitions(machine: Machine, tree: TeeTree, *arguments: str) -> int:
    done = machine.run(tree.instance, "/transitions", *arguments, options=f"root={tree.root}")
    assert done.returncode == 0, done.stderr
    counts = _counts(done)
    assert counts["eenter"] == counts["eexit"]
    return counts["eexit"] + counts["aex"]


def test_start_takes_less_than_60_transitions(machine: Machine, tree: TeeTree) -> None:
    assert _transitions(machine, tree, "start") < 60


def test_touched_memory_comes_in_runs_as_large_as_the_configuration_says(
    machine: Machine, tree: TeeTree, frugal_tree: TeeTree
) -> None:
    """A transition for 64 pages, and for 4 where a fault brings 16."""
    start = _transitions(machine, tree, "start")
    large, small = (_transitions(machine, one, "heap", str(MEBIBYTES)) for one in (tree, frugal_tree))
    assert large - start <= PAGES / 64
    assert small - start >= PAGES / 5


def test_profile_counts_as_the_cpu_and_the_driver_do(machine: Machine, tree: TeeTree) -> None:
    """But for what comes before the start, which is nearly the same: threads may wait for each other."""
    unseen = []
    for threads in (5, 50):
        done = machine.run(
            tree.instance, "/transitions", "thread", str(threads), options=f"root={tree.root} profile=json"
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(next(line for line in done.stderr.splitlines() if line.startswith("{")))["machine"]
        counts = _counts(done)
        unseen.append((counts["eenter"] - seen["eenter"], counts["ioctl"] - seen["ioctls"]))
    (few_entries, few_ioctls), (many_entries, many_ioctls) = unseen
    assert 0 < few_entries < 60
    assert 0 < many_entries < 60
    assert many_ioctls == few_ioctls > 0
