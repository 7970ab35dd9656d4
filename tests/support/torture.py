"""A small enclave for tests of the boundary, host programs that run it, and the flags of native/build.py."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave, write_signed
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.local import sign_sigstruct
from support.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

    from enclavize.signing.local import LocalSigner

HERE = REPOSITORY / "tests" / "native" / "boundary"
NATIVE = REPOSITORY / "native"
LIBOS = NATIVE / "libos"
BOUNDARY = (
    *sorted((LIBOS / "boundary").glob("*.c")),
    *(LIBOS / "cpu" / name for name in ("entry.S", "sgx_metadata.S", "exception.c", "vector.c")),
    *(LIBOS / "base" / name for name in ("memcpy.c", "sha256.c", "upcalls.c")),
)
"""What stands between the host and the rest of the LibOS; the cores under test bring the other parts."""
TORTURE = ("torture_round.S", "torture_main.c", "torture_core.c")
THREADS = 8

CONFIG = EnclaveConfig(
    tcs_num=THREADS,
    tcs_max_num=THREADS,
    tcs_min_pool=THREADS,
    stack_min_size=0x4000,
    stack_max_size=0x4000,
    heap_min_size=0x1000,
    heap_init_size=0x1000,
    heap_max_size=0x1000,
    misc_select=1,
    enclave_image_address=0xF_0000_0000,
    elrange_start_address=0,
    elrange_size=1 << 36,
)


def build_script() -> ModuleType:
    """native/build.py: what is tested is compiled as the product is."""
    if str(NATIVE) not in sys.path:
        sys.path.insert(0, str(NATIVE))
    return importlib.import_module("build")


def compile_as(name: str, output: Path, sources: Sequence[Path], flags: Sequence[str] = ()) -> Path:
    """Compile sources with the flags and the Zig objects of one of the product's files; symbols stay."""
    build = build_script()
    unit = next(unit for unit in build.UNITS if unit.output == name)
    folder = output.parent
    cache = NATIVE / ".cache"
    objects = [str(build.build_zig_object(item, unit.target, folder, cache)) for item in unit.zig_objects]
    flags = [
        *(flag for flag in unit.flags if flag != "-s"),
        "-g",
        *flags,
    ]  # zig strips what has -Os and no -g
    arguments = ("-target", unit.target, *build.COMMON, *flags, *map(str, sources), *objects)
    build.zig("cc", *arguments, "-o", str(output), cache=cache)
    return output


def compile_host(output: Path, *, without: Sequence[str] = (), extra: Sequence[Path] = ()) -> Path:
    """Compile host.c with the PAL in it."""
    pal = [path for path in sorted((NATIVE / "pal").glob("*.[cS]")) if path.name not in without]
    return compile_as("runelet", output, [*pal, HERE / "host.c", *extra], ["-Ipal"])


def sign(unsigned: Path, output: Path, signer: LocalSigner, config: EnclaveConfig = CONFIG) -> Path:
    """Sign an enclave file as the product does."""
    enclave = measure_enclave(unsigned, config)
    sigstruct = sign_sigstruct(Sigstruct(measurement=enclave.measurement, date=0x20260101), signer)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_signed(enclave, sigstruct, output)
    return output


@dataclass(frozen=True, kw_only=True)
class Host:
    """Runs enclave instances by a host program."""

    program: Path
    instance: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str,
        options: str = "",
        storm: int = 0,
        mode: str = "mode=sim",
        instance: Path | None = None,
        wrapper: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run the enclave with arguments for the torture core; ``storm``: microseconds between signals."""
        words = f"instance={instance or self.instance} {mode} {options}"
        return subprocess.run(
            [*wrapper, self.program, words, "info", str(storm), *arguments],
            capture_output=True, text=True, check=False, timeout=500, env={**os.environ, **self.environment},
        )  # fmt: skip
