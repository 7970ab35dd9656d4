"""Conversion on the node, under containerd, beside a TEE image's start and ``enclavize build``."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import Row, median_of, run, seconds
from bench.images import large_image
from support.cri import Cri, remove_control_groups
from support.engines import running_cri
from support.guest import ORDINARY, TEE, guest_layouts
from support.node import running_node
from support.rune import RuneInstallation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.cri import Pod
    from support.engines import Engine
    from support.node import Node

ROUNDS = 15
CONVERSIONS = 3
LARGE = "docker.io/library/large:1"
_ENCLAVIZE = (sys.executable, "-m", "enclavize")


def node_rows(base: Path) -> list[Row]:
    """Measure the second start of a converted image, and the first start of one of 490 MB."""
    folder = base / "node"
    folder.mkdir()
    key = folder / "key.pem"
    subprocess.run([*_ENCLAVIZE, "keygen", key], check=True, capture_output=True)
    (folder / "images").mkdir()
    layouts = guest_layouts(folder / "images")
    large = large_image().layout
    with running_node(("--key", key)) as node, _engine(folder, node) as engine:
        for name, layout in ((ORDINARY, layouts[ORDINARY]), (TEE, layouts[TEE]), (LARGE, large)):
            _import(engine, layout, name, folder)
        cri = Cri(engine.command[-1])
        with tempfile.TemporaryDirectory(prefix="cri-logs-") as logs:
            pod = cri.pod("rune", Path(logs))
            try:
                return [_second_start(cri, pod), _first_start(cri, pod, node, folder, large)]
            finally:
                cri.remove(pod.id)


@contextmanager
def _engine(folder: Path, node: Node) -> Iterator[Engine]:
    (folder / "installed").mkdir()
    rune = RuneInstallation.create(folder / "installed").rune
    with running_cri(rune, ORDINARY, {"PATH": os.environ["PATH"], **node.variables}) as engine:
        yield engine
    remove_control_groups()


def _import(engine: Engine, layout: Path, name: str, folder: Path) -> None:
    archive = folder / "imported.tar"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:1", f"oci-archive:{archive}:{name}"], check=True)
    engine.run("--namespace", "k8s.io", "images", "import", "--snapshotter", "native", archive, check=True)
    archive.unlink()


def _started(cri: Cri, pod: Pod, image: str, *, between: Callable[[], object] = lambda: None) -> float:
    """Create a container and start it; return the seconds of the start, which has rune's create in it."""
    container = cri.create(pod, image, args=("exit", "0") if image != LARGE else ())
    between()
    start = time.perf_counter()
    cri.on("StartContainer", container)
    needed = time.perf_counter() - start
    cri.stop(container, 0)
    cri.on("RemoveContainer", container)
    return needed


def _second_start(cri: Cri, pod: Pod) -> Row:
    for image in (ORDINARY, TEE):
        _started(cri, pod, image)
    pairs = [(_started(cri, pod, ORDINARY), _started(cri, pod, TEE)) for _ in range(ROUNDS)]
    ours, tee = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Row(
        name="node: second start of a converted image",
        target="<= 30 ms beyond a TEE image",
        ours=seconds(ours),
        peer=f"{seconds(tee)} TEE image",
        met=ours <= tee + 0.03,
    )


def _first_start(cri: Cri, pod: Pod, node: Node, folder: Path, layout: Path) -> Row:
    """Each with an empty cache, by turns."""
    starts, builds = [], []
    for number in range(CONVERSIONS):

        def forget() -> None:
            node.run("forget", "--all")
            subprocess.run(["rm", "-rf", node.folder / "cache" / "cache"], check=True)

        starts.append(_started(cri, pod, LARGE, between=forget))
        output = folder / f"built{number}.tar"
        builds.append(
            run(
                [
                    *_ENCLAVIZE, "build", f"oci:{layout}:1", "-t", "large:tee",
                    "--key", folder / "key.pem", "-o", f"type=oci,dest={output}", "-q",
                ],
                {**os.environ, "XDG_CACHE_HOME": str(folder / f"cache{number}")},
            )
        )  # fmt: skip
        output.unlink()
    ours, build = statistics.median(starts), median_of(builds)
    return Row(
        name="node: first start of 490 MB",
        target="<= 1.2 x enclavize build from a layout",
        ours=seconds(ours),
        peer=f"{seconds(build.seconds)} enclavize build",
        met=ours <= 1.2 * build.seconds,
    )
