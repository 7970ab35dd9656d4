"""Make the TEE images that are kept for ever, one for each LibOS: ``python -m support.kept_images FOLDER``.

Run it, with ``tests`` as the current folder, on the last commit that writes a format version; the code of
all later versions must still verify what it made. Gramine and Occlum are stand-ins: their code is not kept.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from enclavize.tee.layout import FORMAT_VERSION
from support.images import build_image, directory, file, hard_link, symlink, write_layout
from support.stand_in_toolchain import (
    LOADER,
    PACKAGE,
    compile_stand_in,
    stand_in_gramine,
    stand_in_occlum,
)
from support.tee import Converter

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = {
    "Entrypoint": ["/bin/app", "--serve"],
    "Cmd": ["now", "a b"],
    "Env": ["PATH=/bin", "GREETING=hello"],
    "User": "app",
    "Healthcheck": {"Test": ["CMD", "/bin/app", "--health"]},
    "Labels": {"org.example.kept": "yes"},
}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "builtin": (
        "--allow-args", "--allow-env", "GREETING", "--allow-exec", "/bin/app --dump", "--volume", "/data:ro",
        "--isvprodid", "3", "--isvsvn", "4",
    ),
    "gramine": ("--allow-args", "--allow-env", "GREETING", "--volume", "/data"),
    "occlum": ("--allow-env", "GREETING", "--force", "OCC008"),
}  # fmt: skip


def main(folder: Path) -> None:
    """Build and compress all images, and write the public key beside them."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        converter = Converter.create(scratch)
        source = _source(scratch)
        toolchains = {
            "gramine": ("--toolchain", str(_gramine(scratch))),
            "occlum": ("--toolchain", str(stand_in_occlum(scratch / "occlum-prefix", "0.31.0"))),
        }
        for libos, options in OPTIONS.items():
            archive = scratch / f"{libos}.tar"
            converter.run(
                "build", source, "-t", "kept:1", "--libos", libos, *toolchains.get(libos, ()),
                "--key", str(converter.key), *options, "-o", f"type=oci,dest={archive}",
            )  # fmt: skip
            compressed = zstandard.ZstdCompressor(level=19).compress(archive.read_bytes())
            (folder / f"v{FORMAT_VERSION}-{libos}.tar.zst").write_bytes(compressed)
        public = converter.key.with_name("enclave-key.pub.pem").read_bytes()
        (folder / f"v{FORMAT_VERSION}.pub.pem").write_bytes(public)


def _gramine(scratch: Path) -> Path:
    """Make a stand-in with a C library of its own: otherwise that of this machine would be kept."""
    prefix = stand_in_gramine(scratch / "gramine-prefix")
    for path in ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"):
        (prefix / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(prefix / PACKAGE / "runtime" / "glibc" / Path(path).name, prefix / path)
    return prefix


def _source(scratch: Path) -> str:
    """Write an image with members of every kind that all three LibOSes take."""
    program = compile_stand_in(scratch, "app", LOADER, scratch / "app", "-pie", "-Wl,-e,_start")
    layers = [
        [
            directory("bin"), file("bin/app", program.read_bytes(), 0o755), directory("etc"),
            file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/srv:/bin/sh\n"),
            file("etc/group", "app:x:8:\nmore:x:9:app\n"), directory("srv"), file("srv/old", "old\n"),
            directory("data"),
        ],
        [
            file("srv/old", "new\n"), symlink("srv/link", "old"), hard_link("srv/twin", "srv/old"),
            file("srv/" + "n" * 120, "long\n"), file("srv/block", bytes(range(256)) * 40),
        ],
    ]  # fmt: skip
    image = build_image(layers, config=CONFIG, change_config={"created": "2026-05-06T07:08:09Z"})
    return f"oci:{write_layout(scratch / 'source', {'1': image})}:1"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
