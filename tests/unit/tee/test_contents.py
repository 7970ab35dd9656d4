"""The instance's layer comes from outside: only what belongs there is taken."""

import io
import tarfile
from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.source import resolve
from enclavize.progress import Reporter
from enclavize.tee.contents import read_contents
from support.images import (
    Member,
    build_image,
    build_layer,
    directory,
    file,
    hard_link,
    symlink,
    tar_of,
    write_layout,
)

LABELS = {"org.enclavize.format": "1", "org.enclavize.libos": "builtin"}
GOOD = [
    directory(".enclave"),
    file(".enclave/enclave.json", "{}"),
    directory(".enclave/instance"),
    file(".enclave/instance/enclave.signed.so", "x"),
    file(".enclave/instance/rootfs.erofs", "x"),
    file(".enclave/instance/rootfs.verity", "x"),
]


def read(tmp_path: Path, content: list[Member] | bytes, labels: dict[str, str] | None = None) -> None:
    made = build_image(
        [build_layer(content, "none")], config={"Labels": LABELS if labels is None else labels}
    )
    write_layout(tmp_path / "layout", {"1": made})
    cache = BlobCache(tmp_path / "cache")
    image = resolve(parse_location(f"oci:{tmp_path / 'layout'}"), cache=cache, reporter=Reporter())
    folder = tmp_path / "folder"
    folder.mkdir()
    try:
        read_contents(image, folder, cache)
    finally:
        image.source.close()
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        assert names <= {member.path.removeprefix(".enclave/") for member in GOOD}


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        (file("etc/passwd", "x"), "etc/passwd"),
        (file(".enclave/other", "x"), "other"),
        (file("../../tmp/x", "x"), "tmp/x"),
        (file("/.enclave/enclave.json", "x"), "enclave.json"),
        (file("enclave.json", "x"), "enclave.json"),
        (symlink(".enclave/instance/rootfs.erofs", "/etc/passwd"), "rootfs.erofs"),
        (hard_link(".enclave/instance/rootfs.erofs", "x"), "rootfs.erofs"),
        (file(".enclave/enclave.json", "{}"), "twice"),
        (directory("bin"), "bin"),
    ],
)
def test_what_does_not_belong_there_is_refused(tmp_path: Path, extra: Member, word: str) -> None:
    with pytest.raises(InvalidImageError, match=word):
        read(tmp_path, [*GOOD, extra])


@pytest.mark.parametrize("number", [1, 3, 4, 5])
def test_a_missing_file_is_named(tmp_path: Path, number: int) -> None:
    with pytest.raises(InvalidImageError, match=GOOD[number].path):
        read(tmp_path, [member for member in GOOD if member is not GOOD[number]])


def test_a_large_description_is_refused_before_it_is_read(tmp_path: Path) -> None:
    members = [file(".enclave/enclave.json", b" " * ((1 << 20) + 1)), *GOOD]
    with pytest.raises(InvalidImageError, match="1048577 bytes"):
        read(tmp_path, members)


@pytest.mark.parametrize("labels", [{}, {"org.enclavize.format": "2"}])
def test_other_images_and_formats_are_refused(tmp_path: Path, labels: dict[str, str]) -> None:
    with pytest.raises(InvalidImageError, match="TEE image"):
        read(tmp_path, GOOD, labels)


@pytest.mark.parametrize("cut", [1, 511, 600, 1500, 3000])
def test_a_truncated_archive_is_refused(tmp_path: Path, cut: int) -> None:
    data = tar_of(GOOD, tarfile.USTAR_FORMAT)
    with pytest.raises(EnclavizeError):
        read(tmp_path, data[:cut])


def test_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnclavizeError):
        read(tmp_path, io.BytesIO(b"no tar " * 1000).getvalue())
