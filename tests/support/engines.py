"""Private instances of dockerd and containerd: own state, own sockets, stopped by their pid."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import need, need_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

START_TIMEOUT = 30
TAG = "tee:1"


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A running engine: ``command`` is how to talk to it; ``restart`` ends and starts its daemon."""

    command: tuple[str, ...]
    folder: Path
    restart: Callable[[], None] | None = None

    def run(
        self, *arguments: str | Path, stdin: str = "", check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine's client."""
        done = subprocess.run(
            [*self.command, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done


@contextmanager
def _daemon(
    folder: Path, command: Sequence[str | Path], client: tuple[str, ...], environment: Mapping[str, str]
) -> Iterator[Engine]:
    daemon: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        daemon.append(process)
        end = time.monotonic() + START_TIMEOUT
        while subprocess.run([*client, "version"], capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > end:
                last = (folder / "log").read_text().splitlines()[-1:]
                pytest.skip(f"{command[0]} does not start here: {last}")
            time.sleep(0.1)

    def stop() -> None:
        process = daemon.pop()
        process.terminate()
        process.wait()

    def restart() -> None:
        stop()
        start()

    try:
        start()
        yield Engine(command=client, folder=folder, restart=restart)
    finally:
        stop()
        shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> Path:
    """Names of sockets have at most 107 bytes, too few for pytest's folders."""
    return Path(tempfile.mkdtemp(prefix="eng-"))


def _with_settings(settings: str, folder: Path) -> tuple[str, ...]:
    """Return what gives a daemon, and the rune that it starts, an /etc with these settings of rune."""
    need("unshare")
    etc = folder / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    (etc / "rune").mkdir(exist_ok=True)
    (etc / "rune" / "config.toml").write_text(settings)
    return ("unshare", "--mount", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh")


@contextmanager
def running_dockerd(
    rune: Path | None,
    environment: Mapping[str, str],
    *,
    options: Sequence[str] = (),
    settings: str | None = None,
) -> Iterator[Engine]:
    """Run dockerd without networks, with the runtime runc, and ``rune`` if it is given.

    ``settings`` are rune's, in place of this machine's.
    """
    need("dockerd", "docker", "containerd", "runc")
    need_root()
    folder = _short_folder()
    host = f"unix://{folder}/docker.sock"
    own = [
        f"--host={host}", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--ip6tables=false",
        *([f"--add-runtime=rune={rune}"] if rune else []),
    ]  # fmt: skip
    wrapper = () if settings is None else _with_settings(settings, folder)
    command = [*wrapper, "dockerd", *own, *options]
    with _daemon(folder, command, ("docker", "-H", host), environment) as engine:
        yield engine


@contextmanager
def running_containerd(environment: Mapping[str, str]) -> Iterator[Engine]:
    """Run containerd."""
    need("containerd", "ctr", "runc")
    need_root()
    folder = _short_folder()
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{folder}/sock"\n'
        f'[ttrpc]\naddress = "{folder}/ttrpc"\n'
    )
    client = ("ctr", "--address", f"{folder}/sock")
    with _daemon(folder, ["containerd", "--config", config], client, environment) as engine:
        yield engine


@contextmanager
def running_cri(rune: Path, sandbox_image: str, environment: Mapping[str, str]) -> Iterator[Engine]:
    """Run containerd with Kubernetes' interface; handlers are runc and rune. Pods use the host's network.

    It is Debian's, or that of ENCLAVIZE_CONTAINERD, a path.
    """
    need("containerd", "ctr", "runc")
    need_root()
    folder = _short_folder()
    config = folder / "config.toml"
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    config.write_text(f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/sock"
[ttrpc]
address = "{folder}/ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[{cri}]
sandbox_image = "{sandbox_image}"
restrict_oom_score_adj = true
disable_apparmor = true
[{cri}.cni]
conf_dir = "{folder}/cni"
[{cri}.containerd]
snapshotter = "native"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.rune]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["enclave.*"]
container_annotations = ["enclave.*"]
[{cri}.containerd.runtimes.rune.options]
BinaryName = "{rune}"
""")
    client = ("ctr", "--address", f"{folder}/sock")
    program = os.environ.get("ENCLAVIZE_CONTAINERD", "containerd")
    with _daemon(folder, [program, "--config", config], client, environment) as engine:
        yield engine


def import_for_kubernetes(engine: Engine, layout: Path, name: str, tag: str = "1") -> None:
    """Give containerd an image of a layout, where a kubelet's calls find it."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        subprocess.run(
            ["skopeo", "copy", "-q", f"oci:{layout}:{tag}", f"oci-archive:{archive}:{name}"], check=True
        )
        engine.run(
            "--namespace", "k8s.io", "images", "import", "--snapshotter", "native", archive, check=True
        )


@contextmanager
def podman_storage(rune: Path) -> Iterator[Engine]:
    """Give podman a storage and settings of its own; runtimes are runc, and rune as rune's manual says."""
    need("podman", "conmon", "runc")
    need_root()
    folder = _short_folder()
    config = folder / "containers.conf"
    # Debian's podman asks for more open files than a container in a container may have.
    config.write_text(
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        'runtime_supports_json = ["crun", "runc", "kata", "runsc", "krun", "rune"]\n'
        f'[engine.runtimes]\nrune = ["{rune}"]\n'
    )
    client = (
        "env", f"CONTAINERS_CONF={config}", "podman", "--root", f"{folder}/root",
        "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp", "--storage-driver", "vfs",
    )  # fmt: skip
    engine = Engine(command=client, folder=folder)
    try:
        yield engine
    finally:
        engine.run("rm", "--all", "--force", "--time", "0")
        shutil.rmtree(folder, ignore_errors=True)


def need_podman_to_run(podman: Engine, image: str) -> None:
    """Skip the test, with podman's words, where it runs no container: one of runc, that ends at once."""
    first = podman.run("run", "--rm", "--network", "none", "--runtime", "runc", image, "exit", "0")
    if first.returncode != 0:
        pytest.skip(f"podman runs no container here: {first.stderr.strip()[-200:]}")


def archives(layout: Path, folder: Path) -> tuple[Path, Path]:
    """Write the image of an OCI layout as a docker archive and as an OCI archive."""
    need("skopeo")
    docker, oci = folder / "docker.tar", folder / "oci.tar"
    for target in (f"docker-archive:{docker}:{TAG}", f"oci-archive:{oci}:{TAG}"):
        subprocess.run(["skopeo", "copy", "-q", f"oci:{layout}:1", target], check=True, capture_output=True)
    return docker, oci
