"""``enclavize doctor --selftest``: the checklist of docs/hardware.md, done on this machine, step by step.

A small program is converted as any image is, and its enclave started on SGX hardware, once for each step. A
step settles what no simulation and no fake can show: that CPU and kernel do what their documents say.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from enclavize.node.doctor import Status, diagnose
from enclavize.oci.storage import storage_errors
from enclavize.resources import native_file
from enclavize.rune.spec import OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from enclavize.node.doctor import Finding

PROGRAM = "selftest"
_PATIENCE = 300
"""Seconds for one step, which takes about one: nothing may hang."""

_MACHINE = {
    "kernel": "the driver can change the memory of enclaves that run (EDMM)",
    "processor": "SGX is switched on, and enclaves of any signer may be launched",
    "device": "enclaves can be made, and mapped",
    "epc": "there is memory for enclaves",
}
"""Findings of ``doctor`` on which the steps rest."""

_STEPS = {
    "start": "layout, measurement, SIGSTRUCT and EINIT; pages by EAUG and EACCEPT; the vDSO's way in and "
    "out; `syscall` by #UD",
    "memory": "rights by EMODPE and EMODPR; pages that go (EMODT, EACCEPT, EREMOVE), and come again",
    "exceptions": "EXITINFO and EXINFO of #DE, #UD, #BP, #GP and #PF; CPUID, which is illegal inside",
    "threads": "threads on TCSs that are used again; sleeping and waking across the boundary",
    "interrupts": "RAX at the asynchronous exit pointer, EENTER at CSSA 1 from a signal handler, ERESUME",
    "processes": "fork and exec: memory that changes its owner, EACCEPTCOPY",
    "reports": "EREPORT, and EGETKEY of the report key: local attestation",
    "keys": "EGETKEY of the sealing key: the same at each start",
}
"""What each step settles. Their names are the arguments of native/selftest."""

_LOG = "/dev/kmsg"
_KERNEL_LOG = "kernel-log"
_LOG_SETTLES = "whether the kernel complains about what the PAL asks for"
_NOT_SHOWN = "not shown: there is no SGX hardware here"
_REST = "docs/hardware.md tells what is left to try by hand: more heap than EPC, and suspending the machine"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step. ``WARNING``: nothing was shown. ``settles``: what is known if the status is OK."""

    name: str
    status: Status
    text: str
    settles: str
    fix: str = ""


def selftest(root: Path = Path("/"), *, runelet: Path | None = None) -> Iterator[Step]:
    """Do all steps. ``runelet`` runs the enclaves, in place of the one that is installed.

    Raises EnclavizeError if the program for the steps cannot be converted.
    """
    findings = {finding.name: finding for finding in diagnose(root)}
    yield from _machine_steps(findings)
    device = findings["device"]
    if device.status is not Status.OK:
        for name, settles in {**_STEPS, _KERNEL_LOG: _LOG_SETTLES}.items():
            yield Step(name=name, status=Status.WARNING, text=_NOT_SHOWN, settles=settles, fix=device.text)
        return
    with tempfile.TemporaryDirectory(prefix="enclavize-selftest-") as folder, _KernelLog.open(root) as log:
        tree = convert_program(Path(folder))
        run = _Runner(runelet=runelet or native_file("runelet"), tree=tree)
        for name, settles in _STEPS.items():
            yield run.keys(name, settles) if name == "keys" else run.step(name, settles)
        yield log.step()


def is_shown(steps: list[Step]) -> bool:
    """Whether every step that a machine with SGX has to pass was passed."""
    passed = {step.name for step in steps if step.status is Status.OK}
    return passed.issuperset(_STEPS)


def _machine_steps(findings: Mapping[str, Finding]) -> Iterator[Step]:
    for name, settles in _MACHINE.items():
        finding = findings.get(name)
        if finding is None:
            yield Step(name=name, status=Status.WARNING, text=_NOT_SHOWN, settles=settles)
        else:
            yield Step(name=name, status=finding.status, text=finding.text, settles=settles, fix=finding.fix)


def convert_program(folder: Path) -> Path:
    """Convert the program as a debug image, which needs no key; return its unpacked tree."""
    from enclavize.libos.base import Resources
    from enclavize.oci.execution import Execution
    from enclavize.oci.location import DirectoryLocation
    from enclavize.pipeline.build import build
    from enclavize.pipeline.options import BuildOptions, Output, OutputKind
    from enclavize.progress import Reporter
    from enclavize.tee.policy import Policy

    rootfs, tree = folder / "rootfs", folder / "tee"
    with storage_errors("write", rootfs):
        rootfs.mkdir()
        (rootfs / PROGRAM).write_bytes(native_file(PROGRAM).read_bytes())
        (rootfs / PROGRAM).chmod(0o755)
    options = BuildOptions(
        source=DirectoryLocation(rootfs, Execution(entrypoint=(f"/{PROGRAM}",))),
        outputs=(Output(kind=OutputKind.LOCAL, destination=tree),),
        policy=Policy(allow_arguments=True),
        resources=Resources(),
        use_cache=False,
    )
    build(options, Reporter())
    return tree


