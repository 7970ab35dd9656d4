"""Options that say who signs."""

from pathlib import Path
from typing import Annotated

import typer

Service = Annotated[
    str | None,
    typer.Option("--signer", metavar="https://HOST", help="A signing service that signs in place of a key."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--signer-token-file", metavar="FILE", help="File with our token at the signing service."),
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--signer-certificate", metavar="PEM", help="Our certificate at the signing service, with its key."
    ),
]
Ca = Annotated[
    Path | None,
    typer.Option(
        "--signer-ca", metavar="PEM", help="Who certifies the signing service, in place of the system's."
    ),
]
ImageName = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The name to sign, if not IMAGE's: where copies of it will be."),
]
