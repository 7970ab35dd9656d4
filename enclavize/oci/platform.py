"""Platforms of image indexes (image-spec, image-index.md, "platform")."""

from __future__ import annotations

from dataclasses import dataclass

from enclavize.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Platform:
    """An operating system and a processor, for example linux/amd64."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def runs(self, other: Platform) -> bool:
        """Tell whether an image for ``other`` runs here. Variants such as amd64/v2 are not told apart."""
        return (self.os, self.architecture) == (other.os, other.architecture)


LINUX_AMD64 = Platform(os="linux", architecture="amd64")
"""The one platform that SGX exists on."""


def parse_platform(text: str) -> Platform:
    """Parse ``os/architecture[/variant]``. Raises UsageError."""
    match text.lower().split("/"):
        case [os, architecture] if os and architecture:
            return Platform(os=os, architecture=architecture)
        case [os, architecture, variant] if os and architecture and variant:
            return Platform(os=os, architecture=architecture, variant=variant)
        case _:
            raise UsageError(f"{text!r} is not a platform", hint="write it like linux/amd64")
