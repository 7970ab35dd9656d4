"""TEE bundles for tests of rune: real TEE images, and a runelet with a PAL that has no enclave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.resources import native_file
from enclavize.rootfs.unpack import unpack_layers
from support.command import Command
from support.images import build_image, directory, file, write_layout
from support.programs import REPOSITORY, busybox, zig_cc
from support.stand_in import native_files
from support.torture import compile_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

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
    """Compile rune's front end, with undefined behaviour trapped."""
    sources = [*sorted((_NATIVE / "rune").glob("*.c")), _NATIVE / "pal" / "sha256.c"]
    return compile_as("rune", output, sources, ["-fsanitize=undefined", "-fsanitize-trap=undefined"])


@dataclass(frozen=True, kw_only=True)
class UnpackedTeeImage:
    """A small production image that allows arguments: in a layout with the tag 1, and unpacked."""

    layout: Path
    root: Path
    public_key: Path

    @property
    def mrsigner(self) -> str:
        """Who signed it, in hex."""
        return str(self.description["mrsigner"])

    @property
    def description(self) -> dict[str, Any]:
        """What ``enclave.json`` says."""
        found = json.loads((self.root / ".enclave" / "enclave.json").read_text())
        assert isinstance(found, dict)
        return found

    def copy(self, root: Path) -> Path:
        """Unpack it once more."""
        shutil.copytree(self.root, root, symlinks=True)
        return root


def tee_image(base: Path, *options: str | Path, runelet: Path | None = None) -> UnpackedTeeImage:
    """Convert an image of busybox and a folder, and unpack it. ``options`` are those of a build."""
    base.mkdir(exist_ok=True)
    members = [directory("bin"), file("bin/busybox", busybox().read_bytes(), 0o755), directory("folder")]
    image = build_image([members], config={"Entrypoint": ["/bin/busybox"], "Env": ["PATH=/bin"]})
    source = write_layout(base / "source", {"1": image})
    native = base / "native"
    shutil.copytree(native_files(base), native)
    if runelet:
        shutil.copy(runelet, native / "runelet")
    command = Command(base=base, native=native)
    command.run("keygen", "key.pem")
    signing = () if {"--debug", "--unsigned"}.intersection(options) else ("--key", "key.pem")
    command.run(
        "build", f"oci:{source}", *signing, "--allow-args", "-t", "tee:1", *options,
        "-o", f"type=oci,tar=false,dest={base / 'layout'}",
    )  # fmt: skip
    cache = BlobCache(base / "cache")
    converted = resolve(parse_location(f"oci:{base / 'layout'}:1"), cache=cache, reporter=Reporter())
    unpack_layers(converted, base / "tree", cache=cache, reporter=Reporter())
    return UnpackedTeeImage(layout=base / "layout", root=base / "tree", public_key=base / "key.pub.pem")


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
        shutil.copytree(REPOSITORY / "libos_profiles", package / "libos_profiles")
        (package / "enclavize" / "_native").mkdir()
        shutil.copy(native_file("libos.so"), package / "enclavize" / "_native")
        stub_runelet(package / "enclavize" / "_native" / "runelet")
        hook = (_NATIVE / "rune_hook" / "main.c", _NATIVE / "rune" / "mountinfo.c")
        _compile(package / "enclavize" / "_native" / "rune-hook", *hook)
        (base / "bin").mkdir()
        shutil.copy(front_end(package / "enclavize" / "_native" / "rune"), base / "bin" / "rune")
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
