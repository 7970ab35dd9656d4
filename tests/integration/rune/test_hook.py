"""The hook that looks at the mounts of a TEE container: what it takes for the enclave's folder."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.mounts import Origin, origin_of
from support.programs import need, need_root

if TYPE_CHECKING:
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """Return a root file system whose path has to be escaped in mountinfo."""
    root = tmp_path / "a b\\c"
    (root / ".enclave" / "bin").mkdir(parents=True)
    (root / ".enclave" / "bin" / "runelet").touch()
    return root


def _hook(
    installation: RuneInstallation, rootfs: Path, origin: Origin, runelet: Path, script: str = ""
) -> bool:
    return _run(installation, rootfs, origin, script, runelet)


def _run(
    installation: RuneInstallation, rootfs: Path, origin: Origin, script: str, *arguments: str | Path
) -> bool:
    command: list[str | Path] = [
        installation.runelet.with_name("rune-hook"),
        rootfs,
        origin.device,
        origin.path,
        *arguments,
    ]
    wrapped: list[str | Path] = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'{script or ":"} && exec "$@"',
        "sh",
        *command,
    ]
    done = subprocess.run(wrapped, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or done.stderr.startswith("rune: error: ")
    return done.returncode == 0


def test_a_folder_is_known_however_it_is_mounted(installation: RuneInstallation, rootfs: Path) -> None:
    need("unshare")
    need_root()
    folder = rootfs / ".enclave"
    runelet = folder / "bin" / "runelet"
    origin = origin_of(folder)
    assert origin.path.endswith(r"/a\040b\134c/.enclave")
    bind = f"mount --bind '{folder}' '{folder}'"
    for script in (
        bind,
        f"mount --bind '{rootfs}' '{rootfs}' && {bind}",
        f"mount --bind {rootfs.parent} {rootfs.parent} && {bind}",
        f"{bind} && {bind}",
    ):
        assert _hook(installation, rootfs, origin, runelet, script)
    # Without a mount of rune's own nothing is decided.
    assert not _hook(installation, rootfs, origin, runelet)
    assert not _hook(installation, rootfs, origin, runelet, f"mount --bind '{rootfs}' '{rootfs}'")


def test_another_folder_is_refused(installation: RuneInstallation, rootfs: Path, tmp_path: Path) -> None:
    need("unshare")
    need_root()
    folder = rootfs / ".enclave"
    runelet = folder / "bin" / "runelet"
    origin = origin_of(folder)
    other = tmp_path / "other"
    (other / ".enclave" / "bin").mkdir(parents=True)
    os.link(runelet, other / ".enclave" / "bin" / "runelet")
    bind = f"mount --bind '{folder}' '{folder}'"
    for script in (
        f"mount --bind {other / '.enclave'} '{folder}'",
        f"mount --bind {other} '{rootfs}'",
        f"mount -t tmpfs none '{folder}'",
        f"mount --bind {other / '.enclave'} '{folder}' && {bind}",
    ):
        assert not _hook(installation, rootfs, origin, runelet, script)
    assert not _hook(installation, rootfs, origin, other, bind)  # another runelet
    assert not _hook(installation, tmp_path / "absent", origin, runelet)
    for device, path in (("0:0", origin.path), (origin.device, "/")):
        assert not _hook(installation, rootfs, Origin(device=device, path=path), runelet, bind)
    folder.rename(rootfs / "moved")
    folder.symlink_to("moved")
    assert not _hook(installation, rootfs, origin, runelet)


def test_a_pal_is_the_folder_that_was_made(
    installation: RuneInstallation, rootfs: Path, tmp_path: Path
) -> None:
    need("unshare")
    need_root()
    copies, other = tmp_path / "copies", tmp_path / "other"
    for path in (copies, other, rootfs / ".rune"):
        path.mkdir()
    origin = origin_of(rootfs / ".enclave")
    enclave = f"mount --bind '{rootfs}/.enclave' '{rootfs}/.enclave'"

    def accepts(*mounts: str) -> bool:
        script = " && ".join((enclave, *mounts))
        return _run(installation, rootfs, origin, script, "--pal", copies)

    mounted = f"mount --bind '{copies}' '{rootfs}/.rune'"
    assert accepts(mounted)
    assert accepts(mounted, f"mount -o remount,bind,ro '{rootfs}/.rune'")
    assert not accepts()
    assert not accepts(f"mount --bind '{other}' '{rootfs}/.rune'")
    assert not accepts(mounted, f"mount -t tmpfs tmpfs '{rootfs}/.rune'")
    assert not accepts(f"rmdir '{rootfs}/.rune'", f"ln -s '{copies}' '{rootfs}/.rune'")
