"""``key=value,key=value`` on the command line, as docker's tools read it: one CSV record (RFC 4180)."""

import csv

from enclavize.errors import UsageError


def parse_fields(text: str, option: str) -> dict[str, str]:
    """Split one CSV record into lower-case keys and values. ``option`` names the option in errors.

    A value with a comma is written ``"dest=a,b"``. Raises UsageError for a part without "=", and for an
    empty key or a key given twice.
    """
    try:
        records = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise UsageError(f"{option} {text!r}: {error}") from error
    fields: dict[str, str] = {}
    for part in records[0] if records else []:
        key, separator, value = part.partition("=")
        key = key.strip().lower()
        if not separator or not key:
            raise UsageError(f"{option} {text!r}: {part!r} is not of the form key=value")
        if key in fields:
            raise UsageError(f"{option} {text!r}: {key!r} is given twice")
        fields[key] = value
    return fields


def parse_switch(text: str, what: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does, which docker's options use."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise UsageError(f"{what}: {text!r} is neither true nor false")


def parse_pair(text: str, option: str) -> tuple[str, str]:
    """Split ``KEY=VALUE``; the value may be empty, the key may not."""
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise UsageError(f"{option} {text!r} is not of the form KEY=VALUE")
    return key.strip(), value
