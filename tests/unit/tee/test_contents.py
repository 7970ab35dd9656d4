"""The instance's layer comes from outside: only what belongs there is taken."""

import io
import tarfile
from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.libos.formats import format_for, format_of
from enclavize.oci.cache import BlobCache
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
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
SHARED = [directory(".enclave"), directory(".enclave/bin"), file(".enclave/bin/runelet", "x", 0o555)]
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
        [build_layer(SHARED, "none"), build_layer(content, "none")],
        config={"Labels": LABELS if labels is None else labels},
    )
    write_layout(tmp_path / "layout", {"1": made})
    cache = BlobCache(tmp_path / "cache")
    image = resolve(parse_location(f"oci:{tmp_path / 'layout'}"), cache=cache, reporter=Reporter())
    folder = tmp_path / "folder"
    folder.mkdir()
    try:
        read_contents(image, format_of(image), folder, cache)
    finally:
        image.source.close()
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        assert names <= {member.path.removeprefix(".enclave/") for member in (*SHARED, *GOOD)}


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


@pytest.mark.parametrize("labels", [{}, {"org.enclavize.format": "3"}])
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


GRAMINE_LABELS = LABELS | {"org.enclavize.libos": "gramine"}


def raw_header(path: bytes, kind: bytes, size: bytes) -> bytes:
    """Return a ustar header with these bytes."""
    record = bytearray(512)
    record[: len(path)] = path
    record[100:108], record[124:136], record[156:157] = b"0000444\0", size, kind
    record[257:265], record[148:156] = b"ustar\00000", b" " * 8
    record[148:156] = b"%06o\0 " % sum(record)
    return bytes(record)


def octal(size: int) -> bytes:
    return b"%011o\0" % size


@pytest.mark.parametrize(
    "data",
    [
        raw_header(b".enclave/instance/rootfs.verity", b"S", octal(0)),
        raw_header(b"x", b"x", octal(8 << 30)),
        raw_header(b"x", b"L", octal(8 << 30)),
        raw_header(b"x", b"x", octal(100)) + b"30 GNU.sparse.realsize=1099511627776\n".ljust(512, b"\0"),
        raw_header(b".enclave/enclave.json", b"0", b"\xff" * 12),
        raw_header(b".enclave/enclave.json", b"0", b"\x80" + b"\xff" * 11),
        raw_header(b".enclave/instance/rootfs.verity", b"0", octal(8 << 30)),
        raw_header(b".enclave/instance/rootfs.verity", b"7", octal(0)) * 2,
        raw_header(b".enclave/\xff", b"0", octal(0)),
        raw_header(b".enclave/instance/../../x", b"0", octal(0)),
        raw_header(b"/etc/passwd", b"0", octal(0)),
        raw_header(b".enclave/bin/runelet", b"3", octal(0)),
        b"".join(raw_header(b".enclave/%d" % number, b"5", octal(0)) for number in range(2000)),
    ],
)
def test_tricks_of_archives_are_refused_before_they_cost(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(EnclavizeError):
        read(tmp_path, data + bytes(1024))


def test_a_missing_link_is_named(tmp_path: Path) -> None:
    form = format_for("gramine")
    names = sorted(form.required | {"enclave.json"})
    layers = [
        build_layer(
            [file(f".enclave/{name}", "x") for name in names if form.is_shared(name) == shared], "none"
        )
        for shared in (True, False)
    ]
    made = build_image(layers, config={"Labels": GRAMINE_LABELS})
    write_layout(tmp_path / "layout", {"1": made})
    cache = BlobCache(tmp_path / "cache")
    image = resolve(parse_location(f"oci:{tmp_path / 'layout'}"), cache=cache, reporter=Reporter())
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidImageError, match=r"has no .enclave/instance/app.manifest "):
        read_contents(image, form, tmp_path / "folder", cache)
    image.source.close()
