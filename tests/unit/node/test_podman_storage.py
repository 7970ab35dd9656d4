"""Whatever stands in podman's storage: an image is found, or an error says that it is not."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import EnclavizeError
from enclavize.node.engines.found import AskedContainer
from enclavize.node.engines.podman import PodmanEngine
from enclavize.oci.digest import sha256_digest
from support.images import build_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "localhost/x:1"
IMAGE = build_image([[]])
CONFIG = IMAGE.config_bytes
ID = sha256_digest(CONFIG).removeprefix("sha256:")
DOCUMENTS: dict[str, Any] = {
    "containers": [
        {"id": "c", "image": ID, "layer": "own", "metadata": json.dumps({"image-name": NAME})},
    ],
    "images": [{"id": ID, "layer": "top", "names": [NAME]}],
    "layers": [
        {"id": "own", "parent": "top"},
        {"id": "top", "diff-digest": json.loads(CONFIG)["rootfs"]["diff_ids"][0]},
    ],
}
VALUES: tuple[Any, ...] = (None, 7, -1.5, True, "", "\0", "x", "[" * 100_000, [], [[]], {}, {"a": 1})


def write(folder: Path, documents: dict[str, Any]) -> PodmanEngine:
    for kind, records in documents.items():
        place = folder / f"overlay-{kind}"
        place.mkdir(exist_ok=True)
        (place / f"{kind}.json").write_text(records if isinstance(records, str) else json.dumps(records))
    place = folder / "overlay-images" / ID
    place.mkdir(exist_ok=True)
    (place / ("=" + base64.b64encode(f"sha256:{ID}".encode()).decode())).write_bytes(CONFIG)
    return PodmanEngine(folder, "overlay")


def changes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the documents with one value changed, each in turn."""
    for kind, records in DOCUMENTS.items():
        for number, value in enumerate(VALUES):
            yield f"{kind}-{number}", {**DOCUMENTS, kind: value}
            for at, record in enumerate(records):
                for key in record:
                    changed = deepcopy(DOCUMENTS)
                    changed[kind][at][key] = value
                    yield f"{kind}-{at}-{key}-{number}", changed


@pytest.fixture
def asked(tmp_path: Path) -> AskedContainer:
    return AskedContainer(id="c", rootfs=tmp_path, pid=1)


def test_any_value_of_another_type_is_told(tmp_path: Path, asked: AskedContainer) -> None:
    assert write(tmp_path, DOCUMENTS).find(asked).config_digest == f"sha256:{ID}"
    for what, documents in changes():
        with suppress(EnclavizeError):
            assert write(tmp_path, documents).find(asked).config_digest == f"sha256:{ID}", what
