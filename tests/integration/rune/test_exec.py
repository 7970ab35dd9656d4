"""Which containers rune lets runc exec into: found where runc finds them, and refused in doubt."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import need
from support.rune import read_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

TEE = {"config": {"labels": ["bundle=/x", "org.enclavize.tee=1"]}}
ORDINARY = {"config": {"labels": ["bundle=/x"], "rootfs": "/absent"}}
NOT_IN_THIS_VERSION = "exec into a TEE container is not available in this version of rune"
RUNC_GOT_IT = "config must not be nil"
"""What runc says of these states, which have no more than rune reads."""


@pytest.fixture
def root(tmp_path: Path) -> Callable[..., Path]:
    """Write runc's state of a container ID; return the folder for ``--root``."""

    def write(state: object, folder: str = "runc") -> Path:
        path = tmp_path / folder / "ID"
        path.mkdir(parents=True, exist_ok=True)
        (path / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
        return tmp_path / folder

    return write


@pytest.fixture
def waiting(ordinary: Callable[..., Path], tmp_path: Path, name: str) -> Iterator[Callable[[], str]]:
    """Start an ordinary container with plain runc; return its name. Its state is in the folder ``state``."""
    need("runc")
    runc: list[str | Path] = ["runc", "--root", tmp_path / "state"]

    def start() -> str:
        folder = ordinary("exec sleep 1000")
        nothing = subprocess.DEVNULL
        command = [*runc, "run", "--detach", "--bundle", folder, name]
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=True)
        return name

    yield start
    subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False)


def _exec(installation: RuneInstallation, *options: str | Path, cwd: Path | None = None) -> str:
    done = installation.run(*options, "exec", "ID", "sh", cwd=cwd)
    assert done.returncode == 255
    return done.stderr


@pytest.mark.parametrize(
    "arguments",
    ["exec --process P ID", "exec -e A=B ID sh", "exec --env -x -- ID sh", "-- exec ID sh", "checkpoint ID"],
)
def test_a_container_of_rune_is_known_by_its_annotation(
    root: Callable[..., Path], installation: RuneInstallation, arguments: str
) -> None:
    done = installation.run("--root", root(TEE), *arguments.split())
    assert done.returncode == (1 if "checkpoint" in arguments else 255)
    assert "TEE container" in done.stderr


def test_another_container_is_left_to_runc(root: Callable[..., Path], installation: RuneInstallation) -> None:
    assert RUNC_GOT_IT in _exec(installation, "--root", root(ORDINARY))


@pytest.mark.parametrize(
    "options", ["--root=DIR", "-root DIR", "--root runc", "--root ./runc/.", "--root=DIR --"]
)
def test_the_folder_in_any_form(
    root: Callable[..., Path], installation: RuneInstallation, options: str
) -> None:
    folder = root(TEE)
    words = options.replace("DIR", str(folder)).split()
    assert NOT_IN_THIS_VERSION in _exec(installation, *words, cwd=folder.parent)


@pytest.mark.parametrize("options", [("--root", ""), ("--root=",)])
def test_no_folder_is_the_working_directory(
    root: Callable[..., Path], installation: RuneInstallation, options: tuple[str, ...]
) -> None:
    assert NOT_IN_THIS_VERSION in _exec(installation, *options, cwd=root(TEE))


@pytest.mark.parametrize(
    "state",
    [
        '{"config": {"labels": [',
        '{"config": {"labels": [], "rootfs": 7}}',
        '{"config": {"labels": [], "rootfs": "relative"}}',
        '{"config": {"labels": []}, "config": {}}',
        '{"labels": []}',
        "[]",
        "",
    ],
)
def test_a_state_that_cannot_be_understood_is_refused(
    root: Callable[..., Path], installation: RuneInstallation, state: str
) -> None:
    assert "cannot be told" in _exec(installation, "--root", root(state))


def test_a_state_that_another_user_could_forge_is_refused(
    root: Callable[..., Path], installation: RuneInstallation
) -> None:
    folder = root(ORDINARY)
    for path in (folder / "ID", folder / "ID" / "state.json"):
        path.chmod(0o777)
        assert "cannot be told" in _exec(installation, "--root", folder)
        path.chmod(0o755)
        os.chown(path, 65534, 65534)
        assert "cannot be told" in _exec(installation, "--root", folder)
        os.chown(path, os.geteuid(), os.getegid())
    assert RUNC_GOT_IT in _exec(installation, "--root", folder)


