"""``--output``, ``--push`` and ``--load``, with the meaning they have in docker buildx.

type=registry[,name=REF]                push; the same as type=image,push=true and as --push
type=docker[,dest=FILE]                 into the docker daemon, or a docker archive; --load is the first
type=oci[,dest=FILE][,tar=false]        an archive of an OCI layout, or with tar=false a folder
type=local,dest=DIR                     the root file system in a folder
type=tar[,dest=FILE]                    the root file system in a tar file
DIR                                     type=local,dest=DIR
-                                       type=tar to standard output
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.cli.grammar.fields import parse_fields, parse_switch
from enclavize.errors import UsageError
from enclavize.oci.reference import parse_reference
from enclavize.pipeline.options import Output, OutputKind

if TYPE_CHECKING:
    from collections.abc import Sequence

STANDARD_OUTPUT = "-"

_KEYS = {
    "image": {"type", "name", "push"},
    "registry": {"type", "name"},
    "docker": {"type", "name", "dest"},
    "oci": {"type", "name", "dest", "tar"},
    "local": {"type", "dest"},
    "tar": {"type", "dest"},
}


def parse_output(text: str) -> Output:
    """Parse one value of ``--output``. Raises UsageError."""
    if text == STANDARD_OUTPUT:
        return Output(kind=OutputKind.TAR)
    if "=" not in text:
        if not text:
            raise UsageError("--output is empty", hint="write it like type=oci,dest=image.tar")
        return Output(kind=OutputKind.LOCAL, destination=Path(text))
    fields = parse_fields(text, "--output")
    kind = fields.get("type", "")
    allowed = _KEYS.get(kind)
    if allowed is None:
        raise UsageError(f"--output {text!r}: unknown type {kind!r}", hint=f"types: {', '.join(_KEYS)}")
    for key in fields.keys() - allowed:
        raise UsageError(f"--output {text!r}: type={kind} has no {key!r}")
    destination = _destination(fields)
    names = tuple(name for name in fields.get("name", "").split(",") if name)
    for name in names:
        parse_reference(name)
    match kind:
        case "image":
            pushed = parse_switch(fields.get("push", "false"), f"--output {text!r}, push")
            return Output(kind=OutputKind.REGISTRY if pushed else OutputKind.IMAGE, names=names)
        case "registry":
            return Output(kind=OutputKind.REGISTRY, names=names)
        case "docker":
            archive = "dest" in fields
            return Output(
                kind=OutputKind.DOCKER_ARCHIVE if archive else OutputKind.DAEMON,
                destination=destination,
                names=names,
            )
        case "oci":
            is_tar = parse_switch(fields.get("tar", "true"), f"--output {text!r}, tar")
            if not is_tar and destination is None:
                raise UsageError(f"--output {text!r}: a layout needs a folder", hint="add dest=DIR")
            return Output(
                kind=OutputKind.OCI_ARCHIVE if is_tar else OutputKind.OCI_LAYOUT,
                destination=destination,
                names=names,
            )
        case "local":
            if destination is None:
                raise UsageError(f"--output {text!r}: a folder is needed", hint="add dest=DIR")
            return Output(kind=OutputKind.LOCAL, destination=destination)
        case _:
            return Output(kind=OutputKind.TAR, destination=destination)


def combine_outputs(
    outputs: Sequence[str], *, push: bool, load: bool, tags: Sequence[str]
) -> tuple[Output, ...]:
    """Merge the three options; outputs without names of their own get those of ``--tag``.

    Raises UsageError if there is no output, one without a name that needs one, or two to one place.
    """
    parsed = [parse_output(text) for text in outputs]
    if push:
        images = [output for output in parsed if output.kind is OutputKind.IMAGE]
        parsed = [
            replace(output, kind=OutputKind.REGISTRY) if output in images else output for output in parsed
        ]
        if not any(output.kind is OutputKind.REGISTRY for output in parsed):
            parsed.append(Output(kind=OutputKind.REGISTRY))
    if load and not any(output.kind is OutputKind.DAEMON for output in parsed):
        parsed.append(Output(kind=OutputKind.DAEMON))
    if not parsed or any(output.kind is OutputKind.IMAGE for output in parsed):
        raise UsageError(
            "no output is named, so the TEE image would be lost",
            hint="add --push, --load, or for example --output type=oci,dest=image.tar",
        )
    for tag in tags:
        if parse_reference(tag).digest:
            raise UsageError(f"--tag {tag!r}: a new image cannot be named by digest")
    named = [output if output.names else replace(output, names=tuple(tags)) for output in parsed]
    for output in named:
        if output.kind in (OutputKind.REGISTRY, OutputKind.DAEMON) and not output.names:
            raise UsageError("the image has no name to go under", hint="add --tag NAME")
        for name in output.names:
            if parse_reference(name).digest:
                raise UsageError(f"--output, name={name!r}: a new image cannot be named by digest")
    places = [output.destination for output in named if output.kind.writes_files]
    if len(places) != len(set(places)):
        raise UsageError("two outputs go to the same place")
    return tuple(named)


def _destination(fields: dict[str, str]) -> Path | None:
    value = fields.get("dest")
    if value == "":
        raise UsageError("--output: dest= is empty")
    return None if value in (None, STANDARD_OUTPUT) else Path(value)
