"""The key of a conversion changes with all that is measured or signed, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.libos.base import Resources
from enclavize.node.conversion import Job
from enclavize.node.daemon import NOWHERE
from enclavize.node.engines.found import FoundImage
from enclavize.oci.digest import Digest
from enclavize.pipeline.options import BuildOptions, KeySigner, ServiceSigner, SigningOptions
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume

if TYPE_CHECKING:
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image

A, B = (Digest(f"sha256:{letter * 64}") for letter in "ab")
SIGNING = SigningOptions(signer=KeySigner(reference="key.pem"), debug=False)
OPTIONS = BuildOptions(source=NOWHERE, outputs=(), signing=SIGNING)


def _unopened(_: BlobCache) -> Image:
    raise AssertionError


def _found(digest: Digest = A, name: str = "some") -> FoundImage:
    return FoundImage(name=name, config_digest=digest, labels={}, open=_unopened)


def _key(options: BuildOptions = OPTIONS, found: FoundImage | None = None, rule: str = "a.toml") -> str:
    return Job(found=found or _found(), options=options, rule=rule).key


def test_names_do_not_matter() -> None:
    assert _key(found=_found(name="other")) == _key()
    assert _key(rule="b.toml") == _key()


def test_all_else_does() -> None:
    policies = [
        Policy(allow_arguments=True), Policy(allowed_environment=(AllowedVariable(name="A"),)),
        Policy(allow_any_exec=True), Policy(allowed_exec=(("a",),)), Policy(allowed_exec=(("a", ""),)),
        Policy(volumes=(Volume(path="/a"),)), Policy(volumes=(Volume(path="/a", read_only=True),)),
        Policy(volumes=(Volume(path="/a", executable=True),)), Policy(allow_host_network_files=True),
        *(Policy(network=network) for network in Network),
    ]  # fmt: skip
    signings = [
        replace(SIGNING, isv_prod_id=1), replace(SIGNING, isv_svn=1), replace(SIGNING, debug=True),
        replace(SIGNING, signer=KeySigner(reference="other.pem")),
        replace(SIGNING, signer=ServiceSigner(url="https://a")),
        replace(SIGNING, signer=ServiceSigner(url="https://b")),
    ]  # fmt: skip
    resources = [Resources(memory=1 << 21), Resources(threads=1)]
    keys = [
        _key(),
        _key(found=_found(B)),
        *(_key(replace(OPTIONS, policy=policy)) for policy in policies),
        *(_key(replace(OPTIONS, signing=signing)) for signing in signings),
        *(_key(replace(OPTIONS, resources=resource)) for resource in resources),
        _key(replace(OPTIONS, strict=True)),
        _key(replace(OPTIONS, forced=("X",))),
    ]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("libos", "toolchain", "message"),
    [
        ("auto", None, "asks for auto: nodes convert for builtin, gramine, occlum"),
        ("gramine", "registry.example/gramine:1", "a node's is a folder, by its absolute path"),
        ("gramine", "./prefix", "a node's is a folder, by its absolute path"),
    ],
)
def test_what_a_node_does_not_do_is_refused(libos: str, toolchain: str | None, message: str) -> None:
    with pytest.raises(EnclavizeError, match=message):
        _key(replace(OPTIONS, libos=libos, toolchain=toolchain))


def test_an_unsigned_conversion_is_none() -> None:
    with pytest.raises(EnclavizeError, match="signed by a key or by a signing service"):
        _key(replace(OPTIONS, signing=SigningOptions()))
