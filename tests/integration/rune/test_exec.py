"""What rune makes of exec: a command for the enclave in a TEE container, and a refusal in doubt."""

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
FOR_THE_ENCLAVE = "exec ID /.enclave/bin/runelet exec -- sh"
RUNELET = ("/.enclave/bin/runelet", "exec")
AS_IT_IS = "exec ID sh"
"""What runc is told to do."""

TELLING_RUNC = """#!/bin/sh
for word; do
    case $word in
    /proc/self/fd/*) cat $word >&2;;
    exec) echo "runc $*" >&2; exits=255;;
    esac
done
[ "$exits" ] && exit $exits
exec runc "$@"
"""


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


@pytest.fixture
def telling(tmp_path: Path) -> dict[str, str]:
    """Return the environment in which runc says what it would execute, and reads the process."""
    runc = tmp_path / "telling-runc"
    runc.write_text(TELLING_RUNC)
    runc.chmod(0o755)
    return {"ENCLAVIZE_RUNC": str(runc)}


def _exec(
    installation: RuneInstallation, telling: dict[str, str], *options: str | Path, cwd: Path | None = None
) -> str:
    done = installation.run(*options, "exec", "ID", "sh", cwd=cwd, env=telling)
    assert done.returncode == 255
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("exec -e A=B ID sh", "exec -e A=B ID /.enclave/bin/runelet exec -- sh"),
        ("exec --env -x -- ID sh -c", "exec --env -x -- ID /.enclave/bin/runelet exec -- sh -c"),
        ("exec --process= ID sh", "exec --process= ID /.enclave/bin/runelet exec -- sh"),
        ("exec ID /.enclave/bin/runelet exec --health", "exec ID /.enclave/bin/runelet exec --health"),
        (
            "exec ID /.enclave/bin/runelet sh",
            "exec ID /.enclave/bin/runelet exec -- /.enclave/bin/runelet sh",
        ),
        ("-- exec ID -- sh", "exec ID /.enclave/bin/runelet exec -- -- sh"),
    ],
)
def test_a_command_for_a_tee_container_is_one_for_its_enclave(
    root: Callable[..., Path],
    installation: RuneInstallation,
    telling: dict[str, str],
    arguments: str,
    told: str,
) -> None:
    """It is known by rune's annotation."""
    done = installation.run("--root", root(TEE), *arguments.split(), env=telling)
    assert done.returncode == 255
    assert done.stderr.rstrip().endswith(told)


PROCESS = {"cwd": "/", "env": ["args=x"], "args": ["sh", "-c", 'a "b"'], "terminal": False}


@pytest.mark.parametrize("form", ["--process P ID", "-p P ID", "--process=P ID", "-p=P -d ID"])
@pytest.mark.parametrize("spaces", [None, 2])
def test_the_process_of_an_engine_is_changed_in_its_command_alone(
    root: Callable[..., Path],
    installation: RuneInstallation,
    tmp_path: Path,
    form: str,
    spaces: int | None,
) -> None:
    script = tmp_path / "reading-runc"
    script.write_text("#!/bin/sh\nfor word; do case $word in */proc/self/fd/*) cat ${word#*=};; esac; done\n")
    script.chmod(0o755)
    for given, expected in (
        (PROCESS["args"], [*RUNELET, "--", "sh", "-c", 'a "b"']),
        ([*RUNELET, "--health"], [*RUNELET, "--health"]),
        ([], []),
    ):
        (tmp_path / "P").write_text(json.dumps({**PROCESS, "args": given}, indent=spaces))
        words = [word.replace("P", str(tmp_path / "P")) for word in form.split()]
        done = installation.run("--root", root(TEE), "exec", *words, env={"ENCLAVIZE_RUNC": str(script)})
        assert json.loads(done.stdout) == {**PROCESS, "args": expected}


@pytest.mark.parametrize(
    "process",
    [
        "",
        "[]",
        "{}",
        '{"args": 7}',
        '{"args": ["a"], "args": ["b"]}',
        '{"args": ["a"], "Args": ["b"]}',
        "{",
        None,
    ],
)
def test_a_process_that_cannot_be_understood_is_refused(
    root: Callable[..., Path],
    installation: RuneInstallation,
    telling: dict[str, str],
    tmp_path: Path,
    process: str | None,
) -> None:
    if process is not None:
        (tmp_path / "P").write_text(process)
    done = installation.run("--root", root(TEE), "exec", "--process", tmp_path / "P", "ID", env=telling)
    assert done.returncode == 255
    assert "cannot understand the file of --process" in done.stderr
    done = installation.run("--root", root(TEE), "exec", "--process", "P", "-p", "P", "ID", env=telling)
    assert "cannot tell how runc reads" in done.stderr


