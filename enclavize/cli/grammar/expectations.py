"""The expectations of ``verify``: options, and a policy file.

# policy.toml; every key may be left out
signers = ["enclave-key.pub.pem", "83d719e7..."]    # files are relative to this one
mrenclave = ["..."]
isvprodid = 1
min_svn = 2
allow_debug = false
image_signers = ["release.pub.pem"]
image_name = "registry.example/team/app"
require_image_signature = false
host_files = ["gramine-1.9.sha256"]
known_flaws = ["found-yesterday.toml"]
allow_flaws = ["CVE-2024-25371"]
allow_integrity_only = false
allow_simulation = false
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.oci.reference import parse_reference
from enclavize.tee.expectations import Expectations
from enclavize.tee.host_files import read_host_files
from enclavize.tee.image_trust import ImageExpectations
from enclavize.tee.known_flaws import read_flaws
from enclavize.tee.outside import LibosExpectations
from enclavize.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.signing.image_keys import ImagePublicKey

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MAX_POLICY_SIZE = 1 << 20
_KEYS = frozenset(
    {
        "signers",
        "mrenclave",
        "isvprodid",
        "min_svn",
        "allow_debug",
        "image_signers",
        "image_name",
        "require_image_signature",
        "host_files",
        "known_flaws",
        "allow_flaws",
        "allow_integrity_only",
        "allow_simulation",
    }
)


def parse_expectations(
    *,
    signers: Sequence[str],
    measurements: Sequence[str],
    isv_prod_id: int | None,
    min_svn: int | None,
    allow_debug: bool,
    allow_any_signer: bool,
    policy: Path | None,
    image_signers: Sequence[str] = (),
    image_name: str | None = None,
    require_image_signature: bool = False,
    toolchain: str | None = None,
    host_files: Sequence[Path] = (),
    known_flaws: Sequence[Path] = (),
    allow_flaws: Sequence[str] = (),
    allow_integrity_only: bool = False,
    allow_simulation: bool = False,
) -> Expectations:
    """Combine options and policy file; an option takes the place of the file's key. Raises UsageError."""
    document = _read_policy(policy) if policy else {}
    folder = policy.parent if policy else Path()
    signers = signers or [_beside(folder, text) for text in _texts(document, "signers", policy)]
    wanted = Expectations(
        signers=frozenset(map(_signer, signers)),
        measurements=frozenset(
            _hash(text, "--mrenclave") for text in measurements or _texts(document, "mrenclave", policy)
        ),
        isv_prod_id=_number(document, "isvprodid", policy) if isv_prod_id is None else isv_prod_id,
        min_svn=_number(document, "min_svn", policy) if min_svn is None else min_svn,
        allow_debug=allow_debug or _switch(document, "allow_debug", policy),
        allow_any_signer=allow_any_signer,
        image=ImageExpectations(
            signers=tuple(
                map(
                    _image_signer,
                    image_signers
                    or [str(folder / text) for text in _texts(document, "image_signers", policy)],
                )
            ),
            name=_image_name(image_name or _text(document, "image_name", policy)),
            required=require_image_signature or _switch(document, "require_image_signature", policy),
        ),
        libos=LibosExpectations(
            toolchain=toolchain,
            host_files=tuple(
                map(read_host_files, host_files or _paths(document, "host_files", policy, folder))
            ),
            known_flaws=tuple(known_flaws or _paths(document, "known_flaws", policy, folder)),
            allowed_flaws=frozenset(allow_flaws or _texts(document, "allow_flaws", policy)),
            allow_integrity_only=allow_integrity_only or _switch(document, "allow_integrity_only", policy),
            allow_simulation=allow_simulation or _switch(document, "allow_simulation", policy),
        ),
    )
    for path in wanted.libos.known_flaws:
        read_flaws(path)
    if wanted.image.insist and not wanted.signers and not wanted.image.signers:
        raise UsageError(
            "nobody is trusted to sign the image as a whole",
            hint="add --signer PUB.pem, or --image-signer PUB.pem",
        )
    if allow_any_signer and wanted.signers:
        raise UsageError("--allow-any-signer and trusted signers contradict each other")
    if not wanted.signers:
        for option, value in (("--isvprodid", wanted.isv_prod_id), ("--min-svn", wanted.min_svn)):
            if value is not None:
                raise UsageError(
                    f"{option} means nothing without a trusted signer: whoever signs chooses the number",
                    hint="add --signer PUB.pem",
                )
    return wanted


def _signer(text: str) -> str:
    """Return the MRSIGNER of a public key file, or of itself."""
    if _HASH.fullmatch(text):
        return text.lower()
    if not Path(text).exists():
        raise UsageError(f"--signer {text!r} is neither an MRSIGNER in hex nor a file with a public key")
    from enclavize.signing.keys import load_public_key, mrsigner

    return mrsigner(load_public_key(Path(text))).hex()


def _image_signer(text: str) -> ImagePublicKey:
    from enclavize.signing.image_keys import load_image_public_key

    return load_image_public_key(Path(text))


def _image_name(text: str | None) -> str | None:
    """Return registry and repository; a tag is not signed."""
    return parse_reference(text).name if text is not None else None


def _hash(text: str, option: str) -> str:
    if not _HASH.fullmatch(text):
        raise UsageError(f"{option} {text!r} is not a SHA-256 in hex")
    return text.lower()


def _beside(folder: Path, text: str) -> str:
    return text if _HASH.fullmatch(text) else str(folder / text)


def _read_policy(path: Path) -> dict[str, Any]:
    document = read_toml(path, "policy", _MAX_POLICY_SIZE)
    for key in document.keys() - _KEYS:
        raise UsageError(f"{path}: {key!r} is unknown", hint=f"keys: {', '.join(sorted(_KEYS))}")
    return document


def _texts(document: dict[str, Any], key: str, path: Path | None) -> list[str]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: {key} is not a list of strings")
    if key in document and not value:
        raise UsageError(f"{path}: {key} is empty, so nothing could be trusted")
    return value


def _text(document: dict[str, Any], key: str, path: Path | None) -> str | None:
    value = document.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{path}: {key} is not a string")
    return value


def _paths(document: dict[str, Any], key: str, path: Path | None, folder: Path) -> list[Path]:
    return [folder / text for text in _texts(document, key, path)]


def _number(document: dict[str, Any], key: str, path: Path | None) -> int | None:
    value = document.get(key)
    if value is not None and (
        not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFF
    ):
        raise UsageError(f"{path}: {key} is not a number from 0 to 65535")
    return value


def _switch(document: dict[str, Any], key: str, path: Path | None) -> bool:
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise UsageError(f"{path}: {key} is neither true nor false")
    return value
