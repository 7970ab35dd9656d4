"""What image signatures sign, and that it is never what a SIGSTRUCT signs: they share keys and algorithm."""

from __future__ import annotations

import json
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enclavize.errors import IntegrityError, InvalidImageError, UsageError
from enclavize.oci.image_signature import MAX_PAYLOAD_SIZE
from enclavize.sgx.sigstruct import HEADER
from enclavize.signing.image_keys import LocalImageSigner
from enclavize.signing.image_payload import MAX_SIGNED_NAME, TYPE, build_payload, parse_payload
from enclavize.signing.local import LocalSigner
from enclavize.signing.material import SigningMaterial
from enclavize.signing.pkcs11 import Pkcs11Signer
from enclavize.signing.pkcs11_image import Pkcs11ImageSigner
from enclavize.signing.remote import RemoteSigner
from enclavize.signing.signers import PlugInSigner
from enclavize.signing.two_step import parse_material
from support.scale import scaled
from support.vectors import INTEL, signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

NAME = "registry.example:5000/team/app"
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
PAYLOAD = (
    b'{"critical":{"identity":{"docker-reference":"registry.example:5000/team/app"},"image":{"docker-manifest-'
    b'digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},"type":"cosign '
    b'container image signature"},"optional":null}'
)
MATERIAL = (INTEL / "cases/kss/gendata.bin").read_bytes()

often = settings(max_examples=scaled(4000, least=100), deadline=None)
components = st.text("ab01", min_size=1, max_size=8) | st.sampled_from(["a.b", "a_b", "a__b", "a-b", "a---b"])
names = st.builds(
    lambda host, parts: "/".join([host, *parts]),
    st.sampled_from(
        ["registry.example", "localhost:5000", "[2001:db8::1]:443", "Registry.Example", "docker.io/a"]
    ),
    st.lists(components, min_size=1, max_size=5),
)
digests = st.binary(min_size=32, max_size=32).map(lambda data: f"sha256:{data.hex()}")
hostile = st.one_of(
    st.text(),
    st.binary(max_size=300).map(lambda data: data.decode("latin-1")),
    st.sampled_from(
        [
            MATERIAL.decode("latin-1"),
            MATERIAL.hex(),
            PAYLOAD.decode(),
            f'a.b/c"}},"image":{{"docker-manifest-digest":"{DIGEST}"',
            f"{NAME}\n",
            f"{NAME}:tag",
            f"{NAME}@{DIGEST}",
            "app",
            "docker.io/app",
            f"registry.example/{'a' * 300}",
            f"{'a' * MAX_SIGNED_NAME}.example/app",
            DIGEST.upper(),
            f"sha512:{'0' * 128}",
            "sha256:",
            f"{DIGEST}\n",
            "0" * 64,
        ]
    ),
)


def test_the_payload_is_what_cosign_writes() -> None:
    assert build_payload(NAME, DIGEST) == PAYLOAD
    parsed = parse_payload(PAYLOAD, "it")
    assert (parsed.name, parsed.digest) == (NAME, DIGEST)


@often
@given(names, digests)
def test_what_is_built_is_read_again(name: str, digest: str) -> None:
    payload = build_payload(name, digest)
    assert json.loads(payload)["critical"]["identity"] == {"docker-reference": name}
    parsed = parse_payload(payload, "it")
    assert (parsed.name, parsed.digest) == (name, digest)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "app",
        "team/app",
        "docker.io/app",
        "registry.example/App",
        "registry.example/a/",
        "registry.example/",
        f"{NAME}:tag",
        f"{NAME}@{DIGEST}",
        f"{NAME}\n",
        f" {NAME}",
        f'{NAME}"',
        f"{NAME}\\",
        f"{NAME}/\u00e4",
        f"{NAME}/\ud800",
        f"registry.example/{'a' * 300}",
        f"{'a' * MAX_SIGNED_NAME}.example/app",
        DIGEST,
        MATERIAL.decode("latin-1"),
        PAYLOAD.decode(),
        f"index.{NAME}\0",
        "index.docker.io/library/app",
    ],
)
def test_what_is_no_whole_name_is_not_signed(name: str) -> None:
    with pytest.raises(UsageError, match="not the whole name"):
        build_payload(name, DIGEST)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "sha256:",
        DIGEST[7:],
        DIGEST.upper(),
        f"{DIGEST}0",
        f"{DIGEST}\n",
        DIGEST[:-1],
        f"sha512:{'0' * 128}",
        f"md5:{'0' * 32}",
        f"sha256:{'g' * 64}",
        "sha256:" + "\u0660" * 64,
        MATERIAL.hex(),
        MATERIAL.decode("latin-1"),
    ],
)
def test_what_is_no_digest_is_not_signed(digest: str) -> None:
    with pytest.raises(UsageError, match="no sha256 digest"):
        build_payload(NAME, digest)


