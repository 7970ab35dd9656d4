"""What this reader accepts of a tar archive is what Go's archive/tar reads, Debian's and a current one."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from support.go import REFUSED, differing_fields, go_tars, gos_own_archives, ours, why_refused
from support.odd_tars import ODDITIES, OddTars
from support.programs import need
from support.real_tars import real_archives
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from support.go import GoTar

pytestmark = pytest.mark.integration

BATCH = 2000
MAX_SEED = 100_000
"""Bytes of an archive to be changed."""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> list[GoTar]:
    """Return both Go programs."""
    return go_tars(tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, readers: list[GoTar]) -> Mapping[str, bytes]:
    """Return archives that programs wrote."""
    need("tar", "bsdtar", "busybox", "umoci")
    return real_archives(tmp_path_factory.mktemp("real"), readers[-1])


def compared(archives: Sequence[bytes], readers: Sequence[GoTar]) -> Iterator[str]:
    """Yield how each archive is read; fail where this reader finds something else than Go."""
    theirs = [reader.read(archives) for reader in readers]
    for number, data in enumerate(archives):
        found = ours(data)
        for reader, lines in zip(readers, theirs, strict=True):
            if found != REFUSED and lines[number] != found:
                what = "refuses it" if lines[number] == REFUSED else differing_fields(found, lines[number])
                packed = base64.b85encode(zlib.compress(data)).decode()
                pytest.fail(f"{reader.version}: {what}\n{packed}", pytrace=False)
        if found == REFUSED:
            yield "refused by us" if any(lines[number] != REFUSED for lines in theirs) else "refused by all"
        else:
            yield "read alike"


def test_real_archives_are_read_as_go_reads_them(written: Mapping[str, bytes], readers: list[GoTar]) -> None:
    for name, data in written.items():
        assert why_refused(data) == "", name
    assert set(compared(list(written.values()), readers)) == {"read alike"}


ORDINARY = {
    "file-and-dir.tar", "gnu-not-utf8.tar", "gnu-utf8.tar", "gnu.tar", "hardlink.tar", "nil-uid.tar",
    "pax-records.tar", "pax.tar", "trailing-slash.tar", "ustar-file-devs.tar", "ustar-file-reg.tar",
    "ustar.tar", "v7.tar", "writer.tar", "xattrs.tar", "gnu-nil-sparse-data.tar", "gnu-nil-sparse-hole.tar",
    "pax-nil-sparse-data.tar", "pax-nil-sparse-hole.tar", "sparse-formats.tar", "pax-global-records.tar",
}  # fmt: skip
"""Of the archives in Go's own tests; the others are damaged, or such as no writer makes."""


def test_archives_of_gos_own_tests_are_read_as_go_reads_them_or_refused(readers: list[GoTar]) -> None:
    archives = gos_own_archives()
    assert {name for name, data in archives.items() if why_refused(data) == ""} == ORDINARY
    assert set(compared(list(archives.values()), readers)) == {
        "read alike",
        "refused by us",
        "refused by all",
    }


def test_oddities_are_read_as_go_reads_them_or_refused(readers: list[GoTar]) -> None:
    assert set(compared([data for data, _ in ODDITIES.values()], readers)) >= {"refused by us", "read alike"}


def test_odd_archives_are_read_as_go_reads_them_or_refused(readers: list[GoTar]) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    odd = OddTars(Random(seed))
    counts: Counter[str] = Counter()
    for _ in range(scaled(400_000 // BATCH)):
        counts.update(compared([odd.archive() for _ in range(BATCH)], readers))
    # Otherwise the archives would be too odd, or not odd enough, to find anything.
    assert all(counts[kind] > counts.total() // 20 for kind in ("read alike", "refused by all")), counts


def test_odd_fields_are_read_as_go_reads_them_or_refused(readers: list[GoTar]) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    odd = OddTars(Random(seed))
    counts: Counter[str] = Counter()
    for _ in range(scaled(800_000 // BATCH)):
        counts.update(compared([odd.field() for _ in range(BATCH)], readers))
    assert all(counts[kind] > counts.total() // 20 for kind in ("read alike", "refused by all")), counts


def test_changed_archives_are_read_as_go_reads_them_or_refused(
    written: Mapping[str, bytes], readers: list[GoTar]
) -> None:
    seed = SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    random = Random(seed)
    odd = OddTars(random)
    archives = [data for data in (*written.values(), *gos_own_archives().values()) if len(data) < MAX_SEED]
    counts: Counter[str] = Counter()
    for _ in range(scaled(200_000 // BATCH)):
        changed = [odd.changed(random.choice(archives)) for _ in range(BATCH)]
        counts.update(compared(changed, readers))
    assert all(counts[kind] > counts.total() // 20 for kind in ("read alike", "refused by all")), counts
