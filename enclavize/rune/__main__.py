"""``enclavize-rune``: the part of rune that creates TEE containers. The front end ``rune`` starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enclavize.errors import EnclavizeError
from enclavize.rune.command_line import parse_command_line
from enclavize.rune.report import report_error


def main() -> None:
    """Prepare the bundle and become runc, with the arguments as they came."""
    line = parse_command_line(sys.argv[1:])
    try:
        _become_runc(Path(line.bundle))
    except EnclavizeError as error:
        report_error(line, f"{error}; {error.hint}" if error.hint else str(error))
        sys.exit(1)
    except OSError as error:
        report_error(line, f"cannot prepare the bundle: {error}")
        sys.exit(1)


def _become_runc(bundle: Path) -> None:
    from enclavize.rune.create import prepare_bundle
    from enclavize.rune.policy import load_policy
    from enclavize.rune.runc import find_runc
    from enclavize.rune.verdict_store import default_store

    runc = find_runc()
    asked = os.environ.get("ENCLAVIZE_SIMULATE") == "1"
    prepare_bundle(bundle, load_policy(), default_store(), simulation_asked=asked)
    os.execv(runc, [runc, *sys.argv[1:]])  # noqa: S606 - runc takes over


if __name__ == "__main__":
    main()
