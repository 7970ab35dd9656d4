"""Changes of engines' configuration: right, whole, once, and taken back without a trace."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import EnclavizeError
from enclavize.node import cdi, containerd, docker, podman
from enclavize.node.edit import BACKUP_SUFFIX
from enclavize.node.runtime import Runtime

if TYPE_CHECKING:
    from types import ModuleType

RUNE = Runtime(path=Path("/usr/local/bin/rune"))
SIMULATING = Runtime(path=RUNE.path, options=("--simulate",))

CONTAINERD_2 = """\
# kept
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:3.8" # kept, too
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
CONTAINERD_3 = """\
version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = 'runc'
"""


@pytest.mark.parametrize(
    ("module", "before"),
    [
        (docker, None),
        (docker, ""),
        (docker, '{"data-root": "/d", "runtimes": {"x": {"path": "/x"}}}'),
        (containerd, None),
        (containerd, "version = 2\n"),
        (containerd, CONTAINERD_2),
        (containerd, CONTAINERD_3),
        (podman, None),
    ],
)
def test_there_once_and_back(module: ModuleType, before: str | None, tmp_path: Path) -> None:
    path = tmp_path / "etc" / "config"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
        path.chmod(0o600)
    assert not module.names_rune(path)
    first = module.plan(path, RUNE)
    assert first.changes
    assert "/usr/local/bin/rune" in first.diff()
    backup = first.apply()
    assert (backup is not None) == (before is not None)
    if backup:
        assert (backup.name, backup.read_text()) == (f"config{BACKUP_SUFFIX}", before)
        assert path.stat().st_mode & 0o777 == 0o600
    assert module.names_rune(path)
    again = module.plan(path, RUNE)
    assert not again.changes
    assert again.diff() == ""
    assert again.apply() is None
    moved = module.plan(path, Runtime(path=Path("/opt/rune")))
    moved.apply()
    assert "/opt/rune" in path.read_text()
    assert "/usr/local" not in path.read_text()
    if backup:
        assert backup.read_text() == before
    removed = module.plan(path, None)
    removed.apply()
    assert not path.exists() or "rune" not in path.read_text().replace("runtime", "")
    assert not module.plan(path, None).changes


def test_docker(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"data-root": "/d", "runtimes": {"x": {"path": "/x"}}, "default-runtime": "x"}')
    docker.plan(path, SIMULATING).apply()
    assert json.loads(path.read_text()) == {
        "data-root": "/d",
        "runtimes": {
            "x": {"path": "/x"},
            "rune": {"path": "/usr/local/bin/rune", "runtimeArgs": ["--simulate"]},
        },
        "default-runtime": "x",
    }
    docker.plan(path, RUNE).apply()
    assert json.loads(path.read_text())["runtimes"]["rune"] == {"path": "/usr/local/bin/rune"}


def test_dockerd_takes_the_file(tmp_path: Path) -> None:
    dockerd = shutil.which("dockerd", path="/usr/sbin:/usr/bin")
    help_text = (
        subprocess.run([dockerd, "--help"], capture_output=True, text=True, check=False).stdout
        if dockerd
        else ""
    )
    if "--validate" not in help_text:
        pytest.skip("this dockerd cannot validate a file (it can since 23.0), or there is none")
    path = tmp_path / "daemon.json"
    docker.plan(path, SIMULATING).apply()
    command = [str(dockerd), "--validate", "--config-file", str(path)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("before", [None, CONTAINERD_2])
def test_containerd_takes_the_file(tmp_path: Path, before: str | None) -> None:
    program = shutil.which("containerd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("containerd is not installed")
    path = tmp_path / "config.toml"
    if before:
        path.write_text(before)
    containerd.plan(path, RUNE).apply()
    dumped = subprocess.run(
        [program, "--config", path, "config", "dump"], capture_output=True, text=True, check=True
    ).stdout
    runtime = tomllib.loads(dumped)["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]["rune"]
    assert runtime["runtime_type"] == "io.containerd.runc.v2"
    assert runtime["options"]["BinaryName"] == "/usr/local/bin/rune"
    assert runtime["pod_annotations"] == ["enclave.*", "org.enclavize.*"]


def test_containerd_keeps_comments_and_the_form_of_its_version(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONTAINERD_2)
    containerd.plan(path, RUNE).apply()
    text = path.read_text()
    assert text.startswith("# kept\n")
    assert 'sandbox_image = "pause:3.8" # kept, too' in text
    path.write_text(CONTAINERD_3)
    containerd.plan(path, RUNE).apply()
    found = tomllib.loads(path.read_text())["plugins"]["io.containerd.cri.v1.runtime"]["containerd"]
    assert found["default_runtime_name"] == "runc"
    assert found["runtimes"]["rune"]["options"] == {"BinaryName": "/usr/local/bin/rune"}


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        (docker, "{", "Expecting"),
        (docker, "[]", "not a JSON object"),
        (docker, '{"runtimes": []}', "not an object"),
        (docker, '{"a": 1, "a": 2}', "twice"),
        (docker, "[" * 100_000, "recursion"),
        (containerd, "version = 1\n", "version 1"),
        (containerd, "oom_score = 0\n", "version 1"),
        (containerd, "version = 9\n", "version 9"),
        (containerd, "[", "Unexpected end"),
        (containerd, "version = 2\nplugins = 1\n", "not a table"),
        (containerd, "version = 2\nversion = 3\n", "already"),
    ],
)
def test_a_file_that_cannot_be_changed_is_left_alone(
    module: ModuleType, text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(EnclavizeError, match=message):
        module.plan(path, RUNE)
    assert path.read_text() == text
    assert [file.name for file in tmp_path.iterdir()] == ["config"]


def test_the_default_runtime_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text('{"runtimes": {"rune": {"path": "/x"}}, "default-runtime": "rune"}')
    with pytest.raises(EnclavizeError, match="default runtime"):
        docker.plan(path, None)
    assert docker.names_rune(path)  # doctor has nothing against that


@pytest.mark.parametrize("module", [containerd, podman])
def test_who_takes_no_options_says_where_they_go(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(EnclavizeError) as caught:
        module.plan(tmp_path / "config", SIMULATING)
    assert "config.toml" in (caught.value.hint or "")


def test_cdi_without_a_device_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnclavizeError, match="no SGX device"):
        cdi.plan(tmp_path / "x.json", remove=False, root=tmp_path)


def test_cdi_names_the_devices_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdi, "present", lambda paths, _root: list(paths[:1]))
    (tmp_path / "var/run/aesmd").mkdir(parents=True)
    (tmp_path / "var/run/aesmd/aesm.socket").touch()
    path = tmp_path / "etc/cdi/x.json"
    cdi.plan(path, remove=False, root=tmp_path).apply()
    found = json.loads(path.read_text())
    assert (found["cdiVersion"], found["kind"]) == ("0.5.0", "enclavize.org/sgx")
    enclave, everything = found["devices"]
    assert enclave == {
        "name": "enclave",
        "containerEdits": {"deviceNodes": [{"path": "/dev/sgx_enclave"}]},
    }
    assert [node["path"] for node in everything["containerEdits"]["deviceNodes"]] == [
        "/dev/sgx_enclave",
        "/dev/sgx_provision",
    ]
    assert everything["containerEdits"]["mounts"][0]["hostPath"] == "/var/run/aesmd"
    cdi.plan(path, remove=True, root=tmp_path).apply()
    assert not path.exists()
