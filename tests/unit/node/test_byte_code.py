"""What Python is compiled to in enclavize's own image (``make image``)."""

from __future__ import annotations

import importlib.util
import marshal
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.programs import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "def answer(name):\n    return 'answer' if name in {'a', 'b', 'c'} else None\n"
RUN = "import sys; sys.path.insert(0, sys.argv[1]); import first; print(first.answer('a'))"


@pytest.fixture(scope="module")
def image() -> Any:
    spec = importlib.util.spec_from_file_location("native_image", REPOSITORY / "native" / "image.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _compiled(image: Any, root: Path, time: int) -> dict[str, bytes]:
    """Return what a tree with two modules, last changed at `time`, gets: bytes by path."""
    packages = root / image.PREFIX / "lib" / image.VERSION / "site-packages"
    packages.mkdir(parents=True)
    for name in ("first.py", "second.py"):
        (packages / name).write_text(SOURCE)
        os.utime(packages / name, (time, time))
    image.add_byte_code(root)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.pyc")}


def test_byte_code_is_the_same_in_every_build(
    image: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = _compiled(image, tmp_path / "one", 1_000_000_000)
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    assert _compiled(image, tmp_path / "somewhere" / "other", 1_500_000_000) == one
    assert len(one) == 2
    for path, data in one.items():
        source = "/" + path.replace("__pycache__/", "").replace(f".{sys.implementation.cache_tag}.pyc", ".py")
        assert marshal.loads(data[16:]).co_filename == source


def test_python_takes_it_without_reading_the_source(image: Any, tmp_path: Path) -> None:
    _compiled(image, tmp_path, 1_000_000_000)
    packages = tmp_path / image.PREFIX / "lib" / image.VERSION / "site-packages"
    (packages / "first.py").write_text("not Python")
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, packages], capture_output=True, text=True, check=True
    )
    assert done.stdout == "answer\n"
