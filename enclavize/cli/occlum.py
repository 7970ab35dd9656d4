"""``enclavize occlum``: the steps of a build, for people who use Occlum directly."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import Progress
from enclavize.progress.mode import ProgressMode

occlum = typer.Typer(
    help="Do single steps for Occlum, without Occlum's programs.", no_args_is_help=True, rich_markup_mode=None
)
sefs = typer.Typer(
    help="Make, unpack and verify Occlum's file system images (SEFS).",
    no_args_is_help=True,
    rich_markup_mode=None,
)
occlum.add_typer(sefs, name="sefs")

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The folder of an image.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The image key: 16 bytes as hexadecimal pairs with hyphens between."),
]
RootMac = Annotated[str | None, typer.Option(metavar="MAC", help="The root MAC that the image must have.")]


@sefs.command()
def pack(
    *,
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="The folder to pack.")],
    image: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    key_file: KeyFile = None,
    skip_special: Annotated[
        bool, typer.Option("--skip-special", help="Leave devices, FIFOs and sockets out.")
    ] = False,
    progress: Progress = ProgressMode.AUTO,
) -> None:
    """Make an image of a folder, and print its root MAC.

    The image is encrypted if there is a key. Without one corruption is detected, but whoever controls the
    host can change files without being noticed.
    """
    from enclavize.libos.occlum.sefs.keys import notation, read_image_key
    from enclavize.libos.occlum.sefs.pack import pack as pack_tree
    from enclavize.libos.occlum.sefs.tree import scan
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter, reporter.task(f"pack {tree}") as task:
        if key_file is None:
            task.warn("no --key-file: the image detects corruption, but does not stop a determined host")
        key = None if key_file is None else read_image_key(key_file)
        root = scan(tree, skip=task.warn if skip_special else None)
        packed = pack_tree(root, image, key=key, advance=task.advance)
    sys.stdout.write(f"{notation(packed.root_mac)}\n")


@sefs.command()
def unpack(
    *,
    image: Image,
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="The folder to make.")],
    key_file: KeyFile = None,
    root_mac: RootMac = None,
    progress: Progress = ProgressMode.AUTO,
) -> None:
    """Write the files of an image into a new folder, verifying all of it, and print its root MAC."""
    from enclavize.libos.occlum.sefs.keys import notation, parse_mac, read_image_key
    from enclavize.libos.occlum.sefs.unpack import unpack as unpack_image
    from enclavize.progress.renderer import reporting

    key = None if key_file is None else read_image_key(key_file)
    expected = None if root_mac is None else parse_mac(root_mac)
    with reporting(progress) as reporter, reporter.task(f"unpack {image}") as task:
        contents = unpack_image(image, tree, key=key, root_mac=expected, advance=task.advance)
    sys.stdout.write(f"{notation(contents.root_mac)}\n")


@sefs.command()
def verify(
    *,
    image: Image,
    key_file: KeyFile = None,
    root_mac: RootMac = None,
    progress: Progress = ProgressMode.AUTO,
) -> None:
    """Verify every byte of an image against its root MAC, and print that."""
    from enclavize.libos.occlum.sefs.keys import notation, parse_mac, read_image_key
    from enclavize.libos.occlum.sefs.unpack import verify as verify_image
    from enclavize.progress.renderer import reporting

    key = None if key_file is None else read_image_key(key_file)
    expected = None if root_mac is None else parse_mac(root_mac)
    with reporting(progress) as reporter, reporter.task(f"verify {image}") as task:
        if expected is None:
            task.warn("no --root-mac: the image is only compared with itself")
        contents = verify_image(image, key=key, root_mac=expected, advance=task.advance)
    sys.stdout.write(f"{notation(contents.root_mac)}\n")
