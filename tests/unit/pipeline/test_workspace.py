"""The folder of a build goes with the build, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.pipeline.workspace import workspace


def folders(cache: BlobCache) -> list[Path]:
    return [path for path in (cache.root / "work").iterdir() if path.is_dir()]


def test_a_folder_is_removed_after_success_and_failure(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    with workspace(cache) as folder:
        (folder / "file").write_text("x")
        with workspace(cache) as other:
            assert {folder, other} == set(folders(cache))
    with pytest.raises(ValueError, match="stop"), workspace(cache):
        raise ValueError("stop")
    assert folders(cache) == []


def test_the_next_build_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from enclavize.oci.cache import BlobCache
from enclavize.pipeline.workspace import workspace
with workspace(BlobCache(Path(sys.argv[1]))) as folder:
    (folder / "file").write_text("x")
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        cache = BlobCache(tmp_path)
        with workspace(cache) as mine:
            assert len(folders(cache)) == 2, "a living build keeps its folder"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with workspace(cache) as mine:
        assert folders(cache) == [mine]
