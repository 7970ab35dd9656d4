"""rune as engines are told of it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from enclavize.errors import EnclavizeError

NAME = "rune"


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """``options`` stand before the command of every call, such as ``--simulate``."""

    path: Path
    options: tuple[str, ...] = ()


def find_rune() -> Path:
    """Return the installed front end: beside this command, else in PATH. Raises EnclavizeError."""
    for place in (str(Path(sys.argv[0]).resolve().parent), str(Path(sys.executable).parent), None):
        if found := shutil.which(NAME, path=place):
            return Path(found).resolve()
    raise EnclavizeError("rune is not installed", hint="say where it is: --runtime-path PATH")
