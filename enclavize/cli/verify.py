"""``enclavize verify``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enclavize.cli.choices import Progress
from enclavize.progress.mode import ProgressMode


def verify(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A TEE image.")],
    signer: Annotated[
        list[str] | None,
        typer.Option(metavar="PUB.pem|MRSIGNER", help="A signer that is trusted."),
    ] = None,
    mrenclave: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="A measurement that is trusted.")
    ] = None,
    isvprodid: Annotated[
        int | None, typer.Option(min=0, max=0xFFFF, help="The product id that is wanted.")
    ] = None,
    min_svn: Annotated[
        int | None, typer.Option(min=0, max=0xFFFF, help="The lowest security version number.")
    ] = None,
    allow_debug: Annotated[bool, typer.Option("--allow-debug", help="Accept a debug image.")] = False,
    allow_any_signer: Annotated[
        bool, typer.Option("--allow-any-signer", help="Only look whether the image is consistent.")
    ] = False,
    require_image_signature: Annotated[
        bool, typer.Option("--require-image-signature", help="Refuse an image that is not signed as a whole.")
    ] = False,
    image_signer: Annotated[
        list[str] | None,
        typer.Option(metavar="PUB.pem", help="Who must have signed the image, if not the enclave's signer."),
    ] = None,
    image_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name that must be signed, if not IMAGE's: it may be a copy."),
    ] = None,
    toolchain: Annotated[
        str | None,
        typer.Option(
            metavar="TOOLCHAIN",
            help="What runs outside of the enclave must be of this toolchain: an install prefix, an image or "
            "a kept one. Without it and --host-files that is NOT checked, and the exit code is 6.",
        ),
    ] = None,
    host_files: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What runs outside of the enclave must have the digests of this file, which 'enclavize "
            "toolchain digests' writes. Of several files one must fit.",
        ),
    ] = None,
    known_flaws: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A TOML file with more known flaws of LibOSes.")
    ] = None,
    allow_flaw: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Accept a LibOS with this known flaw.")
    ] = None,
    allow_integrity_only: Annotated[
        bool,
        typer.Option(
            "--allow-integrity-only", help="Accept a root file system that a determined host can change."
        ),
    ] = False,
    allow_simulation: Annotated[
        bool, typer.Option("--allow-simulation", help="Accept an image that runs in simulation alone.")
    ] = False,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A TOML file with these expectations.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|FIELD", help="Form of the result.")
    ] = "table",
    progress: Progress = ProgressMode.AUTO,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept plain HTTP and unknown certificates of registries.")
    ] = False,
) -> None:
    """Verify a TEE image: every digest, the signature, a new measurement, the signer, what runs outside.

    Exit codes: 0 trusted, 1 the image contradicts itself, 4 it is not what is expected, 6 it is, but what
    runs outside of its enclave was NOT checked.
    """
    from enclavize.cli.grammar.expectations import parse_expectations
    from enclavize.cli.present import present
    from enclavize.oci.location import parse_location
    from enclavize.pipeline.verify import verify_image
    from enclavize.progress.renderer import reporting

    expectations = parse_expectations(
        signers=signer or [],
        measurements=mrenclave or [],
        isv_prod_id=isvprodid,
        min_svn=min_svn,
        allow_debug=allow_debug,
        allow_any_signer=allow_any_signer,
        policy=policy,
        image_signers=image_signer or [],
        image_name=image_name,
        require_image_signature=require_image_signature,
        toolchain=toolchain,
        host_files=host_files or [],
        known_flaws=known_flaws or [],
        allow_flaws=allow_flaw or [],
        allow_integrity_only=allow_integrity_only,
        allow_simulation=allow_simulation,
    )
    with reporting(progress) as reporter:
        verdict = verify_image(parse_location(image), expectations, insecure=insecure, reporter=reporter)
    sys.stdout.write(present(verdict.to_json(), form))
    verdict.raise_unless_trusted()
