"""Finds the signer that a key's name means: a PEM file, a PKCS#11 URI, or a plug-in's own scheme.

A plug-in is an entry point in the group ``enclavize.signers``. Its name is the scheme, and it is called with
the whole reference and a function that asks for the passphrase; it returns a ``Signer`` or raises an
``EnclavizeError``; a ``Signer`` without ``sign_image`` signs no images. What a signer returns is verified,
whoever made it.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, SigningRefusedError, UsageError
from enclavize.signing.keys import check_sgx_key
from enclavize.signing.local import LocalSigner
from enclavize.signing.pkcs11 import SCHEME, Pkcs11Signer, Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from enclavize.signing.image_keys import ImageSigner
    from enclavize.signing.local import Signer
    from enclavize.signing.material import SigningMaterial

ENTRY_POINT_GROUP = "enclavize.signers"

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")


def open_signer(reference: str, passphrase: Callable[[], bytes] | None = None) -> Signer:
    """Raises ``UsageError`` and ``SigningRefusedError``; a plug-in that fails is a ``UsageError``."""
    if reference.startswith(SCHEME):
        return Pkcs11Signer(Pkcs11Uri.parse(reference), passphrase)
    scheme = _SCHEME.match(reference)
    if scheme and not Path(reference).exists():
        return _plug_in(scheme[1], reference, passphrase)
    return LocalSigner.from_file(Path(reference), passphrase)


def open_image_signer(reference: str, passphrase: Callable[[], bytes] | None = None) -> ImageSigner:
    """As ``open_signer``, for any key that signs images; a plug-in must have one that signs enclaves."""
    if is_file(reference):
        from enclavize.signing.image_keys import LocalImageSigner

        return LocalImageSigner.from_file(Path(reference), passphrase)
    if reference.startswith(SCHEME):
        from enclavize.signing.pkcs11_image import Pkcs11ImageSigner

        return Pkcs11ImageSigner(Pkcs11Uri.parse(reference), passphrase)
    return open_signer(reference, passphrase)


def is_file(reference: str) -> bool:
    """Whether the reference names a file, and not a token or a plug-in."""
    return not reference.startswith(SCHEME) and (not _SCHEME.match(reference) or Path(reference).exists())


class PlugInSigner:
    """A plug-in's signer: what it raises beside ``EnclavizeError`` becomes one that names the plug-in."""

    def __init__(self, name: str, make: Callable[[], Signer]) -> None:
        self._name = name
        with self._errors():
            self._signer = make()
            self._public_key = self._signer.public_key
            check_sgx_key(self._public_key, f"of {name}")

    @property
    def public_key(self) -> RSAPublicKey:
        return self._public_key

    def sign(self, material: SigningMaterial) -> bytes:
        with self._errors():
            return bytes(self._signer.sign(material))
        raise AssertionError("unreachable")

    def sign_image(self, name: str, digest: str) -> bytes:
        """Raises ``SigningRefusedError`` if the plug-in has no such operation."""
        if not hasattr(self._signer, "sign_image"):
            raise SigningRefusedError(
                f"the signer {self._name} does not sign images",
                hint="Sign the image with another key, or in two steps: enclavize sign material --image.",
            )
        with self._errors():
            return bytes(self._signer.sign_image(name, digest))
        raise AssertionError("unreachable")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except EnclavizeError:
            raise
        except Exception as error:
            raise UsageError(f"the signer {self._name} failed: {type(error).__name__}: {error}") from error


def _plug_in(scheme: str, reference: str, passphrase: Callable[[], bytes] | None) -> Signer:
    from importlib.metadata import entry_points

    found = tuple(entry_points(group=ENTRY_POINT_GROUP, name=scheme))
    if len(found) != 1:
        raise UsageError(
            f"{'Several signers are' if found else 'No signer is'} installed for keys named {scheme}:...",
            hint=f"If it is a file, write ./{reference}.",
        )
    return PlugInSigner(found[0].value, lambda: found[0].load()(reference, passphrase))
