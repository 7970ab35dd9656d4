"""Who signs a build: ``--key``, ``--signer`` and ``--unsigned`` exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.cli.passphrase import passphrase_reader
from enclavize.errors import UsageError
from enclavize.pipeline.options import ImageSigning, KeySigner, NoSigner, ServiceSigner

if TYPE_CHECKING:
    from pathlib import Path


def parse_signer(
    *,
    key: str | None,
    passphrase_file: Path | None,
    passphrase_env: str | None,
    passphrase_fd: int | None,
    service: str | None,
    token_file: Path | None,
    ca: Path | None,
    certificate: Path | None,
    unsigned: bool,
) -> KeySigner | ServiceSigner | NoSigner | None:
    """Return who signs; None is the user's debug key. Raises UsageError for contradictions."""
    given = [
        name
        for name, value in (("--key", key), ("--signer", service), ("--unsigned", unsigned or None))
        if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other", hint="an image has one signer")
    if key == "":
        raise UsageError("--key names no key", hint="write --key KEY.pem")
    passphrase = passphrase_reader(passphrase_file, passphrase_env, passphrase_fd, key)
    if service is None and (token_file or ca or certificate):
        raise UsageError(
            "--signer-token-file, --signer-ca and --signer-certificate are for a signing service",
            hint="add --signer https://HOST",
        )
    if service is not None:
        if "://" not in service:
            raise UsageError(
                f"--signer {service[:200]!r} is no signing service, https://HOST[:PORT]",
                hint="a key file signs by --key KEY.pem",
            )
        if not token_file and not certificate:
            raise UsageError(
                "a signing service must know who asks",
                hint="add --signer-token-file FILE, or --signer-certificate FILE",
            )
        return ServiceSigner(url=service, token_file=token_file, ca=ca, certificate=certificate)
    if unsigned:
        return NoSigner()
    return KeySigner(reference=key, passphrase=passphrase) if key is not None else None


def parse_image_signing(*, wanted: bool, key: str | None) -> ImageSigning | None:
    """Return whether and with which key the image as a whole is signed. Raises UsageError."""
    if not wanted and key is not None:
        raise UsageError("--image-signing-key is for an image signature", hint="add --image-signature")
    if not wanted or key is None:
        return ImageSigning() if wanted else None
    if key == "":
        raise UsageError("--image-signing-key names no key", hint="write --image-signing-key KEY.pem")
    passphrase = passphrase_reader(None, None, None, key)
    return ImageSigning(key=KeySigner(reference=key, passphrase=passphrase))
