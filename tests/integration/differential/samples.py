"""What a kind of the corpus makes, and who reads it by which way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from support import readers
from support.images import build_image, build_layer, directory, file, write_layout
from support.readers import DOCKERD, OURS, SKOPEO, UMOCI, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from support.images import BuiltImage, BuiltIndex, Layer, Member
    from support.readers import Dockerd, LayoutRegistry, Outcome
    from support.readings import Reading

EXECUTION = {
    "Entrypoint": ["/bin/hello"],
    "Cmd": ["there"],
    "Env": ["GREETING=hello", "HOME=/root"],
    "User": "7:8",
    "WorkingDir": "/srv",
    "Labels": {"who": "me"},
    "StopSignal": "SIGUSR1",
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/srv/data": {}},
}
PROGRAM = "the right program\n"
FILES = (
    directory("bin"),
    file("bin/hello", PROGRAM, 0o755),
    directory("srv"),
    file("srv/x", "1\n"),
)


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """Where images are made and read: a folder, and what runs for all kinds."""

    folder: Path
    dockerd: Dockerd
    registry: LayoutRegistry
    go_archives: Callable[[], list[bytes]]
    """Returns archives by Go's writer, in each of its formats."""
    program: bytes = PROGRAM.encode()
    """What is in /bin/hello."""
    execution: Mapping[str, Any] = field(default_factory=lambda: EXECUTION)
    """What images say of how they are run."""

    @property
    def files(self) -> list[Member]:
        """The files of the lowest layer, the program among them."""
        return self.with_program(FILES)

    def with_program(self, members: Iterable[Member]) -> list[Member]:
        """Return members with the program in its place."""
        is_program = ("bin/hello", PROGRAM.encode())
        return [
            replace(member, data=self.program) if (member.path, member.data) == is_program else member
            for member in members
        ]

    def runnable(self, layers: Sequence[Sequence[Member]]) -> list[list[Member]]:
        """Return layers with the program in its place, below them if there is none and it is to be run."""
        given = [self.with_program(layer) for layer in layers]
        is_there = any(member.path == "bin/hello" for layer in given for member in layer)
        return given if is_there or self.program == PROGRAM.encode() else [self.files, *given]

    def layout(self, image: BuiltImage | BuiltIndex, *ways: str) -> Layout:
        """Write an image as a layout."""
        path = write_layout(self.folder / "layout", {"1": image})
        return Layout(path=path, ways=ways or ("layout",))

    def image_of(self, *layers: Layer | bytes) -> Layout:
        """Write a layout of an image with these layers, base first; archives are not compressed."""
        made = [build_layer(layer, "none") if isinstance(layer, bytes) else layer for layer in layers]
        return self.layout(build_image(made, config=self.execution))

    def both(self, way: str, source: str) -> Iterator[tuple[str, Callable[[], Reading]]]:
        """Yield how this project and skopeo, which know the same sources, read one."""
        for program, read in ((OURS, readers.enclavize), (SKOPEO, readers.skopeo)):
            label = f"{program} {way}"
            yield label, partial(self._read, read, source, label)

    def _read(self, read: Callable[[str, Path], Reading], source: str, label: str) -> Reading:
        return read(source, self.scratch(label))

    def scratch(self, name: str) -> Path:
        """Return a new folder."""
        folder = self.folder / f"scratch-{name.replace(' ', '-')}"
        folder.mkdir()
        return folder


@dataclass(frozen=True, kw_only=True)
class Layout:
    """An image in a layout; engines without layouts read it from a registry that gives the same bytes."""

    path: Path
    tag: str = "1"
    digest: str = ""
    """Of the manifest or index in the registry; by default that of the only entry."""
    ways: tuple[str, ...] = ("layout",)
    """``layout`` and ``registry``: from where this project and skopeo read."""

    built_from: str = ""
    """What ``enclavize build`` is told, where that is another copy."""

    @property
    def location(self) -> str:
        """What ``enclavize build`` is told."""
        return self.built_from or f"oci:{self.path}:{self.tag}"

    def remote(self, laboratory: Laboratory) -> str:
        """Put it into the registry; return its name there."""
        laboratory.registry.layouts[laboratory.folder.name] = self.path
        digest = self.digest or json.loads((self.path / "index.json").read_bytes())["manifests"][0]["digest"]
        return f"{laboratory.registry.host}/{laboratory.folder.name}@{digest}"

    def run_by_dockerd(self, laboratory: Laboratory) -> Outcome:
        """Pull the image and run it."""
        return laboratory.dockerd.run_pulled(self.remote(laboratory))

    def readings(self, laboratory: Laboratory) -> Iterator[tuple[str, Callable[[], Reading]]]:
        """Yield how each program reads, the program's name first, then the way."""
        remote = self.remote(laboratory)
        for way in self.ways:
            yield from laboratory.both(way, self.location if way == "layout" else remote)
        yield f"{UMOCI} layout", lambda: readers.umoci(self.path, self.tag, laboratory.scratch(UMOCI))
        yield f"{DOCKERD} pull", lambda: laboratory.dockerd.pull(remote)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A tar file, read in each way in which it can be read. umoci has it from GNU tar or from skopeo."""

    path: Path
    ways: tuple[str, ...]
    """``oci-archive``, ``docker-archive`` or both."""
    tag: str = "1"
    name: str = ""

    @property
    def location(self) -> str:
        """What ``enclavize build`` is told."""
        wanted = self.tag if self.ways[0] == "oci-archive" else self.name
        return f"{self.ways[0]}:{self.path}" + (f":{wanted}" if wanted else "")

    def run_by_dockerd(self, laboratory: Laboratory) -> Outcome:
        """Load the image and run it."""
        return laboratory.dockerd.run_loaded(self.path, self.name)

    def readings(self, laboratory: Laboratory) -> Iterator[tuple[str, Callable[[], Reading]]]:
        """Yield how each program reads, the program's name first, then the way."""
        for way in self.ways:
            wanted = self.tag if way == "oci-archive" else self.name
            source = f"{way}:{self.path}" + (f":{wanted}" if wanted else "")
            yield from laboratory.both(way, source)
            yield f"{UMOCI} of {way}", partial(self._umoci, laboratory, way, source)
        yield f"{DOCKERD} load", lambda: laboratory.dockerd.load(self.path, self.name)

    def _umoci(self, laboratory: Laboratory, way: str, source: str) -> Reading:
        scratch = laboratory.scratch(f"{UMOCI} {way}")
        layout = scratch / "layout"
        if way == "oci-archive":
            layout.mkdir()
            readers.tool("tar", "-C", layout, "-xf", self.path)
        else:
            readers.tool("skopeo", "copy", "-q", "--insecure-policy", source, f"oci:{layout}:{self.tag}")
        return readers.umoci(layout, self.tag, scratch)


Sample = Layout | Archive


def read_by_all(sample: Sample, laboratory: Laboratory) -> dict[str, Reading | RefusedError]:
    """Let all programs read a sample at the same time; return what they make of it by program and way."""

    def read(program: Callable[[], Reading]) -> Reading | RefusedError:
        try:
            return program()
        except RefusedError as error:
            return error

    programs = dict(sample.readings(laboratory))
    with ThreadPoolExecutor(len(programs)) as pool:
        return dict(zip(programs, pool.map(read, programs.values()), strict=True))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of oddity. ``writer`` is the program that writes it."""

    name: str
    writer: str
    make: Callable[[Laboratory], Sample]
