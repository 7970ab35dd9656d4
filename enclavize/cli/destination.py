"""Options that say where an image goes, and what is written about it."""

from pathlib import Path
from typing import Annotated

import typer

Tags = Annotated[list[str] | None, typer.Option("-t", "--tag", metavar="NAME", help="Name of the TEE image.")]
Push = Annotated[bool, typer.Option("--push", help="Push to the registry: --output type=registry.")]
Load = Annotated[bool, typer.Option("--load", help="Load into the docker daemon: --output type=docker.")]
MetadataFile = Annotated[Path | None, typer.Option(help="Write what was built as JSON.")]
ImageIdFile = Annotated[Path | None, typer.Option(help="Write the image ID.")]
