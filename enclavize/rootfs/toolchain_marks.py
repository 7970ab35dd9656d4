"""Marks of toolchains in ELF files: what Go's linker and Rust's compiler write there.

Source: Go's src/debug/buildinfo/buildinfo.go.
"""

from __future__ import annotations

import re

_GO_MAGIC = b"\xff Go buildinf:"
_GO_ALIGNMENT = 16
_GO_HEADER_SIZE = 32
_GO_INLINE = 2
_GO_VERSION = re.compile(rb"(go\d+(?:\.\d+){0,2}|devel)")
_RUST_MARK = b"rustc version "
_RUST_VERSION = re.compile(rb"\d+\.\d+\.\d+")


class ToolchainMarks:
    """What was found in one file."""

    def __init__(self) -> None:
        self._go = self._rust = ""

    @property
    def toolchain(self) -> str:
        """``go1.22.1``, ``rustc 1.80.0`` or nothing. Go's mark has precedence: the other is a mere string."""
        return self._go or self._rust

    def look(self, data: bytes, first: int, last: int, base: int) -> None:
        """Look for marks in a range of ``data``, which stands at ``base`` of the file. Marks are no code."""
        if not self._go:
            self._look_for_go(data, first, last, base)
        if not self._rust and (at := data.find(_RUST_MARK, first, last)) >= 0:
            version = _RUST_VERSION.match(data, at + len(_RUST_MARK))
            self._rust = f"rustc {version[0].decode()}" if version else ""

    def _look_for_go(self, data: bytes, first: int, last: int, base: int) -> None:
        at = data.find(_GO_MAGIC, first, last)
        if at < 0 or (base + at) % _GO_ALIGNMENT:
            return
        flags = data[at + 15 : at + 16]
        if flags and flags[0] & _GO_INLINE:
            # One byte is the length of the string, which is short.
            version = _GO_VERSION.match(data, at + _GO_HEADER_SIZE + 1)
            self._go = version[0].decode() if version else ""
        elif flags:
            self._go = "go"