@pytest.mark.parametrize("linked", ["ID", "ID/state.json"])
def test_no_link_is_followed_to_a_state(
    root: Callable[..., Path], installation: RuneInstallation, linked: str
) -> None:
    folder = root(ORDINARY)
    path = folder / linked
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert "cannot be told" in _exec(installation, "--root", folder)


def test_a_state_that_is_kept_elsewhere_is_asked_for(installation: RuneInstallation, tmp_path: Path) -> None:
    """By a runc that has another default, say."""
    runc = tmp_path / "runc"
    for answer, expected in (
        ('{"id": "ID", "rootfs": "/absent", "annotations": {"org.enclavize.tee": "1"}}', NOT_IN_THIS_VERSION),
        ('{"id": "ID", "rootfs": "/absent", "annotations": {"a": "1"}}', "runc exec ID sh"),
        ('{"id": "ID", "rootfs": "/absent"}', "runc exec ID sh"),
        ('{"id": "ID", "rootfs": "/absent", "annotations": {"a": ', "cannot be told"),
        ("nonsense", "cannot be told"),
        ("", "cannot be told"),
    ):
        runc.write_text(
            f"#!/bin/sh\ncase $1 in state) printf '%s' '{answer}'; exit;; esac\necho runc $* >&2; exit 255\n"
        )
        runc.chmod(0o755)
        done = installation.run("exec", "ID", "sh", env={"ENCLAVIZE_RUNC": str(runc)})
        assert done.returncode == 255
        assert expected in done.stderr
    runc.write_text("#!/bin/sh\n[ $1 = exec ] || { echo out of memory >&2; exit 1; }\n")
    done = installation.run("exec", "ID", "sh", env={"ENCLAVIZE_RUNC": str(runc)})
    assert (done.returncode, "cannot be told" in done.stderr) == (255, True)


@pytest.mark.parametrize("user", ["someone", "", "root", None], ids=repr)
@pytest.mark.parametrize("namespace", [(), ("--map-root-user",), ("--user",)], ids=" ".join)
def test_the_default_folder_is_that_of_runc(
    root: Callable[..., Path],
    installation: RuneInstallation,
    tmp_path: Path,
    user: str | None,
    namespace: tuple[str, ...],
) -> None:
    """Of root, of root in a user namespace (as podman calls a runtime), and of a user without a name there.

    runc itself tells: it makes its default folder below XDG_RUNTIME_DIR where it honours that.
    """
    need("unshare")
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "XDG_RUNTIME_DIR": str(tmp_path),
        **({} if user is None else {"USER": user}),
    }

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["unshare", *namespace, *command], env=environment, capture_output=True, text=True, check=False
        )

    listed = run("runc", "list")
    if "Operation not permitted" in listed.stderr:
        pytest.skip("this kernel gives no user namespaces")
    honoured = (tmp_path / "runc").is_dir()
    assert honoured == (namespace == ("--user",) or (bool(namespace) and user != "root"))
    root(TEE)
    done = run(installation.rune, "exec", "ID", "true")
    assert done.returncode == 255
    if not honoured:
        assert "does not exist" in done.stderr
    else:
        assert NOT_IN_THIS_VERSION in done.stderr


def test_runc_may_exec_into_its_own_container(
    waiting: Callable[[], str], installation: RuneInstallation, tmp_path: Path
) -> None:
    name = waiting()
    for folder in (tmp_path / "state", tmp_path / "x" / ".." / "state"):
        (tmp_path / "x").mkdir(exist_ok=True)
        done = installation.run("--root", folder, "exec", name, "/bin/busybox", "echo", "hello")
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_nobody_execs_into_a_tee_image_that_plain_runc_runs(
    waiting: Callable[[], str],
    installation: RuneInstallation,
    tmp_path: Path,
    ordinary: Callable[..., Path],
) -> None:
    """It has no annotation, but runc knows its root file system."""
    rootfs = ordinary("").parent / "ordinary" / "rootfs"
    (rootfs / ".enclave").mkdir()
    (rootfs / ".enclave" / "enclave.json").write_text("{}")
    name = waiting()
    assert "org.enclavize.tee" not in read_spec(rootfs.parent).get("annotations", {})
    for folder in (tmp_path / "state", tmp_path / "x" / ".." / "state"):
        (tmp_path / "x").mkdir(exist_ok=True)
        done = installation.run("--root", folder, "exec", name, "/bin/busybox", "echo", "hello")
        assert (done.returncode, done.stdout) == (255, "")
        assert NOT_IN_THIS_VERSION in done.stderr