def test_an_option_of_a_later_enclavize_is_told_as_one(installation: RuneInstallation) -> None:
    done = installation.run("--option-to-come", "--parent", "1", "run", "ID")
    assert done.returncode == 1
    assert (
        "rune is not of the version of enclavize, whose option --option-to-come it does not know"
        in done.stderr
    )


def test_a_tee_container_is_not_checkpointed(
    root: Callable[..., Path], installation: RuneInstallation
) -> None:
    done = installation.run("--root", root(TEE), "checkpoint", "ID")
    assert (done.returncode, "TEE container" in done.stderr) == (1, True)


def test_another_container_is_left_to_runc(
    root: Callable[..., Path], installation: RuneInstallation, telling: dict[str, str]
) -> None:
    assert AS_IT_IS in _exec(installation, telling, "--root", root(ORDINARY))


@pytest.mark.parametrize(
    "options", ["--root=DIR", "-root DIR", "--root runc", "--root ./runc/.", "--root=DIR --"]
)
def test_the_folder_in_any_form(
    root: Callable[..., Path], installation: RuneInstallation, telling: dict[str, str], options: str
) -> None:
    folder = root(TEE)
    words = options.replace("DIR", str(folder)).split()
    assert FOR_THE_ENCLAVE in _exec(installation, telling, *words, cwd=folder.parent)


@pytest.mark.parametrize("options", [("--root", ""), ("--root=",)])
def test_no_folder_is_the_working_directory(
    root: Callable[..., Path],
    installation: RuneInstallation,
    telling: dict[str, str],
    options: tuple[str, ...],
) -> None:
    assert FOR_THE_ENCLAVE in _exec(installation, telling, *options, cwd=root(TEE))


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
    root: Callable[..., Path], installation: RuneInstallation, telling: dict[str, str], state: str
) -> None:
    assert "cannot be told" in _exec(installation, telling, "--root", root(state))


def test_a_state_that_another_user_could_forge_is_refused(
    root: Callable[..., Path], installation: RuneInstallation, telling: dict[str, str]
) -> None:
    folder = root(ORDINARY)
    for path in (folder / "ID", folder / "ID" / "state.json"):
        path.chmod(0o777)
        assert "cannot be told" in _exec(installation, telling, "--root", folder)
        path.chmod(0o755)
        os.chown(path, 65534, 65534)
        assert "cannot be told" in _exec(installation, telling, "--root", folder)
        os.chown(path, os.geteuid(), os.getegid())
    assert AS_IT_IS in _exec(installation, telling, "--root", folder)


@pytest.mark.parametrize("linked", ["ID", "ID/state.json"])
def test_no_link_is_followed_to_a_state(
    root: Callable[..., Path], installation: RuneInstallation, telling: dict[str, str], linked: str
) -> None:
    folder = root(ORDINARY)
    path = folder / linked
    path.rename(folder / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    assert "cannot be told" in _exec(installation, telling, "--root", folder)


def test_a_state_that_is_kept_elsewhere_is_asked_for(installation: RuneInstallation, tmp_path: Path) -> None:
    """By a runc that has another default, say."""
    runc = tmp_path / "runc"
    for answer, expected in (
        (
            '{"id": "ID", "rootfs": "/absent", "annotations": {"org.enclavize.tee": "1"}}',
            "runc exec ID /.enclave/bin/runelet exec -- sh",
        ),
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
    done = run(installation.rune, "exec", "--process", "/absent", "ID")
    assert done.returncode == 255
    if not honoured:
        assert "does not exist" in done.stderr
    else:
        assert "cannot understand the file of --process" in done.stderr


def test_runc_may_exec_into_its_own_container(
    waiting: Callable[[], str], installation: RuneInstallation, tmp_path: Path
) -> None:
    name = waiting()
    for folder in (tmp_path / "state", tmp_path / "x" / ".." / "state"):
        (tmp_path / "x").mkdir(exist_ok=True)
        done = installation.run("--root", folder, "exec", name, "/bin/busybox", "echo", "hello")
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_nobody_execs_beside_the_enclave_of_a_tee_image_that_plain_runc_runs(
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
        assert "stat /.enclave/bin/runelet: no such file" in done.stderr  # which this one does not have
