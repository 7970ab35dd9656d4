"""``enclavize run``: volumes, signals, terminals, registries, what killed runs leave. Its PAL is a stub."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.oci.known_image import facts_of
from enclavize.oci.location import parse_location
from support.programs import need
from support.registry import running_registry
from support.tee import ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.rune import RuneInstallation, UnpackedTeeImage

pytestmark = pytest.mark.integration

BUNDLES = Path("/run/enclavize/bundles")


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs ``enclavize run`` from a package whose runelet has the stub PAL."""

    package: Path
    image: str
    environment: dict[str, str] = field(default_factory=dict)

    def command(
        self, *arguments: str, image: str = "", options: tuple[str, ...] = ("--simulate",)
    ) -> list[str]:
        """Return the command line."""
        code = (
            f"import sys; sys.path.insert(0, {str(self.package)!r}); import enclavize.__main__ as m; m.main()"
        )
        return [sys.executable, "-c", code, "run", *options, image or self.image, *arguments]

    def run(
        self, *arguments: str, image: str = "", options: tuple[str, ...] = ("--simulate",)
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            self.command(*arguments, image=image, options=options), env=self.environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture(scope="module")
def layout(image: UnpackedTeeImage) -> Path:
    return image.layout


@pytest.fixture(scope="module")
def runner(installation: RuneInstallation, layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    home = tmp_path_factory.mktemp("home")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return Runner(package=installation.package, image=f"oci:{layout}:1", environment=environment)


@pytest.fixture
def running(runner: Runner) -> Iterator[subprocess.Popen[str]]:
    """Start a program that waits, in a process group of its own."""
    with subprocess.Popen(
        runner.command("wait"), env=runner.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def _bundles() -> set[Path]:
    return set(BUNDLES.iterdir()) if BUNDLES.is_dir() else set()


def test_arguments_output_and_exit_code(runner: Runner) -> None:
    name = f"gone-{os.getpid()}"
    done = runner.run("show", "-t", "--simulate")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("argument")] == [
        "argument show", "argument -t", "argument --simulate",
    ]  # fmt: skip
    assert runner.run("exit", "7", options=("--simulate", "--name", name)).returncode == 7
    assert not (BUNDLES / name).exists()


def _loaded(runner: Runner, *options: str) -> set[str]:
    """Run to the end; return the modules that this has loaded."""
    told = replace(runner, environment={**runner.environment, "PYTHONPROFILEIMPORTTIME": "1"})
    done = told.run("exit", "0", options=("--simulate", *options))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def _await_settled(image: str) -> None:
    """Wait until a local image can be known again."""
    while facts_of(parse_location(image)) is None:
        time.sleep(0.05)


def test_a_run_loads_nothing_heavy(runner: Runner) -> None:
    _await_settled(runner.image)
    assert runner.run("exit", "0").returncode == 0  # it is unpacked, known and decided about now
    modules = _loaded(runner)
    assert "enclavize.rune.run" in modules
    heavy = (
        "typer", "rich", "pydantic", "urllib3", "cryptography", "docker", "elftools", "jinja2", "email",
        "subprocess", "tempfile", "tarfile", "ctypes", "http", "enclavize.rootfs.entry",
        "enclavize.oci.pruning", "enclavize.oci.resolve", "enclavize.progress", "enclavize.rune.create",
        "enclavize.rune.policy", "shutil", "hashlib", "threading",
    )  # fmt: skip
    assert [name for name in heavy if name in modules] == []
    assert len(modules) < 130, sorted(modules)


def test_what_was_decided_once_is_decided_again_where_anything_differs(
    runner: Runner, image: UnpackedTeeImage, tmp_path: Path
) -> None:
    environment = {**runner.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    fresh = replace(runner, environment=environment)
    _loaded(fresh)
    assert "enclavize.rune.create" not in _loaded(fresh)
    assert "enclavize.rune.create" in _loaded(fresh, "--log-level", "trace", "-v", f"{tmp_path}:/data")
    assert "enclavize.rune.create" in _loaded(fresh, "--cap-add", "KILL", "--signer", image.mrsigner)
    asked_before = replace(fresh, environment={**environment, "ENCLAVIZE_SIMULATE": "1"})
    assert asked_before.run("exit", "0", options=()).returncode == 125
    assert "enclavize.rune.create" not in _loaded(fresh)
    (tree,) = filter(Path.is_dir, (tmp_path / "cache/enclavize/unpacked").glob("[!.]*"))
    described = tree / ".enclave" / "enclave.json"
    (changed,) = (tree / ".enclave").rglob("rootfs.erofs")
    for path in (changed, described):
        kept = path.read_bytes()
        path.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
        assert fresh.run("exit", "0").returncode == 125
        path.write_bytes(kept)
    assert fresh.run("exit", "0").returncode == 0


def test_another_image_behind_a_name_is_noticed(runner: Runner, layout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(layout, copy)
    image = f"oci:{copy}:1"
    _await_settled(image)
    for _ in range(2):
        assert runner.run("exit", "3", image=image).returncode == 3
    shutil.rmtree(copy)
    (tmp_path / "rootfs" / "bin").mkdir(parents=True)
    ordinary_image(copy, tmp_path / "rootfs", config=("--config.entrypoint", "/bin/sh"))
    done = runner.run("exit", "3", image=image)
    assert done.returncode == 125
    assert "not a TEE image" in done.stderr


def test_an_unknown_option_is_a_usage_error_and_what_follows_the_image_is_the_programs(
    runner: Runner,
) -> None:
    done = runner.run(options=("--simulate", "--foo"))
    assert done.returncode == 2
    assert "unrecognized arguments: --foo" in done.stderr
    assert runner.run("show", "--foo", "-e", "--", "-v").returncode == 0
    assert runner.run(options=("--simulate", "--network", "all")).returncode == 2
    assert "Run a TEE image in its enclave" in runner.run(options=("--help",)).stdout


def test_simulate_may_follow_the_image(runner: Runner) -> None:
    assert runner.run("--simulate", "exit", "7", options=()).returncode == 7
    assert "argument --simulate" not in runner.run("--simulate", "show", options=()).stdout
    assert runner.run("--simulate", "show").stdout == ""  # the stub does not know an action of this name


def test_the_environment_is_what_was_asked_for(runner: Runner) -> None:
    done = runner.run(
        "show", options=("--simulate", "-e", "A=b=c", "-e", "PATH", "-e", "UNSET", "--log-level", "trace")
    )
    assert "environment A=b=c" in done.stdout.splitlines()
    assert f"environment PATH={os.environ['PATH']}" in done.stdout.splitlines()
    assert "level trace" in done.stdout.splitlines()
    assert "UNSET" not in done.stdout
    # The PAL is a stub, the image lets nothing in.
    told = "warning: --env A, PATH: the image does not let this in; a build opens it with --allow-env NAME\n"
    assert told in done.stderr
    assert "--env" not in runner.run("show").stderr
    refused = runner.run("show", options=("--simulate", "-e", "ENCLAVIZE_ROOT=/"))
    assert refused.returncode == 125
    assert "ENCLAVIZE_ROOT" in refused.stderr


def test_a_production_image_does_not_start_in_simulation_unless_asked(runner: Runner) -> None:
    done = runner.run("exit", "0", options=())
    assert done.returncode == 125
    assert "/dev/sgx_enclave" in done.stderr
    assert "--simulate" in done.stderr


def test_only_volumes_that_the_image_opens(runner: Runner, tmp_path: Path) -> None:
    for path in ("/data", "/data/below", "/fixed"):
        done = runner.run("show", options=("--simulate", "-v", f"{tmp_path}:{path}"))
        assert done.returncode == 0, done.stderr
    for volume in (
        f"{tmp_path}:/etc",
        f"{tmp_path}:/database",
        f"{tmp_path}/absent:/data",
        "/data",
        f"{tmp_path}:/data:x",
    ):
        done = runner.run("show", options=("--simulate", "-v", volume))
        assert done.returncode == 125
        assert "--volume" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_signer_that_is_not_trusted_is_refused(runner: Runner, image: UnpackedTeeImage) -> None:
    for signer in (image.mrsigner, str(image.public_key)):
        assert runner.run("exit", "3", options=("--simulate", "--signer", signer)).returncode == 3
    done = runner.run("exit", "3", options=("--simulate", "--signer", "00" * 32))
    assert done.returncode == 125
    assert image.mrsigner in done.stderr


def test_an_ordinary_image_is_refused_with_a_hint(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "rootfs" / "bin").mkdir(parents=True)
    source = ordinary_image(
        tmp_path / "layout", tmp_path / "rootfs", config=("--config.entrypoint", "/bin/sh")
    )
    done = runner.run(image=source)
    assert done.returncode == 125
    assert "not a TEE image" in done.stderr
    assert "enclavize build" in done.stderr


def test_a_second_run_needs_no_layers_and_a_digest_needs_no_registry(
    runner: Runner, layout: Path, tmp_path: Path
) -> None:
    need("skopeo")
    environment = {**runner.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    fresh = Runner(package=runner.package, image="", environment=environment)
    with running_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/demo/tee"
        digest_file = tmp_path / "digest"
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", "--digestfile", digest_file,
             f"oci:{layout}:1", f"docker://{name}:1"], check=True,
        )  # fmt: skip
        digest = digest_file.read_text()
        assert fresh.run("exit", "4", image=f"{name}:1").returncode == 4
        for blob in registry.store.rglob("data"):
            if blob.stat().st_size > 4096:
                blob.unlink()
        assert fresh.run("exit", "5", image=f"{name}:1").returncode == 5
    assert fresh.run("exit", "6", image=f"{name}@{digest}").returncode == 6
    assert fresh.run("exit", "7", image=f"{name}:1").returncode == 125


def test_runs_of_one_image_at_the_same_time(runner: Runner, tmp_path: Path) -> None:
    environment = {**runner.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    processes = [subprocess.Popen(runner.command("exit", "9"), env=environment) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [9] * 4


def test_a_name_is_used_once(runner: Runner) -> None:
    options = ("--simulate", "--name", f"twice-{os.getpid()}")
    with subprocess.Popen(
        runner.command("wait", options=options), env=runner.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        done = runner.run("exit", "0", options=options)
        assert done.returncode == 125
        assert "runs already" in done.stderr
        process.terminate()
        assert process.wait(120) == 143
    assert runner.run("exit", "0", options=options).returncode == 0
    assert runner.run("exit", "0", options=("--simulate", "--name", "../x")).returncode == 125


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_ends_the_program(running: subprocess.Popen[str], number: signal.Signals) -> None:
    running.send_signal(number)
    assert running.wait(120) == 128 + number


def test_an_image_that_runs_is_not_pruned(running: subprocess.Popen[str], runner: Runner) -> None:
    def prune() -> list[bool]:
        command = [*runner.command()[:3], "cache", "prune", "--format", "json"]
        done = subprocess.run(command, env=runner.environment, stdout=subprocess.PIPE, check=True)
        kinds = [item["kind"] for item in json.loads(done.stdout)["items"]]
        return [kind == "unpacked image" for kind in kinds]

    assert not any(prune())
    running.kill()
    running.wait()
    assert any(prune())
    assert runner.run("exit", "0").returncode == 0


def test_a_killed_program_gives_137(running: subprocess.Popen[str]) -> None:
    (runc,) = _children(running.pid)
    (init,) = [pid for pid in _children(runc) if _name(pid) == "runelet"]
    os.kill(init, signal.SIGKILL)
    assert running.wait(120) == 137


def test_a_killed_run_takes_its_container_along_and_the_next_one_cleans_up(
    running: subprocess.Popen[str], runner: Runner
) -> None:
    (runc,) = _children(running.pid)
    words = Path(f"/proc/{runc}/cmdline").read_text().split("\0")
    left = Path(words[words.index("--bundle") + 1])
    assert left in _bundles()
    running.kill()
    running.wait()
    for _ in range(200):
        if not Path(f"/proc/{runc}").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("runc outlived the run")
    assert runner.run("exit", "0").returncode == 0
    assert not left.exists()


@pytest.mark.parametrize("options", [(), ("-i",), ("-i", "-t")], ids=" ".join)
def test_interrupt_from_the_keyboard_ends_the_program(runner: Runner, options: tuple[str, ...]) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(
            sys.executable, runner.command("wait", options=("--simulate", *options)), runner.environment
        )
    output = b""
    while b"ready" not in output:
        output += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT


def test_a_missing_runc_is_one_error_with_a_hint(runner: Runner, tmp_path: Path) -> None:
    environment = {**runner.environment, "ENCLAVIZE_RUNC": str(tmp_path / "absent")}
    done = Runner(package=runner.package, image=runner.image, environment=environment).run("exit", "0")
    assert done.returncode == 125
    assert "runc" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_needs_one(runner: Runner) -> None:
    command = ["setsid", "--wait", *runner.command("exit", "0", options=("--simulate", "-t"))]
    done = subprocess.run(command, env=runner.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "--tty" in done.stderr


def test_an_error_of_runc_is_not_the_programs(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = runner.run("exit", "1", options=("--simulate", "-v", f"{tmp_path / 'file'}:/folder"))
    assert done.returncode == 125
    assert "not a directory" in done.stderr
    assert runner.run("exit", "1").returncode == 1


def test_as_another_user_in_a_user_namespace(runner: Runner, layout: Path) -> None:
    need("setpriv")
    nobody = 65534
    site_packages = sysconfig.get_path("purelib")
    python = next(
        (path for path in (sys.executable, "/usr/bin/python3") if _open_to_others(Path(path))), None
    )
    if python is None or not _open_to_others(Path(site_packages)):
        pytest.skip("Python or its packages are closed to other users")
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        base.chmod(0o755)
        shutil.copytree(layout, base / "layout")
        shutil.copytree(runner.package, base / "package")
        (base / "home").mkdir()
        for path in (base / "home", base / "layout", *(base / "layout").rglob("*")):
            os.chown(path, nobody, nobody)
        other = Runner(package=base / "package", image=f"oci:{base / 'layout'}:1")
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": site_packages,
            "HOME": str(base / "home"),
            "XDG_RUNTIME_DIR": str(base / "home"),
        }
        done = subprocess.run(
            ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", python,
             *other.command("exit", "7")[1:]],
            env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 7, done.stderr


def _open_to_others(path: Path) -> bool:
    real = path.resolve()
    return path.exists() and all(folder.stat().st_mode & stat.S_IXOTH for folder in (real, *real.parents))


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
