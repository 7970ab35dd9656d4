"""``enclavize sign``: for keys that are on no machine that builds."""

import sys
from pathlib import Path
from typing import Annotated

import typer

sign = typer.Typer(
    help="Sign in two steps: the material leaves, a signature comes back.", no_args_is_help=True
)

Reference = Annotated[
    str, typer.Argument(metavar="IMAGE|ENCLAVE", help="A TEE image, or the file of an enclave.")
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="Enclave.config.xml", help="Configuration of an enclave file that has none in it."),
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
) -> None:
    """Write the 256 bytes to be signed with RSA PKCS#1 v1.5 and SHA-256.

    For example: openssl dgst -sha256 -sign key.pem -out m.sig m.bin
    """
    from enclavize.errors import UsageError
    from enclavize.pipeline.sign import enclave_material
    from enclavize.sgx.atomic_file import write_file

    data = enclave_material(Path(reference), config, date)
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        write_file(output, [data], mode=0o644)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


@sign.command()
def attach(
    *,
    reference: Reference,
    material: Annotated[Path, typer.Option(metavar="FILE", help="What 'sign material' wrote.")],
    signature: Annotated[Path, typer.Option(metavar="FILE", help="Its signature: 384 bytes.")],
    public_key: Annotated[Path, typer.Option(metavar="PUB.pem", help="The key of the signer.")],
    output: Annotated[
        list[str] | None,
        typer.Option("-o", "--output", metavar="DEST", help="As in build; a file for an enclave file."),
    ] = None,
    config: Config = None,
) -> None:
    """Put a signature into its enclave. What does not fit is refused, and nothing is changed."""
    from enclavize.errors import UsageError
    from enclavize.pipeline.sign import attach_to_enclave

    if not output or len(output) != 1:
        raise UsageError("the signed enclave needs one place to go to", hint="add -o FILE")
    signed = attach_to_enclave(
        Path(reference),
        config,
        material=material,
        signature=signature,
        public_key=public_key,
        output=Path(output[0]),
    )
    sys.stderr.write(f"MRENCLAVE  {signed.mrenclave.hex()}\nMRSIGNER   {signed.mrsigner.hex()}\n")
