"""podman without root: rune as root of a user namespace, with settings and states of the user's own."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.guest import ORDINARY, TEE
from support.rootless import USER, rootless_podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engines import Engine

pytestmark = pytest.mark.integration

COLUMNS = {
    "runc": (("--runtime", "runc"), ORDINARY),
    "rune": (("--runtime", "rune"), ORDINARY),
    "tee": (("--runtime", "rune"), TEE),
}


@pytest.fixture(scope="module")
def podman(layouts: dict[str, Path]) -> Iterator[Engine]:
    """Return an unprivileged user's podman that has the images."""
    with rootless_podman() as engine:
        for name in (ORDINARY, TEE):
            archive = engine.folder / "image.tar"
            subprocess.run(
                ["skopeo", "copy", "-q", f"oci:{layouts[name]}:1", f"docker-archive:{archive}:{name}"],
                check=True,
            )
            archive.chmod(0o644)
            loaded = engine.run("load", "-q", "-i", archive)
            if loaded.returncode != 0:
                pytest.skip(f"podman does nothing without root here: {loaded.stderr.strip()[-200:]}")
            archive.unlink()
        first = engine.run("run", "--rm", "--network", "none", "--runtime", "runc", ORDINARY, "exit", "0")
        if first.returncode != 0:
            pytest.skip(f"podman runs no container without root here: {first.stderr.strip()[-200:]}")
        yield engine
        engine.run("rm", "--all", "--force", "--time", "0")
        engine.run("system", "migrate")


def _run(
    podman: Engine, column: str, options: tuple[str, ...], *arguments: str
) -> subprocess.CompletedProcess[str]:
    flags, image = COLUMNS[column]
    return podman.run(*flags, "run", "--rm", "--network", "none", *options, image, *arguments)


@pytest.fixture(params=COLUMNS)
def started(podman: Engine, request: pytest.FixtureRequest) -> Iterator[str]:
    """Start a container with the name ``subject``; return its column."""
    flags, image = COLUMNS[request.param]
    done = podman.run(*flags, "run", "-d", "--network", "none", "--name", "subject", image, "wait")
    assert done.returncode == 0, done.stderr
    _wait_for_log(podman, "ready")
    yield request.param
    podman.run("rm", "--force", "--time", "0", "subject")


@pytest.mark.parametrize(
    "row",
    [
        ((), ("exit", "7")),
        (("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"), ("exit", "3")),
        (("--init",), ("exit", "3")),
    ],
)
def test_a_row(podman: Engine, row: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    found = {column: _run(podman, column, row[0], *row[1]) for column in COLUMNS}
    plain = (found["runc"].returncode, found["runc"].stdout)
    assert {column: (done.returncode, done.stdout) for column, done in found.items()} == dict.fromkeys(
        COLUMNS, plain
    ), {column: done.stderr for column, done in found.items()}


def test_a_volume(podman: Engine) -> None:
    folder = podman.folder / "home" / "volume"
    folder.mkdir()
    shutil.chown(folder, USER, USER)
    for column in COLUMNS:
        done = _run(podman, column, ("-v", f"{folder}:/data"), "put", f"/data/{column}", column)
        assert done.returncode == 0, done.stderr
        assert (folder / column).read_text() == f"{column}\n"
        assert (folder / column).stat().st_uid == USER


def test_commands_signals_and_stop(podman: Engine, started: str) -> None:
    """No command runs beside an enclave: its state is where runc keeps it for root of a user namespace."""
    flags, _ = COLUMNS[started]
    done = podman.run(*flags, "exec", "subject", "/bin/guest", "exit", "4")
    if started == "tee":
        assert done.returncode == 126
        assert "the measured policy does not allow this command" in done.stderr
    else:
        assert done.returncode == 4, done.stderr
    podman.run("kill", "-s", "USR1", "subject", check=True)
    _wait_for_log(podman, "signal 10")
    podman.run("stop", "-t", "30", "subject", check=True)
    state = podman.run("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "subject").stdout
    assert state == "exited 0\n", started


def test_simulation_is_the_users_to_choose(podman: Engine) -> None:
    settings = podman.folder / "home" / ".config" / "rune" / "config.toml"
    kept = settings.read_text()
    settings.write_text("allow_simulation = false\n")
    try:
        done = _run(podman, "tee", (), "exit", "0")
    finally:
        settings.write_text(kept)
    assert done.returncode in (125, 126)
    assert "there is no /dev/sgx_enclave" in done.stderr


def test_nothing_of_a_tee_container_stays_behind(podman: Engine) -> None:
    assert _run(podman, "tee", (), "exit", "5").returncode == 5
    run = podman.folder / "home" / "run"
    assert not list(run.glob("runc/*"))
    assert list((run / "rune" / "plans").iterdir())
    assert not Path("/run/rune/plans").exists() or not any(
        path.stat().st_uid == USER for path in Path("/run/rune/plans").iterdir()
    )


def _wait_for_log(podman: Engine, text: str) -> None:
    for _ in range(400):
        if text in podman.run("logs", "subject").stdout:
            return
        time.sleep(0.05)
    pytest.fail("the container does not say so")
