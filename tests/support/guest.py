"""One program, guest.c, in images that engines load: an ordinary one, and TEE images of two policies."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.programs import static_musl
from support.tee import Converter, ordinary_image

ORDINARY = "docker.io/library/ordinary:1"
TEE = "docker.io/library/tee:1"
STRICT = "docker.io/library/strict:1"
_OPEN = (
    "--allow-args", "--allow-env", "TAKEN", "--volume", "/data", "--volume", "/dev/termination-log",
)  # fmt: skip
_SOURCE = Path(__file__).with_name("guest.c")


def ordinary_guest(base: Path) -> Path:
    """Return a layout of the ordinary image; its tag is 1."""
    for folder in ("bin", "data", "tmp"):
        (base / "rootfs" / folder).mkdir(parents=True)
    static_musl(_SOURCE, base / "rootfs" / "bin" / "guest")
    config = ("--config.entrypoint", "/bin/guest", "--config.cmd", "wait", "--config.env", "PATH=/bin")
    ordinary_image(base / "ordinary", base / "rootfs", config=config)
    return base / "ordinary"


def guest_layouts(base: Path) -> dict[str, Path]:
    """Return layouts of the images, by name; the tag in each is 1."""
    source = f"oci:{ordinary_guest(base)}:1"
    converter = Converter.create(base)
    found = {ORDINARY: base / "ordinary"}
    for name, options in ((TEE, _OPEN), (STRICT, ())):
        built = base / f"{len(found)}.tar"
        converter.run(
            "build", source, "-t", name, "--key", str(converter.key), *options, "-o", f"type=oci,dest={built}"
        )
        found[name] = base / f"layout-{len(found)}"
        subprocess.run(["skopeo", "copy", "-q", f"oci-archive:{built}", f"oci:{found[name]}:1"], check=True)
    return found
