"""Typed access to JSON that others wrote: every value is checked for type and size where it is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from enclavize.errors import InvalidImageError
from enclavize.oci.limits import MAX_CONFIG_ITEMS

if TYPE_CHECKING:
    from collections.abc import Mapping

_Sized = TypeVar("_Sized", list[Any], dict[str, Any])


@dataclass(frozen=True)
class Document:
    """A JSON object; ``what`` names it in errors. An absent member and a ``null`` one are the same."""

    members: Mapping[str, Any]
    what: str

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
        found = []
        for number, value in enumerate(self._sized(key, list)):
            if not isinstance(value, dict):
                raise self.wrong(key, "a list of objects")
            found.append(Document(value, f"{self.what}, {key}[{number}]"))
        return tuple(found)

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(self._checked_text(key, value) for value in self._sized(key, list))

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


def parse_document(data: bytes, what: str) -> Document:
    """Parse a JSON object. Raises InvalidImageError."""
    value = _parse(data, what)
    if not isinstance(value, dict):
        raise InvalidImageError(f"{what} is not a JSON object")
    return Document(value, what)


def parse_documents(data: bytes, what: str) -> tuple[Document, ...]:
    """Parse a JSON list of objects. Raises InvalidImageError."""
    return Document({"list": _parse(data, what)}, what).documents("list")


def _parse(data: bytes, what: str) -> object:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidImageError(f"{what} is not valid JSON: {error}") from error
    return value


def canonical_json(value: object) -> bytes:
    """Return compact JSON with sorted keys: the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
