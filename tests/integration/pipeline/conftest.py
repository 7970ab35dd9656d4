"""A registry with an image in it, and the command to convert it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.oci.registry.target import RegistryTarget
from enclavize.progress import Reporter
from support.command import Built, Command
from support.images import build_image, directory, file, symlink, to_write
from support.programs import busybox
from support.registry import running_registry
from support.stand_in import native_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.images import BuiltImage
    from support.registry import Registry

CONFIG = {
    "Entrypoint": ["busybox"],
    "Cmd": ["ls", "-l"],
    "Env": ["PATH=/bin", "GREETING=hello"],
    "User": "app",
    "StopSignal": "SIGUSR1",
    "Labels": {"who": "me"},
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000},
}


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the native files: the real ones where they are built, stand-ins otherwise."""
    return native_files(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Run a registry for all tests."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def image() -> BuiltImage:
    """Return an image of two layers with a real program."""
    return build_image(
        [
            [
                directory("bin"),
                file("bin/busybox", busybox().read_bytes(), 0o755),
                symlink("bin/ls", "busybox"),
            ],
            [
                directory("etc"),
                file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/home/app:/bin/sh\n"),
                file("etc/group", "app:x:8:\nmore:x:9:app\n"),
                file("etc/hostname", "box\n"),
                file("data", b"0123456789abcdef" * 50_000),
            ],
        ],
        config=CONFIG,
        change_config={"created": "2026-05-06T07:08:09Z"},
    )


@pytest.fixture(scope="session")
def push(registry: Registry) -> Callable[[BuiltImage, str], str]:
    """Return what puts an image into the registry and returns its name."""

    def push_image(image: BuiltImage, name: str) -> str:
        reference = f"{registry.host}/{name}"
        RegistryTarget().deliver(to_write(image, reference), Reporter())
        return reference

    return push_image


@pytest.fixture
def command(tmp_path: Path, native: Path) -> Command:
    """Return the command with an empty home."""
    base = tmp_path / "home"
    base.mkdir()
    return Command(base=base, native=native)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory, native: Path) -> Path:
    """Return a signing key."""
    base = tmp_path_factory.mktemp("key")
    Command(base=base, native=native).run("keygen", "key.pem")
    return base / "key.pem"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, native: Path, image: BuiltImage, key: Path) -> Built:
    """Build a production image once."""
    from support.images import write_layout

    base = tmp_path_factory.mktemp("built")
    command = Command(base=base, native=native)
    source = write_layout(base / "source", {"1": image})
    layout = base / "layout"
    command.run(
        "build", f"oci:{source}", "--key", key, "--isvprodid", "3", "--isvsvn", "4", "-o",
        f"type=oci,tar=false,dest={layout}",
    )  # fmt: skip
    return Built(command=command, layout=layout, key=key, public_key=key.with_name("key.pub.pem"))
