"""rune reads runc's command line as runc does."""

from __future__ import annotations

import pytest

from enclavize.rune.command_line import CommandLine, parse_command_line


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        pytest.param(
            "--root R --log L --log-format json create --bundle B --pid-file P ID",
            CommandLine(command="create", bundle="B", log="L", log_format="json"),
            id="containerd",
        ),
        pytest.param(
            "--log=L run -b B ID", CommandLine(command="run", bundle="B", log="L"), id="equals sign"
        ),
        pytest.param(
            "-root R run -bundle=B ID", CommandLine(command="run", bundle="B"), id="single dash long forms"
        ),
        pytest.param(
            "run ID --bundle B", CommandLine(command="run", bundle="B"), id="options behind arguments"
        ),
        pytest.param(
            "--debug --systemd-cgroup run --no-pivot ID",
            CommandLine(command="run"),
            id="switches take no value",
        ),
        pytest.param(
            "run --pid-file --bundle ID", CommandLine(command="run"), id="a value may look like an option"
        ),
        pytest.param(
            "--log L -- run -b B -- ID",
            CommandLine(command="run", bundle="B", log="L"),
            id="double dash first",
        ),
        pytest.param("run -- --bundle B", CommandLine(command="run"), id="double dash ends options"),
        pytest.param("run -b A -b B ID", CommandLine(command="run", bundle="B"), id="the last one counts"),
        pytest.param("", CommandLine(), id="nothing"),
        pytest.param("--root", CommandLine(), id="missing value"),
    ],
)
def test_options(argv: str, expected: CommandLine) -> None:
    assert parse_command_line(argv.split()) == expected
