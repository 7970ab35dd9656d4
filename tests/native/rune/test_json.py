"""rune's reader of JSON: what it finds is what runc finds, whatever a document is like."""

from __future__ import annotations

from random import Random, SystemRandom
from typing import TYPE_CHECKING

import pytest

from support.json_programs import asked, json_probe
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

PATH = "=2f62"
"""/b"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reader as a program of its own."""
    return json_probe(tmp_path_factory.mktemp("rune"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"root": {"path": "/b"}}', f"{PATH} absent absent"),
        ('{"ROOT": {"Path": "\\u002fb"}}', f"{PATH} absent absent"),
        ('{"root": {"path": "/b"}, "Root": {}}', "invalid absent absent"),
        ('{"root": {"path": "/b", "pat\\u0068": "/c"}}', "invalid absent absent"),
        ('{"root": {"path": null}}', "invalid absent absent"),
        ('{"root": {"path": "/\\ud83d\\ude00"}}', "=2ff09f9880 absent absent"),
        ('{"root": {"path": "/\\ud800"}}', "invalid absent absent"),
        ('{"root": {"path": "/\\udc00b"}}', "invalid absent absent"),
        ('{"root": {"path": "/\\u0000"}}', "invalid absent absent"),
        (b'{"root": {"path": "/\xff"}}', "invalid absent absent"),
        (b'{"root": {"path": "/\xc0\xaf"}}', "invalid absent absent"),
        (b'{"root": {"path": "/\xed\xa0\x80"}}', "invalid absent absent"),
        (b'{"root": {"path": "/\xf4\x90\x80\x80"}}', "invalid absent absent"),
        (b'{"root": {"path": "/\xe2\x82"}}', "invalid absent absent"),
        ('{"root": {"path": "/\u20ac"}}', "=2fe282ac absent absent"),
        ('{"annotations": {"k": "/b", "K": "/c", "\u212a": "/d"}}', f"absent {PATH} absent"),
        ('{"annotations": {"k": "/b", "k": "/b"}}', "absent invalid absent"),
        ('{"annotations": {"K": "/b"}}', "absent absent absent"),
        ('{"labels": ["/b", "/b"]}', f"absent absent {PATH};{PATH};absent"),
        ('{"label\u017f": ["/b"]}', f"absent absent {PATH};absent"),
        ('{"labels": [], "label\u017f": ["/b"]}', "absent absent invalid"),
        ('{"labels": [], "LABEL\\u017f": ["/b"]}', "absent absent invalid"),
        ('{"labelz": ["/b"]}', "absent absent absent"),
        ('{"label\u00df": ["/b"]}', "absent absent absent"),
    ],
)
def test_members_are_found_as_go_finds_them(probe: Path, text: str | bytes, words: str) -> None:
    data = text.encode() if isinstance(text, str) else text
    assert asked(probe, [("s", data)]) == [words]


def test_no_document_leads_outside_of_itself(probe: Path) -> None:
    seed = SystemRandom().randrange(1 << 32)
    random = Random(seed)
    base = (
        b'{"root": {"path": "/b\\u00e9\\ud83d\\ude00"}, "annotations": {"k": "\xf0\x9f\x98\x80"},'
        b' "labels": ["a", {"b": [1, 2.5e3]}, "\\""]}'
    )
    documents = []
    for _ in range(scaled(200_000, least=5000)):
        data = bytearray(base)
        for _ in range(random.randrange(1, 5)):
            at = random.randrange(len(data))
            match random.randrange(4):
                case 0:
                    data[at] = random.randrange(256)
                case 1:
                    del data[at : at + random.randrange(1, 8)]
                case 2:
                    data[at:at] = random.choice(b'{}[]",:\\u\xe2\xf0\xed').to_bytes(1, "big")
                case _:
                    del data[at:]
            if not data:
                break
        documents.append(("s", bytes(data)))
    assert len(asked(probe, documents)) == len(documents), f"seed {seed}"
