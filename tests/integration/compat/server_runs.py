"""What makes images of servers, starts converted ones, and watches what becomes of them."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from support.corpus import RUNS
from support.images import build_image, write_layout
from support.programs import need, need_root
from support.stand_in_toolchain import GRAMINE_VARIABLE
from support.stopping import stop
from support.tee import ENCLAVIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from integration.compat.servers_table import Server
    from support.corpus import Case
    from support.images import Layer

STARTED = 400
"""Seconds within which a server answers on the busiest machine; nothing waits that long for one that does."""


def image_of(case: Server | Case, folder: Path, *more: Callable[[], Layer], name: str = "layout") -> str:
    """Write the image, with further layers; return its name as a source."""
    execution = {"Env": ["PATH=/usr/sbin:/usr/bin:/bin"], "Entrypoint": list(case.run), **case.config}
    image = build_image([make() for make in (*case.layers, *more)], config=execution)
    return f"oci:{write_layout(folder / name, {'1': image})}:1"


def ran(
    environment: Mapping[str, str],
    layout: Path,
    folder: Path,
    *,
    text: str,
    fails: str,
    simulate: str = "--simulate",
) -> tuple[bool, int | None, str]:
    """Start an image; return whether it printed the text, how it ended by itself, and what it printed."""
    output = folder / "output"
    with output.open("wb") as stream:
        command = [*ENCLAVIZE, "run", simulate, f"oci:{layout}"]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        end = time.monotonic() + STARTED
        code = None
        try:
            while time.monotonic() < end and code is None:
                code = process.poll()
                said = output.read_text(errors="replace")
                if text and text in said:
                    return True, code, said
                if fails and fails in said:
                    return False, code, said
                time.sleep(0.2)
            said = output.read_text(errors="replace")
            return (bool(text) and text in said) or (not text and code == 0), code, said
        finally:
            stop(process)


def forced(codes: str) -> list[str]:
    """Return the options by which a build goes on, whatever is wrong."""
    return [word for code in codes.split("+") if code != RUNS for word in ("--force", f"OCC{code}")]


def real_gramine() -> str:
    """Return where the real Gramine is."""
    if GRAMINE_VARIABLE not in os.environ:
        pytest.skip(f"no real Gramine: {GRAMINE_VARIABLE} is not set")
    need("runc")
    need_root()
    return os.environ[GRAMINE_VARIABLE]
