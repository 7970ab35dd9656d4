"""A CPU with SGX2 and the kernel's driver (tests/native/sgx_fake), and who judges for its EINIT."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256

from support.programs import REPOSITORY, need, zig_cc
from support.torture import HERE, NATIVE, build_script, compile_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from support.sgx_mutations import Mutation
    from support.tee import TeeTree

FAKE = REPOSITORY / "tests" / "native" / "sgx_fake"
SOURCES = (
    "cpu.c", "cpu_keys.c", "cpu_leaves.c", "driver.c", "driver_dynamic.c", "faults.c", "judge.c", "kernel.c",
    "mappings.c", "tracking.c", "image.S",
)  # fmt: skip

# SGX error codes, SDM volume 3D.
INVALID_SIG_STRUCT, INVALID_ATTRIBUTE, INVALID_MEASUREMENT, INVALID_SIGNATURE = 1, 2, 4, 8

KSS = 1 << 7

_UPDATE, _EINIT, _KEY, _MAC = 1, 2, 3, 4
_DEPENDENCIES_SIZE = 232
CPU_SECRET = bytes(range(16))
"""All enclaves of these tests run on one CPU."""

_ZERO_RANGES = ((44, 128), (908, 912), (992, 1008), (1028, 1040))


def einit(sigstruct: bytes, measured: bytes, flags: int, xfrm: int, misc: int) -> int:
    """Verify as EINIT does; 0, or the error code."""
    header, header2 = sigstruct[:12], sigstruct[24:40]
    if (
        header.hex() != "06000000e100000000000100"
        or header2.hex() != "01010000600000006000000001000000"
        or any(any(sigstruct[start:end]) for start, end in _ZERO_RANGES)
        or sigstruct[512:516] != b"\3\0\0\0"
    ):
        return INVALID_SIG_STRUCT
    modulus, signature, q1, q2 = (
        int.from_bytes(sigstruct[at : at + 384], "little") for at in (128, 516, 1040, 1424)
    )
    try:
        RSAPublicNumbers(3, modulus).public_key().verify(
            signature.to_bytes(384, "big"), sigstruct[:128] + sigstruct[900:1028], PKCS1v15(), SHA256()
        )
    except (InvalidSignature, ValueError):
        return INVALID_SIGNATURE
    square = signature * signature
    if q1 != square // modulus or q2 != signature * (square % modulus) // modulus:
        return INVALID_SIGNATURE
    if any(sigstruct[912:928]) and not flags & KSS:  # ISVFAMILYID
        return INVALID_SIG_STRUCT
    if sigstruct[960:992] != measured:
        return INVALID_MEASUREMENT
    wanted = struct.unpack_from("<QQQQ", sigstruct, 928)
    misc_select, misc_mask = struct.unpack_from("<II", sigstruct, 900)
    for own, value, mask in (
        (flags, wanted[0], wanted[2]),
        (xfrm, wanted[1], wanted[3]),
        (misc, misc_select, misc_mask),
    ):
        if own & mask != value & mask:
            return INVALID_ATTRIBUTE
    return 0


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-128-CMAC, by which SGX makes keys and reports."""
    state = CMAC(AES(key))
    state.update(message)
    return state.finalize()


def _judge(connection: socket.socket) -> None:
    """Hash what the fake measures, and answer it at EINIT."""
    measured = hashlib.sha256()
    with connection, connection.makefile("rb") as stream:
        while header := stream.read(8):
            kind, length = struct.unpack("<II", header)
            content = stream.read(length)
            if kind == _UPDATE:
                measured.update(content)
                continue
            if kind in {_KEY, _MAC}:
                key = cmac(CPU_SECRET, content[:_DEPENDENCIES_SIZE])
                connection.sendall(key if kind == _KEY else cmac(key, content[_DEPENDENCIES_SIZE:]))
                continue
            flags, xfrm, misc = struct.unpack_from("<QQQ", content)
            sigstruct = content[24:]
            verdict = einit(sigstruct, measured.digest(), flags, xfrm, misc)
            signer = hashlib.sha256(sigstruct[128:512]).digest()
            connection.sendall(struct.pack("<I", verdict) + measured.digest() + signer)


