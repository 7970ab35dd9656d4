"""Who signs a build."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.folders import user_data
from enclavize.oci.storage import storage_errors
from enclavize.pipeline.options import KeySigner, NoSigner, ServiceSigner

if TYPE_CHECKING:
    from collections.abc import Callable

    from enclavize.pipeline.options import SigningOptions
    from enclavize.signing.local import Signer

DEBUG_KEY = "debug-key.pem"

_MAX_KEY_SIZE = 1 << 20
_HINT = "make a key with: enclavize keygen KEY.pem"


@dataclass(frozen=True, kw_only=True)
class SigningIdentity:
    """Who will sign, if the result of the build is not known already; without ``load`` nobody does.

    ``fingerprint`` changes with the signer, and with who may read a key file.
    """

    fingerprint: str
    load: Callable[[], Signer] | None


def signing_identity(options: SigningOptions) -> SigningIdentity:
    """Find the signer. Without one, the user's debug key is taken, and made when it is first needed.

    A key file is only opened when it is to sign. A token, a plug-in or a service must tell its public key.
    """
    match options.signer:
        case None:
            return _key_file(KeySigner(reference=str(debug_key())))
        case NoSigner():
            return SigningIdentity(fingerprint="unsigned", load=None)
        case ServiceSigner() as service:
            from enclavize.signing.remote import RemoteSigner

            return _known(
                RemoteSigner(
                    service.url,
                    token_file=service.token_file,
                    ca=service.ca,
                    certificate=service.certificate,
                )
            )
        case KeySigner() as key:
            from enclavize.signing.signers import is_file, open_signer

            return (
                _key_file(key)
                if is_file(key.reference)
                else _known(open_signer(key.reference, key.passphrase))
            )


def _known(signer: Signer) -> SigningIdentity:
    from enclavize.signing.keys import mrsigner

    return SigningIdentity(fingerprint=mrsigner(signer.public_key).hex(), load=lambda: signer)


def _key_file(key: KeySigner) -> SigningIdentity:
    path = Path(key.reference)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_KEY_SIZE)
        permissions = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}", hint=_HINT) from error
    return SigningIdentity(
        fingerprint=f"{permissions:o}:{hashlib.sha256(content).hexdigest()}",
        load=functools.cache(lambda: _load(path, key.passphrase)),  # a passphrase is asked for once
    )


def _load(path: Path, passphrase: Callable[[], bytes] | None) -> Signer:
    from enclavize.signing.local import LocalSigner

    return LocalSigner.from_file(path, passphrase)


def debug_key() -> Path:
    """Return the path of the user's debug key."""
    path = user_data() / DEBUG_KEY
    if not path.exists():
        from enclavize.signing.keys import generate_key

        with storage_errors("make", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            generate_key(path)
        except UsageError:
            if not path.exists():  # otherwise another build was faster, and its key is as good
                raise
    return path
