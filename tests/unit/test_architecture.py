"""The picture in ``docs/architecture.md`` is true: who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import enclavize

PACKAGE = Path(enclavize.__file__).parent
DOCUMENT = PACKAGE.parent / "docs" / "architecture.md"
FLOOR = re.compile(r"^    (?P<rooms>[a-z_]+(?: [a-z_]+)*)  +\S", re.MULTILINE)

pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="the documents are not in the package")


def documented_floors() -> list[list[str]]:
    """The rooms, from the top down; those of one floor may know each other."""
    text = DOCUMENT.read_text()
    picture = text[text.index("## 2. Rooms") : text.index("## 3.")]
    return [match["rooms"].split() for match in FLOOR.finditer(picture)]


def room_of(module: str) -> str:
    """The first name below the package; the package itself, which has the version, is no room."""
    return module.removeprefix("enclavize").removeprefix(".").split(".")[0]


def imports() -> set[tuple[str, str]]:
    """All pairs of a module and one that it imports, also for types alone and inside of functions."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(("enclavize", *path.relative_to(PACKAGE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.level, f"{module} has a relative import"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found |= {(module, name) for name in names if name.startswith("enclavize.")}
    return found


def test_every_room_is_in_the_picture() -> None:
    rooms = {
        path.stem
        for path in PACKAGE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.stem.startswith("_")
    }
    documented = [room for floor in documented_floors() for room in floor]
    assert sorted(documented) == sorted(rooms)


def test_a_room_imports_only_what_stands_on_its_floor_or_below() -> None:
    height = {room: -number for number, floor in enumerate(documented_floors()) for room in floor}
    upward = sorted(
        f"{module} imports {name}"
        for module, name in imports()
        if (above := room_of(name)) in height
        and (own := room_of(module)) in height
        and height[above] > height[own]
    )
    assert upward == []