@dataclass(frozen=True, kw_only=True)
class _Runner:
    runelet: Path
    tree: Path

    def step(self, name: str, settles: str) -> Step:
        status, output = self._run(name)
        if status == 0:
            return Step(name=name, status=Status.OK, text="as it should be", settles=settles)
        return Step(name=name, status=Status.ERROR, text=_cause(status, output), settles=settles, fix=_REST)

    def keys(self, name: str, settles: str) -> Step:
        """Two enclaves of one measurement, one after the other."""
        runs = [self._run(name, capture=True) for _ in range(2)]
        for status, output in runs:
            if status != 0:
                return Step(name=name, status=Status.ERROR, text=_cause(status, output), settles=settles)
        if runs[0] != runs[1]:
            text = "the sealing key is another one at the second start"
            return Step(name=name, status=Status.ERROR, text=text, settles=settles)
        return Step(name=name, status=Status.OK, text="the same twice", settles=settles)

    def _run(self, name: str, *, capture: bool = False) -> tuple[int, str]:
        """Return the exit code, and what was said: of a step that succeeds, its output."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIX)}
        environment = {
            **kept,
            "ENCLAVIZE_ROOT": str(self.tree),
            "ENCLAVIZE_INSTANCE": str(self.tree / ".enclave" / "instance"),
            "ENCLAVIZE_SIMULATE": "0",
        }
        try:
            done = subprocess.run(
                [self.runelet, name], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", check=False, timeout=_PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return -1, f"it hangs: no end within {_PATIENCE} seconds"
        except OSError as error:
            return -1, f"{self.runelet}: {error.strerror}"
        return done.returncode, done.stdout if capture and done.returncode == 0 else done.stderr


def _cause(status: int, output: str) -> str:
    """Return the last line that the program, the enclave or the PAL has said."""
    lines = [line for line in output.splitlines() if line.strip()]
    text = lines[-1].removeprefix("enclavize: error: ") if lines else "nothing was said"
    return text if status in (-1, 125) else f"{text} (exit code {status})"


@dataclass(kw_only=True)
class _KernelLog:
    """What the kernel says meanwhile (dev-kmsg, Documentation/ABI/testing/dev-kmsg)."""

    descriptor: int | None
    reason: str = ""

    @staticmethod
    def open(root: Path) -> _KernelLog:
        path = root / _LOG.lstrip("/")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(descriptor, 0, os.SEEK_END)
        except OSError as error:
            return _KernelLog(descriptor=None, reason=f"{_LOG} cannot be read: {error.strerror}")
        return _KernelLog(descriptor=descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)

    def step(self) -> Step:
        if self.descriptor is None:
            fix = "run it as root, or look: dmesg | grep -i sgx"
            return self._step(Status.WARNING, self.reason, fix)
        said = [line for line in self._lines(self.descriptor) if "sgx" in line.lower()]
        if said:
            return self._step(Status.WARNING, f"the kernel says: {said[0]}", "dmesg | grep -i sgx")
        return self._step(Status.OK, "the kernel says nothing of SGX")

    @staticmethod
    def _step(status: Status, text: str, fix: str = "") -> Step:
        return Step(name=_KERNEL_LOG, status=status, text=text, settles=_LOG_SETTLES, fix=fix)

    @staticmethod
    def _lines(descriptor: int) -> Iterator[str]:
        """One record a read: ``priority,number,time,flags;text``."""
        while True:
            try:
                record = os.read(descriptor, 8192)
            except BrokenPipeError:  # overwritten meanwhile
                continue
            except OSError:
                return
            if not record:
                return
            yield record.decode("utf-8", "replace").partition(";")[2].splitlines()[0]


def shown(steps: list[Step], write: Callable[[str], object]) -> None:
    """Say in one line what has been shown, and what is left."""
    if is_shown(steps):
        write(f"All steps passed on SGX hardware. {_REST}.\n")
    elif any(step.status is Status.ERROR for step in steps):
        write("A step failed: docs/hardware.md tells which claims rest on it.\n")
    else:
        write("Nothing was shown of SGX hardware.\n")
