"""Image signatures that are there and wrong: each is a refusal, whoever made it wrong and how."""

from __future__ import annotations

import base64
import json
import random
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclavize.errors import EnclavizeError
from enclavize.oci.cache import BlobCache
from enclavize.oci.digest import sha256_digest
from enclavize.oci.image_signature import SIGNATURE, ImageSignature
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from enclavize.oci.signature_tag import signature_tag
from enclavize.progress import Reporter
from enclavize.signing.image_keys import LocalImageSigner
from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import load_private_key
from enclavize.tee.image_trust import CHECKED, NONE, WRONG, ImageExpectations, judge_signatures
from support.command import Command
from support.images import to_json
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from enclavize.tee.image_trust import ImageTrust

pytestmark = pytest.mark.integration

NAME = "registry.example/team/app"


@pytest.fixture(scope="session")
def made(native: Path, source: str, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Build the layout "tee" with its signature by "key.pem"."""
    command = Command(base=tmp_path_factory.mktemp("tampering"), native=native)
    command.run("keygen", "key.pem")
    place = ("-t", f"{NAME}:1", "-o", "type=oci,tar=false,dest=tee")
    command.run("build", source, *place, "--key", "key.pem", "--image-signature")
    return command


class SignedLayout:
    """A copy of the layout; whoever has the key of the registry can change everything in it."""

    def __init__(self, made: Command, root: Path) -> None:
        shutil.copytree(made.base / "tee", root)
        self.root = root
        self.command = made
        self.key: RSAPrivateKey = load_private_key(made.base / "key.pem")
        self.index = json.loads((root / "index.json").read_text())
        self.digest = self.index["manifests"][0]["digest"]
        self.entry = self.index["manifests"][1]
        self.manifest = json.loads(self.blob(self.entry["digest"]))

    @property
    def layer(self) -> dict[str, Any]:
        layer: dict[str, Any] = self.manifest["layers"][0]
        return layer

    def path(self, digest: str) -> Path:
        return self.root / "blobs/sha256" / digest.removeprefix("sha256:")

    def blob(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def put(self, data: bytes) -> dict[str, Any]:
        digest = sha256_digest(data)
        self.path(digest).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def write(self, manifest: bytes | None = None) -> None:
        self.entry.update(self.put(to_json(self.manifest) if manifest is None else manifest))
        (self.root / "index.json").write_bytes(to_json(self.index))

    def sign(self, payload: bytes, signature: bytes | None = None) -> None:
        """Give the layer another payload, signed by the trusted key unless there is a signature."""
        made = signature if signature is not None else sign_bytes(self.key, payload)
        self.layer.update(self.put(payload))
        self.layer["annotations"] = {SIGNATURE: base64.b64encode(made).decode()}
        self.write()

    def judge(self, **expected: Any) -> ImageTrust:
        image = resolve(parse_location(f"oci:{self.root}:1"), cache=BlobCache(), reporter=Reporter())
        with closing(image.source):
            return judge_signatures(image, ImageExpectations(**expected), self.key.public_key(), None)


def sign_bytes(key: RSAPrivateKey, data: bytes) -> bytes:
    """Sign what no signer of ours would."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return key.sign(data, PKCS1v15(), SHA256())


@pytest.fixture
def layout(made: Command, tmp_path: Path) -> SignedLayout:
    """Return a layout that may be spoilt."""
    return SignedLayout(made, tmp_path / "tee")


def test_the_layout_is_good_before(layout: SignedLayout) -> None:
    assert layout.judge(required=True).state == CHECKED
    layout.write()
    assert layout.judge(required=True).names == (NAME,)


STRANGER = LocalImageSigner(ec.generate_private_key(ec.SECP256R1()))
OTHER_DIGEST = f"sha256:{'1' * 64}"


def signed_by_a_stranger(layout: SignedLayout) -> None:
    layout.sign(build_payload(NAME, layout.digest), STRANGER.sign_image(NAME, layout.digest))


def signed_by_a_stranger_too(layout: SignedLayout) -> None:
    payload = build_payload(NAME, layout.digest)
    more = ImageSignature(payload=payload, signature=STRANGER.sign_image(NAME, layout.digest)).to_layer()
    layout.manifest["layers"].append(more.to_json())
    layout.write()


def of_another_image(layout: SignedLayout) -> None:
    layout.sign(build_payload(NAME, OTHER_DIGEST))


def of_another_image_too(layout: SignedLayout) -> None:
    payload = build_payload(NAME, OTHER_DIGEST)
    layout.put(payload)
    more = ImageSignature(payload=payload, signature=sign_bytes(layout.key, payload)).to_layer()
    layout.manifest["layers"].append(more.to_json())
    layout.write()


def flipped(layout: SignedLayout) -> None:
    signature = bytearray(base64.b64decode(layout.layer["annotations"][SIGNATURE]))
    signature[100] ^= 1
    layout.sign(layout.blob(layout.layer["digest"]), bytes(signature))


def with_another_payload(layout: SignedLayout) -> None:
    old = base64.b64decode(layout.layer["annotations"][SIGNATURE])
    layout.sign(build_payload(f"{NAME}s", layout.digest), old)


def with_a_twice_named_digest(layout: SignedLayout) -> None:
    text = build_payload(NAME, layout.digest).decode()
    twice = text.replace('"image":{', f'"image":{{"docker-manifest-digest":"{OTHER_DIGEST}",')
    layout.sign(twice.encode())


def with_a_folded_name(layout: SignedLayout) -> None:
    layout.sign(build_payload(NAME, layout.digest).replace(b'"identity"', b'"Identity"'))


def of_the_older_type(layout: SignedLayout) -> None:
    layout.sign(build_payload(NAME, layout.digest).replace(b"cosign container", b"atomic container"))


def of_a_sigstruct(layout: SignedLayout) -> None:
    """A signature that the key has really made, of the enclave: it is none of an image."""
    done = layout.command.run("sign", "material", f"oci:{layout.command.base}/tee:1", "-o", "material.bin")
    assert done.returncode == 0
    material = (layout.command.base / "material.bin").read_bytes()
    layout.sign(material)


def without_its_annotation(layout: SignedLayout) -> None:
    del layout.layer["annotations"]
    layout.write()


def with_bad_base64(layout: SignedLayout) -> None:
    layout.layer["annotations"][SIGNATURE] = "-" + layout.layer["annotations"][SIGNATURE][1:]
    layout.write()


def with_a_long_annotation(layout: SignedLayout) -> None:
    layout.layer["annotations"][SIGNATURE] = "A" * 100_000
    layout.write()


def of_another_media_type(layout: SignedLayout) -> None:
    layout.layer["mediaType"] = "application/vnd.oci.image.layer.v1.tar"
    layout.write()


def without_its_payload(layout: SignedLayout) -> None:
    layout.path(layout.layer["digest"]).unlink()


def with_a_spoilt_payload(layout: SignedLayout) -> None:
    layout.path(layout.layer["digest"]).write_bytes(b"x" * layout.layer["size"])


def with_a_huge_payload(layout: SignedLayout) -> None:
    layout.layer["size"] = 1 << 39
    layout.write()


def in_an_index(layout: SignedLayout) -> None:
    layout.write(to_json({"schemaVersion": 2, "manifests": []}))


def in_a_document_that_reads_in_two_ways(layout: SignedLayout) -> None:
    layout.write(to_json({**layout.manifest, "Layers": []}))


def in_no_json(layout: SignedLayout) -> None:
    layout.write(b"{")


def without_its_manifest(layout: SignedLayout) -> None:
    layout.path(layout.entry["digest"]).unlink()


def without_layers(layout: SignedLayout) -> None:
    layout.manifest["layers"] = []
    layout.write()


def under_one_tag_twice(layout: SignedLayout) -> None:
    layout.index["manifests"].append(
        {**layout.entry, **layout.put(to_json({**layout.manifest, "layers": []}))}
    )
    layout.write()


def too_many(layout: SignedLayout) -> None:
    layout.manifest["layers"] *= 200
    layout.write()


WAYS: list[Callable[[SignedLayout], None]] = [
    signed_by_a_stranger, signed_by_a_stranger_too, of_another_image, of_another_image_too, flipped,
    with_another_payload, with_a_twice_named_digest, with_a_folded_name, of_the_older_type, of_a_sigstruct,
    without_its_annotation, with_bad_base64, with_a_long_annotation, of_another_media_type,
    without_its_payload, with_a_spoilt_payload, with_a_huge_payload, in_an_index,
    in_a_document_that_reads_in_two_ways, in_no_json, without_its_manifest, without_layers,
    under_one_tag_twice, too_many,
]  # fmt: skip


@pytest.mark.parametrize("spoil", WAYS, ids=lambda way: way.__name__)
def test_a_signature_that_is_there_and_wrong_is_a_refusal(
    layout: SignedLayout, spoil: Callable[[SignedLayout], None]
) -> None:
    spoil(layout)
    trust = layout.judge()
    assert trust.state == WRONG
    assert trust.objections
    done = layout.command.run(
        "verify", f"oci:{layout.root}:1", "--signer", "key.pub.pem", "--format", "json", code=4
    )
    verdict = json.loads(done.stdout)
    assert (verdict["trusted"], verdict["image_signature"]) == (False, "wrong")
    assert trust.objections[0] in done.stderr


def test_a_signature_that_was_taken_away_is_missed_where_it_is_wanted(layout: SignedLayout) -> None:
    layout.index["manifests"].remove(layout.entry)
    layout.write()
    assert layout.judge().state == NONE
    assert layout.judge().objections == ()
    assert layout.judge(required=True).objections == ("it has no image signature",)


def test_a_tag_of_another_image_is_no_signature_of_this_one(layout: SignedLayout) -> None:
    layout.entry["annotations"]["org.opencontainers.image.ref.name"] = signature_tag(sha256_digest(b"other"))
    layout.write()
    assert layout.judge().state == NONE


def test_no_change_of_what_is_stored_is_trusted(layout: SignedLayout) -> None:
    """Bytes of the signature's manifest and payload are changed at random, and all digests made to fit."""
    rng = random.Random(90)
    manifest, payload = to_json(layout.manifest), layout.blob(layout.layer["digest"])
    signature = layout.layer["annotations"][SIGNATURE]
    states = dict.fromkeys((CHECKED, WRONG, NONE, "error"), 0)
    for _ in range(scaled(4000, least=150)):
        layout.manifest = json.loads(manifest)
        if rng.random() < 0.4:
            changed = mutated(rng, payload)
            layout.layer.update(layout.put(changed))
            layout.write()
        else:
            changed = mutated(rng, manifest)
            layout.write(changed)
        try:
            trust = layout.judge(required=True)
        except EnclavizeError:
            states["error"] += 1
            continue
        states[trust.state] += 1
        assert bool(trust.objections) is (trust.state != CHECKED)
        if trust.state == CHECKED:  # what was signed is still the same: only what nobody reads was changed
            found = json.loads(changed)["layers"][0]
            assert layout.blob(found["digest"]) == payload
            assert base64.b64decode(found["annotations"][SIGNATURE]) == base64.b64decode(signature)
    assert states[WRONG] > states[CHECKED]
    assert states[NONE] == 0


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Return other bytes."""
    changed = bytearray(data)
    while bytes(changed) == data:
        for _ in range(rng.randrange(1, 4)):
            offset = rng.randrange(len(changed))
            match rng.randrange(3):
                case 0:
                    changed[offset] ^= 1 << rng.randrange(8)
                case 1:
                    del changed[offset : offset + rng.randrange(1, 4)]
                case _:
                    changed[offset:offset] = rng.choice(
                        (b'"', b"0", b" ", b"\\u0061", b"{}", rng.randbytes(2))
                    )
    return bytes(changed)
