"""Enclave.config.xml.

One root, ``EnclaveConfiguration``, with flat elements; no attributes, no text of its own. Numbers are those
of ``strtoull`` with base 0: decimal, 0x..., and **octal** after a leading zero. An element given twice,
unknown or empty is an error, as in ``sgx_sign``.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING
from xml.parsers import expat

from enclavize.errors import UsageError
from enclavize.sgx.enclave_file.config import EnclaveConfig

if TYPE_CHECKING:
    from pathlib import Path

_ROOT = "EnclaveConfiguration"
_MAX_SIZE = 1 << 20
_NUMBER = re.compile(r"\s*\+?(?:(0[xX][0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))", re.ASCII)
_FIELDS = {element.metadata["element"]: element.name for element in fields(EnclaveConfig)}


def load_config(path: Path) -> EnclaveConfig:
    """Reads a configuration file. Raises ``UsageError``."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the enclave configuration {path}: {error.strerror}") from error
    if len(data) > _MAX_SIZE:
        raise UsageError(f"the enclave configuration {path} is larger than {_MAX_SIZE} bytes")
    try:
        return parse_config(data)
    except UsageError as error:
        raise UsageError(f"the enclave configuration {path}: {error}", hint=error.hint) from error


def parse_config(data: bytes) -> EnclaveConfig:
    """Parses the XML text. Raises ``UsageError``."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two: unusable encodings
        raise UsageError(f"not well-formed XML: {error}") from error
    return EnclaveConfig(**reader.values)


class _Reader:
    """The handlers of one document; ``values`` are the arguments of EnclaveConfig."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self._open: list[str] = []
        self._text = ""

    def doctype(self, *_: object) -> None:
        raise UsageError("a document type declaration is not allowed")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._open and name != _ROOT:
            raise UsageError(f"the root element is {name}, not {_ROOT}")
        if len(self._open) > 1:
            raise UsageError(f"the element {self._open[-1]} must hold a number only")
        if attributes and self._open:
            raise UsageError(f"the element {name} must not have attributes")
        self._open.append(name)
        self._text = ""

    def text(self, text: str) -> None:
        if len(self._open) == 1 and text.strip():
            raise UsageError(f"text between the elements of {_ROOT}")
        self._text += text

    def end(self, name: str) -> None:
        self._open.pop()
        if not self._open:
            return
        if (field := _FIELDS.get(name)) is None:
            raise UsageError(f"the element {name} is unknown")
        if field in self.values:
            raise UsageError(f"the element {name} stands twice")
        if not self._text.strip():
            raise UsageError(f"the element {name} has no value")
        self.values[field] = _number(name, self._text)


def _number(name: str, text: str) -> int:
    match = _NUMBER.fullmatch(text)
    value = 2**64
    if match:
        hexadecimal, octal, decimal = match.groups()
        digits = hexadecimal or octal or decimal
        if len(digits) <= 24:  # enough for 64 bits in octal
            value = int(digits, 16 if hexadecimal else 8 if octal else 10)
    if value >= 2**64:
        raise UsageError(f"the element {name} has no valid number: {text[:40]!r}")
    return value
