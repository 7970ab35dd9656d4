"""Who signs a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.oci.storage import storage_errors
from enclavize.signing.keys import generate_key
from enclavize.signing.local import LocalSigner

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.pipeline.options import SigningOptions
    from enclavize.signing.local import Signer

DEBUG_KEY = "debug-key.pem"


def signer_of(options: SigningOptions) -> Signer:
    """Load the key. Without one, the user's debug key is taken, and made when it is first needed."""
    if options.key is not None:
        return LocalSigner.from_file(options.key, options.passphrase)
    return LocalSigner.from_file(debug_key())


def debug_key() -> Path:
    """Return the path of the user's debug key."""
    import platformdirs

    path = platformdirs.user_data_path("enclavize") / DEBUG_KEY
    if not path.exists():
        with storage_errors("make", path.parent):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            generate_key(path)
        except UsageError:
            if not path.exists():  # otherwise another build was faster, and its key is as good
                raise
    return path
