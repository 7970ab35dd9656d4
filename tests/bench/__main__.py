"""``make bench``: targets, our figures and the best peer's, measured in one run of a few minutes.

``make bench-long`` adds what takes longer: other systems beside ours, engines, counts on the fake hardware.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from bench.build import build_rows
from bench.check_bench import check_rows
from bench.commands import command_rows
from bench.containers import container_rows
from bench.gramine_bench import gramine_rows
from bench.many import many_rows
from bench.node_bench import node_rows
from bench.rune_bench import rune_rows
from bench.runs import run_rows
from bench.sefs_bench import sefs_rows
from bench.servers import server_rows
from bench.signing import signing_rows
from bench.spawns import spawn_rows
from bench.starts import start_rows
from bench.transitions import transition_rows
from bench.verify_bench import verify_rows
from support.downloads import downloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.harness import Row


GROUPS: dict[str, Callable[[Path], list[Row]]] = {
    "build": build_rows,
    "many": many_rows,
    "check": check_rows,
    "verify": verify_rows,
    "run": run_rows,
    "start": start_rows,
    "spawn": spawn_rows,
    "transitions": transition_rows,
    "commands": command_rows,
    "servers": server_rows,
    "gramine": gramine_rows,
    "rune": rune_rows,
    "containers": container_rows,
    "node": node_rows,
    "sefs": sefs_rows,
    "signing": signing_rows,
}


LONG = frozenset({"servers", "gramine", "containers", "node", "transitions"})


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    parser.add_argument(
        "--only", choices=GROUPS, action="append", help="measure this group alone; may be repeated"
    )
    parser.add_argument("--long", action="store_true", help="measure all groups")
    parser.add_argument(
        "--server", default="", help="of servers and programs, those alone that have this in their name"
    )
    arguments = parser.parse_args()
    groups: dict[str, Callable[[Path], list[Row]]] = {
        **GROUPS,
        "servers": partial(server_rows, wanted=arguments.server),
        "gramine": partial(gramine_rows, wanted=arguments.server),
    }
    missing = [name for name in ("docker-registry", "skopeo", "umoci", "runc") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        sys.exit(f"the benchmark needs root and: {', '.join(missing) or 'nothing else'}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="enclavize-bench-") as scratch:
        base = Path(scratch)
        # An installed package has its byte code; a checkout may have none.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.setdefault("GOCACHE", str(downloads() / "go"))
        os.environ["PYTHONPYCACHEPREFIX"] = str(base / "byte-code")
        chosen = arguments.only or [name for name in groups if arguments.long or name not in LONG]
        took: dict[str, float] = {}
        for name in chosen:
            began = time.monotonic()
            rows += groups[name](base)
            took[name] = time.monotonic() - began
            sys.stderr.write(f"{name}: {took[name]:.0f} s\n")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    table = Table(title="enclavize benchmark")
    for column in ("what", "target", "ours", "peer", "met"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.name, row.target, row.ours, row.peer, {True: "yes", False: "NO", None: "-"}[row.met]
        )
    Console(width=140).print(table)
    print(f"in all {sum(took.values()):.0f} s")


if __name__ == "__main__":
    main()
