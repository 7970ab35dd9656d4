"""JSON that others wrote, read as Go's encoding/json reads it, or refused.

What two readers could read differently is an error: names that stand twice, text that is no Unicode, numbers
beyond all bounds, other encodings than UTF-8 (RFC 8259, 4, 8.1, 8.2). Every value is checked for type and
size where it is taken.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from enclavize.errors import InvalidImageError
from enclavize.oci.limits import MAX_CONFIG_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from enclavize.oci.shape import Shape

_Value = TypeVar("_Value")
_Sized = TypeVar("_Sized", list[Any], dict[str, Any])

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class TwiceError(ValueError):
    """A name stands twice, or in two spellings."""


@dataclass(frozen=True)
class Document:
    """A JSON object; ``what`` names it in errors. An absent member and a ``null`` one are the same.

    ``misspelled`` are names, here or below, that Go finds though the format spells them otherwise.
    """

    members: Mapping[str, Any]
    what: str
    misspelled: tuple[str, ...] = ()

    def text(self, key: str) -> str:
        """Return a string, or "" where there is none."""
        value = self.members.get(key)
        return "" if value is None else self._checked_text(key, value)

    def number(self, key: str, *, maximum: int) -> int:
        """Return a whole number from 0 to ``maximum``; it must be there."""
        value = self.members.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise self.wrong(key, f"a whole number from 0 to {maximum}")
        return value

    def document(self, key: str) -> Document | None:
        """Return a nested object, or None."""
        value = self.members.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Document(value, f"{self.what}, {key}")

    def documents(self, key: str) -> tuple[Document, ...]:
        """Return a list of objects."""
        if not all(isinstance(value, dict) for value in self._sized(key, list)):
            raise self.wrong(key, "a list of objects")
        return self.items(key)

    def items(self, key: str) -> tuple[Document, ...]:
        """Return a list of objects, in which others and null have no members."""
        return tuple(
            Document(value if isinstance(value, dict) else {}, f"{self.what}, {key}[{number}]")
            for number, value in enumerate(self._sized(key, list))
        )

    def texts(self, key: str, oddities: list[str] | None = None) -> tuple[str, ...]:
        """Return a list of strings. With ``oddities``, which are told of it, null in it is "", as to Go."""
        found = self._sized(key, list)
        if oddities is not None and None in found:
            oddities.append(f"{self.what}: {key!r} has null for a text; docker takes it for an empty one")
            found = ["" if value is None else value for value in found]
        return tuple(self._checked_text(key, value) for value in found)

    def words(self, key: str, oddities: list[str]) -> tuple[str, ...]:
        """Return a command line: a list of strings, or one string, of which docker makes a list.

        Source: moby, api/types/strslice/strslice.go.
        """
        value = self.members.get(key)
        if not isinstance(value, str):
            return self.texts(key, oddities)
        oddities.append(f"{self.what}: {key!r} is one text; docker takes it for a list of one")
        return (self._checked_text(key, value),)

    def labels(self, key: str, oddities: list[str]) -> dict[str, str]:
        """Return an object of strings as Go takes it, without what is none; ``oddities`` are told of that."""
        found: dict[str, str] = {}
        nothing: dict[str, Any] = {}
        for name, value in optional(lambda: self._sized(key, dict), nothing, oddities).items():
            if isinstance(value, str | None):
                found[name] = value or ""
            if not isinstance(value, str):
                outcome = "docker takes it for empty" if value is None else "it is left out"
                oddities.append(f"{self.what}: {key!r} has no text for {name[:100]!r}; {outcome}")
        return found

    def text_map(self, key: str) -> dict[str, str]:
        """Return an object of strings."""
        found = self._sized(key, dict)
        return {self._checked_text(key, name): self._checked_text(key, found[name]) for name in found}

    def keys(self, key: str) -> tuple[str, ...]:
        """Return the sorted names in an object that is used as a set (``{"80/tcp": {}}``)."""
        return tuple(sorted(self._checked_text(key, name) for name in self._sized(key, dict)))

    def wrong(self, key: str, expected: str) -> InvalidImageError:
        """Return the error for a member that is not what it should be."""
        return InvalidImageError(f"{self.what}: {key!r} is not {expected}")

    def _sized(self, key: str, kind: type[_Sized]) -> _Sized:
        value = self.members.get(key)
        if value is None:
            return kind()
        if not isinstance(value, kind) or len(value) > MAX_CONFIG_ITEMS:
            raise self.wrong(key, f"a {kind.__name__} of at most {MAX_CONFIG_ITEMS} elements")
        return value

    def _checked_text(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.wrong(key, "text")
        try:
            value.encode()
        except UnicodeEncodeError as error:  # "\ud800": a lone surrogate is JSON, but not text
            raise self.wrong(key, "valid Unicode") from error
        return value


def optional(read: Callable[[], _Value], otherwise: _Value, oddities: list[str]) -> _Value:
    """Return what ``read`` gives, or ``otherwise`` if that is malformed: of it ``oddities`` are told.

    For members that programs do without.
    """
    try:
        return read()
    except InvalidImageError as error:
        oddities.append(f"{error}, and is left out")
        return otherwise


def parse_document(data: bytes, what: str, shape: Shape | None = None) -> Document:
    """Parse a JSON object; names are exact where there is no ``shape``. Raises InvalidImageError."""
    value = _parse(data, what)
    if not isinstance(value, dict):
        raise InvalidImageError(f"{what} is not a JSON object")
    return _document(value, what, shape)


def parse_documents(data: bytes, what: str, shape: Shape | None = None) -> tuple[Document, ...]:
    """Parse a JSON list of objects. Raises InvalidImageError."""
    value = _parse(data, what)
    if not isinstance(value, list):
        raise InvalidImageError(f"{what} is not a JSON list")
    documents = Document({"list": value}, what).documents("list")
    return tuple(_document(dict(item.members), item.what, shape) for item in documents)


def _document(members: dict[str, Any], what: str, shape: Shape | None) -> Document:
    try:
        return Document(members, what, tuple(shape.spell(members)) if shape else ())
    except TwiceError as error:
        raise _ambiguous(what, error) from error


def _parse(data: bytes, what: str) -> object:
    try:
        text = data.decode()
        value: object = _DECODER.decode(text)
        if _SURROGATE_ESCAPE.search(text):  # a pair is fine; one alone is no text, and others change it
            canonical_json(value)
    except TwiceError as error:
        raise _ambiguous(what, error) from error
    except (ValueError, RecursionError) as error:
        raise InvalidImageError(f"{what} is not valid JSON: {error}") from error
    return value


def _ambiguous(what: str, error: TwiceError) -> InvalidImageError:
    return InvalidImageError(f"{what} can be read in two ways: {error}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise TwiceError(f"{name[:100]!r} stands twice")
            seen.add(name)
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:40]} is too large")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)


def canonical_json(value: object) -> bytes:
    """Return compact JSON with sorted keys: the same bytes for the same value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()
