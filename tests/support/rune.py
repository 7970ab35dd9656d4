"""TEE bundles for tests of rune: real signed enclave files, and a runelet with a PAL that has no enclave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.libos.base import Policy
from enclavize.resources import native_file
from enclavize.sgx.enclave_file.signed import read_signed
from enclavize.tee.description import TeeDescription
from support.programs import REPOSITORY, zig_cc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SIGNED_ENCLAVE = REPOSITORY / "tests" / "vectors" / "intel" / "cases" / "default" / "signed.so"
ENTRYPOINT = "/.enclave/bin/runelet"
_STUB = REPOSITORY / "tests" / "native" / "runelet" / "stub_pal.c"
_NATIVE = REPOSITORY / "native"


def _compile(output: Path, *sources: Path) -> Path:
    """Compile with undefined behaviour trapped."""
    zig_cc(
        "-target", "x86_64-linux-musl", "-std=c17", "-Wall", "-Wextra", "-Werror", "-O1", "-g0", "-static",
        "-fsanitize=undefined", "-fsanitize-trap=undefined",
        f"-I{_NATIVE / 'include'}", *sources, "-o", output,
    )  # fmt: skip
    return output


def stub_runelet(output: Path) -> Path:
    """Compile the runelet with the PAL of tests/native/runelet."""
    return _compile(output, *sorted((_NATIVE / "runelet").glob("*.c")), _STUB)


def front_end(output: Path) -> Path:
    """Compile rune's front end."""
    return _compile(output, *sorted((_NATIVE / "rune").glob("*.c")))


def production_enclave() -> bytes:
    """Return the enclave as nobody may debug it: EINIT compares DEBUG. No test checks its signature."""
    data = bytearray(SIGNED_ENCLAVE.read_bytes())
    at = data.index(read_signed(SIGNED_ENCLAVE).sigstruct.to_bytes())
    data[at + 944] |= 2  # ATTRIBUTEMASK.DEBUG
    return bytes(data)


def tee_tree(root: Path, runelet: Path, policy: Policy | None = None) -> Path:
    """Make the root file system of a TEE image whose enclave is a file that Intel's tool signed."""
    sigstruct = read_signed(SIGNED_ENCLAVE).sigstruct
    description = TeeDescription(
        generator="test",
        libos="builtin",
        libos_version="0",
        mrenclave=sigstruct.mrenclave.hex(),
        mrsigner=sigstruct.mrsigner.hex(),
        isv_prod_id=sigstruct.measurement.isv_prod_id,
        isv_svn=sigstruct.measurement.isv_svn,
        debug=sigstruct.measurement.attributes.debug,
        argv=("/bin/app",),
        files={},
        policy=policy or Policy(),
    )
    (root / ".enclave" / "bin").mkdir(parents=True)
    (root / ".enclave" / "instance").mkdir()
    shutil.copy(runelet, root / ".enclave" / "bin" / "runelet")
    (root / ".enclave" / "instance" / "enclave.signed.so").write_bytes(production_enclave())
    (root / ".enclave" / "enclave.json").write_bytes(description.to_bytes())
    return root


def write_bundle(folder: Path, arguments: Sequence[str], environment: Sequence[str] = ()) -> Path:
    """Let runc write a configuration for the rootfs in ``folder``; no terminal."""
    (folder / "config.json").unlink(missing_ok=True)
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    spec = read_spec(folder)
    spec["process"].update(terminal=False, args=list(arguments), env=["PATH=/bin", *environment])
    (folder / "config.json").write_text(json.dumps(spec))
    return folder


def read_spec(folder: Path) -> dict[str, Any]:
    """Return a bundle's configuration."""
    spec = json.loads((folder / "config.json").read_text())
    assert isinstance(spec, dict)
    return spec


@dataclass(frozen=True, kw_only=True)
class RuneInstallation:
    """``rune`` beside ``enclavize-rune``, as a wheel installs them; ``package`` holds ``enclavize``."""

    rune: Path
    package: Path

    @staticmethod
    def create(base: Path) -> RuneInstallation:
        """Install what was built."""
        (base / "bin").mkdir()
        shutil.copy(native_file("rune"), base / "bin" / "rune")
        return RuneInstallation._finish(base, REPOSITORY)

    @staticmethod
    def with_stub(base: Path) -> RuneInstallation:
        """Install a copy whose runelet has the stub PAL."""
        package = base / "package"
        ignored = shutil.ignore_patterns("_native", "__pycache__")
        shutil.copytree(REPOSITORY / "enclavize", package / "enclavize", ignore=ignored)
        (package / "enclavize" / "_native").mkdir()
        stub_runelet(package / "enclavize" / "_native" / "runelet")
        _compile(package / "enclavize" / "_native" / "rune-hook", _NATIVE / "rune_hook" / "main.c")
        (base / "bin").mkdir()
        front_end(base / "bin" / "rune")
        return RuneInstallation._finish(base, package)

    @staticmethod
    def _finish(base: Path, package: Path) -> RuneInstallation:
        script = base / "bin" / "enclavize-rune"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(package)!r})\n"
            "from enclavize.rune.__main__ import main\nmain()\n"
        )
        script.chmod(0o755)
        return RuneInstallation(rune=base / "bin" / "rune", package=package)

    @property
    def runelet(self) -> Path:
        """The host's own runelet."""
        return self.package / "enclavize" / "_native" / "runelet"

    def run(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run rune with these arguments."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})}
        return subprocess.run(
            [self.rune, *arguments], env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
