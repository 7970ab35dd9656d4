"""The image of a container, as its engine has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.oci.cache import BlobCache
    from enclavize.oci.digest import Digest
    from enclavize.oci.image import Image


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image of an engine's store.

    ``name`` is the engine's for it, empty if it has none now; ``config_digest`` names its content, for ever.
    ``open`` reads manifest and configuration; who calls it closes the image's source. ``pulled``: the
    manifest is the one that the registry has.
    """

    name: str
    config_digest: Digest
    labels: Mapping[str, str]
    open: Callable[[BlobCache], Image]
    pulled: bool = False


@dataclass(frozen=True, kw_only=True)
class AskedContainer:
    """A container that rune, process ``pid``, is creating. Paths are as rune sees them."""

    id: str
    rootfs: Path
    pid: int

    def seen(self, path: str | Path) -> Path:
        """Return where this process finds what rune sees at ``path``."""
        return Path(f"/proc/{self.pid}/root{path}")


class Engine(Protocol):
    """An engine that is creating a container: nothing here waits for that container's lock."""

    has_pods: bool
    """Whether what it says about pods is its own word, and not a user's annotation."""

    def find(self, container: AskedContainer) -> FoundImage:
        """Return the image of the container's root. Raises EnclavizeError if that is in doubt."""
        ...


def moved(name: str) -> EnclavizeError:
    """Return the error for a name that does not mean the container's image any more."""
    return EnclavizeError(
        f"the image {name} is not the one that this container was made from: the name has moved",
        hint="create the container again",
    )


def not_its_layers(name: str) -> EnclavizeError:
    """Return the error for a root file system that is made of something else."""
    return EnclavizeError(f"the root file system of this container is not made of the layers of {name}")