@contextmanager
def judging() -> Iterator[int]:
    """Judge in a thread; the descriptor is the fake's."""
    ours, theirs = socket.socketpair()
    judge = threading.Thread(target=_judge, args=(ours,))
    judge.start()
    try:
        with theirs:
            yield theirs.fileno()
    finally:
        judge.join()


def judged(program: str, arguments: Sequence[str]) -> int:
    """Run a program that brings the fake, with what else this process has; return its exit code."""
    with judging() as descriptor:
        environment = {**os.environ, "FAKE_JUDGE": str(descriptor)}
        return subprocess.run(
            [program, *arguments], env=environment, pass_fds=(descriptor,), check=False
        ).returncode


def vdso_of(folder: Path) -> Path:
    """Compile the fake vDSO."""
    vdso = folder / "vdso.so"
    flags = ("-target", "x86_64-linux-musl", "-shared", "-nostdlib", "-Wl,--hash-style=gnu")
    zig_cc(*flags, FAKE / "vdso.S", "-o", vdso)
    return vdso


def redirects(vdso: Path) -> tuple[str, ...]:
    """Return the flags by which the PAL finds the fake where the kernel would be."""
    return ("-include", str(FAKE / "redirect.h"), f'-DVDSO="{vdso}"')


def compile_fake(output: Path, *, flags: Sequence[str] = ()) -> Path:
    """Compile host.c of tests/native/boundary with a PAL that finds the fake where the kernel would be."""
    vdso = vdso_of(output.parent)
    pal = sorted((NATIVE / "pal").glob("*.[cS]"))
    fake = [FAKE / name for name in SOURCES]
    return compile_as("runelet", output, [*pal, HERE / "host.c", *fake], ["-Ipal", *redirects(vdso), *flags])


def compile_fake_runelet(folder: Path) -> Path:
    """Compile the runelet with a PAL on the fake, and return a program that runs it and judges for it."""
    need("gcc")
    vdso = vdso_of(folder)
    sources = [
        *sorted((NATIVE / "pal").glob("*.[cS]")),
        *sorted((NATIVE / "runelet").glob("*.c")),
        *(FAKE / name for name in SOURCES),
    ]
    objects = [folder / f"{source.parent.name}-{source.name}.o" for source in sources]
    with ThreadPoolExecutor(max_workers=2) as pool:
        for one in [
            pool.submit(compile_c, "-O0", "-c", source, "-o", target, *redirects(vdso))
            for source, target in zip(sources, objects, strict=True)
        ]:
            one.result()
    compile_c("-pie", *objects, *host_zig_objects(folder), "-pthread", "-o", folder / "program")
    runelet = folder / "runelet"
    runelet.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.path[:0] = {[str(REPOSITORY), str(REPOSITORY / 'tests')]!r}\n"
        "from support.sgx_fake import judged\n"
        f"sys.exit(judged({str(folder / 'program')!r}, sys.argv[1:]))\n"
    )
    runelet.chmod(0o755)
    return runelet


def host_zig_objects(folder: Path) -> list[Path]:
    """Compile what the PAL has of Zig's cryptography."""
    build = build_script()
    unit = next(unit for unit in build.UNITS if unit.output == "runelet")
    cache = NATIVE / ".cache"
    return [build.build_zig_object(item, unit.target, folder, cache) for item in unit.zig_objects]


