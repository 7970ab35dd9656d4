"""A Gramine (the real one that ENCLAVIZE_GRAMINE_TOOLCHAIN names, or a stand-in), and images for it."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.resources import native_file
from support.images import build_image, directory, file, symlink, write_layout
from support.programs import need, need_root, zig_cc
from support.stand_in_toolchain import GRAMINE_VARIABLE, gramine_toolchain
from support.tee import Converter

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from support.images import Member

PROBE = Path(__file__).with_name("probe.c")


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Converts images for one Gramine, and runs them."""

    converter: Converter
    toolchain: Path
    base: Path

    def image(self, name: str, members: Sequence[Member], config: Mapping[str, Any]) -> str:
        """Write an ordinary image; return its name as a source."""
        layout = self.base / f"{name}.source"
        shutil.rmtree(layout, ignore_errors=True)
        write_layout(layout, {"1": build_image([members], config=config)})
        return f"oci:{layout}:1"

    def build(self, source: str, name: str, *options: str) -> Path:
        """Convert a source into an OCI layout."""
        layout = self.base / name
        output = f"type=oci,tar=false,dest={layout}"
        self.converter.run("build", source, *self.options(*options), "-o", output)
        return layout

    def options(self, *more: str) -> list[str]:
        """Return the options of a build."""
        signing = [] if "--debug" in more else ["--key", str(self.converter.key)]
        return ["--libos", "gramine", "--toolchain", str(self.toolchain), *signing, *more]

    def verify(self, layout: Path, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Verify with the toolchain that the image was built with."""
        key = self.converter.key.with_name("enclave-key.pub.pem")
        toolchain = () if options else ("--toolchain", str(self.toolchain))
        return self.converter.run(
            "verify", f"oci:{layout}", "--signer", str(key), *toolchain, *options, check=check
        )

    def refused(self, source: str, *options: str) -> str:
        """Build what must be refused; return the message. Nothing is written."""
        layout = self.base / "refused"
        done = self.converter.run(
            "build", source, *self.options(*options), "-o", f"type=oci,tar=false,dest={layout}", check=False
        )
        assert done.returncode
        assert not layout.exists()
        assert "Traceback" not in done.stderr
        return done.stderr

    def digests(self) -> str:
        """Return the digests of Gramine's files, for ``host_files`` and ``--host-files``."""
        return self.converter.run("toolchain", "digests", str(self.toolchain), "--libos", "gramine").stdout

    def run(self, layout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run in direct mode, in a container."""
        options, words = (
            (arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :])
            if "--" in arguments
            else (arguments, ())
        )
        return self.converter.run("run", "--simulate", *options, f"oci:{layout}", *words, check=False)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a laboratory for all tests."""
    if not native_file("runelet-gramine").is_file():
        pytest.skip("the native components are not built")
    base = tmp_path_factory.mktemp("gramine")
    return Lab(converter=Converter.create(base), toolchain=gramine_toolchain(base / "prefix"), base=base)


@pytest.fixture(scope="session")
def real(lab: Lab) -> Lab:
    """Return the laboratory where it has a real Gramine and can run containers."""
    if GRAMINE_VARIABLE not in os.environ:
        pytest.skip(f"no real Gramine: {GRAMINE_VARIABLE} is not set")
    need("runc")
    need_root()
    return lab


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the program that tells what it sees, static."""
    path = tmp_path_factory.mktemp("probe") / "probe"
    zig_cc("-target", "x86_64-linux-musl", "-static", "-O1", "-s", PROBE, "-o", path)
    return path


@pytest.fixture(scope="session")
def members(probe: Path) -> list[Member]:
    """Return a small image: the program under two names, data, users."""
    return [
        directory("usr"),
        directory("usr/bin"),
        symlink("bin", "usr/bin"),
        file("usr/bin/probe", probe.read_bytes(), 0o755),
        symlink("usr/bin/also", "probe"),
        directory("etc"),
        file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/srv:/bin/sh\n"),
        file("etc/hosts", "127.0.0.1 inside\n"),
        directory("srv"),
        file("srv/data", "data\n"),
    ]


CONFIG = {"Entrypoint": ["probe"], "Cmd": ["show"], "Env": ["PATH=/bin", 'LINES=a\nb"c\\'], "User": "app"}


@pytest.fixture(scope="session")
def source(lab: Lab, members: list[Member]) -> str:
    """Return the small image."""
    return lab.image("small", members, CONFIG)


@pytest.fixture(scope="session")
def built(lab: Lab, source: str) -> Path:
    """Return the small image, converted with a key."""
    return lab.build(source, "built")


def layers_of(layout: Path) -> list[Path]:
    """Return the layers of the only image in a layout, base first."""
    index = json.loads((layout / "index.json").read_text())
    manifest = json.loads(_blob(layout, index["manifests"][0]["digest"]).read_text())
    return [_blob(layout, layer["digest"]) for layer in manifest["layers"]]


def member(layer: Path, name: str) -> bytes:
    """Return a file of a layer."""
    with tarfile.open(layer) as archive:
        stream = archive.extractfile(name)
        assert stream is not None
        return stream.read()


def manifest_of(layout: Path) -> bytes:
    """Return the manifest of a converted image."""
    return member(layers_of(layout)[-1], ".enclave/instance/app.manifest.sgx")


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")
