"""What `check` says of servers and interpreters is what happens when they run on a real Gramine."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from enclavize.compat.profile import profile_for
from enclavize.oci.location import parse_location
from enclavize.pipeline.check import check_image
from enclavize.progress import Reporter
from integration.compat.corpus_table import IMAGES
from integration.compat.server_runs import STARTED, forced, image_of, ran, real_gramine
from integration.compat.servers_table import SERVERS, Server
from support.corpus import RUNS, verdict
from support.programs import need, need_root
from support.scale import scaled
from support.strictness import SIMULATE
from support.tee import Converter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.corpus import Case

pytestmark = pytest.mark.integration

GRAMINE, BUILTIN = "gramine@1.9", "builtin"
PART = SERVERS[:: max(1, len(SERVERS) // scaled(160, least=8))]
"""As many as there is time for: packages are downloaded and indexed."""
QUICK = ("dprint-cache", "script-writes", "lua")
ON_BUILTIN = [case for case in SERVERS if case.name in QUICK or scaled(100) >= 100]
"""Run on the builtin LibOS: a few in every test run, all of them in long ones."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def converter(place: Path) -> Converter:
    return Converter.create(place)


@pytest.fixture
def folder(place: Path, converter: Converter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for one image; layers that images share are indexed once."""
    monkeypatch.setenv("XDG_CACHE_HOME", converter.environment["XDG_CACHE_HOME"])
    made = place / "image"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def checked(source: str, libos: str, options: Sequence[str] = ()) -> str:
    opened = [path for option, path in pairwise(options) if option == "--tmpfs"]
    (report,) = check_image(
        parse_location(source), [profile_for(libos)], insecure=False, reporter=Reporter(), writable=opened
    )
    return verdict(report)


@pytest.mark.parametrize("case", PART, ids=lambda case: case.name)
def test_the_verdicts_are_those_of_the_runs(folder: Path, case: Server) -> None:
    source = image_of(case, folder)
    assert (checked(source, GRAMINE, case.options), checked(source, BUILTIN)) == (case.gramine, case.builtin)


@pytest.mark.timeout(3 * STARTED)
@pytest.mark.parametrize("case", [*SERVERS, *IMAGES], ids=lambda case: case.name)
def test_gramine_proves_its_column(
    folder: Path, converter: Converter, monkeypatch: pytest.MonkeyPatch, case: Server | Case
) -> None:
    toolchain = real_gramine()
    source = image_of(case, folder)
    wanted = case.gramine if isinstance(case, Server) else case.columns[GRAMINE]
    options = case.options if isinstance(case, Server) else ()
    layout = folder / "tee"
    built = converter.run(
        "build", source, "--debug", "--libos", "gramine", "--toolchain", toolchain, *options, *forced(wanted),
        "-o", f"type=oci,tar=false,dest={layout}", check=False,
    )  # fmt: skip
    if built.returncode:
        assert wanted != RUNS, built.stderr
        return
    fails = case.fails if isinstance(case, Server) else ""
    printed, code, said = ran(converter.environment, layout, folder, text=case.prints, fails=fails)
    assert printed == (wanted == RUNS), (code, said)


@pytest.mark.timeout(3 * STARTED)
@pytest.mark.parametrize("case", ON_BUILTIN, ids=lambda case: case.name)
def test_builtin_proves_its_column(folder: Path, converter: Converter, case: Server) -> None:
    need("runc")
    need_root()
    layout = folder / "tee"
    converter.run(
        "build", image_of(case, folder), "--debug", "--allow-network", "all", *forced(case.builtin),
        "-o", f"type=oci,tar=false,dest={layout}",
    )  # fmt: skip
    printed, code, said = ran(
        converter.environment, layout, folder, text=case.prints, fails="", simulate=SIMULATE
    )
    assert printed == (case.builtin == RUNS), (code, said)


def test_at_most_a_third_cannot_run() -> None:
    assert len(SERVERS) + len(IMAGES) >= 40
    for verdicts in (
        [case.gramine for case in SERVERS] + [case.columns[GRAMINE] for case in IMAGES],
        [case.builtin for case in SERVERS] + [case.columns["builtin@0.2.0"] for case in IMAGES],
    ):
        assert sum(text != RUNS for text in verdicts) <= len(verdicts) / 3
