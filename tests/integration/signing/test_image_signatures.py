"""Images signed as a whole: cosign and skopeo verify what is signed here, and the other way round."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from enclavize.oci.image_signature import ARTIFACT_TYPE
from enclavize.oci.referrers import list_referrers
from enclavize.oci.registry.client import RegistryClient
from enclavize.oci.signature_tag import signature_tag
from support.command import Command
from support.programs import need
from support.registry import Front, running_registry
from support.scale import scaled
from support.sigstore import cosign, skopeo_with_policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from enclavize.signing.image_keys import ImagePrivateKey
    from support.registry import FrontHandler, Registry
    from support.sigstore import Cosign

pytestmark = pytest.mark.integration


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Run a registry for all tests."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@dataclass(frozen=True, kw_only=True)
class Signed:
    """An image with an image signature of the enclave's key, in a registry."""

    command: Command
    host: str
    name: str
    digest: str
    metadata: dict[str, Any]

    @property
    def public_key(self) -> Path:
        return self.command.base / "key.pub.pem"


@pytest.fixture(scope="session")
def signed(registry: Registry, native: Path, source: str, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """Build an image with its signature."""
    command = Command(base=tmp_path_factory.mktemp("signed"), native=native)
    command.run("keygen", "key.pem")
    name = f"{registry.host}/team/app:1"
    done = command.run(
        "build", source, "-t", name, "--push", "--key", "key.pem", "--image-signature",
        "--metadata-file", "metadata.json",
    )  # fmt: skip
    metadata = json.loads((command.base / "metadata.json").read_text())
    digest = metadata["containerimage.digest"]
    assert f"signed {registry.host}/team/app@{digest}" in done.stderr
    return Signed(command=command, host=registry.host, name=name, digest=digest, metadata=metadata)


@pytest.fixture(scope="session")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    """Return cosign 2."""
    return cosign(tmp_path_factory.mktemp("cosign"))


def verdict(command: Command, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    done = command.run("verify", *arguments, "--format", "json", code=code)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["trusted"] is (code == 0)
    return {**found, "error": done.stderr}


def write_key(folder: Path, key: ImagePrivateKey) -> tuple[Path, Path]:
    private, public = folder / "image.pem", folder / "image.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def copy(signed: Signed, name: str) -> str:
    """Push the same image, without its signatures, under another name; return it by digest."""
    need("skopeo")
    done = subprocess.run(
        ["skopeo", "copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{signed.name}",
         f"docker://{signed.host}/{name}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return f"{signed.host}/{name.partition(':')[0]}@{signed.digest}"


def layers(registry: Registry, repository: str, digest: str) -> list[dict[str, Any]]:
    client = RegistryClient(registry.host)
    _, data = client.get_manifest(repository, signature_tag(digest))  # type: ignore[arg-type]
    client.close()
    found: list[dict[str, Any]] = json.loads(data)["layers"]
    return found


def test_a_build_is_signed_and_trusted(signed: Signed) -> None:
    trust = ("--signer", signed.public_key)
    found = verdict(signed.command, signed.name, *trust)
    assert (found["image_signature"], found["image_names"]) == ("checked", [f"{signed.host}/team/app"])
    found = verdict(signed.command, signed.name, *trust, "--require-image-signature")
    assert found["image_signature"] == "checked"
    by_mrsigner = ("--signer", found["mrsigner"], "--require-image-signature")
    assert verdict(signed.command, signed.name, *by_mrsigner)["image_signature"] == "checked"
    by_key = signed.metadata["enclavize.image-signature"]
    assert by_key["names"] == [f"{signed.host}/team/app"]
    assert by_key["key"].startswith("sha256:")
    found = verdict(signed.command, signed.name, "--mrenclave", found["mrenclave"])
    assert found["image_signature"] == "NOT checked"


@pytest.mark.parametrize("referrers", [False, True], ids=["tag", "referrers"])
def test_cosign_verifies_a_build(signed: Signed, peer: Cosign, referrers: bool) -> None:
    assert peer.verify(signed.name, signed.public_key, referrers=referrers) == ""
    _, other = peer.make_key() if not (peer.home / "cosign.pub").exists() else ("", peer.home / "cosign.pub")
    assert "no matching signatures" in peer.verify(signed.name, other, referrers=referrers)


def test_cosign_3_verifies_a_build(signed: Signed, tmp_path: Path) -> None:
    if scaled(100) < 100:
        pytest.skip("cosign 3 is in Debian's unstable release; ENCLAVIZE_TEST_SCALE=1.0 tries it")
    peer = cosign(tmp_path / "cosign", "sid")
    assert peer.verify(signed.name, signed.public_key) == ""


def test_skopeos_policy_takes_a_build_and_its_copy_is_trusted_by_its_name(
    signed: Signed, tmp_path: Path
) -> None:
    skopeo = skopeo_with_policy(tmp_path / "skopeo")
    source, target = f"docker://{signed.name}", f"docker://{signed.host}/mirror/app:1"
    assert skopeo.copy(source, target, key=signed.public_key, host=signed.host) == ""
    copied = f"{signed.host}/mirror/app:1"
    trust = ("--signer", signed.public_key, "--require-image-signature")
    error = verdict(signed.command, copied, *trust, code=4)["error"]
    assert f"is for {signed.host}/team/app, and not for {signed.host}/mirror/app" in error
    assert "--image-name" in error
    found = verdict(signed.command, copied, *trust, "--image-name", f"{signed.host}/team/app")
    assert found["image_names"] == [f"{signed.host}/team/app"]
    (tmp_path / "other").mkdir()
    other = write_key(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))[1]
    assert "rejected" in skopeo.copy(source, f"dir:{tmp_path}/no", key=other, host=signed.host)


KEYS: dict[str, ImagePrivateKey] = {
    "rsa2048": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "rsa4096": rsa.generate_private_key(public_exponent=65537, key_size=4096),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.mark.parametrize("kind", KEYS)
def test_any_key_signs_an_image_and_cosign_verifies_it(
    signed: Signed, peer: Cosign, tmp_path: Path, kind: str
) -> None:
    private, public = write_key(tmp_path, KEYS[kind])
    image = copy(signed, f"{kind}/app:1")
    done = signed.command.run("sign", "image", image, "--key", private)
    assert f"signed {signed.host}/{kind}/app@{signed.digest}" in done.stderr
    assert peer.verify(image, public) == ""
    assert peer.verify(image, public, referrers=True) == ""
    trust = ("--signer", signed.public_key)
    assert verdict(signed.command, image, *trust, "--image-signer", public)["image_signature"] == "checked"
    found = verdict(signed.command, image, *trust, code=4)
    assert found["image_signature"] == "wrong"
    assert "of nobody who is trusted to sign it" in found["error"]


def test_an_image_that_cosign_signed_is_trusted(signed: Signed, tmp_path: Path) -> None:
    peer = cosign(tmp_path / "cosign")
    private, public = peer.make_key()
    image = copy(signed, "by-cosign/app:1")
    peer.sign(image, private)
    trust = ("--signer", signed.public_key, "--image-signer", public)
    found = verdict(signed.command, image, *trust)
    assert found["image_names"] == [f"{signed.host}/by-cosign/app"]
    refused = signed.command.run("sign", "image", image, "--key", private, code=2).stderr
    assert "cosign's own" in refused
    signed.command.run("sign", "image", image, "--key", signed.command.base / "key.pem")
    assert verdict(signed.command, image, *trust)["image_signature"] == "checked"
    assert peer.verify(image, public) == ""
    assert peer.verify(image, signed.public_key) == ""
    peer.sign(image, private)  # and cosign keeps ours
    assert peer.verify(image, signed.public_key) == ""
    assert verdict(signed.command, image, *trust)["image_signature"] == "checked"


def test_signatures_are_added_once_and_none_is_lost(
    signed: Signed, registry: Registry, tmp_path: Path
) -> None:
    image = copy(signed, "twice/app:1")
    private, public = write_key(tmp_path, KEYS["p256"])
    enclave = signed.command.base / "key.pem"
    for key in (enclave, private, enclave, private):
        signed.command.run("sign", "image", image, "--key", key)
    assert len(layers(registry, "twice/app", signed.digest)) == 2
    trust = ("--signer", signed.public_key)
    assert "of nobody who is trusted" in verdict(signed.command, image, *trust, code=4)["error"]
    found = verdict(signed.command, image, *trust, "--image-signer", public)
    assert found["image_signature"] == "checked"


def test_an_image_signer_that_is_named_must_have_signed(signed: Signed, tmp_path: Path) -> None:
    _, public = write_key(tmp_path, KEYS["p256"])
    options = ("--signer", signed.public_key, "--image-signer", public)
    error = verdict(signed.command, signed.name, *options, code=4)["error"]
    assert "of no image signer that is wanted" in error


def test_an_image_without_a_signature_is_refused_where_one_is_wanted(signed: Signed, tmp_path: Path) -> None:
    image = copy(signed, "none/app:1")
    trust = ("--signer", signed.public_key)
    assert verdict(signed.command, image, *trust)["image_signature"] == "none"
    for wanted in (
        ("--require-image-signature",),
        ("--image-name", image.partition("@")[0]),
        ("--image-signer", write_key(tmp_path, KEYS["ed25519"])[1]),
    ):
        found = verdict(signed.command, image, *trust, *wanted, code=4)
        assert found["image_signature"] == "none"
        assert "has no image signature" in found["error"]
    policy = tmp_path / "policy.toml"
    policy.write_text(f'signers = ["{signed.public_key}"]\nrequire_image_signature = true\n')
    verdict(signed.command, image, "--policy", policy, code=4)
    verdict(signed.command, signed.name, "--policy", policy)
    policy.write_text(f'signers = ["{signed.public_key}"]\nimage_signers = ["image.pub.pem"]\n')
    verdict(signed.command, signed.name, "--policy", policy, code=4)
    nobody = signed.command.run("verify", image, "--allow-any-signer", "--require-image-signature", code=2)
    assert "nobody is trusted to sign the image" in nobody.stderr


def test_a_signature_is_there_before_its_image(signed: Signed, registry: Registry, source: str) -> None:
    """A registry that refuses the signature gets no image either; the command says so."""

    def refuse(handler: FrontHandler) -> bool:
        if handler.command == "PUT" and handler.path.endswith(".sig"):
            return handler.answer(400, b'{"errors":[{"code":"TAG_INVALID","message":"no such tags"}]}')
        return False

    with Front(registry.port, refuse) as front:
        name = f"{front.host}/half/app:1"
        build = ("build", source, "-t", name, "--push", "--key", "key.pem", "--image-signature")
        done = signed.command.run(*build, "--metadata-file", "half.json", code=5)
        assert "TAG_INVALID" in done.stderr
        assert not (signed.command.base / "half.json").exists()
        assert "_UNKNOWN" in signed.command.run("verify", name, "--allow-any-signer", code=5).stderr


def test_referrers_are_found_without_the_tag(signed: Signed, registry: Registry) -> None:
    """The front plays a registry with the API, and hides the tag."""
    client = RegistryClient(registry.host)
    entries = list_referrers(client, "team/app", signed.digest, ARTIFACT_TYPE)  # type: ignore[arg-type]
    client.close()
    assert len(entries) == 1
    body = json.dumps({"schemaVersion": 2, "manifests": [entry.to_json() for entry in entries]}).encode()

    def with_api(handler: FrontHandler) -> bool:
        if "/referrers/" in handler.path:
            return handler.answer(200, body)
        if handler.path.endswith(".sig"):
            return handler.answer(404, b"{}")
        return False

    with Front(registry.port, with_api) as front:
        options = ("--signer", signed.public_key, "--image-name", f"{signed.host}/team/app")
        found = verdict(signed.command, f"{front.host}/team/app:1", *options)
        assert found["image_signature"] == "checked"
        assert front.count("GET /v2/team/app/referrers/") == 1


def test_a_registry_that_fails_is_no_registry_without_signatures(signed: Signed, registry: Registry) -> None:
    def broken(handler: FrontHandler) -> bool:
        return handler.path.endswith(".sig") and handler.answer(403, b"{}")

    with Front(registry.port, broken) as front:
        options = ("--signer", signed.public_key)
        done = signed.command.run("verify", f"{front.host}/team/app:1", *options, code=5)
        assert "refused" in done.stderr


def openssl_sign(key: Path, data: Path, signature: Path) -> None:
    command = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", str(signature), str(data)]
    subprocess.run(command, check=True, capture_output=True)


def test_two_steps_make_the_signature_that_one_makes(
    signed: Signed, registry: Registry, peer: Cosign, tmp_path: Path
) -> None:
    need("openssl")
    for kind, key in {"enclave": None, "p256": KEYS["p256"]}.items():
        image = copy(signed, f"steps-{kind}/app:1")
        private, public = signed.command.base / "key.pem", signed.public_key
        if key:
            private, public = write_key(tmp_path, key)
        payload, signature = tmp_path / f"{kind}.json", tmp_path / f"{kind}.sig"
        signed.command.run("sign", "material", "--image", image, "-o", payload)
        assert (
            signed.command.run("sign", "material", "--image", image, "-o", "-").stdout == payload.read_text()
        )
        openssl_sign(private, payload, signature)
        attach = ("sign", "attach", "--image", image, "--material", payload, "--signature", signature)
        signed.command.run(*attach, "--public-key", public)
        assert peer.verify(image, public) == ""
        verdict(signed.command, image, "--signer", signed.public_key, "--image-signer", public)
    (stored,) = layers(registry, "steps-enclave/app", signed.digest)
    image = copy(signed, "one-step/app:1")
    signed.command.run(
        "sign", "image", image, "--key", "key.pem", "--image-name", f"{signed.host}/steps-enclave/app"
    )
    assert layers(registry, "one-step/app", signed.digest) == [stored]


def test_what_does_not_fit_is_not_attached(signed: Signed, tmp_path: Path) -> None:
    need("openssl")
    image = copy(signed, "not-attached/app:1")
    payload, signature = tmp_path / "payload.json", tmp_path / "signature"
    signed.command.run("sign", "material", "--image", image, "-o", payload)

    def attach(content: bytes, *, public: Path = signed.public_key, again: bool = True, code: int = 1) -> str:
        payload.write_bytes(content)
        if again:
            openssl_sign(signed.command.base / "key.pem", payload, signature)
        done = signed.command.run(
            "sign", "attach", "--image", image, "--material", payload, "--signature", signature,
            "--public-key", public, code=code,
        )  # fmt: skip
        return done.stderr

    good = payload.read_bytes()
    assert "is for the manifest sha256:0000" in attach(good.replace(signed.digest[7:].encode(), b"0" * 64))
    assert "is for the name" in attach(good.replace(b"not-attached", b"other"))
    assert "is not valid JSON" in attach(good[:-1])
    assert "is of another type" in attach(good.replace(b"cosign container", b"atomic container"))
    signed.command.run("sign", "material", image, "-o", tmp_path / "m.bin")
    assert "is not valid JSON" in attach((tmp_path / "m.bin").read_bytes())
    assert "is no signature of" in attach(good, again=False)
    _, other = write_key(tmp_path, KEYS["rsa2048"])
    assert "is no signature of" in attach(good, public=other)
    assert verdict(signed.command, image, "--signer", signed.public_key)["image_signature"] == "none"
    attach(good, code=0)
    assert verdict(signed.command, image, "--signer", signed.public_key)["image_signature"] == "checked"


def test_neither_round_takes_what_the_other_signs(signed: Signed, tmp_path: Path) -> None:
    """Both are signed with one key and one algorithm: a signature of one is none of the other."""
    need("openssl")
    image = copy(signed, "rounds/app:1")
    files = tmp_path / "payload.json", tmp_path / "signature"
    signed.command.run("sign", "material", "--image", image, "-o", files[0])
    openssl_sign(signed.command.base / "key.pem", *files)
    attach = ("sign", "attach", image, "--material", files[0], "--signature", files[1])
    refused = signed.command.run(
        *attach, "--public-key", signed.public_key, "-o", "type=oci,dest=never.tar", code=1
    )
    assert "signing material is corrupted" in refused.stderr
    assert not (signed.command.base / "never.tar").exists()


def output(name: str) -> tuple[str, str]:
    return "-o", f"type=oci,tar=false,dest={name}"


def test_a_layout_keeps_signatures_too(signed: Signed, source: str, tmp_path: Path) -> None:
    command = signed.command
    build = ("build", source, "--key", "key.pem", "-t", "registry.example/team/app:1", "--image-signature")
    command.run(*build, *output("layout"))
    index = json.loads((command.base / "layout/index.json").read_text())
    tags = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]]
    digest = index["manifests"][0]["digest"]
    assert tags == ["1", signature_tag(digest)]
    trust = ("--signer", signed.public_key, "--require-image-signature")
    for name in ("oci:layout", "oci:layout:1"):
        found = verdict(command, name, *trust)
        assert (found["image_signature"], found["image_names"]) == ("checked", ["registry.example/team/app"])
    error = verdict(command, "oci:layout", *trust, "--image-name", "registry.example/other", code=4)["error"]
    assert "is for registry.example/team/app, and not for registry.example/other" in error
    private, public = write_key(tmp_path, KEYS["ed25519"])
    command.run("sign", "image", "oci:layout", "--key", private, "--image-name", "registry.example/team/app")
    command.run(*build, *output("layout"))  # and another build keeps both
    found = verdict(command, "oci:layout", *trust, "--image-signer", public)
    assert found["image_signature"] == "checked"
    archive = command.base / "layout.tar"
    subprocess.run(["tar", "-C", command.base / "layout", "-cf", archive, "."], check=True)
    assert verdict(command, "oci-archive:layout.tar:1", *trust, "--image-signer", public)["trusted"]
    need("skopeo", "umoci")
    environment = {**os.environ, "HOME": str(tmp_path)}
    for peer in (
        ["skopeo", "copy", f"oci:{command.base}/layout:1", f"dir:{tmp_path}/by-skopeo"],
        ["umoci", "unpack", "--rootless", "--image", f"{command.base}/layout:1", f"{tmp_path}/by-umoci"],
    ):
        subprocess.run(peer, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--load", "-t", "a:1"), "no output has room for an image signature"),
        (("-o", "type=oci,dest=x.tar", "-t", "a:1"), "no output has room for an image signature"),
        (output("x"), "signs a name, and there is none"),
        ((*output("x"), "-t", "a:1", "--unsigned"), "its digest changes"),
    ],
)
def test_a_signature_without_a_place_or_a_name_is_refused(
    command: Command, source: str, options: tuple[str, ...], message: str
) -> None:
    assert message in command.run("build", source, "--image-signature", *options, code=2).stderr
    assert not (command.base / "x").exists()
    assert not (command.base / "x.tar").exists()


def test_a_build_is_signed_with_another_key(command: Command, source: str, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, KEYS["p256"])
    command.run("keygen", "key.pem")
    build = ("build", source, "-t", "registry.example/app", *output("tee"), "--key", "key.pem")
    assert "add --image-signature" in command.run(*build, "--image-signing-key", private, code=2).stderr
    command.run(*build, "--image-signature", "--image-signing-key", private)
    verdict(command, "oci:tee", "--signer", "key.pub.pem", "--image-signer", public)
    private.chmod(0o644)
    readable = command.run(*build, "--image-signature", "--image-signing-key", private, code=4).stderr
    assert "every user" in readable


def test_what_cannot_be_signed_is_refused(command: Command, source: str) -> None:
    command.run("keygen", "key.pem")
    command.run("build", source, "--unsigned", *output("unsigned"))
    command.run("build", source, "--key", "key.pem", "-o", "type=oci,dest=tee.tar")
    sign = ("sign", "image", "--key", "key.pem", "--image-name", "registry.example/app")
    assert "sign the enclave first" in command.run(*sign, "oci:unsigned", code=2).stderr
    assert "no room" in command.run(*sign, "oci-archive:tee.tar", code=2).stderr
    assert "is not a TEE image" in command.run(*sign, source, code=1).stderr
    nobody = command.run("sign", "image", "oci:unsigned", code=2).stderr
    assert "nobody is named who signs" in nobody
    assert "add --image-name" in command.run("sign", "image", "oci:x", "--key", "key.pem", code=2).stderr
    material = ("sign", "material", "--image", "oci:unsigned", "-o", "x.json")
    assert "add --image-name" in command.run(*material, code=2).stderr
    assert "are for enclaves" in command.run(*material, "--date", "2026-01-01", code=2).stderr
    assert (
        "add --image"
        in command.run("sign", "material", "oci:x", "-o", "y", "--image-name", "a", code=2).stderr
    )
    assert not (command.base / "x.json").exists()
