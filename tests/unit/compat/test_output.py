"""Reports have forms for people and for programs, and one LibOS is the best."""

import json
import re
from dataclasses import replace

from enclavize.compat import output
from enclavize.compat.choice import best, reason
from enclavize.compat.report import Finding, Report, Severity
from enclavize.compat.sizes import Advice

ADVICE = Advice(memory=1 << 30, threads=64, kernel_heap=0, descriptors=0, reasons=("as usual",))
ERROR = Finding(code="OCC008", severity=Severity.ERROR, path="bin/a b", message="100% static", remedy="none")
WARNING = Finding(code="OCC019", severity=Severity.WARNING, path="bin/x", message="imports fork")
NOTE = Finding(code="OCC030", severity=Severity.NOTE, path="", message="is go")


def report(libos: str, version: str, *findings: Finding) -> Report:
    return Report(
        image="image", libos=libos, libos_version=version, title=f"{libos} {version}", findings=findings,
        advice=ADVICE,
    )  # fmt: skip


FAILING = report("occlum", "0.31.0", ERROR)
DOUBTFUL = report("builtin", "0.1.0", WARNING, NOTE)
RUNNING = report("gramine", "1.9")
ALL = (DOUBTFUL, RUNNING, FAILING)


def test_the_best_runs_with_the_fewest_warnings_and_is_the_newest() -> None:
    assert best(ALL) is RUNNING
    assert "without a warning" in reason(RUNNING, ALL)
    assert best((DOUBTFUL, FAILING)) is DOUBTFUL
    assert "fewest warnings (1)" in reason(DOUBTFUL, (DOUBTFUL, FAILING))
    assert best((FAILING,)) is None
    older = replace(RUNNING, libos_version="1.8")
    newer = replace(RUNNING, libos_version="1.9.1")
    assert best((older, RUNNING)) is RUNNING
    assert best((older, newer, RUNNING)) is newer
    assert best((RUNNING, report("builtin", "0.1.0"))) == report("builtin", "0.1.0")


def test_one_report_is_a_list_with_the_verdict_last() -> None:
    text = output.to_text((FAILING,))
    assert text.startswith("error    OCC008  100% static\n")
    assert "memory 1024M, threads 64" in text
    assert text.splitlines()[-1] == "occlum 0.31.0: does not run: image"


def test_many_reports_are_a_table_with_the_choice_last() -> None:
    lines = output.to_table(ALL).splitlines()
    assert len(lines) == 5
    assert lines[1].split() == ["builtin", "0.1.0", "runs,", "with", "warnings", "0", "1", "OCC019"]
    assert lines[-1].startswith("best: gramine 1.9")
    assert "none runs the image" in output.to_table((FAILING, FAILING))
    assert output.to_table((FAILING, FAILING)).count("100% static") == 1


def test_json_has_all_reports_and_the_choice() -> None:
    document = json.loads(output.to_json(ALL))
    assert document["best"] == {"name": "gramine", "version": "1.9"}
    assert [item["runs"] for item in document["reports"]] == [True, True, False]
    assert document["reports"][2]["findings"][0]["code"] == "OCC008"


def test_sarif_has_rules_levels_and_places() -> None:
    document = json.loads(output.to_sarif(ALL))
    assert document["version"] == "2.1.0"
    run = document["runs"][2]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["OCC008"]
    (result,) = run["results"]
    assert result["level"] == "error"
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "bin/a%20b"}
    note = document["runs"][0]["results"][1]
    assert note["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "."}


def test_sarif_has_what_the_standard_requires() -> None:
    """OASIS SARIF 2.1.0, sections 3.13, 3.14, 3.18, 3.19, 3.27; the schema of OASIS accepts it too."""
    odd = replace(ERROR, path="usr/\udcff%#?:x")
    document = json.loads(output.to_sarif((report("occlum", "0.31.0", odd, NOTE), *ALL)))
    assert document.keys() == {"$schema", "version", "runs"}
    identities = [run["automationDetails"]["id"] for run in document["runs"]]
    assert identities == ["enclavize/occlum/0.31.0", *identities[1:]]
    for run in document["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"] == "enclavize"
        assert driver["version"]
        rules = [rule["id"] for rule in driver["rules"]]
        assert len(set(rules)) == len(rules)
        for result in run["results"]:
            assert result["message"]["text"]
            assert result["level"] in ("error", "warning", "note")
            assert result["ruleId"] in rules
            for location in result["locations"]:
                uri = location["physicalLocation"]["artifactLocation"]["uri"]
                assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", uri)
                assert not uri.startswith("/")


def test_github_gets_workflow_commands_that_no_message_can_break() -> None:
    lines = output.to_github((FAILING, replace(DOUBTFUL, title="a,b:c"))).splitlines()
    assert lines == [
        "::error title=OCC008 (occlum 0.31.0)::100%25 static; none",
        "::warning title=OCC019 (a%2Cb%3Ac)::imports fork",
        "::notice title=OCC030 (a%2Cb%3Ac)::is go",
    ]
