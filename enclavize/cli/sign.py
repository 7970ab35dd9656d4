"""``enclavize sign``: for keys that are on no machine that builds."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import Progress
from enclavize.cli.destination import ImageIdFile, Load, MetadataFile, Push, Tags
from enclavize.progress.mode import ProgressMode

sign = typer.Typer(
    help="Sign in two steps: the material leaves, a signature comes back.", no_args_is_help=True
)

Reference = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE|ENCLAVE", help="A TEE image, named as for build, or the file of an enclave."
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="Enclave.config.xml", help="Configuration of an enclave file that has none in it."),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
]


@sign.command()
def material(
    *,
    reference: Reference,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Where the material goes; - is standard output."),
    ],
    config: Config = None,
    date: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="Date of the signature; by default the one that is there."),
    ] = None,
    insecure: Insecure = False,
) -> None:
    """Write the 256 bytes to be signed with RSA PKCS#1 v1.5 and SHA-256.

    For example: openssl dgst -sha256 -sign key.pem -out m.sig m.bin
    """
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.sign import check_not_read, enclave_to_sign, image_to_sign
    from enclavize.pipeline.summary import sigstruct_summary
    from enclavize.progress import Reporter
    from enclavize.sgx.atomic_file import write_output

    if file := _enclave_file(reference, config):
        check_not_read(output, (file, config))
        unsigned = enclave_to_sign(file, config, date)
    else:
        location = parse_location(reference)
        check_not_read(output, (getattr(location, "path", None),))
        unsigned = image_to_sign(location, date, insecure=insecure, reporter=Reporter())
    sys.stderr.write(sigstruct_summary(unsigned))
    if str(output) == "-":
        sys.stdout.buffer.write(unsigned.signed_bytes())
        return
    write_output(output, [unsigned.signed_bytes()])


@sign.command()
def attach(
    *,
    reference: Reference,
    material: Annotated[Path, typer.Option(metavar="FILE", help="What 'sign material' wrote.")],
    signature: Annotated[Path, typer.Option(metavar="FILE", help="Its signature: 384 bytes.")],
    public_key: Annotated[Path, typer.Option(metavar="PUB.pem", help="The key of the signer.")],
    tag: Tags = None,
    push: Push = False,
    load: Load = False,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--output", metavar="DEST", help="As in build; of an enclave file, the signed file."
        ),
    ] = None,
    config: Config = None,
    metadata_file: MetadataFile = None,
    iidfile: ImageIdFile = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Put a signature into its enclave. What does not fit is refused, and nothing is changed."""
    from enclavize.cli.grammar.output import combine_outputs
    from enclavize.errors import UsageError
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.options import BuildOptions
    from enclavize.pipeline.sign import Signature, attach_to_enclave, attach_to_image
    from enclavize.pipeline.summary import sigstruct_summary, summary
    from enclavize.progress.renderer import reporting

    given = Signature(material=material, signature=signature, public_key=public_key)
    if file := _enclave_file(reference, config):
        if tag or push or load or metadata_file or iidfile:
            raise UsageError(f"{file} is an enclave file, and becomes no image", hint="write only -o FILE")
        if not output or len(output) != 1:
            raise UsageError("the signed enclave needs one place to go to", hint="add -o FILE")
        signed = attach_to_enclave(file, config, given, Path(output[0]))
        sys.stderr.write(sigstruct_summary(signed))
        return
    options = BuildOptions(
        source=parse_location(reference),
        outputs=combine_outputs(output or [], push=push, load=load, tags=tag or []),
        insecure=insecure,
        metadata_file=metadata_file,
        image_id_file=iidfile,
    )
    with reporting(progress) as reporter:
        result = attach_to_image(options, given, reporter)
    if progress is ProgressMode.QUIET:
        sys.stdout.write(f"{result.image_id}\n")
    elif progress not in (ProgressMode.NONE, ProgressMode.RAWJSON):
        sys.stderr.write(summary(result))


def _enclave_file(reference: str, config: Path | None) -> Path | None:
    """Return the enclave file that is meant: a configuration says so, and so does a file of this name."""
    path = Path(reference)
    return path if config or path.is_file() else None
