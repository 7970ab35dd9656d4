"""TEE images for Occlum in simulation, with the PAL of tests/native/runelet_pal where Occlum's would be."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.progress import Reporter
from enclavize.rootfs.unpack import unpack_layers
from support.command import Command
from support.foreign_pal import LOADER, c_library, trial_pal
from support.images import build_image, directory, file, write_layout
from support.programs import need
from support.rune import read_spec, write_bundle
from support.stand_in_toolchain import OCCLUM_VERSION, stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PAL = "libocclum-pal.so"
PROGRAM = "/bin/app"


@dataclass(frozen=True, kw_only=True)
class OcclumImage:
    """An image in a layout and unpacked, the toolchain that it was built with, and the PAL in that."""

    layout: Path
    root: Path
    toolchain: Path
    pal: Path
    config: Mapping[str, Any]

    def bundle(self, folder: Path, *arguments: str, environment: Sequence[str] = ()) -> Path:
        """Unpack it once more into a bundle that an engine would write."""
        if not folder.exists():
            folder.mkdir()
            shutil.copytree(self.root, folder / "rootfs", symlinks=True)
        write_bundle(folder, [PROGRAM, *arguments])
        spec = read_spec(folder)
        spec["process"].update(env=[*self.config["Env"], *environment], cwd=self.config["WorkingDir"])
        spec["root"]["readonly"] = False
        (folder / "config.json").write_text(json.dumps(spec))
        return folder


def occlum_image(
    base: Path, program: bytes, *options: str | Path, version: int = 2, mode: str = "SIM"
) -> OcclumImage:
    """Build an image whose PAL has this version of the PAL API. ``program`` is a file for Occlum's musl."""
    base.mkdir(exist_ok=True)
    toolchain = stand_in_occlum(base / "occlum")
    suffix = "_sim" if mode == "SIM" else ""
    pal = toolchain / "build" / "lib" / f"libocclum-pal{suffix}.so.{OCCLUM_VERSION}"
    trial_pal(pal, version, "-DWAIT_STATUS", "-DAS_OCCLUM")
    image = build_image(
        [[directory("bin"), file(PROGRAM[1:], program, 0o755)]],
        config={"Entrypoint": [PROGRAM], "Cmd": ["show"], "Env": ["PATH=/bin"]},
    )
    source = write_layout(base / "source", {"1": image})
    command = Command(base=base, native=base)
    command.run("keygen", "key.pem")
    command.run(
        "build", f"oci:{source}:1", "--libos", "occlum", "--toolchain", toolchain, "--sgx-mode", mode,
        "--key", "key.pem", "-t", "tee:1", "-o", f"type=oci,tar=false,dest={base / 'layout'}", *options,
    )  # fmt: skip
    cache = BlobCache(base / "cache")
    built = resolve(parse_location(f"oci:{base / 'layout'}:1"), cache=cache, reporter=Reporter())
    unpack_layers(built, base / "tree", cache=cache, reporter=Reporter())
    return OcclumImage(
        layout=base / "layout",
        root=base / "tree",
        toolchain=toolchain,
        pal=pal,
        config=json.loads(built.config_bytes)["config"],
    )


def occlum_program(folder: Path) -> bytes:
    """Compile a program that Occlum could load; nobody runs it. Skip the test where that cannot be done."""
    need("musl-gcc")
    (folder / "app.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(
        ["musl-gcc", "-fPIE", "-pie", folder / "app.c", "-o", folder / "app"], check=True, capture_output=True
    )
    return (folder / "app").read_bytes()


def pal_list(pal: Path | None, digest: str, *, mode: str = "simulation", **changes: str) -> str:
    """Return a list of a node; ``changes`` are other values, as TOML text. ``pal`` None: the image's copy."""
    values = {
        "libos": '"occlum"', "version": f'"{OCCLUM_VERSION}"', "mode": f'"{mode}"', "exit_status": '"wait"',
        "signals": '["TERM", "KILL"]', "pal": f'"{PAL}"', "loader": f'"{LOADER}"',
    } | changes  # fmt: skip
    lines = [f"{name} = {value}\n" for name, value in values.items()]
    path = f'path = "{pal}", ' if pal else ""
    lines += ["[files]\n", f'"{PAL}" = {{ {path}sha256 = "{digest}" }}\n']
    for name, library in c_library().items():
        lines.append(f'"{name}" = {{ path = "{library}", sha256 = "{digest_of(library)}" }}\n')
    return "".join(lines)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    return sha256(path.read_bytes()).hexdigest()
