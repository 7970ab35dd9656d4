"""``enclavize occlum``: the steps of a build, for people who use Occlum directly."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import InitRaChoice, Progress, SgxModeChoice
from enclavize.cli.passphrase import PassphraseEnv, PassphraseFd, PassphraseFile
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


class YesOrNo(StrEnum):
    """How Occlum's command writes it."""

    YES = "Y"
    NO = "N"


class Measurement(StrEnum):
    """What ``print`` prints."""

    MRENCLAVE = "mrenclave"
    MRSIGNER = "mrsigner"


Toolchain = Annotated[
    str | None,
    typer.Option(
        metavar="TOOLCHAIN",
        help="Occlum's files: an install prefix, an image, or the name of a kept toolchain.",
    ),
]
InitRa = Annotated[
    InitRaChoice | None,
    typer.Option("--init-ra", help="Let init get the image key by remote attestation (0.29.6 and later)."),
]
Instance = Annotated[
    Path,
    typer.Option("-C", "--directory", metavar="DIR", help="The instance; by default the current folder."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
]
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
    release: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="The Occlum that is to mount it. [default: the newest]"),
    ] = None,
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
    from enclavize.libos.occlum.sefs.structures import WIDE
    from enclavize.libos.occlum.sefs.tree import scan
    from enclavize.libos.occlum.versions import parse_release
    from enclavize.progress.renderer import reporting

    records = WIDE if release is None else parse_release(release).sefs_records
    with reporting(progress) as reporter, reporter.task(f"pack {tree}") as task:
        if key_file is None:
            task.warn("no --key-file: the image detects corruption, but does not stop a determined host")
        key = None if key_file is None else read_image_key(key_file)
        root = scan(tree, skip=task.warn if skip_special else None)
        packed = pack_tree(root, image, key=key, records=records, advance=task.advance)
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


@occlum.command()
def new(
    *,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder to make.")],
    toolchain: Toolchain = None,
    init_ra: InitRa = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Make an instance directory: Occlum.json, and the image and initfs with Occlum's C libraries.

    Put the program and its files into PATH/image, change PATH/Occlum.json, and build. With --init-ra fill in
    PATH/init_ra_conf.json, too.
    """
    from enclavize.libos.occlum.instance import new_instance
    from enclavize.pipeline.occlum import occlum_toolchain
    from enclavize.progress.renderer import reporting

    with reporting(progress) as reporter:
        found = occlum_toolchain(toolchain, insecure=insecure, reporter=reporter)
        with reporter.task(f"make an instance for {found.title}"):
            new_instance(path, found, with_ratls=init_ra is InitRaChoice.GRPC_RATLS)


@occlum.command()
def build(
    *,
    directory: Instance = Path(),
    toolchain: Toolchain = None,
    sign_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY.pem|pkcs11:URI", help="Private key; without it only debuggable instances are signed."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_fd: PassphraseFd = None,
    sgx_mode: Annotated[
        SgxModeChoice, typer.Option(help="For a CPU with SGX, or a simulation that protects nothing.")
    ] = SgxModeChoice.HARDWARE,
    enable_edmm: Annotated[
        YesOrNo, typer.Option(help="Use memory and threads that SGX 2 adds while the enclave runs.")
    ] = YesOrNo.NO,
    image_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Encrypt the image; see gen-image-key.")
    ] = None,
    buildin_image_key: Annotated[
        bool,
        typer.Option("--buildin-image-key", help="Give init the key; whoever has the instance has it too."),
    ] = False,
    date: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="Date of the signature; by default SOURCE_DATE_EPOCH."),
    ] = None,
    force: Annotated[  # noqa: ARG001 - part of Occlum's command
        bool, typer.Option("-f", "--force", help="Taken for Occlum's sake: every build is from scratch.")
    ] = False,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Build and sign the instance in a directory, and print its MRENCLAVE."""
    import os

    from enclavize.cli.grammar.date import parse_date, parse_epoch
    from enclavize.cli.passphrase import passphrase_reader
    from enclavize.errors import UsageError
    from enclavize.libos.occlum.build import ImageKey, SgxMode
    from enclavize.libos.occlum.sefs.keys import read_image_key
    from enclavize.pipeline.occlum import InstanceBuild, build_in_directory
    from enclavize.pipeline.options import KeySigner
    from enclavize.progress.renderer import reporting

    if buildin_image_key and image_key is None:
        raise UsageError("--buildin-image-key needs a key", hint="add --image-key FILE")
    passphrase = passphrase_reader(passphrase_file, passphrase_env, passphrase_fd, sign_key)
    options = InstanceBuild(
        directory=directory,
        toolchain=toolchain,
        signer=None if sign_key is None else KeySigner(reference=sign_key, passphrase=passphrase),
        date=parse_date(date) if date else None,
        source_date_epoch=parse_epoch(os.environ.get("SOURCE_DATE_EPOCH")),
        mode=SgxMode(sgx_mode.value),
        edmm=enable_edmm is YesOrNo.YES,
        image_key=None
        if image_key is None
        else ImageKey(key=read_image_key(image_key), built_in=buildin_image_key),
        insecure=insecure,
    )
    with reporting(progress) as reporter:
        signed = build_in_directory(options, reporter)
    sys.stdout.write(f"{signed.mrenclave.hex()}\n")


@occlum.command()
def package(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="By default the name of the directory.")
    ] = None,
    directory: Instance = Path(),
    debug: Annotated[
        bool, typer.Option("--debug", help="Pack what is debuggable or for simulation, too.")
    ] = False,
) -> None:
    """Write NAME.tar.gz with all that a deployment needs of the instance."""
    from enclavize.libos.occlum.package import package as pack_instance

    written = pack_instance(directory, name or directory.resolve().name, debug=debug)
    sys.stdout.write(f"{written}\n")


@occlum.command(name="print")
def print_measurement(
    *,
    what: Annotated[Measurement, typer.Argument(metavar="mrenclave|mrsigner")],
    directory: Instance = Path(),
) -> None:
    """Print who the enclave of an instance is, measured again."""
    from enclavize.libos.occlum import layout
    from enclavize.sgx.enclave_file import read_signed

    signed = read_signed(directory / layout.BUILD / layout.SIGNED_ENCLAVE)
    signed.verify()
    value = signed.sigstruct.mrenclave if what is Measurement.MRENCLAVE else signed.sigstruct.mrsigner
    sys.stdout.write(f"{value.hex()}\n")


@occlum.command()
def gen_image_key(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make.")],
) -> None:
    """Make a random key to encrypt an image with."""
    from enclavize.libos.occlum.sefs.keys import write_image_key

    write_image_key(path)
