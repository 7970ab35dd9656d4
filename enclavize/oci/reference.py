"""Image references and docker's rules for short names (as in distribution/reference, normalize.go)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import InvalidImageError, UsageError
from enclavize.oci.digest import parse_digest

if TYPE_CHECKING:
    from enclavize.oci.digest import Digest

DOCKER_HUB = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME_LENGTH = 255

_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(
    rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?", re.ASCII
)
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """A name of an image in a registry; ``registry`` may carry a port. A tag, a digest or both are there."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What the distribution API calls the reference: the digest, or else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def familiar(self) -> str:
        """The short form that docker shows, and writes into its archives."""
        text = str(self).removeprefix(f"{DOCKER_HUB}/")
        return text.removeprefix("library/") if text != str(self) else text


def parse_reference(text: str) -> ImageReference:
    """Parse a reference as ``docker pull`` does; no tag and no digest means ``latest``. Raises UsageError."""
    if _IDENTIFIER.fullmatch(text):
        raise UsageError(f"{text!r} is an image ID, not a name", hint="give a name such as alpine:3.20")
    rest, _, digest_text = text.partition("@")
    head, separator, tail = rest.rpartition(":")
    rest, tag = (head, tail) if separator and "/" not in tail else (rest, None)
    registry, repository = _split_registry(rest)
    if not _DOMAIN.fullmatch(registry) or not _PATH.fullmatch(repository):
        hint = "repository names are in lower case" if rest != rest.lower() else None
        raise UsageError(f"{text!r} is not a valid image reference", hint=hint)
    if len(repository) > MAX_NAME_LENGTH:
        raise UsageError(f"the name in {text[:100]!r}... is longer than {MAX_NAME_LENGTH} characters")
    if tag is not None and not _TAG.fullmatch(tag):
        raise UsageError(f"{tag[:100]!r} is not a valid tag")
    try:
        digest = parse_digest(digest_text) if "@" in text else None
    except InvalidImageError as error:
        raise UsageError(f"{text!r} is not a valid image reference: {error}") from error
    if tag is None and digest is None:
        tag = DEFAULT_TAG
    return ImageReference(registry=registry, repository=repository, tag=tag, digest=digest)


def _split_registry(name: str) -> tuple[str, str]:
    """Tell ``host/path`` from a path: a host has a dot, a port or a capital, or is ``localhost``."""
    first, slash, rest = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    registry, repository = (first, rest) if is_host else (DOCKER_HUB, name)
    if registry == f"index.{DOCKER_HUB}":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository
