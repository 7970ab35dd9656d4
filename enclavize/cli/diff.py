"""``enclavize diff``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from enclavize.cli.choices import ListFormat, Progress
from enclavize.progress.mode import ProgressMode

if TYPE_CHECKING:
    from enclavize.pipeline.diff import Difference

EXIT_DIFFERENT = 1

_SHOWN = 20
"""Items of one list that people are shown."""


def diff(
    *,
    first: Annotated[str, typer.Argument(metavar="A", help="An image, as for build; often a TEE image.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    form: Annotated[ListFormat, typer.Option("--format", help="Form of the output.")] = ListFormat.TABLE,
    ignore_times: Annotated[bool, typer.Option("--ignore-times", help="Times of files may differ.")] = False,
    image_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of Occlum images that are encrypted.")
    ] = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Name the files and facts in which two images differ. Exit code 1 if there are any.

    Nothing is verified: see verify.
    """
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.diff import diff_images
    from enclavize.progress.renderer import reporting

    locations = parse_location(first), parse_location(second)
    with reporting(progress) as reporter:
        found = diff_images(
            *locations,
            image_key=image_key,
            ignore_times=ignore_times,
            insecure=insecure,
            reporter=reporter,
        )
    if form is ListFormat.JSON:
        sys.stdout.write(json.dumps(found.to_json(), indent=2) + "\n")
    else:
        sys.stdout.write(_text(found))
    if not found.equal:
        raise typer.Exit(EXIT_DIFFERENT)


def _text(found: "Difference") -> str:
    from enclavize.rootfs.names import printable

    lines = []
    for fact in found.facts:
        if all(isinstance(value, list) for value in fact.values):
            lines.append(f"{fact.name}:")
            lines += _items("-", fact.values[0]) + _items("+", fact.values[1])
        else:
            lines.append(f"{fact.name}: {_shown(fact.values[0])} -> {_shown(fact.values[1])}")
    lines += [f"- {printable(path)}" for path in found.removed]
    lines += [f"+ {printable(path)}" for path in found.added]
    for file in found.changed:
        what = ", ".join(
            name if name in ("content", "xattrs") else f"{name} {_shown(one)} -> {_shown(other)}"
            for name, (one, other) in file.changes.items()
        )
        lines.append(f"~ {printable(file.path)}: {what}")
    return "".join(f"{line}\n" for line in lines)


def _items(sign: str, items: list[Any]) -> list[str]:
    lines = [f"  {sign} {_shown(item)}" for item in items[:_SHOWN]]
    if len(items) > _SHOWN:
        lines.append(f"  {sign} {len(items) - _SHOWN} more")
    return lines


def _shown(value: object) -> str:
    from enclavize.rootfs.names import printable

    return "none" if value is None else printable(value if isinstance(value, str) else json.dumps(value))
