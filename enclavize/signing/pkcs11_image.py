"""Keys in a PKCS#11 token that sign images and no enclaves: RSA of other sizes, and ECDSA on P-256."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from enclavize.signing.image_keys import image_key
from enclavize.signing.image_payload import build_payload
from enclavize.signing.pkcs11 import TokenKey, rsa_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from enclavize.signing.image_keys import ImagePublicKey
    from enclavize.signing.pkcs11 import Pkcs11Uri


class Pkcs11ImageSigner:
    """Signs with CKM_SHA256_RSA_PKCS, or with CKM_ECDSA, which every token with such keys has."""

    def __init__(
        self,
        uri: Pkcs11Uri,
        pin: Callable[[], bytes] | None = None,
        *,
        module: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Raises as ``TokenKey``, and ``SigningRefusedError`` for a key that does not sign images."""
        self._key = TokenKey(uri, pin, kinds=("RSA", "EC"), module=module, environ=environ)
        self._public_key = image_key(self._key.public(_public_key), str(uri))

    @property
    def public_key(self) -> ImagePublicKey:
        return self._public_key

    def sign_image(self, name: str, digest: str) -> bytes:
        """Raises ``SigningRefusedError`` if the token does not sign, ``UsageError`` for no name or digest."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        payload = build_payload(name, digest)
        if isinstance(self._public_key, RSAPublicKey):
            return self._key.sign(payload, "SHA256_RSA_PKCS")
        # CKM_ECDSA signs a hash, and gives the numbers r and s one after the other (PKCS #11, 2.3.1).
        numbers = self._key.sign(hashlib.sha256(payload).digest(), "ECDSA")
        half = len(numbers) // 2
        return encode_dss_signature(
            int.from_bytes(numbers[:half], "big"), int.from_bytes(numbers[half:], "big")
        )


def _public_key(half: Any) -> PublicKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_ec_public_key

    if half[Attribute.KEY_TYPE] == KeyType.RSA:
        return rsa_public_key(half)
    return load_der_public_key(encode_ec_public_key(half))
