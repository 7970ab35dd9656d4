"""An image as the pipeline sees it: exact manifest and configuration bytes, and layers that can be opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.oci.digest import parse_digest
from enclavize.oci.document import Document, parse_document
from enclavize.oci.limits import MAX_CONFIG_SIZE
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.oci.descriptor import Descriptor
    from enclavize.oci.digest import Digest
    from enclavize.oci.source import Source

_EXECUTION_SHAPE = Shape(
    names="User ExposedPorts Env Entrypoint Cmd Volumes WorkingDir Labels StopSignal ArgsEscaped "
    "Memory MemorySwap CpuShares Hostname Domainname AttachStdin AttachStdout AttachStderr Tty OpenStdin "
    "StdinOnce Image NetworkDisabled MacAddress OnBuild StopTimeout Shell",
    below={"Healthcheck": Shape(names="Test Interval Timeout StartPeriod StartInterval Retries")},
)
CONFIG_SHAPE = Shape(
    names="id parent comment created container docker_version author architecture variant os os.version "
    "os.features Size",
    below={
        "config": _EXECUTION_SHAPE,
        "container_config": _EXECUTION_SHAPE,
        "rootfs": Shape(names="type diff_ids"),
        "history": Shape(names="created created_by author comment empty_layer"),
    },
)
"""image-spec, config.md, and what docker adds to it (moby, api/types/container/config.go, image/image.go)."""


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """The image configuration (image-spec, config.md). Absent members are empty, as docker treats them.

    ``env`` holds ``NAME=value`` items; ``created`` is RFC 3339 text; ``raw`` is the whole JSON object, with
    the names of the format; ``misspelled`` are those that it had otherwise (see ``Document``).
    """

    architecture: str
    os: str
    created: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    stop_signal: str
    healthcheck: Mapping[str, Any] | None
    labels: Mapping[str, str]
    volumes: tuple[str, ...]
    exposed_ports: tuple[str, ...]
    diff_ids: tuple[Digest, ...]
    history: tuple[Mapping[str, Any], ...]
    raw: Mapping[str, Any]
    misspelled: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image for one platform. Its layers are opened with ``source.open_blob``.

    ``ambiguities`` tell why another reader could take its name for another image. ``archive_size`` are the
    bytes of the compressed archive that it is in, None if it is in none.
    """

    name: str
    manifest: Descriptor
    manifest_bytes: bytes
    config_bytes: bytes
    layers: tuple[Descriptor, ...]
    source: Source
    ambiguities: tuple[str, ...] = ()
    archive_size: int | None = None

    def stored_size(self, layer: Descriptor) -> int:
        """Return the bytes that a layer really takes, at most: a compressed archive can hold a larger one."""
        return layer.size if self.archive_size is None else min(layer.size, self.archive_size)

    def require_one_reading(self) -> None:
        """Refuse an image that others may read otherwise, before trust is put in it.

        Raises InvalidImageError.
        """
        if self.ambiguities:
            raise InvalidImageError(
                f"{self.name} is not the same image to all readers: {self.ambiguities[0]}",
                hint="name the image by the digest of its own manifest, or have it written again",
            )

    @cached_property
    def config(self) -> ImageConfig:
        """The parsed configuration. Raises InvalidImageError."""
        return parse_config(self.config_bytes, f"the configuration of {self.name}")


def spelling(misspelled: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return the ambiguity of names that only some readers find, if there are any."""
    return (f"{what} spells {misspelled[0][:100]!r} otherwise than the format",) if misspelled else ()


def parse_config(data: bytes, what: str) -> ImageConfig:
    """Parse an image configuration. Raises InvalidImageError."""
    if len(data) > MAX_CONFIG_SIZE:
        raise InvalidImageError(f"{what} is larger than {MAX_CONFIG_SIZE} bytes")
    document = parse_document(data, what, CONFIG_SHAPE)
    execution = document.document("config") or Document({}, what)
    rootfs = document.document("rootfs") or Document({}, what)
    if rootfs.text("type") not in ("", "layers"):
        raise rootfs.wrong("type", "'layers'")
    healthcheck = execution.document("Healthcheck")
    if healthcheck:
        healthcheck.texts("Test")
    config = ImageConfig(
        architecture=document.text("architecture"),
        os=document.text("os"),
        created=document.text("created"),
        entrypoint=execution.texts("Entrypoint"),
        cmd=execution.texts("Cmd"),
        env=execution.texts("Env"),
        working_dir=execution.text("WorkingDir"),
        user=execution.text("User"),
        stop_signal=execution.text("StopSignal"),
        healthcheck=healthcheck.members if healthcheck else None,
        labels=execution.text_map("Labels"),
        volumes=execution.keys("Volumes"),
        exposed_ports=execution.keys("ExposedPorts"),
        diff_ids=tuple(map(parse_digest, rootfs.texts("diff_ids"))),
        history=tuple(entry.members for entry in document.documents("history")),
        raw=document.members,
        misspelled=document.misspelled,
    )
    for key, values in {
        "Entrypoint": config.entrypoint,
        "Cmd": config.cmd,
        "Env": config.env,
        "WorkingDir": (config.working_dir,),
        "User": (config.user,),
    }.items():
        if any("\0" in value for value in values):
            raise execution.wrong(key, "free of NUL")  # execve(2) could not pass it on
    return config
