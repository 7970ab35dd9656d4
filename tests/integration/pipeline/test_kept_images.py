"""Images of every format version that was ever written, one for each LibOS, verify for ever."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from enclavize.tee.tar import LAYER_WRITERS, TarDirectory, TarFile, TarLink, write_layer
from support.tampering import TamperedImage

if TYPE_CHECKING:
    from support.command import Command

pytestmark = pytest.mark.integration

KEPT = Path(__file__).resolve().parents[2] / "assets" / "tee-images"
IMAGES = sorted(KEPT.glob("v*.tar.zst"))
LIBOSES = ("builtin", "gramine", "occlum")


def version_of(image: Path) -> int:
    match = re.match(r"v(\d+)-", image.name)
    assert match is not None
    return int(match[1])


@pytest.fixture(params=IMAGES, ids=lambda path: path.name.partition(".")[0])
def kept(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def layout(kept: Path, tmp_path: Path) -> Path:
    """Unpack a kept image into a layout."""
    plain = zstandard.ZstdDecompressor().decompress(kept.read_bytes(), max_output_size=1 << 26)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    return tmp_path / "layout"


def public_key(kept: Path) -> Path:
    return KEPT / f"v{version_of(kept)}.pub.pem"


def test_there_is_an_image_of_each_older_version_and_libos() -> None:
    older = [version for version in LAYER_WRITERS if version != max(LAYER_WRITERS)]
    wanted = {f"v{version}-{libos}.tar.zst" for version in older for libos in LIBOSES}
    assert wanted <= {image.name for image in IMAGES}


@pytest.fixture
def known(layout: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """Return what lets an image pass that nobody should trust any more: its files are pinned as they are."""
    image = TamperedImage(layout, tmp_path / "pinned")
    pins = tmp_path / "pins"
    pins.write_text(
        "".join(
            f"{hashlib.sha256(member.data).hexdigest()}  {member.path.removeprefix('.enclave/')}\n"
            for member in image.layers[-2]
            if member.type == tarfile.REGTYPE
        )
    )
    return "--host-files", pins, "--allow-flaw", "unknown-release", "--allow-integrity-only"


def test_it_verifies(command: Command, kept: Path, known: tuple[str | Path, ...]) -> None:
    done = command.run("verify", f"oci-archive:{kept}", "--signer", public_key(kept), *known)
    assert re.search(r"trusted\s+true", done.stdout)


def test_what_runs_outside_of_it_is_not_known_by_itself(command: Command, kept: Path) -> None:
    done = command.run("verify", f"oci-archive:{kept}", "--signer", public_key(kept), code=4)
    if "occlum" not in kept.name:
        assert "/.enclave/bin/runelet, which runs outside of the enclave" in done.stderr


def test_its_layers_are_what_the_writer_of_its_version_writes(kept: Path, layout: Path) -> None:
    image = TamperedImage(layout, layout.parent / "copy")
    for number in (-1, -2):
        data = (layout / "blobs" / "sha256" / image.manifest["layers"][number]["digest"][7:]).read_bytes()
        members: list[TarFile | TarDirectory | TarLink] = []
        for member in image.layers[number]:
            match member.type:
                case tarfile.SYMTYPE:
                    members.append(TarLink(path=member.path, target=member.link))
                case tarfile.DIRTYPE if member.mode == 0o777:
                    members.append(TarDirectory(path=member.path, mode=member.mode))
                case tarfile.REGTYPE:
                    members.append(
                        TarFile(
                            path=member.path, mode=member.mode, size=len(member.data),
                            open=lambda data=member.data: io.BytesIO(data),  # type: ignore[misc]
                        )
                    )  # fmt: skip
                case _:
                    assert member.type == tarfile.DIRTYPE
        output = Output()
        write_layer(members, output, version=version_of(kept))  # type: ignore[arg-type]
        assert output.getvalue() == data


class Output(io.BytesIO):
    """A blob that is written."""

    @property
    def size(self) -> int:
        return self.tell()


def test_changed_it_is_refused(command: Command, kept: Path, layout: Path) -> None:
    for number in (-1, -2):
        image = TamperedImage(layout, layout.parent / "copy")
        data = (layout / "blobs" / "sha256" / image.manifest["layers"][number]["digest"][7:]).read_bytes()
        image.put_archive(number, data + bytes(512))
        done = command.run("verify", image.save(), "--signer", public_key(kept), code=1)
        assert f"is not what a build writes in format version {version_of(kept)}" in done.stderr


def test_it_cannot_claim_to_be_a_newer_one(command: Command, kept: Path, layout: Path) -> None:
    image = TamperedImage(layout, layout.parent / "copy")
    image.describe(lambda document: document.update(version=version_of(kept) + 1))
    done = command.run("verify", image.save(), "--signer", public_key(kept), code=1)
    assert "enclave.json" in done.stderr


def test_it_can_be_signed_again_and_keeps_its_version(
    command: Command, kept: Path, tmp_path: Path, known: tuple[str | Path, ...]
) -> None:
    material, signature, signed = (tmp_path / name for name in ("material", "signature", "signed"))
    command.run("keygen", tmp_path / "other.pem")
    command.run("sign", "material", f"oci-archive:{kept}", "-o", material)
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", tmp_path / "other.pem", "-out", signature, material],
        check=True,
    )
    command.run(
        "sign", "attach", f"oci-archive:{kept}", "--material", material, "--signature", signature,
        "--public-key", tmp_path / "other.pub.pem", "-o", f"type=oci,tar=false,dest={signed}",
    )  # fmt: skip
    command.run("verify", f"oci:{signed}", "--signer", tmp_path / "other.pub.pem", *known)
    image = TamperedImage(signed, tmp_path / "copy")
    assert image.config["config"]["Labels"]["org.enclavize.format"] == str(version_of(kept))
