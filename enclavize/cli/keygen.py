"""``enclavize keygen``."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def keygen(path: Annotated[Path, typer.Argument(metavar="KEY.pem", help="The private key to make.")]) -> None:
    """Make a key to sign enclaves with (RSA-3072, exponent 3).

    The public key goes beside it, for those who verify. An existing file is never overwritten.
    """
    from enclavize.signing.keys import generate_key, load_public_key, mrsigner

    public_path = generate_key(path)
    sys.stdout.write(f"private key  {path}\n")
    sys.stdout.write(f"public key   {public_path}\n")
    sys.stdout.write(f"MRSIGNER     {mrsigner(load_public_key(public_path)).hex()}\n")
