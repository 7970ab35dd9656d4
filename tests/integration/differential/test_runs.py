"""Odd images, by many writers, converted and run in the LibOS, and run by dockerd and runc as they are.

The program prints what it sees of arguments, environment, ids and files. What it prints must be the same, or
the one or the other refuses the image for a reason that ``runs.toml`` has.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest

from integration.differential import layers, packed, started, writers
from integration.differential.samples import Laboratory
from integration.differential.test_kinds import VERDICTS
from support.command import Command
from support.programs import need, static_musl
from support.readers import Outcome, RefusedError
from support.scale import scaled
from support.stand_in import native_files
from support.strictness import SIMULATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from integration.differential.samples import Kind, Sample
    from support.readers import Dockerd, LayoutRegistry

pytestmark = pytest.mark.integration

EXECUTION = {
    "Entrypoint": ["/bin/hello"],
    "Cmd": ["there"],
    "Env": ["GREETING=hello", "HOME=/root"],
    "WorkingDir": "/srv",
}
REASONS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("runs.toml").read_text())
"""By kind: who does not run it, and part of the reason; ``differs`` is part of each line that differs."""

NO_PROGRAM = ("umoci: insert and config", "umoci: whiteouts", "umoci: an opaque whiteout", "buildah: ")
"""Kinds of the other corpus whose images lose or have no program."""
KINDS = [
    kind
    for kind in (*started.KINDS, *packed.KINDS, *layers.KINDS, *writers.KINDS)
    if not kind.name.startswith(NO_PROGRAM)
]
LEAST = 14

OURS, DOCKERD = "enclavize", "dockerd"
ENGINES_OWN = re.compile(r"file \d+ \d+:\d+ /(etc)?")
"""Where engines make something: the root's and /etc's metadata are theirs, if no layer has them."""
OWN_WAYS = (
    (
        re.compile(r"^file 040600 0:0 "),
        "file 040755 0:0 ",
    ),  # docker 20.10, folders without a header
    (re.compile(r"^file 120\d+ "), "file 120777 "),  # symbolic links have no permissions
    (re.compile(r"( links (?!1 )\d+) time -?\d+"), r"\1"),  # which of the names of a file tells its time
    (re.compile(r" time (-\d+|0|\d{11,})"), " time"),  # what file systems do not keep
)


def sample() -> Sequence[Kind]:
    """Return all kinds, or some of them by chance where the scale is smaller."""
    count = min(scaled(len(KINDS), least=LEAST), len(KINDS))
    return SystemRandom().sample(KINDS, count) if count < len(KINDS) else KINDS


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = Path(__file__).with_name("observer.c")
    return static_musl(source, tmp_path_factory.mktemp("program") / "observer").read_bytes()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    base = tmp_path_factory.mktemp("command")
    native = native_files(base / "native")
    if not (native / "libos.so").stat().st_size > 1 << 16:
        pytest.skip("the LibOS is not built: make native")
    return Command(base=base, native=native)


@pytest.fixture
def laboratory(
    tmp_path: Path,
    dockerd: Dockerd,
    registry: LayoutRegistry,
    go_archives: Callable[[], list[bytes]],
    program: bytes,
) -> Laboratory:
    need("skopeo", "umoci", "bsdtar", "git", "xz", "bzip2", "zstd", "perl", "busybox")
    return Laboratory(
        folder=tmp_path, dockerd=dockerd, registry=registry, go_archives=go_archives, program=program,
        execution=EXECUTION,
    )  # fmt: skip


@pytest.mark.parametrize("kind", sample(), ids=lambda kind: kind.name.replace(" ", "-"))
def test_what_runs_prints_the_same(laboratory: Laboratory, command: Command, kind: Kind) -> None:
    made = kind.make(laboratory)
    ours, theirs = _converted(command, made, laboratory.folder), _by_dockerd(made, laboratory)
    expected = REASONS.get(kind.name, VERDICTS.get(kind.name, {}))
    _check_reason(ours, _reason(expected, OURS))
    _check_reason(theirs, _reason(expected, DOCKERD))
    if isinstance(ours, Outcome) and isinstance(theirs, Outcome):
        differing = sorted(settled(ours.output) ^ settled(theirs.output))
        told = expected.get("differs", "")
        assert ours.status == theirs.status
        assert bool(differing) == bool(told), "\n".join(differing)
        assert all(told in line for line in differing), "\n".join(differing)


def _converted(command: Command, made: Sample, folder: Path) -> Outcome | RefusedError:
    tee = folder / "tee"
    output = ("-t", "x:tee", "-o", f"type=oci,dest={tee},tar=false", "--progress", "none")
    built = command.finish("build", made.location, *output)
    assert "Traceback" not in built.stderr
    if built.returncode != 0:
        return RefusedError(built.stderr)
    done = Command(base=command.base, native=command.native, separate=True).finish(
        "run", SIMULATE, f"oci:{tee}"
    )
    if done.returncode in (125, 126, 127):
        return RefusedError(done.stderr)
    return Outcome(status=done.returncode, output=done.stdout)


def _by_dockerd(made: Sample, laboratory: Laboratory) -> Outcome | RefusedError:
    try:
        return made.run_by_dockerd(laboratory)
    except RefusedError as error:
        return error


def _reason(expected: Mapping[str, str], who: str) -> str:
    """Return why a program does not run a kind; "" if it does."""
    ways = (text for name, text in expected.items() if name.startswith(f"{who} ") and "differs" not in name)
    return expected.get(who, "") or next(ways, "")


def _check_reason(result: Outcome | RefusedError, reason: str) -> None:
    refusal = str(result) if isinstance(result, RefusedError) else ""
    assert bool(refusal) == bool(reason), refusal or f"it is expected to say: {reason}"
    assert reason in refusal


def settled(output: str) -> set[str]:
    """Leave out what engines make, and what each does in its own way (see ``readings.py``)."""
    lines = {line for line in output.splitlines() if not ENGINES_OWN.fullmatch(line)}
    for pattern, plain in OWN_WAYS:
        lines = {pattern.sub(plain, line) for line in lines}
    return lines


def test_the_corpus_is_large_and_half_of_it_by_others() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) == len(KINDS) >= 60
    assert REASONS.keys() <= names
    assert sum(kind.writer not in ("Python", "enclavize") for kind in KINDS) >= len(KINDS) / 2
    refused = [
        kind for kind in KINDS if OURS in {**VERDICTS.get(kind.name, {}), **REASONS.get(kind.name, {})}
    ]
    assert len(refused) < len(KINDS) / 3
