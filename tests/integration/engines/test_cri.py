"""Calls of a kubelet to containerd: ordinary containers are under rune what they are under runc, and TEE
containers differ where the measured policy says so.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.cri import Cri, CriError
from support.guest import ORDINARY, STRICT, TEE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cri import Ended, Pod
    from support.engines import Engine

pytestmark = pytest.mark.integration

SIMULATION = "SIMULATION"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A handler, and an image in a pod of it."""

    cri: Cri
    pod: Pod
    image: str

    def run(self, *args: str, **options: Any) -> Ended:
        """Run the program to its end, without the line that tells of simulation."""
        ended = self.cri.run(self.pod, self.image, args=args, **options)
        lines = [line for line in ended.log.split("\n") if SIMULATION not in line]
        return replace(ended, log="\n".join(lines))


@pytest.fixture(scope="module")
def cri(containerd: Engine) -> Cri:
    return Cri(containerd.command[-1])


@pytest.fixture(scope="module")
def columns(cri: Cri) -> Iterator[dict[str, Column]]:
    """Return (runc, ordinary), (rune, ordinary) and (rune, TEE)."""
    with tempfile.TemporaryDirectory(prefix="cri-logs-") as folder:
        found = {
            name: Column(cri=cri, pod=cri.pod(handler, Path(folder) / name), image=image)
            for name, handler, image in (
                ("runc", "runc", ORDINARY),
                ("rune", "rune", ORDINARY),
                ("tee", "rune", TEE),
            )
        }
        yield found
        for column in found.values():
            cri.remove(column.pod.id)


ROWS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "an exit code": (("exit", "7"), {}),
    "much output": (("lines", "2000"), {}),
    "a crash": (("crash",), {}),
    "abort": (("abort",), {}),
    "a memory limit": (("allocate", "300"), {"memory": 128 << 20}),
    "a memory limit that is kept": (("allocate", "20"), {"memory": 256 << 20}),
    "a command": (("exit", "4"), {"command": ("/bin/guest",)}),
    "hardened": (("exit", "3"), {"hardened": True}),
    "no such action": (("nothing",), {}),
}
REFUSED = {"a command": "told to run"}


@pytest.mark.parametrize("name", ROWS)
def test_a_row(columns: dict[str, Column], name: str) -> None:
    args, options = ROWS[name]
    plain = columns["runc"].run(*args, **options)
    assert columns["rune"].run(*args, **options) == plain
    if name in REFUSED:
        with pytest.raises(CriError, match=REFUSED[name]):
            columns["tee"].run(*args, **options)
    else:
        assert columns["tee"].run(*args, **options) == plain


def test_who_and_where_it_is(columns: dict[str, Column]) -> None:
    options = {"env": {"TAKEN": "1", "OTHER": "2"}, "user": 1000, "working_dir": "/tmp"}
    plain, rune, tee = (columns[name].run("id", "a b", **options).log for name in ("runc", "rune", "tee"))
    assert plain == rune
    assert "uid=1000" in plain
    assert "cwd=/tmp" in plain
    assert "variable OTHER=2" in plain
    assert "argument a b" in tee
    assert "uid=0" in tee
    assert "cwd=/\n" in tee
    assert "variable TAKEN=1" in tee
    assert "OTHER" not in tee
    assert "the enclave does not use: user 1000, working directory /tmp; a build decides that" in tee


