"""What a build loads: little if there is nothing to do, and the later stages while layers are read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.images import BuiltImage
    from support.registry import Registry

pytestmark = pytest.mark.integration

NOT_NEEDED = {
    *("enclavize.cli.check", "enclavize.cli.node", "enclavize.cli.verify"),
    *("cryptography", "docker", "elftools", "isal", "jinja2", "pydantic", "rich", "tarfile", "zstandard"),
    *(
        "enclavize.compat.profile",
        "enclavize.compat.report",
        "enclavize.compat.rules",
        "enclavize.libos.gramine.backend",
        "enclavize.libos.occlum.backend",
        "enclavize.libos.toolchain",
    ),
    *("enclavize.pipeline.check", "enclavize.pipeline.choose", "enclavize.pipeline.convert"),
    *("enclavize.rootfs.elf", "enclavize.rootfs.erofs", "enclavize.rootfs.index", "enclavize.rootfs.layer"),
    *("enclavize.rootfs.merge", "enclavize.rootfs.tree", "enclavize.rune"),
    *("enclavize.oci.registry.signatures", "enclavize.signing.image_keys", "enclavize.tee.verify"),
}

SCRIPT = f"""
import sys
from enclavize.__main__ import main
sys.argv = ["enclavize", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted({NOT_NEEDED!r} & set(sys.modules)))
"""


LATE = ("enclavize.", "cryptography.", "elftools.")

TOLD_SCRIPT = """
import sys
from importlib.abc import MetaPathFinder

class Told(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        sys.stderr.write(f"loads {name}\\n")

sys.meta_path.insert(0, Told())
from enclavize.__main__ import main
sys.argv = ["enclavize", *sys.argv[1:]]
main()
"""


def test_a_build_with_nothing_to_do_loads_no_more_than_it_needs(
    command: Command, registry: Registry, image: BuiltImage, push: Callable[..., str], key: Path
) -> None:
    arguments = ["build", push(image, "still/app:1"), "-t", f"{registry.host}/still/app:tee"]
    arguments += ["--key", str(key), "--push", "--progress", "plain"]
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            env={**command.variables(), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True, check=True, cwd=command.base,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert "CACHED" in runs[1].stderr
    assert "index layer" not in runs[1].stderr
    assert runs[1].stdout == "[]\n"
    assert "enclavize.rootfs.index" in runs[0].stdout


def test_what_comes_after_the_layers_is_loaded_while_they_are_read(
    command: Command, registry: Registry, image: BuiltImage, push: Callable[..., str], key: Path
) -> None:
    arguments = ["build", push(image, "loads/app:1"), "-t", f"{registry.host}/loads/app:tee", "--push"]
    arguments += ["--key", str(key), "--progress", "plain"]
    done = subprocess.run(
        [sys.executable, "-c", TOLD_SCRIPT, *arguments],
        env={**command.variables(), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=True, cwd=command.base,
    )  # fmt: skip
    before, merged, after = done.stderr.partition("merge layers")
    assert merged
    assert "loads enclavize.sgx.enclave_file.build\n" in before
    late = [line for line in after.splitlines() if line.startswith(tuple(f"loads {name}" for name in LATE))]
    assert late == []
