"""Options whose value may be left out: ``--allow-exec`` alone means any command."""

from __future__ import annotations

from enclavize.errors import UsageError
from enclavize.tee.policy import ANY_COMMAND

_OPTION = "--allow-exec"


def complete_optional_values(arguments: list[str]) -> list[str]:
    """Write ``--allow-exec`` out in full, for a parser that wants a value with every option.

    The next word is its value unless it is an option or could be the image: ``--allow-exec 'ls -l'``,
    ``--allow-exec /bin/sh``. ``--allow-exec=ls`` is never in doubt.
    """
    if _OPTION not in arguments or "build" not in arguments:
        return arguments
    end = arguments.index("--") if "--" in arguments else len(arguments)
    completed: list[str] = []
    words = iter(range(len(arguments)))
    for index in words:
        word = arguments[index]
        if word != _OPTION or index >= end:
            completed.append(word)
            continue
        following = arguments[index + 1] if index + 1 < end else None
        if following is None or following.startswith("-") or _could_be_image(following):
            completed.append(f"{_OPTION}={ANY_COMMAND}")
        else:
            completed.append(f"{_OPTION}={following}")
            next(words)
    return completed


def _could_be_image(word: str) -> bool:
    from enclavize.oci.location import parse_location

    try:
        parse_location(word)
    except UsageError:
        return False
    return True
