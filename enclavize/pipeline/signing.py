"""Who signs a build."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.storage import storage_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from enclavize.pipeline.options import SigningOptions
    from enclavize.signing.local import Signer

DEBUG_KEY = "debug-key.pem"

_MAX_KEY_SIZE = 1 << 20
_HINT = "make a key with: enclavize keygen KEY.pem"


@dataclass(frozen=True, kw_only=True)
class SigningIdentity:
    """A key that is loaded when it is needed: a build whose result is known already does not sign.

    ``fingerprint`` changes with the key file and with who may read it.
    """

    fingerprint: str
    load: Callable[[], Signer]


def signing_identity(options: SigningOptions) -> SigningIdentity:
    """Find the key. Without one, the user's debug key is taken, and made when it is first needed."""
    path = options.key or debug_key()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_KEY_SIZE)
        permissions = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}", hint=_HINT) from error
    return SigningIdentity(
        fingerprint=f"{permissions:o}:{hashlib.sha256(content).hexdigest()}",
        load=lambda: _load(path, options.passphrase),
    )


def _load(path: Path, passphrase: Callable[[], bytes] | None) -> Signer:
    from enclavize.signing.local import LocalSigner

    return LocalSigner.from_file(path, passphrase)


def debug_key() -> Path:
    """Return the path of the user's debug key."""
    import platformdirs

    path = platformdirs.user_data_path("enclavize") / DEBUG_KEY
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
