"""``enclavize sign``: the material leaves, openssl signs it, and the signature is attached."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from support.command import Command
from support.registry import running_registry
from support.vectors import INTEL, KEY, PUBLIC_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

ENCLAVE = INTEL / "enclaves/enclave_a.so"
OTHER_ENCLAVE = INTEL / "enclaves/enclave_b.so"
OTHER_KEY = INTEL / "negative/TEST-ONLY-other.pem"
DATE = ("--date", "2026-11-23")
CONFIG = "<EnclaveConfiguration><ISVSVN>{svn}</ISVSVN></EnclaveConfiguration>"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where somebody signs what the command wrote."""

    command: Command

    @property
    def folder(self) -> Path:
        return self.command.base

    def config(self, svn: int = 0) -> Path:
        path = self.folder / f"{svn}.config.xml"
        path.write_text(CONFIG.format(svn=svn))
        return path

    def openssl_signs(self, key: Path = KEY, material: str = "m.bin") -> None:
        command = ["openssl", "dgst", "-sha256", "-sign", str(key), "-out", "m.sig", material]
        subprocess.run(command, check=True, cwd=self.folder)

    def attach(self, enclave: Path | str, *options: str | Path, code: int = 0) -> str:
        files = ("--material", "m.bin", "--signature", "m.sig", "--public-key", PUBLIC_KEY)
        return self.command.run("sign", "attach", enclave, *files, *options, code=code).stderr


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(command=Command(base=tmp_path, native=tmp_path))


def test_an_enclave_file_is_signed_as_by_the_vendors_tool(desk: Desk) -> None:
    config = desk.config()
    told = desk.command.run("sign", "material", ENCLAVE, "--config", config, *DATE, "-o", "m.bin").stderr
    assert "to be signed" in told
    assert "date       2026-11-23" in told
    desk.openssl_signs()
    assert "MRSIGNER" in desk.attach(ENCLAVE, "--config", config, "-o", "signed.so")
    sgx_sign: list[str | Path] = [
        "sign",
        "-enclave",
        ENCLAVE,
        "-config",
        config,
        "-key",
        KEY,
        "-out",
        "one-step.so",
    ]
    one_step: list[str | Path] = [
        sys.executable,
        "-m",
        "enclavize.signing.sgx_sign_cli",
        *sgx_sign,
        "-date",
        "2026-11-23",
    ]
    subprocess.run(one_step, check=True, cwd=desk.folder, capture_output=True)
    assert (desk.folder / "signed.so").read_bytes() == (desk.folder / "one-step.so").read_bytes()


def test_a_signed_enclave_file_can_be_signed_by_somebody_else(desk: Desk) -> None:
    config = desk.config()
    desk.command.run("sign", "material", ENCLAVE, "--config", config, *DATE, "-o", "m.bin")
    desk.openssl_signs()
    desk.attach(ENCLAVE, "--config", config, "-o", "signed.so")
    desk.command.run("sign", "material", "signed.so", "-o", "again.bin")
    assert (desk.folder / "again.bin").read_bytes() == (desk.folder / "m.bin").read_bytes()
    desk.attach("signed.so", "-o", "again.so")
    assert (desk.folder / "again.so").read_bytes() == (desk.folder / "signed.so").read_bytes()


def test_material_goes_to_standard_output_too(desk: Desk) -> None:
    arguments = ["sign", "material", str(ENCLAVE), "--config", str(desk.config()), *DATE, "-o", "-"]
    process = desk.command.start(*arguments)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    desk.command.run(*arguments[:-1], "m.bin")
    assert stdout == (desk.folder / "m.bin").read_bytes()
    assert len(stdout) == 256


