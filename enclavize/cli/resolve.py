"""``enclavize resolve``."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def resolve(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="Kubernetes manifests; - is standard input.")
    ],
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=TEE_NAME",
            help="What the TEE image of an image is called; FOLDER/*=FOLDER/* for all below.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="By default standard output.")
    ] = None,
    runtime_class: Annotated[
        str, typer.Option(metavar="NAME", help="Pods of which class have TEE images.")
    ] = "rune",
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Pin the images of Kubernetes manifests to the digests of their TEE images."""
    from enclavize.errors import UsageError
    from enclavize.node.manifests import MAX_SIZE
    from enclavize.node.resolution import parse_map, resolve_manifests
    from enclavize.oci.storage import atomic_file
    from enclavize.progress import Reporter

    maps = [parse_map(text) for text in mapping or []]
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_SIZE + 1)
        else:
            with file.open("rb") as stream:
                data = stream.read(MAX_SIZE + 1)
        text = data.decode()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text: {error}") from error
    resolved = resolve_manifests(
        text, str(file), maps, runtime_class=runtime_class, insecure=insecure, reporter=Reporter()
    )
    if output is None:
        sys.stdout.write(resolved)
        return
    with atomic_file(output) as stream:
        stream.write(resolved.encode())
