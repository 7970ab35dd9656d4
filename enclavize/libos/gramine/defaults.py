"""What holds where the host may choose and does not: arguments and variables that the policy opens.

Nothing of it is measured, as the host could set all of it anyway. The PAL reads it from
``instance/defaults``: records that end with NUL, each a letter and a text.

    A   an argument that stands before those of the host: of ENTRYPOINT
    C   an argument that the host's take the place of: of CMD
    V   NAME=value
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.libos.base import Policy
    from enclavize.oci.image import ImageConfig

MAX_SIZE = 1 << 20
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The defaults; ``variables`` are ``NAME=value``."""

    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: ImageConfig, policy: Policy, environment: Mapping[str, str]) -> Defaults | None:
        """Return what an image has as defaults of what the policy opens; None if that is nothing."""
        names = [variable.name for variable in policy.allowed_environment]
        found = cls(
            arguments=config.entrypoint[1:] if policy.allow_arguments else (),
            command=config.cmd if policy.allow_arguments else (),
            variables=tuple(f"{name}={environment[name]}" for name in names if name in environment),
        )
        return None if found == cls() else found

    def to_bytes(self) -> bytes:
        """Return the file."""
        return b"".join(f"{record}\0".encode("utf-8", "surrogateescape") for record in self._records())

    def _records(self) -> Iterator[str]:
        for letter, texts in (("A", self.arguments), ("C", self.command), ("V", self.variables)):
            yield from (f"{letter}{text}" for text in texts)
