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

from enclavize.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from enclavize.oci.image_config import ImageConfig
    from enclavize.tee.policy import Policy

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

    def check(self, policy: Policy) -> None:
        """Compare with what the enclave leaves to the host. Raises IntegrityError.

        The loader is a program outside of the enclave: LD_PRELOAD and its like would decide what it runs.
        """
        if (self.arguments or self.command) and not policy.allow_arguments:
            raise IntegrityError("the defaults have arguments, which the enclave does not take from the host")
        allowed = {variable.name for variable in policy.allowed_environment}
        for variable in self.variables:
            name = variable.partition("=")[0]
            if name not in allowed:
                raise IntegrityError(
                    f"the defaults have the variable {name[:60]!r}, which the host may not set"
                )

    def _records(self) -> Iterator[str]:
        for letter, texts in (("A", self.arguments), ("C", self.command), ("V", self.variables)):
            yield from (f"{letter}{text}" for text in texts)


def parse_defaults(data: bytes) -> Defaults:
    """Read what ``to_bytes`` writes. Raises IntegrityError for all else."""
    texts: dict[str, list[str]] = {"A": [], "C": [], "V": []}
    for record in data.removesuffix(b"\0").split(b"\0"):
        text = record.decode("utf-8", "surrogateescape")
        if text[:1] not in texts or (text[0] == "V" and "=" not in text):
            raise IntegrityError(f"the defaults have a record {text[:40]!r} of no known kind")
        texts[text[0]].append(text[1:])
    found = Defaults(arguments=tuple(texts["A"]), command=tuple(texts["C"]), variables=tuple(texts["V"]))
    if found.to_bytes() != data:
        raise IntegrityError("the defaults are not as a build writes them")
    return found
