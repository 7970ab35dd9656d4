"""Which images a client may have signed: names, and names with all that is below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.signing.image_payload import is_whole_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALL_BELOW = "/*"


@dataclass(frozen=True, kw_only=True)
class ImagePolicy:
    """``names`` as ``registry.example/team/app``, or ``registry.example/team/*``; None for any name."""

    names: frozenset[str] | None = frozenset()

    @property
    def allows_any(self) -> bool:
        """Whether images are signed at all."""
        return self.names is None or bool(self.names)

    def objections(self, name: str) -> Iterator[str]:
        """The reasons not to sign an image of this name, none if it may be signed."""
        if not self.allows_any:
            yield "this client may not sign images"
        elif self.names is not None and not any(_matches(name, pattern) for pattern in self.names):
            yield f"the image name {name} is not allowed"


def is_pattern(text: str) -> bool:
    """Whether a text is one of the names of a policy: in full, as they are signed."""
    name = text.removesuffix(_ALL_BELOW)
    # Any two parts: with one, docker.io would mean its folder "library".
    return is_whole_name(f"{name}/any/name" if name != text else name)


def _matches(name: str, pattern: str) -> bool:
    if pattern.endswith(_ALL_BELOW):
        return name.startswith(pattern.removesuffix("*"))
    return name == pattern