def test_volumes(columns: dict[str, Column], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for name, column in columns.items():
        assert column.run("put", f"/data/{name}", name, mounts=[("/data", tmp_path)]).code == 0
        assert (tmp_path / name).read_text() == f"{name}\n"
    for name, column in columns.items():
        ended = column.run("cat", "/mnt/runc", mounts=[("/mnt", tmp_path)])
        assert (ended.code == 0) == (name != "tee")
        assert ("does not see: /mnt; a build opens them with --volume" in ended.log) == (name == "tee")


def test_what_a_kubelet_mounts_is_not_warned_about(columns: dict[str, Column], tmp_path: Path) -> None:
    for name in ("hosts", "termination-log"):
        (tmp_path / name).write_text("")
    (tmp_path / "token").mkdir()
    mounts = [
        ("/etc/hosts", tmp_path / "hosts"), ("/dev/termination-log", tmp_path / "termination-log"),
        ("/var/run/secrets/kubernetes.io/serviceaccount", tmp_path / "token"),
    ]  # fmt: skip
    plain = columns["runc"].run("exit", "0", mounts=mounts)
    assert [columns[name].run("exit", "0", mounts=mounts) for name in ("rune", "tee")] == [plain, plain]


def test_last_words_reach_a_kubelet_where_the_build_lets_them(
    columns: dict[str, Column], tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    for name, column in columns.items():
        log.write_text("")
        ended = column.run("put", "/dev/termination-log", name, mounts=[("/dev/termination-log", log)])
        assert ended.code == 0, ended
        assert log.read_text() == f"{name}\n"


def test_the_measured_command_is_accepted(columns: dict[str, Column], cri: Cri) -> None:
    column = columns["tee"]
    container = cri.create(column.pod, TEE, command=("/bin/guest",), args=("wait",), name="measured")
    cri.on("StartContainer", container)
    _wait_for_text(column.pod.logs / "measured.log", "ready")
    cri.stop(container, 30)
    assert cri.wait(container, column.pod.logs / "measured.log").code == 0
    cri.on("RemoveContainer", container)


def test_arguments_that_the_policy_does_not_allow(columns: dict[str, Column]) -> None:
    ended = replace(columns["tee"], image=STRICT).run("exit", "3")
    assert ended.code == 126
    assert "arguments are not allowed by the measured policy" in ended.log


@pytest.mark.parametrize("args", [("wait",), ("sleep",), ("sleep", "ignore")])
def test_stop(columns: dict[str, Column], cri: Cri, args: tuple[str, ...]) -> None:
    codes = {}
    for name, column in columns.items():
        log = column.pod.logs / "stop.log"
        log.unlink(missing_ok=True)
        container = cri.create(column.pod, column.image, args=args, name="stop")
        assert cri.state(container) == "CREATED"
        cri.on("StartContainer", container)
        _wait_for_text(log, "ready")
        assert cri.state(container) == "RUNNING"
        cri.stop(container, 30 if args == ("wait",) or (name == "tee" and len(args) == 1) else 1)
        codes[name] = cri.wait(container, log).code
        cri.on("RemoveContainer", container)
    assert codes["runc"] == codes["rune"] == (0 if args == ("wait",) else 137)
    # As with an init in front of it: what does not handle the signal is ended by it.
    assert codes["tee"] == (143 if args == ("sleep",) else codes["runc"])


def test_what_a_kubelet_asks_of_a_running_container(columns: dict[str, Column], cri: Cri) -> None:
    for column in columns.values():
        container = cri.create(column.pod, column.image, args=("wait",), name="asked")
        log = column.pod.logs / "asked.log"
        cri.on("StartContainer", container)
        _wait_for_text(log, "ready")
        cri.limit_cpu(container, 20_000)
        log.rename(log.with_suffix(".old"))
        cri.on("ReopenContainerLog", container)
        stats = cri.on("ContainerStats", container).stats
        assert stats.memory.working_set_bytes.value > 0
        cri.stop(container, 30)
        assert cri.wait(container, log).code == 0
        assert "signal 15" in log.read_text()
        cri.on("RemoveContainer", container)


def test_pods_for_inclavare_with_an_ordinary_image_are_refused(columns: dict[str, Column]) -> None:
    with pytest.raises(CriError, match=r"asks for an enclave \(ENCLAVE_TYPE\)"):
        columns["rune"].run("exit", "0", env={"ENCLAVE_TYPE": "intelSgx", "RUNE_CARRIER": "occlum"})


def _wait_for_text(log: Path, text: str) -> None:
    for _ in range(400):
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.05)
    pytest.fail("this took longer than twenty seconds")
