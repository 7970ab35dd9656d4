"""A script as the entrypoint: what Occlum does not read of its first line, a build does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.occlum.test_tee_images import config_of, facts, verify
from support.images import file

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("lines", "started"),
    [
        (("/bin/app",), ["/run0"]),
        (("/bin/app -x",), ["/bin/app", "-x", "/run0"]),
        (("/bin/app\t-a b ",), ["/bin/app", "-a b", "/run0"]),
        (("/run1", "/bin/app"), ["/bin/app", "/run1", "/run0"]),
        (("/run1 -y", "/run2", "/bin/app -x"), ["/bin/app", "-x", "/run2", "/run1", "-y", "/run0"]),
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
