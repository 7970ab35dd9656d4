"""The layers that a build adds are what it writes, byte for byte: no two readers find two things in them."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import zstandard

from enclavize.oci.digest import sha256_digest
from support.images import file, tar_of
from support.odd_tars import extension, header, padded, pax, with_sum
from support.programs import need
from support.tampering import TamperedImage, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Built, Command
    from support.images import Member

pytestmark = pytest.mark.integration

RUNELET, OTHER = b".enclave/bin/runelet", b".enclave/other"
EVIL = b"another program"
MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def tampered(built: Built, tmp_path: Path) -> TamperedImage:
    """Return a copy to be changed."""
    return TamperedImage(built.layout, tmp_path / "copy")


def verify(built: Built, name: str, code: int = 0) -> str:
    """Run ``verify``; return what it says."""
    done = built.command.run("verify", name, "--signer", built.public_key, code=code)
    return done.stdout + done.stderr


def member(name: bytes, data: bytes, *changes: tuple[int, bytes], mode: bytes = b"0000555\0") -> bytes:
    """Return a file as a build writes it, but for these bytes of its header."""
    return header(name, b"0", len(data), (100, mode), (136, b"%011o\0" % 0), *changes) + padded(data)


_GNU, _PREFIX = (257, b"ustar  \0"), (345, b"z\0")
FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "pax path and GNU long name": lambda genuine: (
        pax((b"path", RUNELET)) + extension(b"L", OTHER + b"\0") + member(b"x", genuine)
    ),
    "two pax headers": lambda genuine: (
        pax((b"path", RUNELET)) + pax((b"comment", b"c")) + member(OTHER, genuine)
    ),
    "GNU magic and a prefix": lambda genuine: member(RUNELET, genuine, _GNU, _PREFIX),
    "a global header": lambda genuine: (
        pax((b"path", RUNELET)) + extension(b"g", b"12 comment=c\n") + member(OTHER, genuine)
    ),
    "GNU long name": lambda genuine: extension(b"L", RUNELET + b"\0") + member(b"x", genuine),
    "pax path": lambda genuine: pax((b"path", RUNELET)) + member(b"x", genuine),
    "a prefix": lambda genuine: member(b"bin/runelet", genuine, (345, b".enclave\0")),
    "twice": lambda genuine: member(RUNELET, genuine),
}


@pytest.mark.parametrize("name", FORGERIES, ids=lambda name: name.replace(" ", "-"))
def test_a_second_runelet_for_other_readers_is_refused(
    built: Built, tampered: TamperedImage, name: str
) -> None:
    """The first member is what engines unpack, the second one what this reader used to find."""
    folders = [entry for entry in tampered.layers[-2] if entry.type == tarfile.DIRTYPE]
    genuine = next(entry.data for entry in tampered.layers[-2] if entry.path.endswith("runelet"))
    layer = written(folders)[:-1024] + member(RUNELET, EVIL) + FORGERIES[name](genuine) + bytes(1024)
    tampered.put_archive(-2, layer)
    message = verify(built, tampered.save(), code=1)
    assert tampered.manifest["layers"][-2]["digest"][7:19] in message


def test_another_enclave_for_other_readers_is_refused(
    built: Built, tampered: TamperedImage, command: Command, tmp_path: Path
) -> None:
    """Mallory's instance is in the LibOS layer; Alice's above it have names of their own for engines."""
    command.run("keygen", "mallory.pem")
    command.run(
        "build", f"oci:{built.layout.parent / 'source'}", "--key", "mallory.pem", "--debug", "-o",
        f"type=oci,tar=false,dest={tmp_path / 'mallory'}",
    )  # fmt: skip
    mallory = TamperedImage(tmp_path / "mallory", tmp_path / "copy-of-mallory")
    genuine, foreign = tampered.layers[-1], mallory.layers[-1]
    tampered.put_archive(-2, written([*tampered.layers[-2], *foreign[1:]]))
    hidden = [
        header(entry.path.encode(), entry.type, 0, (100, b"0000555\0"))
        if entry.type == tarfile.DIRTYPE
        else member(entry.path.encode(), entry.data, _GNU, _PREFIX, mode=b"0000444\0")
        for entry in genuine
    ]
    tampered.put_archive(-1, b"".join(hidden) + bytes(1024))
    verify(built, tampered.save(), code=1)
    # What the GNU headers hid is not all that is wrong: a layer without them is not a build's either.
    tampered.put_archive(-1, written(genuine))
    assert "is not of the enclave" in verify(built, tampered.save(), code=1)


def rewritten(tampered: TamperedImage, number: int, change: Callable[[bytes], bytes]) -> str:
    """Change the bytes of a layer."""
    data = written(tampered.layers[number])
    tampered.put_archive(number, change(data))
    return tampered.save()


@pytest.mark.parametrize("number", [-1, -2])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + bytes(512),
        lambda data: data[:-1024],
        lambda data: data + b"x",
        lambda data: data[:-1024] + header(b".enclave/bin", b"5", 0, (100, b"0000555\0")) + bytes(1024),
        lambda data: with_sum(data[:512].replace(b"0000555\0", b"000555 \0")) + data[512:],
    ],
    ids=["longer", "no-end", "garbage", "directory-twice", "spaces"],
)
def test_layers_that_say_the_same_in_other_bytes_are_refused(
    built: Built, tampered: TamperedImage, number: int, change: Callable[[bytes], bytes]
) -> None:
    verify(built, rewritten(tampered, number, change), code=1)


def test_layers_of_other_writers_are_refused(built: Built, tampered: TamperedImage) -> None:
    for number in (-1, -2):
        for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
            # Padded to 10 KiB, and some bytes more: a build's may have just that size.
            tampered.put_archive(number, tar_of(tampered.layers[number], kind) + bytes(512))
            assert "is not what a build writes in format version 2" in verify(built, tampered.save(), code=1)
        tampered.put_archive(number, written(tampered.layers[number]))
    verify(built, tampered.save())


def compressed(
    tampered: TamperedImage, number: int, blob: bytes, kind: str, plain: bytes | None = None
) -> None:
    """Let a layer be ``blob``, which is compressed."""
    plain = written(tampered.layers[number]) if plain is None else plain
    tampered.put_archive(number, blob)
    tampered.manifest["layers"][number]["mediaType"] = f"{MEDIA_TYPE}+{kind}"
    tampered.config["rootfs"]["diff_ids"][number] = sha256_digest(plain)


def test_layers_may_be_compressed_on_the_way(built: Built, tampered: TamperedImage, tmp_path: Path) -> None:
    for number in (-1, -2):
        compressed(tampered, number, gzip.compress(written(tampered.layers[number])), "gzip")
    name = tampered.save()
    verify(built, name)
    built.command.run("inspect", name)
    plain = written(tampered.layers[-1])
    frames = zstandard.compress(plain[:5000]) + zstandard.compress(plain[5000:])
    compressed(tampered, -1, frames, "zstd")
    verify(built, tampered.save())


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_skopeo_may_compress_all_layers(built: Built, tmp_path: Path, kind: str) -> None:
    need("skopeo")
    options = ("--dest-compress", "--dest-compress-format", kind)
    copy = f"oci:{tmp_path / 'copy'}:1"
    subprocess.run(["skopeo", "copy", "-q", *options, built.name, copy], check=True, timeout=60)
    verify(built, copy)


def test_a_compressed_layer_that_is_another_one_is_refused(built: Built, tampered: TamperedImage) -> None:
    plain = written(tampered.layers[-2])
    changed = plain[:-1024] + bytes(512) + plain[-1024:]
    compressed(tampered, -2, gzip.compress(changed), "gzip", changed)
    assert "is not what a build writes" in verify(built, tampered.save(), code=1)
    compressed(tampered, -2, gzip.compress(changed), "gzip", plain)
    assert "has the content" in verify(built, tampered.save(), code=1)


def test_a_conversion_to_estargz_is_refused_with_that_reason(built: Built, tampered: TamperedImage) -> None:
    for position in (0, -1):
        landmarks = [file(".no.prefetch.landmark", b"\x0f"), file("stargz.index.json", b"{}")]
        members: list[Member] = list(tampered.layers[-2])
        members[position:position] = landmarks[:1]
        plain = written([*members, landmarks[1]])
        compressed(tampered, -2, gzip.compress(plain), "gzip", plain)
        message = verify(built, tampered.save(), code=1)
        assert "was converted to eStargz on the way" in message
        assert "without converting its layers" in message


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        ("containerd.io/snapshot/stargz/toc.digest", "eStargz"),
        ("io.containers.estargz.uncompressed-size", "eStargz"),
        ("io.github.containers.zstd-chunked.manifest-checksum", "zstd:chunked"),
    ],
)
def test_annotations_tell_of_a_conversion(
    built: Built, tampered: TamperedImage, annotation: str, name: str
) -> None:
    plain = written(tampered.layers[-1])
    compressed(tampered, -1, zstandard.compress(plain), "zstd", plain)
    tampered.manifest["layers"][-1]["annotations"] = {annotation: "sha256:" + "ab" * 32}
    # The same archive, but engines that know the format read their own table of contents.
    assert f"was converted to {name} on the way" in verify(built, tampered.save(), code=1)
    changed = plain + bytes(512)
    compressed(tampered, -1, zstandard.compress(changed), "zstd", changed)
    assert f"was converted to {name} on the way" in verify(built, tampered.save(), code=1)


def test_enclave_json_is_as_a_build_writes_it(built: Built, tampered: TamperedImage) -> None:
    tampered.change_data(".enclave/enclave.json", lambda data: json.dumps(json.loads(data)).encode())
    assert "/.enclave/enclave.json is not as a build writes it" in verify(built, tampered.save(), code=1)


@pytest.mark.parametrize("argv", [[], ["busybox"], ["busybox", "ls", "-l", "x"], ["busybox", "ls -l"]])
def test_argv_is_what_is_measured(built: Built, tampered: TamperedImage, argv: list[str]) -> None:
    facts = json.loads(built.command.run("inspect", built.name, "--format", "json").stdout)
    assert facts["argv"] == ["busybox", "ls", "-l"]
    tampered.describe(lambda document: document.update(argv=argv))
    assert "contradict each other: argv" in verify(built, tampered.save(), code=1)


def test_an_older_version_cannot_be_claimed(built: Built, tampered: TamperedImage) -> None:
    def older(document: dict[str, object]) -> None:
        document["version"] = 1
        del document["argv"]

    tampered.describe(older)
    assert "org.enclavize.format" in verify(built, tampered.save(), code=1)


@pytest.mark.parametrize("number", [0, 1, -2, -1])
@pytest.mark.parametrize("form", ["layout", "oci-archive", "docker-archive"])
def test_a_known_layer_is_hashed_again(built: Built, tmp_path: Path, number: int, form: str) -> None:
    """What was verified once may have been changed where it lies: an index tells nothing of that."""
    need("skopeo")
    folder = tmp_path / "copy"
    shutil.copytree(built.layout, folder)
    name = f"oci:{folder}"
    if form != "layout":
        archive = tmp_path / "image.tar"
        if form == "oci-archive":  # skopeo would compress the layers
            subprocess.run(["tar", "-C", folder, "-cf", archive, "."], check=True)
        else:
            subprocess.run(["skopeo", "copy", "-q", name, f"{form}:{archive}:tee:1"], check=True)
        name = f"{form}:{archive}"
    verify(built, name)
    image = TamperedImage(built.layout, tmp_path / "other")
    blob = folder / "blobs" / "sha256" / image.manifest["layers"][number]["digest"][7:]
    data = blob.read_bytes()
    if form == "docker-archive" and data.startswith(b"\x1f\x8b"):
        data = gzip.decompress(data)
    changed = data[:-700] + b"tampered" + data[-692:]
    stored = blob if form == "layout" else tmp_path / "image.tar"
    content = stored.read_bytes()
    assert content.count(data) == 1
    stored.write_bytes(content.replace(data, changed))
    message = verify(built, name, code=1)
    assert "trusted" not in message
