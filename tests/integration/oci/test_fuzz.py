"""Archives with random damage: they are read, or refused with an error for the user, and nothing else."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.oci.fetch import fetch_blob
from enclavize.oci.location import parse_location
from enclavize.oci.resolve import resolve
from support.images import build_image, file, write_docker_archive, write_oci_archive
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.oci.cache import BlobCache
    from enclavize.progress import Reporter

pytestmark = pytest.mark.integration


def damage(data: bytes, chance: random.Random) -> bytes:
    """Change, remove, repeat or insert a few bytes; headers and JSON are hit more often than data."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        start = chance.randrange(len(changed))
        if chance.random() < 0.5:
            start -= start % 512
        length = chance.randrange(1, 40)
        match chance.randrange(4):
            case 0:
                changed[start : start + length] = chance.randbytes(length)
            case 1:
                del changed[start : start + length]
            case 2:
                changed[start:start] = changed[start : start + 512]
            case _:
                changed[start : start + 1] = chance.choice([b"0", b"9", b"-", b"\x00", b"\xff", b"[", b'"'])
    return bytes(changed)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_damaged_archives_are_read_or_refused(
    tmp_path: Path, cache: BlobCache, reporter: Reporter, form: str
) -> None:
    image = build_image([[file("a", "1")], [file("b", "2")]])
    path = tmp_path / "image.tar"
    if form == "oci-archive":
        write_oci_archive(path, {"1": image}, tmp_path / "scratch")
    else:
        write_docker_archive(path, {"a:1": image})
    sound = path.read_bytes()
    refused = 0
    for seed in range(scaled(10_000)):
        path.write_bytes(damage(sound, random.Random(seed)))
        try:
            found = resolve(parse_location(f"{form}:{path}"), cache=cache, reporter=reporter)
            try:
                for descriptor in found.layers:
                    with fetch_blob(found, descriptor, cache) as stream:
                        stream.read()
            finally:
                found.source.close()
        except EnclavizeError:
            refused += 1
    assert refused > 0