def test_the_date_is_that_of_source_date_epoch(desk: Desk) -> None:
    dated = Command(base=desk.folder, native=desk.folder, environment={"SOURCE_DATE_EPOCH": "1795392000"})
    dated.run("sign", "material", ENCLAVE, "--config", desk.config(), "-o", "m.bin")
    assert (desk.folder / "m.bin").read_bytes()[20:24] == bytes.fromhex("23112620")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("other enclave", "for another enclave"),
        ("other configuration", "for another configuration of this enclave: isv_svn"),
        ("other key", "made with another key"),
        ("other data", "of other data than this signing material"),
        ("corrupted signature", "another key, or it is corrupted"),
        ("long signature", "the signature is corrupted: it has 4096 bytes"),
        ("corrupted material", "the signing material is corrupted"),
        ("no material", "cannot read the signing material m.bin"),
        ("no signature", "cannot read the signature m.sig"),
        ("onto the input", "would be overwritten"),
        ("no output", "needs one place"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(desk: Desk, case: str, reason: str) -> None:
    config, folder = desk.config(), desk.folder
    enclave = folder / "enclave.so"
    output: tuple[str, ...] = ("-o", "signed.so")
    enclave.write_bytes(ENCLAVE.read_bytes())
    (folder / "signed.so").write_bytes(b"what was there")
    material: list[str | Path] = ["sign", "material", enclave, "--config", config, *DATE, "-o", "m.bin"]
    desk.command.run(*material)
    desk.openssl_signs()
    signature, code = folder / "m.sig", 1
    match case:
        case "other enclave":
            desk.command.run(*material[:2], OTHER_ENCLAVE, *material[3:])
            desk.openssl_signs()
        case "other configuration":
            desk.command.run(*material[:4], desk.config(svn=7), *material[5:])
            desk.openssl_signs()
        case "other key":
            desk.openssl_signs(OTHER_KEY)
        case "other data":
            desk.openssl_signs(material="enclave.so")
        case "corrupted signature":
            signature.write_bytes(bytes([0, *signature.read_bytes()[1:-1], 0]))
        case "long signature":
            signature.write_bytes(bytes(100_000))
        case "corrupted material":
            (folder / "m.bin").write_bytes((folder / "m.bin").read_bytes()[:-1])
        case "no material":
            (folder / "m.bin").unlink()
            code = 2
        case "no signature":
            signature.unlink()
            code = 2
        case "onto the input":
            output, code = ("-o", "./enclave.so"), 2
        case _:
            output, code = (), 2
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert reason in desk.attach("enclave.so", "--config", config, *output, code=code)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_the_material_never_takes_the_place_of_what_is_signed(desk: Desk) -> None:
    config, enclave = desk.config(), desk.folder / "enclave.so"
    enclave.write_bytes(ENCLAVE.read_bytes())
    for output in ("./enclave.so", config):
        material = ("sign", "material", "enclave.so", "--config", config, "-o", output)
        assert "would be overwritten" in desk.command.run(*material, code=2).stderr
    image = ("sign", "material", "oci-archive:enclave.so", "-o", "enclave.so")
    assert "would be overwritten" in desk.command.run(*image, code=2).stderr
    assert enclave.read_bytes() == ENCLAVE.read_bytes()


def test_an_enclave_without_a_configuration_asks_for_one(desk: Desk) -> None:
    message = desk.command.run("sign", "material", ENCLAVE, "-o", "m.bin", code=2).stderr
    assert "Enclave.config.xml" in message
    assert not (desk.folder / "m.bin").exists()


def described(layout: Path) -> dict[str, Any]:
    """Return the manifest, the configuration and the digests of an image in a layout."""

    def blob(digest: str) -> bytes:
        return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    manifest = json.loads(blob(digest))
    return {**manifest, "digest": digest, "image": json.loads(blob(manifest["config"]["digest"]))}


def layout(name: str) -> tuple[str, str]:
    return "-o", f"type=oci,tar=false,dest={name}"


@pytest.fixture(scope="module")
def unsigned(tmp_path_factory: pytest.TempPathFactory, native: Path, source: str) -> Path:
    """Build an unsigned production image, its material, and the image that a key file signs."""
    command = Command(base=tmp_path_factory.mktemp("unsigned"), native=native)
    built = command.run("build", source, *BUILD, "--unsigned", *layout("unsigned"))
    assert "UNSIGNED" in built.stderr
    command.run("keygen", "key.pem")
    command.run("build", source, *BUILD, "--key", "key.pem", *layout("by-key"))
    command.run("sign", "material", "oci:unsigned", "-o", "m.bin")
    (command.base / "source").write_text(source)
    return command.base


@pytest.fixture
def image(unsigned: Path, native: Path, tmp_path: Path) -> Desk:
    """Return a desk with copies of all that, and the signature."""
    shutil.copytree(unsigned, tmp_path, dirs_exist_ok=True)
    desk = Desk(command=Command(base=tmp_path, native=native))
    desk.openssl_signs(tmp_path / "key.pem")
    return desk


FILES = ("--material", "m.bin", "--signature", "m.sig", "--public-key", "key.pub.pem")
BUILD = ("--isvprodid", "3", "--isvsvn", "4", "--label", "who=me", "--annotation", "a=b")


def test_the_signed_image_is_the_one_that_a_key_file_makes(image: Desk) -> None:
    image.command.run("sign", "attach", "oci:unsigned", *FILES, *layout("signed"))
    one, other, before = (described(image.folder / name) for name in ("signed", "by-key", "unsigned"))
    assert one == other
    assert one["layers"][:-1] == before["layers"][:-1]
    assert one["layers"][-1] != before["layers"][-1]
    image.command.run("verify", "oci:signed", "--signer", "key.pub.pem", "--min-svn", "4")


def test_it_goes_wherever_a_build_goes(image: Desk) -> None:
    image.command.run(
        "sign", "attach", "oci:unsigned", *FILES, "-t", "tee:1", "-o", "type=docker,dest=tee.tar",
        "--metadata-file", "metadata.json", "--iidfile", "iid",
    )  # fmt: skip
    image.command.run("verify", "docker-archive:tee.tar", "--signer", "key.pub.pem")
    assert json.loads((image.folder / "metadata.json").read_text())["enclavize.mrsigner"]
    assert (image.folder / "iid").read_text().startswith("sha256:")


def test_from_registry_to_registry_only_the_last_layer_moves(image: Desk) -> None:
    with running_registry(image.folder / "registry") as registry:
        names = [f"{registry.host}/tee:{tag}" for tag in ("unsigned", "signed")]
        build = ("build", image.folder.joinpath("source").read_text(), *BUILD)
        image.command.run(*build, "--unsigned", "-t", names[0], "--push")
        stored = registry.stored_bytes()
        image.command.run("sign", "attach", names[0], *FILES, "-t", names[1], "--push")
        digest = described(image.folder / "by-key")["layers"][-1]["digest"]
        assert registry.has_stored(digest)
        assert registry.stored_bytes() - stored < registry.blob_path(digest).stat().st_size + 100_000
        image.command.run("verify", names[1], "--signer", "key.pub.pem")


def test_an_image_from_an_archive_of_docker_is_signed_too(image: Desk) -> None:
    """docker knows no annotations: all that is signed and all that verifies is in the image itself."""
    build = ("build", image.folder.joinpath("source").read_text(), *BUILD, "--unsigned")
    image.command.run(*build, "-t", "tee:1", "-o", "type=docker,dest=unsigned.tar")
    image.command.run("sign", "attach", "docker-archive:unsigned.tar", *FILES, *layout("signed"))
    image.command.run("verify", "oci:signed", "--signer", "key.pub.pem")


def test_an_unsigned_image_says_so_everywhere(image: Desk) -> None:
    production = described(image.folder / "unsigned")
    assert "org.enclavize.mrsigner" not in production["annotations"]
    assert "org.enclavize.mrsigner" not in production["image"]["config"]["Labels"]
    assert production["image"]["config"]["Labels"]["org.enclavize.debug"] == "false"
    done = image.command.run("verify", "oci:unsigned", "--signer", "key.pub.pem", "--format", "json", code=4)
    assert "it is unsigned" in done.stderr
    assert "sign attach" in done.stderr
    assert json.loads(done.stdout)["signer"] == "unsigned"
    assert image.command.run("inspect", "oci:unsigned", "--format", "signed").stdout == "false\n"
    for options in (("--allow-any-signer",), ("--mrenclave", json.loads(done.stdout)["mrenclave"])):
        assert "it is unsigned" in image.command.run("verify", "oci:unsigned", *options, code=4).stderr
    message = image.command.run("run", "oci:unsigned", "--simulate", code=125).stderr
    assert "unsigned" in message


def rewritten(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change manifest and configuration of an image in a layout, as whoever owns the registry can."""
    index = json.loads((folder / "index.json").read_text())
    manifest = described(folder)
    config = manifest.pop("image")
    del manifest["digest"]
    change(manifest, config)
    manifest["config"] |= put(folder, json.dumps(config).encode())
    index["manifests"][0] |= put(folder, json.dumps(manifest).encode())
    (folder / "index.json").write_text(json.dumps(index))


def put(folder: Path, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def test_a_signer_of_an_unsigned_image_is_a_lie(image: Desk) -> None:
    def lie(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
        manifest["annotations"]["org.enclavize.mrsigner"] = "ab" * 32

    rewritten(image.folder / "unsigned", lie)
    attach = ("sign", "attach", "oci:unsigned", *FILES, *layout("signed"))
    for arguments in (("verify", "oci:unsigned"), attach):
        assert "but the enclave is unsigned" in image.command.run(*arguments, code=1).stderr


def test_a_layer_that_somebody_wrote_again_gets_no_signature(image: Desk) -> None:
    folder = image.folder / "unsigned"

    def change_owners(manifest: dict[str, Any], config: dict[str, Any]) -> None:
        before = folder / "blobs/sha256" / manifest["layers"][-1]["digest"].removeprefix("sha256:")
        output = io.BytesIO()
        with (
            tarfile.open(before) as old,
            tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as new,
        ):
            for member in old:
                member.uid, member.mtime, member.uname = 1 << 40, 1 << 40, "somebody"
                new.addfile(member, old.extractfile(member))
        manifest["layers"][-1] |= put(folder, output.getvalue())
        config["rootfs"]["diff_ids"][-1] = manifest["layers"][-1]["digest"]

    rewritten(folder, change_owners)
    done = image.command.run("sign", "attach", "oci:unsigned", *FILES, *layout("signed"), code=1)
    assert "is not what a build writes in format version" in done.stderr
    assert not (image.folder / "signed").exists()


def test_a_layer_that_was_compressed_on_the_way_is_written_as_a_build_writes_it(image: Desk) -> None:
    folder = image.folder / "unsigned"

    def compress(manifest: dict[str, Any], _config: dict[str, Any]) -> None:
        layer = manifest["layers"][-1]
        data = (folder / "blobs/sha256" / layer["digest"].removeprefix("sha256:")).read_bytes()
        layer |= {"mediaType": f"{layer['mediaType']}+gzip", **put(folder, gzip.compress(data))}

    rewritten(folder, compress)
    image.command.run("sign", "attach", "oci:unsigned", *FILES, *layout("signed"))
    signed, by_key = described(image.folder / "signed"), described(image.folder / "by-key")
    assert signed["layers"] == by_key["layers"]


def test_an_unsigned_image_may_be_a_debug_image(desk: Desk, native: Path, source: str) -> None:
    command = replace(desk.command, native=native)
    command.run("build", source, "--unsigned", "--debug", *layout("unsigned"))
    assert command.run("inspect", "oci:unsigned", "--format", "debug").stdout == "true\n"


def test_a_signed_image_can_be_signed_by_somebody_else(image: Desk) -> None:
    image.command.run("keygen", "other.pem")
    image.command.run(
        "build", image.folder.joinpath("source").read_text(), *BUILD, "--key", "other.pem", *layout("other")
    )
    image.openssl_signs(image.folder / "other.pem")
    files = (*FILES[:-1], "other.pub.pem")
    image.command.run("sign", "attach", "oci:by-key", *files, *layout("signed"))
    assert described(image.folder / "signed") == described(image.folder / "other")


def test_the_material_may_have_another_date(image: Desk) -> None:
    image.command.run("sign", "material", "oci:unsigned", "--date", "2030-01-02", "-o", "m.bin")
    image.openssl_signs(image.folder / "key.pem")
    image.command.run("sign", "attach", "oci:unsigned", *FILES, *layout("signed"))
    build = ("build", image.folder.joinpath("source").read_text(), *BUILD, "--key", "key.pem")
    image.command.run(*build, "--date", "2030-01-02", *layout("by-key-then"))
    assert described(image.folder / "signed") == described(image.folder / "by-key-then")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("other image", "for another enclave"),
        ("other product", "for another configuration of this enclave: isv_prod_id"),
        ("other key", "made with another key"),
        ("other public key", "made with another key"),
        ("corrupted material", "the signing material is corrupted"),
        ("corrupted layer", "sha256:"),
        ("ordinary image", "is not a TEE image"),
        ("private key", "is a private key"),
        ("no output", "no output is named"),
        ("no name", "no name"),
        ("options of files", "becomes no image"),
    ],
)
def test_what_does_not_fit_the_image_is_refused_with_its_reason(image: Desk, case: str, reason: str) -> None:
    folder, files, code = image.folder, FILES, 1
    output: tuple[str, ...] = layout("signed")
    source, reference = folder.joinpath("source").read_text(), "oci:unsigned"
    material = ("sign", "material", "oci:another", "-o", "m.bin")
    match case:
        case "other image":
            image.command.run("build", source, *BUILD, "--allow-args", "--unsigned", *layout("another"))
            image.command.run(*material)
            image.openssl_signs(folder / "key.pem")
        case "other product":
            image.command.run("build", source, *BUILD, "--isvprodid", "5", "--unsigned", *layout("another"))
            image.command.run(*material)
            image.openssl_signs(folder / "key.pem")
        case "other key":
            image.openssl_signs(OTHER_KEY)
        case "other public key":
            files = (*FILES[:-1], str(PUBLIC_KEY))
        case "corrupted material":
            (folder / "m.bin").write_bytes((folder / "m.bin").read_bytes() + b"\0")
        case "corrupted layer":
            digest = described(folder / "unsigned")["layers"][-1]["digest"].removeprefix("sha256:")
            shutil.rmtree(folder / "cache")
            layer = folder / "unsigned/blobs/sha256" / digest
            data = bytearray(layer.read_bytes())
            data[5000] ^= 1
            layer.chmod(0o644)
            layer.write_bytes(data)
        case "ordinary image":
            reference = source
        case "private key":
            files, code = (*FILES[:-1], "key.pem"), 2
        case "no output":
            output, code = (), 2
        case "no name":
            output, code = ("--push",), 2
        case _:
            (folder / "enclave.so").write_bytes(ENCLAVE.read_bytes())
            reference, output, code = "enclave.so", ("-t", "tee:1", "-o", "signed"), 2
    done = image.command.run("sign", "attach", reference, *files, *output, code=code)
    assert reason in done.stderr
    assert not (folder / "signed").exists()
