"""``enclavize cache``, and the bound that builds and runs keep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.cli.grammar.cache_bound import cache_bound
from enclavize.cli.grammar.duration import parse_duration
from enclavize.errors import UsageError
from enclavize.oci.cache import BlobCache
from support.command import Command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command with a cache of two blobs."""
    command = Command(base=tmp_path, native=tmp_path)
    for number in (1, 2):
        with BlobCache(command.blobs).writer() as blob:
            blob.write(bytes([number]) * 50_000)
    return command


def test_du_shows_kinds_and_json_each_item(command: Command) -> None:
    shown = command.run("cache", "du").stdout.splitlines()
    assert shown[0].split() == ["KIND", "COUNT", "SIZE", "RECLAIMABLE"]
    assert shown[1].split()[:2] == ["blob", "2"]
    assert shown[-1].split()[:2] == ["total", "2"]
    facts = json.loads(command.run("cache", "du", "--format", "json").stdout)
    assert [item["kind"] for item in facts["items"]] == ["blob", "blob"]
    assert facts["total"] == facts["reclaimable"] == sum(item["size"] for item in facts["items"])


def test_prune_says_what_it_did(command: Command) -> None:
    assert command.run("cache", "prune", "--older-than", "1h").stdout.startswith("reclaimed 0 B (0 items), ")
    assert "(1 item)" in command.run("cache", "prune", "--max-size", "60k").stdout
    facts = json.loads(command.run("cache", "prune", "--format", "json").stdout)
    assert (len(facts["items"]), facts["left"]) == (1, 0)
    assert command.run("cache", "du").stdout.splitlines()[-1].split()[:2] == ["total", "0"]


@pytest.mark.parametrize("options", [("--max-size", "much"), ("--older-than", "yesterday")])
def test_what_cannot_be_read_is_refused(command: Command, options: tuple[str, str]) -> None:
    assert options[1] in command.run("cache", "prune", *options, code=2).stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2W", 1_209_600)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "-1d", "1y", "1.5h", "9999999999d"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(UsageError, match="not a length of time"):
        parse_duration(text)


def test_the_bound_is_the_variable_or_ten_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENCLAVIZE_CACHE_MAX_SIZE", raising=False)
    assert cache_bound() == 10 << 30
    monkeypatch.setenv("ENCLAVIZE_CACHE_MAX_SIZE", "300M")
    assert cache_bound() == 300 << 20
    monkeypatch.setenv("ENCLAVIZE_CACHE_MAX_SIZE", "all")
    with pytest.raises(UsageError, match="ENCLAVIZE_CACHE_MAX_SIZE: 'all' is not a size"):
        cache_bound()
