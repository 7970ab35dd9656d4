"""A corpus of images: each is made of layers, checked against all profiles, converted and run."""

from __future__ import annotations

import shlex
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.compat.profile import builtin_profiles
from enclavize.compat.report import Verdict
from enclavize.oci.location import parse_location
from enclavize.pipeline.build import build
from enclavize.pipeline.check import check_image
from enclavize.pipeline.options import BuildOptions, Output, OutputKind
from enclavize.progress import Reporter
from support.images import (
    build_image,
    build_layer,
    directory,
    file,
    symlink,
    write_docker_archive,
    write_layout,
)
from support.stopping import stop
from support.tee import TeeTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from enclavize.compat.report import Report
    from support.images import Layer, Member

RUNS = "."


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image of the corpus, and what is true of it.

    ``verdicts`` has one column for each profile: "." if the image runs, else the numbers of the codes of its
    errors, joined by "+". ``prints`` is part of what a run in the enclave writes to standard output; an image
    that is impossible there must not print it.
    """

    name: str
    layers: tuple[Callable[[], Layer], ...]
    run: tuple[str, ...]
    verdicts: str
    prints: str
    config: Mapping[str, object] = field(default_factory=dict)
    docker: bool = False
    """Whether the image is an archive of ``docker save``; else it is an OCI layout."""

    @property
    def columns(self) -> dict[str, str]:
        """The expected verdict by profile."""
        return dict(zip(PROFILES, self.verdicts.split(), strict=True))


def image(
    name: str,
    run: str,
    prints: str,
    verdicts: str,
    *layers: Callable[[], Layer],
    docker: bool = False,
    **config: Any,
) -> Case:
    """One row of the table."""
    return Case(
        name=name, verdicts=verdicts, prints=prints, run=tuple(shlex.split(run)), layers=layers,
        docker=docker, config=config,
    )  # fmt: skip


SERVED_SECONDS = 6
"""How long a server that says nothing has to run."""
SAID_SECONDS = 300
"""How long the busiest machine may take until a server says what it should."""

PROFILES = (
    "occlum@0.18.1", "occlum@0.21.0", "occlum@0.24.0", "occlum@0.29.7", "occlum@0.30.1", "occlum@0.31.0",
    "occlum@0.31.0-ubuntu22.04", "gramine@1.8", "gramine@1.9", "builtin@0.2.0",
)  # fmt: skip
"""The columns."""


def members_of(folder: Path, to: str = "") -> Iterator[Member]:
    """Yield what ``folder`` holds, sorted, owned by root, as tar members below ``to``."""
    for path in sorted(folder.rglob("*")):
        target = to + path.relative_to(folder).as_posix()
        info = path.lstat()
        mode = stat.S_IMODE(info.st_mode)
        if stat.S_ISLNK(info.st_mode):
            yield symlink(target, str(path.readlink()))
        elif stat.S_ISDIR(info.st_mode):
            yield directory(target, mode)
        elif stat.S_ISREG(info.st_mode):
            yield file(target, path.read_bytes(), mode)


def layer_of(members: Callable[[], Iterable[Member]]) -> Callable[[], Layer]:
    """Return what makes a layer of members, which are compiled or downloaded when it is made."""
    return lambda: build_layer(members(), "none")


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """Makes, checks, converts and runs images in ``base``."""

    base: Path

    def image(self, case: Case) -> str:
        """Write the image; return its name as a source."""
        place = self.base / case.name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        execution = {"Env": ["PATH=/usr/bin:/bin"], "Entrypoint": list(case.run), **case.config}
        image = build_image([make() for make in case.layers], config=execution, docker=case.docker)
        if case.docker:
            return f"docker-archive:{write_docker_archive(place / 'image.tar', {'': image})}"
        return f"oci:{write_layout(place / 'layout', {'1': image})}:1"

    def reports(self, source: str) -> dict[str, Report]:
        """Check an image against all profiles."""
        reports = check_image(parse_location(source), builtin_profiles(), insecure=False, reporter=Reporter())
        return {f"{report.libos}@{report.libos_version}": report for report in reports}

    def run(self, case: Case, source: str, report: Report) -> subprocess.CompletedProcess[bytes]:
        """Convert, against all errors of the check, and run in the enclave."""
        folder = self.base / case.name / "tee"
        options = BuildOptions(
            source=parse_location(source),
            outputs=(Output(kind=OutputKind.LOCAL, destination=folder),),
            forced=tuple({finding.code for finding in report.errors}),
        )
        build(options, Reporter())
        tree = TeeTree(root=folder)
        serves = not report.errors and "ExposedPorts" in case.config
        done = _served(tree, case.prints.encode(), folder.with_name("output")) if serves else tree.run()
        shutil.rmtree(self.base / case.name)
        return done


def _served(tree: TeeTree, text: bytes, output: Path) -> subprocess.CompletedProcess[bytes]:
    """Start a server until it has printed the text; return 0 if it did not end by itself."""
    with output.open("wb") as stream, tree.start(output=stream, stdin=subprocess.DEVNULL) as process:
        end = time.monotonic() + (SAID_SECONDS if text else SERVED_SECONDS)
        try:
            while time.monotonic() < end and not (text and text in output.read_bytes()):
                if process.poll() is not None:
                    break
                time.sleep(0.1)
            code = process.poll() or 0
        finally:
            stop(process)
    said = output.read_bytes()
    return subprocess.CompletedProcess(args=(), returncode=code, stdout=said, stderr=said)


def verdict(report: Report) -> str:
    """Return a report as it stands in a column."""
    if report.verdict is not Verdict.FAILS:
        return RUNS
    return "+".join(sorted({finding.code.removeprefix("OCC") for finding in report.errors}))
