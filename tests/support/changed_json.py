"""JSON that is changed by somebody who knows how readers differ, and what Go's encoding/json makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random


class Pairs(list[tuple[str, Any]]):
    """An object as it stands there, with names that stand twice."""


def load(data: bytes) -> Any:
    """Parse JSON, keeping all members."""
    return json.loads(data.decode(errors="replace"), object_pairs_hook=Pairs)


def dump(value: Any) -> str:
    """Write JSON, with all members."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {dump(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dump, value)) + "]"
    return json.dumps(value)


class GoObject:
    """An object as Go's encoding/json fills a struct: names by their folding, the last one counts.

    What stands twice and is an object fills the same struct again.
    """

    def __init__(self, pairs: Any) -> None:
        self._pairs = pairs if isinstance(pairs, Pairs) else Pairs()

    def __getitem__(self, name: str) -> Any:
        found = self._all(name)
        return plain(found[-1]) if found else None

    def member(self, name: str) -> GoObject:
        """Return a member that is a struct."""
        merged = Pairs()
        for value in self._all(name):
            merged = (
                Pairs() if value is None else Pairs([*merged, *(value if isinstance(value, Pairs) else ())])
            )
        return GoObject(merged)

    def members(self, name: str) -> list[GoObject]:
        """Return a member that is a list of structs."""
        found = self._all(name)
        return [GoObject(item) for item in found[-1]] if found and isinstance(found[-1], list) else []

    def _all(self, name: str) -> list[Any]:
        return [value for key, value in self._pairs if fold(key) == fold(name)]


def fold(name: str) -> str:
    """Return a name as encoding/json compares it."""
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()


def plain(value: Any) -> Any:
    """Return a value with maps, whose names are compared exactly."""
    if isinstance(value, Pairs):
        return {name: plain(item) for name, item in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


class JsonChanger:
    """Changes documents; ``hints`` are values that mean something, by the name of their member."""

    def __init__(self, random: Random, hints: dict[str, list[Any]]) -> None:
        self._random = random
        self._hints = hints

    def changed(self, data: bytes) -> tuple[str, bytes]:
        """Return what was done, and the changed document."""
        if self._random.random() < 0.1:
            return self._text(data)
        document = load(data)
        places = list(_places(document))
        if not places:
            return self._text(data)
        container, at = self._random.choice(places)
        change: Callable[[Any, int], str] = self._random.choice(
            [self._delete, self._replace, self._tweak, self._tweak, *self._of_members(container)]
        )
        done = change(container, at)
        return done, dump(document).encode(errors="surrogatepass")

    def _of_members(self, container: Any) -> list[Callable[[Any, int], str]]:
        if not isinstance(container, Pairs):
            return []
        return [self._twice, self._folded, self._folded, self._rename, self._add, self._add, self._hinted]

    def _text(self, data: bytes) -> tuple[str, bytes]:
        at = self._random.randrange(len(data))
        match self._random.randrange(5):
            case 0:
                return f"byte {at} flipped", data[:at] + bytes(
                    [data[at] ^ 1 << self._random.randrange(8)]
                ) + data[at + 1 :]
            case 1:
                return f"byte {at} gone", data[:at] + data[at + 1 :]
            case 2:
                return "a byte order mark", b"\xef\xbb\xbf" + data
            case 3:
                return "a document behind", data + b'{"config": {"Entrypoint": ["/bin/evil"]}}'
            case _:
                return f"cut at {at}", data[:at]

    def _name(self, container: Any, at: int) -> str:
        return str(container[at][0]) if isinstance(container, Pairs) else f"[{at}]"

    def _put(self, container: Any, at: int, value: Any) -> None:
        container[at] = (container[at][0], value) if isinstance(container, Pairs) else value

    def _delete(self, container: Any, at: int) -> str:
        done = f"without {self._name(container, at)}"
        del container[at]
        return done

    def _replace(self, container: Any, at: int) -> str:
        value = self._other()
        self._put(container, at, value)
        return f"{self._name(container, at)} is {dump(value)[:40]}"

    def _tweak(self, container: Any, at: int) -> str:
        old = container[at][1] if isinstance(container, Pairs) else container[at]
        self._put(container, at, self._near(old))
        return f"{self._name(container, at)} is changed a little"

    def _twice(self, container: Any, at: int) -> str:
        name, value = container[at]
        other = self._random.choice([value, self._meant(name)])
        container.insert(self._random.choice([at, at + 1, len(container)]), (name, other))
        return f"{name} twice"

    def _folded(self, container: Any, at: int) -> str:
        name, _ = container[at]
        alias = self._alias(name)
        container.insert(self._random.choice([0, at, len(container)]), (alias, self._meant(name)))
        return f"{alias} beside {name}"

    def _rename(self, container: Any, at: int) -> str:
        name, value = container[at]
        alias = self._alias(name)
        container[at] = (alias, value)
        return f"{alias} instead of {name}"

    def _add(self, container: Any, at: int) -> str:
        name = self._random.choice([*self._hints, "x"])
        container.insert(self._random.randrange(len(container) + 1), (name, self._meant(name)))
        return f"{name} beside {self._name(container, at)}"

    def _hinted(self, container: Any, at: int) -> str:
        name, _ = container[at]
        container[at] = (name, self._meant(name))
        return f"another {name}"

    def _meant(self, name: str) -> Any:
        return self._random.choice(self._hints.get(name) or [self._other()])

    def _alias(self, name: str) -> str:
        spellings = [
            name.upper(), name.lower(), name.capitalize(), name.swapcase(),
            name.replace("s", "\u017f", 1), name.replace("k", "\u212a", 1), name.replace("S", "\u017f", 1),
        ]  # fmt: skip
        return self._random.choice([spelling for spelling in spellings if spelling != name] or [name])

    def _other(self) -> Any:
        return self._random.choice(
            [
                None,
                True,
                0,
                -1,
                1.5,
                10**30,
                "",
                "x",
                "\ud800",
                [],
                ["/bin/evil"],
                Pairs(),
                Pairs([("x", "y")]),
            ]
        )

    def _near(self, value: Any) -> Any:
        random = self._random
        match value:
            case str() if value:
                at = random.randrange(len(value))
                return random.choice(
                    [
                        value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :],
                        value + "/",
                        value.swapcase(),
                        value[:at],
                    ]
                )
            case bool():
                return not value
            case int():
                return value + random.choice([1, -1, 256])
            case Pairs():
                return Pairs([*value, ("x", "y")])
            case list() if value:
                return random.choice([value[:-1], [*value, value[0]], value[::-1]])
            case _:
                return self._other()


def _places(value: Any) -> Iterator[tuple[Any, int]]:
    """Yield each member and element with what it stands in."""
    items = (
        [item for _, item in value] if isinstance(value, Pairs) else value if isinstance(value, list) else ()
    )
    for at, item in enumerate(items):
        yield value, at
        yield from _places(item)
