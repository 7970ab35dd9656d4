"""Signatures of others: taken if they fit our own measurement and our signer's key, and else not."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from enclavize.node.sharing import ARTIFACT_TYPE, SIGNATURE, fitting_signature
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.media_types import OCI_MANIFEST
from enclavize.signing.local import LocalSigner
from enclavize.signing.material import SigningMaterial
from enclavize.tee.annotations import MRENCLAVE
from unit.signing.test_material import unsigned

OURS = SigningMaterial.of(unsigned("enclave_a"))
OTHER = SigningMaterial.of(unsigned("enclave_a", isv_svn=7))


@pytest.fixture(scope="module")
def signer() -> LocalSigner:
    return LocalSigner(rsa.generate_private_key(3, 3072))


def _entry(signature: bytes | str, mrenclave: bytes = OURS.sigstruct.mrenclave) -> Descriptor:
    text = signature if isinstance(signature, str) else base64.b64encode(signature).decode()
    return Descriptor(
        media_type=OCI_MANIFEST, digest=sha256_digest(text.encode()), size=1, artifact_type=ARTIFACT_TYPE,
        annotations={MRENCLAVE: mrenclave.hex(), SIGNATURE: text},
    )  # fmt: skip


def test_one_that_fits_is_found_among_others(signer: LocalSigner) -> None:
    good = signer.sign(OURS)
    entries = [_entry(""), _entry("?"), _entry(bytes(384)), _entry(signer.sign(OTHER)), _entry(good)]
    assert fitting_signature(entries, OURS, signer.public_key) == good


def test_others_are_not_taken(signer: LocalSigner) -> None:
    """Of another key, of another SIGSTRUCT with the same MRENCLAVE, of nothing, too long, too many."""
    stranger = LocalSigner(rsa.generate_private_key(3, 3072))
    good = signer.sign(OURS)
    assert OTHER.sigstruct.mrenclave == OURS.sigstruct.mrenclave
    others = [
        _entry(stranger.sign(OURS)), _entry(signer.sign(OTHER)), _entry(b""), _entry(good + b"\0"),
        _entry(good[::-1]), _entry(b"\xff" * 384), _entry("\u2603"), _entry(good, bytes(32)),
    ]  # fmt: skip
    assert fitting_signature(others, OURS, signer.public_key) is None
    assert fitting_signature([*others * 20, _entry(good)], OURS, signer.public_key) is None
    no_annotation = Descriptor(media_type=OCI_MANIFEST, digest=sha256_digest(b""), size=1)
    assert fitting_signature([no_annotation], OURS, signer.public_key) is None
