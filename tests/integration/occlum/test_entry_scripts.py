"""A script as the entrypoint: what Occlum does not read of its first line, a build does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import config_of, facts, verify
from support.images import file
from support.stand_in_toolchain import stand_in_occlum

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration


SHORT = f"{'/' * 54}bin/app"
LONG = f"/{SHORT}"
"""The first line that does not end within 64 bytes, of which Occlum has read a script."""


@pytest.mark.parametrize(
    ("lines", "started"),
    [
        (("/bin/app",), ["/run0"]),
        (("/bin/app -x",), ["/bin/app", "-x", "/run0"]),
        (("/bin/app\t-a b ",), ["/bin/app", "-a b", "/run0"]),
        (("/run1", "/bin/app"), ["/bin/app", "/run1", "/run0"]),
        (("/run1 -y", "/run2", "/bin/app -x"), ["/bin/app", "-x", "/run2", "/run1", "-y", "/run0"]),
        ((SHORT,), ["/run0"]),
        ((LONG,), [LONG, "/run0"]),
    ],
)
def test_a_script_that_occlum_would_not_read_is_given_to_its_interpreter(
    converter: Converter, make: Callable[..., str], lines: tuple[str, ...], started: list[str]
) -> None:
    scripts = [file(f"run{number}", f"#!{line}\n", 0o755) for number, line in enumerate(lines)]
    for form in ("Entrypoint", "Cmd"):
        words = {"Entrypoint": None, "Cmd": None} | {form: ["/run0", "--serve"]}
        name = converter.build(make(scripts, **words), form)
        config = config_of(name)["config"]
        assert (config["Entrypoint"] or []) + (config.get("Cmd") or []) == [*started, "--serve"]
        assert facts(converter, name)["measured"]["configuration"]["entry_points"] == started[:1]
        verify(converter, name, "--allow-integrity-only")


@pytest.mark.parametrize(
    "case", [("0.26.2", 63, "/bin/app"), ("0.26.2", 64, "/run0"), ("0.26.3", 12, "/run0")], ids=str
)
def test_a_short_script_is_not_for_releases_that_end_with_it(
    converter: Converter, make: Callable[..., str], tmp_path: Path, case: tuple[str, int, str]
) -> None:
    version, size, started = case
    toolchain = stand_in_occlum(tmp_path / "occlum", version)
    script = file("run0", "#!/bin/app\n".ljust(size, "#"), 0o755)
    name = converter.build(make([script], Entrypoint=["/run0"], Cmd=None), "tee", "--toolchain", toolchain)
    assert config_of(name)["config"]["Entrypoint"][0] == started
