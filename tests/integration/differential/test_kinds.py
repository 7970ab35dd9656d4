"""Odd documents and archives, by many writers, read by this project, skopeo, umoci and dockerd.

An image that is read in two ways is one that a check cannot vouch for: this project refuses it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.differential.kinds import KINDS
from integration.differential.samples import Laboratory, read_by_all
from support.programs import need
from support.readers import OURS, READERS, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.differential.samples import Kind
    from support.readers import Dockerd, LayoutRegistry

pytestmark = pytest.mark.integration

VERDICTS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("verdicts.toml").read_text())
"""By kind: which programs refuse it (or: which in which way), and part of what they say.

``PROGRAM differs`` is part of all that a program finds which no engine finds.
"""


@pytest.fixture
def laboratory(
    tmp_path: Path, dockerd: Dockerd, registry: LayoutRegistry, go_archives: Callable[[], list[bytes]]
) -> Laboratory:
    need("skopeo", "umoci")
    return Laboratory(folder=tmp_path, dockerd=dockerd, registry=registry, go_archives=go_archives)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_nobody_reads_something_else(laboratory: Laboratory, kind: Kind) -> None:
    found = read_by_all(kind.make(laboratory), laboratory)
    refused = {reader: str(result) for reader, result in found.items() if isinstance(result, RefusedError)}
    expected = VERDICTS.get(kind.name, {})
    reasons = {reader: expected.get(reader) or expected.get(reader.partition(" ")[0]) for reader in found}
    assert refused.keys() == {reader for reader, reason in reasons.items() if reason}, refused
    for reader, message in refused.items():
        assert (reasons[reader] or "") in message
    read = {reader: result for reader, result in found.items() if not isinstance(result, RefusedError)}
    for ours in [reader for reader in read if reader.startswith(OURS)]:
        for other, reading in read.items():
            differences = list(read[ours].differences(reading))
            if told := expected.get(f"{other.partition(' ')[0]} differs"):
                assert differences
                assert all(told in difference for difference in differences)
            else:
                assert not differences, f"{ours} and {other} read it differently"


def test_the_corpus_is_large_and_mostly_by_others() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) == len(KINDS) >= 30
    assert VERDICTS.keys() <= names
    others = [kind for kind in KINDS if kind.writer not in ("Python", "enclavize")]
    assert len(others) >= len(KINDS) / 2
    assert {kind.writer for kind in others} >= {
        "GNU tar",
        "bsdtar",
        "Go",
        "umoci",
        "buildah",
        "dockerd",
        "skopeo",
    }
    readers = {reader.partition(" ")[0] for reasons in VERDICTS.values() for reader in reasons}
    assert {reader for reasons in VERDICTS.values() for reader in reasons if "differs" in reader} == {
        "umoci differs"  # it is no engine
    }
    assert readers == set(READERS)
    accepted_by_all = [kind for kind in KINDS if not VERDICTS.get(kind.name)]
    assert len(accepted_by_all) >= len(KINDS) / 3
