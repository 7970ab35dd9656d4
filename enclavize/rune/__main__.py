"""``enclavize-rune``: the part of rune that creates TEE containers. The front end ``rune`` starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enclavize.errors import EnclavizeError
from enclavize.rune.command_line import parse_command_line
from enclavize.rune.report import report_error

ORDINARY_SWITCH = "--ordinary"
"""The front end gives it first for an ordinary bundle, about which the node's settings may say something."""


def main() -> None:
    """Prepare the bundle and become runc, with the arguments as they came."""
    ordinary = sys.argv[1:2] == [ORDINARY_SWITCH]
    arguments = sys.argv[2:] if ordinary else sys.argv[1:]
    line = parse_command_line(arguments)
    try:
        _become_runc(None if ordinary else Path(line.bundle), arguments)
    except EnclavizeError as error:
        report_error(line, f"{error}; {error.hint}" if error.hint else str(error))
        sys.exit(1)
    except OSError as error:
        report_error(line, f"cannot prepare the bundle: {error}")
        sys.exit(1)


def _become_runc(tee_bundle: Path | None, arguments: list[str]) -> None:
    from enclavize.rune.create import check_ordinary, prepare_bundle
    from enclavize.rune.policy import load_policy
    from enclavize.rune.runc import find_runc
    from enclavize.rune.verdict_store import default_store

    runc = find_runc()
    policy = load_policy()
    if tee_bundle is None:
        check_ordinary(policy.settings)
    else:
        asked = os.environ.get("ENCLAVIZE_SIMULATE") == "1"
        prepare_bundle(tee_bundle, policy, default_store(), simulation_asked=asked)
    os.execv(runc, [runc, *arguments])  # noqa: S606 - runc takes over


if __name__ == "__main__":
    main()
