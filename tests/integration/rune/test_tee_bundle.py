"""TEE bundles under rune and real runc: life cycle, refusals, what the runelet gets."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from support.programs import need
from support.rune import ENTRYPOINT, read_spec, tee_image, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

SIMULATE = {"ENCLAVIZE_SIMULATE": "1"}


def _create(installation: RuneInstallation, folder: Path, name: str) -> int:
    """Create a container, which keeps the streams that it is given."""
    return subprocess.run(
        [installation.rune, "create", "--bundle", folder, name],
        env={"PATH": "/usr/bin:/bin", **SIMULATE}, check=False, timeout=120,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ).returncode  # fmt: skip


def test_run_gives_the_exit_code(tee: Callable[..., Path], installation: RuneInstallation, name: str) -> None:
    done = installation.run("run", "--bundle", tee("exit", "7"), name, env=SIMULATE)
    assert (done.returncode, done.stderr) == (7, "")


def test_the_runelet_is_the_hosts_and_the_options_are_runes(
    installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    """That of the image is another one, which would look for its enclave."""
    folder = tee_image(tmp_path / "image").root.parent
    (folder / "tree").rename(folder / "rootfs")
    write_bundle(folder, [ENTRYPOINT, "show", "a b"], ("A=1", "ENCLAVIZE_ROOT=/evil"))
    done = installation.run("run", "--bundle", folder, name, env=SIMULATE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "words instance=/.enclave/instance root=/ mode=sim" in lines
    assert [line for line in lines if line.startswith("argument")] == ["argument show", "argument a b"]
    assert "environment A=1" in lines
    assert "ENCLAVIZE" not in done.stdout


@pytest.mark.parametrize(
    ("entrypoint", "arguments"),
    [
        ("/bin/busybox", ()),
        ("/sbin/docker-init", ("--", "/bin/busybox")),
        ("/run/podman-init", ("--", ENTRYPOINT)),
    ],
)
def test_the_measured_command_line_may_be_named(
    tee: Callable[..., Path],
    installation: RuneInstallation,
    name: str,
    entrypoint: str,
    arguments: tuple[str, ...],
) -> None:
    """The enclave's own command line is /bin/busybox; the stub shows what it is given."""
    folder = tee(*arguments, entrypoint=entrypoint)
    try:
        assert _create(installation, folder, name) == 0
        assert read_spec(folder)["process"]["args"] == [ENTRYPOINT]
    finally:
        installation.run("delete", "--force", name)