class RecordingKey:
    """Signs nothing, and keeps what it was to sign."""

    def __init__(self) -> None:
        self.signed: list[bytes] = []

    def public_key(self) -> RSAPublicKey:
        return signer().public_key

    def sign(self, data: bytes, *_how: object) -> bytes:
        self.signed.append(data)
        return b""


@often
@given(names | hostile, digests | hostile)
@example(NAME, DIGEST)
@example(MATERIAL.decode("latin-1"), DIGEST)
@example(NAME, MATERIAL.decode("latin-1"))
@example(NAME, MATERIAL.hex())
def test_no_name_and_no_digest_makes_a_signer_sign_a_sigstruct(name: str, digest: str) -> None:
    key = RecordingKey()
    try:
        LocalSigner(key).sign_image(name, digest)  # type: ignore[arg-type]
    except UsageError:
        assert key.signed == []
        return
    (signed,) = key.signed
    assert signed.startswith(b'{"critical"')
    assert not signed.startswith(HEADER[:1])
    with pytest.raises(IntegrityError):
        parse_material(signed)


@pytest.mark.parametrize(
    ("signer_class", "operations"),
    [
        (LocalSigner, {"sign", "sign_image"}),
        (Pkcs11Signer, {"sign", "sign_image"}),
        (PlugInSigner, {"sign", "sign_image"}),
        (RemoteSigner, {"sign", "sign_image"}),
        (LocalImageSigner, {"sign_image"}),
        (Pkcs11ImageSigner, {"sign_image"}),
    ],
)
def test_signers_have_no_operation_for_bytes(signer_class: type, operations: set[str]) -> None:
    """A new one must not take bytes or a digest; see ``enclavize.signing.local``."""
    public = {name for name in dir(signer_class) if not name.startswith("_")}
    assert public - {"public_key", "from_file", "close"} == operations
    parameters = list(signature(signer_class.sign_image).parameters)  # type: ignore[attr-defined]
    assert parameters == ["self", "name", "digest"]


@often
@given(
    st.one_of(
        st.builds(build_payload, names, digests),
        st.binary(max_size=300),
        st.builds(
            lambda payload, size: payload[:size].ljust(size),
            st.builds(build_payload, names, digests),
            st.just(256),
        ),
        st.builds(
            lambda start, rest: (start + rest)[:256],
            st.sampled_from([PAYLOAD, HEADER, b"{"]),
            st.binary(min_size=256),
        ),
    )
)
def test_no_other_bytes_are_signing_material(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        SigningMaterial(header_and_body=data)


@often
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=4))
def test_no_signing_material_is_a_payload(patch: list[tuple[int, int]]) -> None:
    data = bytearray(MATERIAL)
    for offset, value in patch:
        data[offset] = value
    try:
        material = SigningMaterial(header_and_body=bytes(data))
    except IntegrityError:
        return
    key = RecordingKey()
    LocalSigner(key).sign(material)  # type: ignore[arg-type]
    assert key.signed == [bytes(data)]
    assert bytes(data).startswith(HEADER)
    with pytest.raises(InvalidImageError):
        parse_payload(bytes(data), "it")


def changed(path: str, value: Any) -> bytes:
    """Return the payload with one member changed; a value of ... removes it."""
    document = json.loads(PAYLOAD)
    *above, last = path.split(".")
    place = document
    for name in above:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optional", {"creator": "skopeo", "timestamp": 1458239713, "more": [{"a": None}]}),
        ("critical.identity.docker-reference", f"{NAME}:1.0"),
        ("critical.identity.docker-reference", f"{NAME}@{DIGEST}"),
    ],
)
def test_payloads_of_other_tools_are_read(path: str, value: Any) -> None:
    parsed = parse_payload(changed(path, value), "it")
    assert (parsed.name, parsed.digest) == (NAME, DIGEST)


def test_cosign_calls_docker_hub_by_another_name() -> None:
    parsed = parse_payload(changed("critical.identity.docker-reference", "index.docker.io/library/app"), "it")
    assert parsed.name == "docker.io/library/app"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("critical", ...),
        ("optional", ...),
        ("optional", "text"),
        ("more", 1),
        ("critical.type", "atomic container signature"),
        ("critical.type", ...),
        ("critical.more", 1),
        ("critical.identity", {}),
        ("critical.identity", None),
        ("critical.identity.docker-reference", "No Name"),
        ("critical.identity.docker-reference", 1),
        ("critical.image.docker-manifest-digest", "sha256:12"),
        ("critical.image.docker-manifest-digest", ...),
        ("critical.image.more", 1),
        ("optional", {"a": "b" * MAX_PAYLOAD_SIZE}),
    ],
)
def test_other_payloads_are_refused(path: str, value: Any) -> None:
    with pytest.raises(InvalidImageError, match=r"^it\b"):
        parse_payload(changed(path, value), "it")


def test_the_type_is_cosigns() -> None:
    assert TYPE in PAYLOAD.decode()
