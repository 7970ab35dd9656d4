"""Where an image comes from: the words before the colon are those of skopeo (containers-transports(5))."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from enclavize.oci.execution import Execution
    from enclavize.oci.reference import ImageReference


@dataclass(frozen=True)
class _NamedLocation:
    reference: ImageReference


@dataclass(frozen=True)
class _TaggedLocation:
    path: Path
    tag: str | None = None


class RegistryLocation(_NamedLocation):
    """``[docker://]NAME``: an image in a registry."""

    def __str__(self) -> str:
        return str(self.reference)


class DaemonLocation(_NamedLocation):
    """``docker-daemon:NAME``: an image in the docker daemon."""

    def __str__(self) -> str:
        return f"docker-daemon:{self.reference.familiar}"


class LayoutLocation(_TaggedLocation):
    """``oci:DIR[:TAG]``: a folder in the OCI image layout."""

    def __str__(self) -> str:
        return _join("oci", self.path, self.tag)


class OciArchiveLocation(_TaggedLocation):
    """``oci-archive:FILE[:TAG]``: a tar file of an OCI image layout."""

    def __str__(self) -> str:
        return _join("oci-archive", self.path, self.tag)


@dataclass(frozen=True)
class DockerArchiveLocation:
    """``docker-archive:FILE[:NAME]``: what ``docker save`` writes."""

    path: Path
    reference: ImageReference | None = None

    def __str__(self) -> str:
        return _join("docker-archive", self.path, self.reference.familiar if self.reference else None)


@dataclass(frozen=True)
class DirectoryLocation:
    """``dir:PATH``: a folder that holds a root file system, or what skopeo calls so.

    ``execution`` says how the program in a root file system is run; None: nothing was said.
    """

    path: Path
    execution: Execution | None = None

    def __str__(self) -> str:
        return f"dir:{self.path}"


Location = (
    RegistryLocation
    | LayoutLocation
    | OciArchiveLocation
    | DockerArchiveLocation
    | DaemonLocation
    | DirectoryLocation
)


def parse_location(text: str) -> Location:
    """Parse an image location. Raises UsageError."""
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "oci":
            return LayoutLocation(*_path_and_tag(text, rest))
        case "oci-archive":
            return OciArchiveLocation(*_path_and_tag(text, rest))
        case "docker-archive":
            path, name = _path_and_tag(text, rest)
            return DockerArchiveLocation(path, _reference(name) if name else None)
        case "docker-daemon":
            return DaemonLocation(_reference(rest))
        case "dir":
            return DirectoryLocation(_path(text, rest))
        case "docker" if rest.startswith("//"):
            return RegistryLocation(_reference(rest.removeprefix("//")))
        case _:
            try:
                return RegistryLocation(_reference(text))
            except UsageError as error:
                raise UsageError(str(error), hint=hint_of_path(text) or error.hint) from error


def hint_of_path(text: str) -> str | None:
    """Tell how a file or folder is named, if ``text`` is one, or looks like one, and not an image's name."""
    try:
        path = Path(text)
        if path.is_dir() and text:
            scheme = "oci" if (path / "oci-layout").is_file() else "dir"
            return f"that is a folder here: {scheme}:{text} names it"
        if path.is_file():
            return f"that is a file here: oci-archive:{text} or docker-archive:{text} names it"
    except (OSError, ValueError):  # no path at all
        return None
    if text.startswith(("/", "./", "../")):
        return "there is no such file or folder; one is named oci:, dir:, oci-archive: or docker-archive:PATH"
    return None


def _reference(text: str) -> ImageReference:
    from enclavize.oci.reference import parse_reference

    return parse_reference(text)


def _path_and_tag(text: str, rest: str) -> tuple[Path, str | None]:
    path, _, tag = rest.partition(":")
    return _path(text, path), tag or None


def _path(text: str, path: str) -> Path:
    if not path or "\0" in path:
        raise UsageError(f"{text!r} names no file or folder")
    return Path(path)


def _join(scheme: str, path: Path, tag: str | None) -> str:
    return f"{scheme}:{path}" + (f":{tag}" if tag else "")
