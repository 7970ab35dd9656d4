"""``config.json`` of a bundle, as an engine has written it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from enclavize.errors import InvalidImageError
from enclavize.oci.document import parse_document
from enclavize.rune.config_shape import CONFIG_SHAPE

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = "config.json"
_LIMIT = 16 << 20


def read_config(bundle: Path) -> dict[str, Any]:
    """Read the configuration of a bundle. Raises InvalidImageError."""
    path = bundle / CONFIG
    try:
        with path.open("rb") as file:
            text = file.read(_LIMIT + 1)
    except OSError as error:
        raise InvalidImageError(f"cannot read {path}: {error.strerror}") from error
    if len(text) > _LIMIT:
        raise InvalidImageError(f"{path} is larger than {_LIMIT} bytes")
    config = parse_document(text, str(path), CONFIG_SHAPE)
    if config.misspelled:  # runc finds it, runtimes in other languages and hooks do not
        raise InvalidImageError(f"{path} has {config.misspelled[0]!r}, which the format spells otherwise")
    return dict(config.members)