def test_another_command_line_is_refused_with_both(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    done = installation.run("run", "--bundle", tee("-c", "id", entrypoint="sh"), name, env=SIMULATE)
    assert done.returncode == 1
    assert "told to run [sh -c id], the enclave runs [/bin/busybox]" in done.stderr


def test_simulation_is_chosen_by_an_option(
    tee: Callable[..., Path], installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    assert installation.run("--simulate", "run", "--bundle", tee("exit", "7"), name).returncode == 7
    (tmp_path / "never.toml").write_text("allow_simulation = false\n")
    (tmp_path / "yes.toml").write_text("allow_simulation = true\n")
    command = ("run", "--bundle", tee("exit", "7"), name)
    assert installation.run("--config", tmp_path / "yes.toml", *command).returncode == 7
    done = installation.run("--config", tmp_path / "never.toml", "--simulate", *command)
    assert done.returncode == 1
    assert "does not allow it" in done.stderr


def test_ordinary_containers_can_be_refused(
    ordinary: Callable[..., Path], installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text('ordinary = "run"\n')
    (tmp_path / "refuse.toml").write_text('ordinary = "refuse"\n')
    folder = ordinary("exit 3")
    assert installation.run("--config", tmp_path / "run.toml", "run", "-b", folder, name).returncode == 3
    done = installation.run("--config", tmp_path / "refuse.toml", "run", "-b", folder, name)
    assert done.returncode == 1
    assert "runs no ordinary containers" in done.stderr


def test_life_cycle(tee: Callable[..., Path], installation: RuneInstallation, name: str) -> None:
    folder = tee("wait")
    assert _create(installation, folder, name) == 0
    try:
        state = json.loads(installation.run("state", name).stdout)
        assert (state["status"], state["bundle"]) == ("created", str(folder))
        done = installation.run("exec", name, "sh")  # there is no enclave yet
        assert (done.returncode, "no runelet of this container answers" in done.stderr) == (126, True)
        assert installation.run("start", name).returncode == 0
        time.sleep(0.3)
        assert installation.run("kill", name, "TERM").returncode == 0
        for _ in range(100):
            if json.loads(installation.run("state", name).stdout)["status"] == "stopped":
                break
            time.sleep(0.05)
        assert installation.run("delete", name).returncode == 0
    finally:
        installation.run("delete", "--force", name)
    assert installation.run("state", name).returncode == 1


def test_a_second_run_of_a_bundle_changes_nothing(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    folder = tee("exit", "0")
    specs = []
    for _ in range(2):
        assert installation.run("run", "--bundle", folder, name, env=SIMULATE).returncode == 0
        specs.append(read_spec(folder))
    assert specs[0] == specs[1]
    assert not list(folder.glob(".new-*"))


def _refusal(installation: RuneInstallation, folder: Path, name: str, **environment: str) -> str:
    before = (folder / "config.json").read_bytes()
    log = folder / "log.json"
    done = installation.run(
        "--log", log, "--log-format", "json", "create", "--bundle", folder, name, env=environment
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert json.loads(log.read_text())["msg"] == line.removeprefix("rune: error: ")
    assert (folder / "config.json").read_bytes() == before
    assert installation.run("state", name).returncode == 1
    return line


def test_a_production_enclave_without_sgx_is_refused_at_create(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    assert "/dev/sgx_enclave" in _refusal(installation, tee("exit", "0"), name)


def test_the_container_cannot_ask_for_simulation(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    folder = tee("exit", "0", environment=("ENCLAVIZE_SIMULATE=1",))
    assert "/dev/sgx_enclave" in _refusal(installation, folder, name)


def test_another_entrypoint_is_refused(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    assert "entrypoint" in _refusal(installation, tee(entrypoint="/bin/sh"), name, **SIMULATE)


def test_a_malformed_description_is_refused(
    tee: Callable[..., Path], installation: RuneInstallation, name: str
) -> None:
    folder = tee("exit", "0")
    (folder / "rootfs" / ".enclave" / "enclave.json").write_text("{")
    assert "enclave.json" in _refusal(installation, folder, name, **SIMULATE)


def test_a_mount_over_the_enclave_is_refused(
    tee: Callable[..., Path], installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    folder = tee("exit", "0")
    spec = read_spec(folder)
    spec["mounts"].append({"destination": "/.enclave/instance", "type": "bind", "source": str(tmp_path)})
    (folder / "config.json").write_text(json.dumps(spec))
    assert "/.enclave/instance" in _refusal(installation, folder, name, **SIMULATE)


def _bind(source: Path, destination: str) -> dict[str, object]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["rbind"]}


def test_a_link_of_a_volume_to_the_enclave_is_not_mounted_on(
    tee: Callable[..., Path], installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    """runc follows the link through the first volume, and would put the second one over the enclave."""
    folder = tee("exit", "0")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "x").symlink_to("/.enclave")
    (tmp_path / "second").mkdir()
    spec = read_spec(folder)
    spec["mounts"] += [_bind(tmp_path / "first", "/data"), _bind(tmp_path / "second", "/data/x")]
    (folder / "config.json").write_text(json.dumps(spec))
    assert "/data/x" in _refusal(installation, folder, name, **SIMULATE)


@pytest.mark.parametrize("target", ["/.enclave", "../.enclave/instance", "/", "/.enclave/bin", None])
def test_what_a_volume_becomes_cannot_cover_the_enclave(
    tee: Callable[..., Path], installation: RuneInstallation, name: str, tmp_path: Path, target: str | None
) -> None:
    """The link comes into the volume after rune has looked, before runc does: a hook sees it."""
    folder = tee("exit", "7")
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "x").mkdir(parents=True)
    shutil.copytree(folder / "rootfs" / ".enclave", second)
    shutil.copytree(second, second / ".enclave")
    spec = read_spec(folder)
    spec["mounts"] += [_bind(first, "/data"), _bind(second, "/data/x")]
    (folder / "config.json").write_text(json.dumps(spec))
    assert installation.run("run", "--bundle", folder, name, env=SIMULATE).returncode == 7
    if target:
        (first / "x").rmdir()
        (first / "x").symlink_to(target)
    done = subprocess.run(
        ["runc", "run", "--bundle", folder, name], capture_output=True, text=True, check=False
    )
    if target in ("/", "/.enclave"):
        assert (done.returncode, done.stdout) == (1, "")
        assert target == "/" or "a mount covers /.enclave of the TEE container" in done.stderr
    else:  # the folder is mounted from the image again, without what lies on it
        assert (done.returncode, done.stdout) == (7, "")


@pytest.mark.parametrize(
    "case",
    [
        ("allow_simulation = false", "does not allow it"),
        (f'mrsigners = ["{"00" * 32}"]', "signer"),
        ("min_isvsvn = 65535", "security version"),
        ("allow_simulaton = true", "unknown key"),
        ("allow_simulation = true", ""),
    ],
)
def test_the_administrator_decides(
    tee: Callable[..., Path],
    installation: RuneInstallation,
    name: str,
    tmp_path: Path,
    case: tuple[str, str],
) -> None:
    """With an /etc of its own, in a mount namespace."""
    settings, word = case
    need("unshare")
    (tmp_path / "etc" / "rune").mkdir(parents=True)
    (tmp_path / "etc" / "rune" / "config.toml").write_text(settings)
    script = f'mount --bind {tmp_path / "etc"} /etc && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh",
         installation.rune, "run", "--bundle", tee("exit", "7"), name],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **({} if "= true" in settings else SIMULATE)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == (1 if word else 7), done.stderr
    assert word in done.stderr
