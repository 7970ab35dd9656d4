"""Findings in a report: silenced, forced, explained."""

import re
from dataclasses import replace

import pytest

from enclavize.compat.codes import CODES, explain, list_codes
from enclavize.compat.report import Silence
from enclavize.errors import IncompatibleImageError, UsageError
from support.checked_image import APP, LOADER, MUSL, STATIC, elf, folder, leaving_out, program, report
from support.programs import REPOSITORY


def test_findings_can_be_silenced_by_code_and_path() -> None:
    found = report(replace(APP, elf=elf(interpreter=MUSL, imports=("fanotify_init",))), LOADER)
    assert found.without([Silence(code="OCC022")]).findings == ()
    assert found.without([Silence(code="OCC022", paths="/bin/*")]).silenced == 1
    assert found.without([Silence(code="OCC022", paths="/usr/*")]).findings == found.findings
    assert found.without([Silence(code="OCC020")]).findings == found.findings


def test_a_finding_about_many_files_is_silenced_if_all_match() -> None:
    files = (folder("var"), program("var/a"), folder("boot"), program("boot/b"))
    found = report(STATIC, *files, profile=leaving_out("boot", "var"))
    assert (found.findings[0].path, found.findings[0].others) == ("boot/b", ("var/a",))
    assert found.without([Silence(code="OCC033", paths="/boot/*")]).findings == found.findings
    assert found.without([Silence(code="OCC033", paths="/*/*")]).findings == ()


def test_forced_codes_do_not_stop_a_build() -> None:
    found = report(STATIC, libos="occlum")
    found.raise_errors(["OCC008"])
    with pytest.raises(IncompatibleImageError):
        found.raise_errors(["OCC009"])


PACKAGE = REPOSITORY / "enclavize"
RULES = (*sorted((PACKAGE / "compat").glob("*rules.py")), PACKAGE / "pipeline" / "check.py")


def test_every_code_that_a_rule_gives_is_explained() -> None:
    source = "".join(path.read_text() for path in RULES)
    assert set(re.findall(r'"(OCC\d{3})"', source)) == set(CODES)
    assert "PIE" in explain("occ009")
    assert max(len(line) for code in CODES for line in explain(code).splitlines()) <= 80
    with pytest.raises(UsageError, match="no code"):
        explain("OCC999")
    assert [line.split("  ")[0] for line in list_codes().splitlines()] == sorted(CODES)
