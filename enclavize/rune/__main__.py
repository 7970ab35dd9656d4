"""``enclavize-rune``: the part of rune that decides. The front end ``rune`` starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from enclavize.errors import EnclavizeError, UsageError
from enclavize.rune.command_line import parse_command_line
from enclavize.rune.report import report_error

PLAN_SWITCH = "--plan"
"""The front end gives it first for a TEE bundle: the plan is written to standard output.

``--plan=TREE``: for an ordinary image that the node has converted to the ``.enclave`` in this folder.
"""

ORDINARY_SWITCH = "--ordinary"
"""Likewise for an ordinary bundle, about which the node's settings may say something: ``{"ordinary": WORD}``,
``run`` or ``convert``.
"""


def main() -> None:
    """Decide about a bundle. The arguments behind the switch are those of runc, as they came."""
    switch, arguments = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    line = parse_command_line(arguments)
    try:
        name, equals, tree = switch.partition("=")
        if name == PLAN_SWITCH:
            _write_plan(Path(line.bundle), Path(tree) if equals else None)
        elif switch == ORDINARY_SWITCH:
            _judge_ordinary()
        else:
            raise UsageError("enclavize-rune is started by rune", hint="run rune in its place")
    except EnclavizeError as error:
        report_error(line, f"{error}; {error.hint}" if error.hint else str(error))
        sys.exit(1)
    except OSError as error:
        report_error(line, f"cannot prepare the bundle: {error}")
        sys.exit(1)


def _write_plan(bundle: Path, tree: Path | None) -> None:
    from enclavize.rune.config_file import read_config
    from enclavize.rune.create import make_plan
    from enclavize.rune.mode import SIMULATE_VARIABLE
    from enclavize.rune.policy import load_policy
    from enclavize.rune.verdict_store import default_store

    asked = os.environ.get(SIMULATE_VARIABLE) == "1"
    plan = make_plan(
        read_config(bundle), bundle, load_policy(), default_store(),
        simulation_asked=asked, program=sys.argv[0], tree=tree,
    )  # fmt: skip
    sys.stdout.buffer.write(plan)
    sys.stdout.flush()


def _judge_ordinary() -> None:
    import json

    from enclavize.rune.create import check_ordinary
    from enclavize.rune.policy import load_policy

    settings = load_policy().settings
    check_ordinary(settings)
    sys.stdout.write(json.dumps({"ordinary": settings.ordinary}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