def run_judged(
    command: Sequence[str | Path],
    *,
    timeout: float = 300,
    environment: Mapping[str, str] | None = None,
    output: int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run a program with the fake in it, and judge for it."""
    with judging() as descriptor:
        return subprocess.run(
            command,
            env={**os.environ, **(environment or {}), "FAKE_JUDGE": str(descriptor)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True, check=False,
            timeout=timeout, pass_fds=(descriptor,),
        )  # fmt: skip


COUNTED = ("eenter", "eresume", "eexit", "aex", "eaccept", "eaug", "eremove", "ioctl")
"""What the fake counts, in its order (fake.h)."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs on the fake."""

    port: int
    counts_file: Path
    process: subprocess.Popen[str]

    def counts(self) -> dict[str, int]:
        """Return what was counted up to now."""
        numbers = struct.unpack(f"<{len(COUNTED)}Q", self.counts_file.read_bytes())
        return dict(zip(COUNTED, numbers, strict=True))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Runs enclave instances on the fake."""

    program: Path

    def run(
        self,
        instance: Path,
        *arguments: str,
        options: str = "",
        storm: int = 0,
        mode: str = "mode=hw",
        timeout: float = 300,
        fake: Mapping[str, str | int] | None = None,
        output: int = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[str]:
        """Run the enclave. ``fake``: the settings of fake.h, in lower case; ``output``: where stdout goes."""
        variables = {f"FAKE_{name.upper()}": str(value) for name, value in (fake or {}).items()}
        words = f"instance={instance} {mode} {options}"
        command = [str(self.program), words, "warning", str(storm), *arguments]
        environment = {**variables, "FAKE_REPORT": "1"}
        return run_judged(command, timeout=timeout, environment=environment, output=output)

    @contextmanager
    def serving(
        self,
        tree: TeeTree,
        *arguments: str,
        counts_file: Path,
        fake: Mapping[str, str | int] | None = None,
    ) -> Iterator[Served]:
        """Run a server that prints its port, and end it."""
        variables = {f"FAKE_{name.upper()}": str(value) for name, value in (fake or {}).items()}
        words = f"instance={tree.instance} mode=hw root={tree.root}"
        with judging() as descriptor:
            environment = {
                **os.environ,
                **variables,
                "FAKE_JUDGE": str(descriptor),
                "FAKE_COUNTS": str(counts_file),
            }
            with subprocess.Popen(
                [self.program, words, "warning", "0", *arguments],
                env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                pass_fds=(descriptor,),
            ) as process:  # fmt: skip
                try:
                    assert process.stdout is not None
                    line = process.stdout.readline()
                    assert line, f"{arguments} ended before it listened: {process.wait()}"
                    yield Served(port=int(line), counts_file=counts_file, process=process)
                finally:
                    process.kill()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The same program in objects, by gcc, so that one with a fault is there in a second."""

    folder: Path
    objects: dict[str, Path]
    program: Path

    @staticmethod
    def create(folder: Path) -> Bench:
        need("gcc")
        zig_objects = host_zig_objects(folder)
        vdso = vdso_of(folder)
        pal = sorted((NATIVE / "pal").glob("*.[cS]"))
        sources = [*pal, HERE / "host.c", *(FAKE / name for name in SOURCES)]
        objects = {source.name: folder / f"{source.parent.name}-{source.name}.o" for source in sources}
        with ThreadPoolExecutor(max_workers=2) as pool:
            compiling = [
                pool.submit(compile_c, "-c", source, "-o", objects[source.name], *redirects(vdso))
                for source in sources
            ]
        for one in compiling:
            one.result()
        objects |= {path.name: path for path in zig_objects}
        bench = Bench(folder=folder, objects=objects, program=folder / "program")
        bench._link(objects, bench.program)
        return bench

    def _link(self, objects: Mapping[str, Path], output: Path) -> None:
        compile_c("-pie", *objects.values(), "-pthread", "-o", output)

    def link_with(self, name: str, *sources: str) -> Path:
        """Build a program of other sources of the fake's folder instead of host.c."""
        added = {source: self.folder / f"{source}.o" for source in sources}
        for source, compiled in added.items():
            compile_c("-c", FAKE / source, "-o", compiled, *redirects(self.folder / "vdso.so"))
        kept = {source: path for source, path in self.objects.items() if source != "host.c"}
        self._link({**kept, **added}, self.folder / name)
        return self.folder / name

    def mutate(self, fault: Mutation) -> Path:
        """Build the program with the fault."""
        text = (NATIVE / "pal" / fault.file).read_text()
        assert text.count(fault.old) == 1, fault
        source, changed = self.folder / fault.file, self.folder / "changed.o"
        source.write_text(text.replace(fault.old, fault.new))
        compile_c("-c", source, "-o", changed, *redirects(self.folder / "vdso.so"))
        program = self.folder / "changed"
        self._link({**self.objects, fault.file: changed}, program)
        return program

    def machine(self, program: Path) -> Machine:
        return Machine(program=program)


def compile_c(*arguments: str | Path) -> None:
    """Signal handlers run on the enclave's FS base: no stack protector, which reads there."""
    flags = (
        "-std=gnu17",
        "-O1",
        "-w",
        "-fPIE",
        "-fno-stack-protector",
        "-I",
        NATIVE / "include",
        "-I",
        NATIVE / "pal",
        "-I",
        NATIVE / "runelet",
    )
    done = subprocess.run(["gcc", *flags, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
