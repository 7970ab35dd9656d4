"""Which engine has started a rune: the parent of its process tells.

    containerd-shim-runc-v2 -namespace NAMESPACE -id ID -address SOCKET       containerd; docker, in "moby"
    conmon ... --exit-command-arg --root --exit-command-arg FOLDER ...        podman

Who asks the daemon is root, and so is its parent: nothing of this is a container's to choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.node.engines.documents import Documents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.node.engines.found import Engine

SHIM = "containerd-shim-runc-v2"
CONMON = "conmon"
DOCKER_NAMESPACE = "moby"
_EXIT_ARGUMENT = "--exit-command-arg"
_DEFAULT_STORAGE = "/var/lib/containers/storage"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What command lines do not tell. ``fetch_layers``: see ``ContainerdImages``.

    ``documents`` are shared by all requests.
    """

    docker_host: str
    fetch_layers: bool = False
    documents: Documents = field(default_factory=Documents)


def engine_of(pid: int, settings: EngineSettings) -> Engine:
    """Return the engine that has started a process. Raises EnclavizeError for none that is known."""
    return engine_by(_parent_of(pid), settings)


def engine_by(parent: Sequence[str], settings: EngineSettings) -> Engine:
    """Return the engine whose part has this command line. Raises EnclavizeError."""
    program = PurePosixPath(parent[0]).name if parent else ""
    if program.startswith(SHIM):
        namespace, address = _option(parent, "namespace"), _option(parent, "address")
        if namespace and address:
            from enclavize.node.engines.containerd_images import ContainerdImages

            images = ContainerdImages(
                address, namespace, documents=settings.documents, fetches=settings.fetch_layers
            )
            if namespace == DOCKER_NAMESPACE:
                from enclavize.node.engines.docker import DockerEngine

                return DockerEngine(settings.docker_host, images)
            from enclavize.node.engines.containerd import ContainerdEngine

            return ContainerdEngine(images)
    if program == CONMON:
        from enclavize.node.engines.podman import PodmanEngine

        own = [word for flag, word in pairwise(parent) if flag == _EXIT_ARGUMENT]
        return PodmanEngine(
            Path(_option(own, "root") or _DEFAULT_STORAGE), _option(own, "storage-driver") or "overlay"
        )
    raise EnclavizeError(
        f"images are converted for containerd, docker and podman, and not for {program or 'nobody'}",
        hint="convert it before: enclavize build IMAGE -t TEE_IMAGE",
    )


def _option(words: Sequence[str], name: str) -> str:
    for number, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            return value if equals else "".join(words[number + 1 : number + 2])
    return ""


def _parent_of(pid: int) -> list[str]:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
        parent = int(status.rpartition(b")")[2].split()[1])  # the name before it may have anything inside
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")[:-1]
    except (OSError, ValueError, IndexError) as error:
        raise EnclavizeError(f"cannot tell which engine has started process {pid}: {error}") from error
    return [word.decode(errors="surrogateescape") for word in words]
