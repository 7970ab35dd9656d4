"""A build tells of the image's volumes whose files nobody keeps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.images import build_image, file, write_layout
from support.programs import busybox

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("opened", "told"),
    [
        ((), ["/data", "/srv/in/"]),
        (("/data",), ["/srv/in/"]),
        (("/srv:ro",), ["/data"]),
        (("/data/", "/srv/in"), []),
        (("/dat", "/data/below"), ["/data", "/srv/in/"]),
    ],
)
def test_volumes_that_no_option_opens_are_told_of(
    command: Command, key: Path, tmp_path: Path, opened: tuple[str, ...], told: list[str]
) -> None:
    program = file("bin/busybox", busybox().read_bytes(), 0o755)
    config = {"Entrypoint": ["/bin/busybox"], "Volumes": {"/data": {}, "/srv/in/": {}}}
    source = write_layout(tmp_path / "source", {"1": build_image([[program]], config=config)})
    options = [word for path in opened for word in ("--volume", path)]
    done = command.run(
        "build", f"oci:{source}", "--key", key, *options, "-o", f"type=oci,dest={tmp_path / 'tee.tar'}"
    )
    assert re.findall(r"WARNING: .* mounted on (\S+), a volume of the image", done.stderr) == told
