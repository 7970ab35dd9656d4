"""The size to which builds and runs keep the cache."""

import os

from enclavize.cli.grammar.size import parse_size
from enclavize.errors import UsageError
from enclavize.oci.pruning import DEFAULT_MAX_SIZE

VARIABLE = "ENCLAVIZE_CACHE_MAX_SIZE"


def cache_bound() -> int:
    """Return bytes. Raises UsageError."""
    text = os.environ.get(VARIABLE)
    if not text:
        return DEFAULT_MAX_SIZE
    try:
        return parse_size(text)
    except UsageError as error:
        raise UsageError(f"{VARIABLE}: {error}", hint=error.hint) from error
