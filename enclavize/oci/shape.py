"""Names of members as Go's encoding/json finds them, and the objects whose members a format defines.

Container engines are written in Go, whose decoder takes ``entrypoint`` for ``Entrypoint``, and the last of
several; readers in Rust and Python take the exact name. So names that fold to the same may not stand twice,
and one in another case is read as Go does, but remembered: two readers see two documents.

Source: Go, encoding/json, "Unmarshal": "preferring exact matches but also accepting case-insensitive
matches"; fold.go: for ASCII names that is ASCII case, U+017F (long s) and U+212A (Kelvin sign).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from enclavize.oci.document import TwiceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDED = {
    **{ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
    ord("\N{LATIN SMALL LETTER LONG S}"): "s",
    ord("\N{KELVIN SIGN}"): "k",
}


def fold(name: str) -> str:
    """Return what all spellings of a name have in common that Go takes for the same."""
    return name.translate(_FOLDED)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An object whose members a format defines.

    ``names`` are separated by spaces. ``below`` gives the shape of members that are objects or lists of
    objects; ``maps`` the shape of the values of members whose keys are data. All else is left as it is.
    """

    names: str
    below: Mapping[str, Shape] = field(default_factory=dict)
    maps: Mapping[str, Shape] = field(default_factory=dict)

    @cached_property
    def defined(self) -> frozenset[str]:
        """The names, and those of members with a shape of their own."""
        return frozenset((*self.names.split(), *self.below, *self.maps))

    @cached_property
    def _spelled(self) -> Mapping[str, str]:
        return {fold(name): name for name in self.defined}

    def spell(self, value: dict[str, Any]) -> Iterator[str]:
        """Give members of ``value``, and of what is below, the names of the format, in place.

        Yields the names that were spelled otherwise. Raises TwiceError.
        """
        if not value.keys() <= self.defined:
            yield from self._rename(value)
        for name, shape in self.below.items():
            member = value.get(name)
            for item in member if isinstance(member, list) else (member,):
                if isinstance(item, dict):
                    yield from shape.spell(item)
        for name, shape in self.maps.items():
            member = value.get(name)
            for item in member.values() if isinstance(member, dict) else ():
                if isinstance(item, dict):
                    yield from shape.spell(item)

    def _rename(self, value: dict[str, Any]) -> Iterator[str]:
        seen: dict[str, str] = {}
        for name in value:
            if (other := seen.setdefault(fold(name), name)) != name:
                raise TwiceError(f"{other[:100]!r} and {name[:100]!r} are one name to some readers")
        for folded, name in seen.items():
            defined = self._spelled.get(folded, name)
            if defined != name:
                value[defined] = value.pop(name)
                yield name
