"""``enclavize sign``: for keys that are on no machine that builds."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclavize.cli.choices import Progress
from enclavize.cli.destination import ImageIdFile, Load, MetadataFile, Push, Tags
from enclavize.cli.key_options import Ca, Certificate, ImageName, Service, TokenFile
from enclavize.cli.passphrase import PassphraseEnv, PassphraseFd, PassphraseFile
from enclavize.progress.mode import ProgressMode

if TYPE_CHECKING:
    from enclavize.pipeline.image_signing import SignedImage

sign = typer.Typer(
    help="Sign in two steps: the material leaves, a signature comes back. Or sign an image as a whole.",
    no_args_is_help=True,
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
WholeImage = Annotated[
    bool,
    typer.Option("--image", help="Of the image as a whole, its name and digest, and not of the enclave."),
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
    image: WholeImage = False,
    image_name: ImageName = None,
    insecure: Insecure = False,
) -> None:
    """Write the 256 bytes to be signed with RSA PKCS#1 v1.5 and SHA-256; with --image the payload.

    For example: openssl dgst -sha256 -sign key.pem -out m.sig m.bin
    """
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.sign import check_not_read, enclave_to_sign, image_to_sign
    from enclavize.pipeline.summary import sigstruct_summary
    from enclavize.progress import Reporter

    if image:
        _refuse_options_of_enclaves(config=config, date=date)
        from enclavize.pipeline.sign_image import payload_to_sign

        location = parse_location(reference)
        check_not_read(output, (getattr(location, "path", None),))
        payload = payload_to_sign(location, image_name, insecure=insecure, reporter=Reporter())
        _write(output, payload)
        return
    _refuse_options_of_images(image_name)
    if file := _enclave_file(reference, config):
        check_not_read(output, (file, config))
        unsigned = enclave_to_sign(file, config, date)
    else:
        location = parse_location(reference)
        check_not_read(output, (getattr(location, "path", None),))
        unsigned = image_to_sign(location, date, insecure=insecure, reporter=Reporter())
    sys.stderr.write(sigstruct_summary(unsigned))
    _write(output, unsigned.signed_bytes())


@sign.command()
def attach(
    *,
    reference: Reference,
    material: Annotated[Path, typer.Option(metavar="FILE", help="What 'sign material' wrote.")],
    signature: Annotated[Path, typer.Option(metavar="FILE", help="Its signature, as OpenSSL writes it.")],
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
    image: WholeImage = False,
    image_name: ImageName = None,
    metadata_file: MetadataFile = None,
    iidfile: ImageIdFile = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Put a signature into its enclave, or with --image beside its image.

    What does not fit is refused, and nothing is changed.
    """
    from enclavize.cli.grammar.output import combine_outputs
    from enclavize.errors import UsageError
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.options import BuildOptions
    from enclavize.pipeline.sign import Signature, attach_to_enclave, attach_to_image
    from enclavize.pipeline.summary import sigstruct_summary, summary
    from enclavize.progress.renderer import reporting

    if image:
        if tag or push or load or output or metadata_file or iidfile:
            raise UsageError(
                "an image signature is put where the image is",
                hint="leave out --tag, --push, --load, --output, --metadata-file and --iidfile",
            )
        _refuse_options_of_enclaves(config=config)
        from enclavize.pipeline.sign_image import SignedPayload, attach_to_stored_image

        files = SignedPayload(payload=material, signature=signature, public_key=public_key)
        with reporting(progress) as reporter:
            attached = attach_to_stored_image(
                parse_location(reference), files, image_name, insecure=insecure, reporter=reporter
            )
        _say(attached, progress)
        return
    _refuse_options_of_images(image_name)
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


@sign.command(name="image")
def sign_image(
    *,
    reference: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A TEE image in a registry or an OCI layout.")
    ],
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY.pem|pkcs11:URI", help="Any key that cosign verifies with: RSA, P-256, Ed25519."
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_fd: PassphraseFd = None,
    signer: Service = None,
    signer_token_file: TokenFile = None,
    signer_certificate: Certificate = None,
    signer_ca: Ca = None,
    image_name: ImageName = None,
    progress: Progress = ProgressMode.AUTO,
    insecure: Insecure = False,
) -> None:
    """Sign an image as a whole, its name and digest, as cosign does.

    The signature is put beside the image: cosign verify --key PUB.pem --insecure-ignore-tlog IMAGE
    """
    from enclavize.cli.grammar.signer import parse_signer
    from enclavize.errors import UsageError
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.options import KeySigner, ServiceSigner
    from enclavize.pipeline.sign_image import sign_stored_image
    from enclavize.progress.renderer import reporting

    who = parse_signer(
        key=key,
        passphrase_file=passphrase_file,
        passphrase_env=passphrase_env,
        passphrase_fd=passphrase_fd,
        service=signer,
        token_file=signer_token_file,
        ca=signer_ca,
        certificate=signer_certificate,
        unsigned=False,
    )
    if not isinstance(who, KeySigner | ServiceSigner):
        raise UsageError("nobody is named who signs", hint="add --key KEY.pem, or --signer https://HOST")
    with reporting(progress) as reporter:
        signed = sign_stored_image(
            parse_location(reference), who, image_name, insecure=insecure, reporter=reporter
        )
    _say(signed, progress)


def _say(signed: "SignedImage", progress: ProgressMode) -> None:
    if progress is ProgressMode.QUIET:
        sys.stdout.write(f"{signed.digest}\n")
    elif progress not in (ProgressMode.NONE, ProgressMode.RAWJSON):
        sys.stderr.write("".join(f"{line}\n" for line in signed.lines))


def _write(output: Path, data: bytes) -> None:
    from enclavize.sgx.atomic_file import write_output

    if str(output) == "-":
        sys.stdout.buffer.write(data)
        return
    write_output(output, [data])


def _refuse_options_of_enclaves(*, config: Path | None = None, date: str | None = None) -> None:
    from enclavize.errors import UsageError

    if config or date is not None:
        raise UsageError("--config and --date are for enclaves, and not for --image")


def _refuse_options_of_images(image_name: str | None) -> None:
    from enclavize.errors import UsageError

    if image_name is not None:
        raise UsageError("--image-name is for the signature of an image", hint="add --image")


def _enclave_file(reference: str, config: Path | None) -> Path | None:
    """Return the enclave file that is meant: a configuration says so, and so does a file of this name."""
    path = Path(reference)
    return path if config or path.is_file() else None
