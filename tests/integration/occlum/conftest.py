"""An installation of Occlum, an image for it, and the command to convert the one with the other."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from enclavize.libos.occlum.versions import Change, parse_release
from enclavize.libos.toolchain import open_toolchain
from enclavize.oci.cache import BlobCache
from enclavize.progress import Reporter
from support.command import Command
from support.images import build_image, directory, file, hard_link, symlink, write_layout
from support.programs import need
from support.stand_in_toolchain import occlum_toolchain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.images import BuiltImage, Member

DATA = bytes(range(256)) * 4000
CONFIG = {
    "Entrypoint": ["app", "--serve"],
    "Cmd": ["now"],
    "Env": ["PATH=/usr/bin:/bin", "GREETING=hello"],
}


@dataclass(frozen=True, kw_only=True)
class Converter:
    """Converts images with Occlum, signed by ``key``."""

    command: Command
    toolchain: Path
    key: Path

    def build(self, source: str, name: str, *options: str | Path, code: int = 0) -> str:
        """Build; return the TEE image's name, or what was said when it failed."""
        signing = () if "--debug" in options else ("--key", self.key)
        done = self.command.run(
            "build", source, "--libos", "occlum", "--toolchain", self.toolchain, *signing, "-o",
            f"type=oci,tar=false,dest={self.command.base / name}", *options, code=code,
        )  # fmt: skip
        return done.stderr if code else f"oci:{self.command.base / name}"


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the installation that the environment names, or a stand-in."""
    return occlum_toolchain(tmp_path_factory.mktemp("toolchain") / "occlum", "0.31.0")


@pytest.fixture
def since_0_30(toolchain: Path) -> None:
    """Skip the test where a real installation is too old for it."""
    found = open_toolchain(str(toolchain), libos="occlum", cache=BlobCache(), reporter=Reporter())
    if not parse_release(found.version).has(Change.EDMM):
        pytest.skip(f"Occlum {found.version} has two configurations, and no EDMM")


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Compile a program that needs musl, and is what Occlum can load."""
    need("musl-gcc")
    folder = tmp_path_factory.mktemp("program")
    source = folder / "app.c"
    source.write_text("int main(void) { return 7; }\n")
    subprocess.run(
        ["musl-gcc", "-O1", "-fPIE", "-pie", source, "-o", folder / "app"], check=True, capture_output=True
    )
    return (folder / "app").read_bytes()


@pytest.fixture(scope="session")
def members(program: bytes) -> list[list[Member]]:
    """Give the layers of an image; the upper one replaces a file of the lower."""
    return [
        [
            directory("usr"), directory("usr/bin"), directory("usr/lib"), symlink("bin", "usr/bin"),
            symlink("lib", "usr/lib"), directory("data"), directory("etc"),
            file("usr/bin/app", program, 0o755), file("data/large", DATA),
            hard_link("data/twin", "data/large"), file("data/changed", "old\n"),
            file("usr/lib/ld-musl-x86_64.so.1", "the image's own", 0o755),
        ],
        [file("data/changed", "new\n"), symlink("data/link", "large")],
    ]  # fmt: skip


@pytest.fixture
def make(command: Command, members: list[list[Member]]) -> Callable[..., str]:
    """Return what writes an image and returns its name."""

    def write(more: list[Member] | None = None, name: str = "source", **config: object) -> str:
        image: BuiltImage = build_image(
            [*members, *([more] if more else [])],
            config=CONFIG | config,
            change_config={"created": "2026-05-06T07:08:09Z"},
        )
        folder = command.base / name
        shutil.rmtree(folder, ignore_errors=True)
        return f"oci:{write_layout(folder, {'1': image})}:1"

    return write


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key."""
    base = tmp_path_factory.mktemp("key")
    Command(base=base, native=base).run("keygen", "key.pem")
    return base / "key.pem"


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return the command with an empty home; it needs no native files."""
    base = tmp_path / "home"
    base.mkdir()
    return Command(base=base, native=tmp_path)


@pytest.fixture
def converter(command: Command, toolchain: Path, key: Path) -> Converter:
    """Return the command with a key."""
    return Converter(command=command, toolchain=toolchain, key=key)
