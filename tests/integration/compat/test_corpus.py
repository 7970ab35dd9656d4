"""Each image of the corpus has the verdicts that it should have, and the builtin LibOS proves its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from enclavize.compat.profile import builtin_profiles, profile_for
from integration.compat.broken_table import BROKEN
from integration.compat.corpus_table import IMAGES, REAL
from support.corpus import PROFILES, RUNS, Laboratory, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from support.corpus import Case

pytestmark = pytest.mark.integration

BUILTIN = PROFILES[-1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all images, so that layers which they share are indexed once."""
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture
def laboratory(place: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """What makes images there, with a cache and keys of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    return Laboratory(base=place)


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case.name)
def test_the_verdicts_are_those_of_the_table_and_the_builtin_libos_proves_its_own(
    laboratory: Laboratory, case: Case
) -> None:
    source = laboratory.image(case)
    reports = laboratory.reports(source)
    found = {profile: verdict(reports[profile]) for profile in PROFILES}
    assert found == case.columns, [finding.message for finding in reports[BUILTIN].errors]
    done = laboratory.run(case, source, reports[BUILTIN])
    printed = case.prints.encode() in done.stdout
    if case.columns[BUILTIN] == RUNS:
        assert done.returncode == 0, done.stderr
        assert printed
    else:
        assert done.returncode != 0
        assert not (case.prints and printed)


def test_the_corpus_is_large_and_covers_all_profiles() -> None:
    runnable = [case for case in IMAGES if case.columns[BUILTIN] == RUNS]
    assert len(IMAGES) >= 40
    assert len(runnable) >= 30
    assert len(IMAGES) - len(runnable) >= 10
    assert len({case.name for case in IMAGES}) == len(IMAGES)
    assert {f"{profile.libos}@{profile.version}" for profile in builtin_profiles()} == set(PROFILES)


@pytest.mark.parametrize("libos", ["builtin", "gramine", "occlum"])
def test_no_libos_fails_for_more_than_a_third_of_the_real_images(libos: str) -> None:
    newest = profile_for(libos)
    column = f"{newest.libos}@{newest.version}"
    failing = [case.name for case in REAL if case.columns[column] != RUNS]
    assert 3 * len(failing) <= len(REAL), failing


def test_broken_images_run_nowhere() -> None:
    assert all(RUNS not in case.columns.values() for case in BROKEN)
    assert all(RUNS in case.columns.values() for case in REAL)


def named(name: str) -> Case:
    """Return a case of the table."""
    (case,) = (case for case in IMAGES if case.name == name)
    return case


def test_a_debian_image_has_another_answer_from_each_age_of_occlum(laboratory: Laboratory) -> None:
    reports = laboratory.reports(laboratory.image(named("glibc-2.30")))
    (no_glibc,) = reports["occlum@0.18.1"].errors
    assert no_glibc.code == "OCC006"
    assert "glibc program" in no_glibc.message
    assert "Alpine" in no_glibc.remedy
    (old_glibc,) = reports["occlum@0.21.0"].errors
    assert old_glibc.code == "OCC016"
    assert "GLIBC_2.30" in old_glibc.message
    assert "2.27" in old_glibc.message
    assert not reports["occlum@0.31.0"].errors


def test_an_alpine_image_passes_everywhere(laboratory: Laboratory) -> None:
    reports = laboratory.reports(laboratory.image(named("alpine-ls")))
    assert len(reports) == len(PROFILES)
    assert not any(report.errors for report in reports.values())


def test_a_static_go_program_is_sent_from_occlum_to_its_own_toolchain(laboratory: Laboratory) -> None:
    reports = laboratory.reports(laboratory.image(named("go-static")))
    for profile, report in reports.items():
        if profile.startswith("occlum"):
            (error,) = report.errors
            assert error.code == "OCC008"
            assert "Go" in error.message
            assert "occlum-go" in error.remedy
        else:
            assert not report.errors
