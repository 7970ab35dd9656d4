"""``enclavize keygen``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclavize.cli.passphrase import PassphraseEnv, PassphraseFd, PassphraseFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def keygen(
    *,
    key: Annotated[
        str,
        typer.Argument(metavar="KEY.pem|pkcs11:URI", help="The private key to make: a file, or in a token."),
    ],
    public_key: Annotated[
        Path | None,
        typer.Option(metavar="PUB.pem", help="Where the public key of a token's key goes."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_env: PassphraseEnv = None,
    passphrase_fd: PassphraseFd = None,
) -> None:
    """Make a key to sign enclaves with (RSA-3072, exponent 3).

    The public key goes beside its file, for those who verify. Nothing that exists is overwritten. In a token
    the new key is named by an RFC 7512 URI: "pkcs11:token=TOKEN;object=KEY".
    """
    from enclavize.cli.passphrase import passphrase_reader
    from enclavize.errors import UsageError
    from enclavize.signing.keys import generate_key, load_public_key, mrsigner
    from enclavize.signing.pkcs11 import SCHEME

    if key.startswith(SCHEME):
        pin = passphrase_reader(passphrase_file, passphrase_env, passphrase_fd, key)
        made = _generate_in_token(key, pin, public_key)
    elif passphrase_file or passphrase_env or passphrase_fd is not None or public_key:
        raise UsageError("--public-key and a PIN are for keys in tokens", hint='write "pkcs11:object=KEY"')
    else:
        public_key = generate_key(Path(key))
        made = load_public_key(public_key)
    sys.stdout.write(f"private key  {key}\n")
    if public_key:
        sys.stdout.write(f"public key   {public_key}\n")
    sys.stdout.write(f"MRSIGNER     {mrsigner(made).hex()}\n")


def _generate_in_token(uri: str, pin: "Callable[[], bytes]", public_path: Path | None) -> "RSAPublicKey":
    from enclavize.errors import UsageError
    from enclavize.sgx.atomic_file import write_file
    from enclavize.signing.keys import public_key_pem
    from enclavize.signing.pkcs11 import Pkcs11Uri, generate_pkcs11_key

    if public_path and (public_path.exists() or public_path.is_symlink()):
        raise UsageError(f"{public_path} exists; a key is never overwritten", hint="choose another name")
    if public_path and not os.access(public_path.parent, os.W_OK):
        raise UsageError(f"cannot write {public_path}: {public_path.parent} is no folder to write in")
    made = generate_pkcs11_key(Pkcs11Uri.parse(uri), pin)
    if public_path:
        write_file(public_path, [public_key_pem(made)], mode=0o644, replace=False)
    return made
