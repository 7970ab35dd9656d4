"""Where a program is measured on Gramine: natively, with a manifest as by hand, as images made here."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from bench.server_programs import ask
from bench.server_sides import Running
from support.stand_in_toolchain import GRAMINE_VARIABLE
from support.stopping import stop
from support.tee import ENCLAVIZE, Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.gramine_programs import Measured

_ENTER = """set -e
mount -t proc proc "$0/proc"; mount --rbind /sys "$0/sys"; mount -t tmpfs tmpfs "$0/dev"
for device in null zero full random urandom; do
    touch "$0/dev/$device"; mount --bind "/dev/$device" "$0/dev/$device"
done
exec chroot "$0" "$@"
"""
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
_OPTIONS = ("--debug", "--allow-network", "all", "--libos", "gramine")
_HAND_MANIFEST = "gramine/app.manifest"
_RUNTIME = "/gramine/runtime/glibc"
_EXCHANGED = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")
_LIBRARIES = re.compile(r"(/\S+) \(0x")
_START_SECONDS = 120
_INTERVAL = 0.005
_TRACED_SECONDS = 5
"""How long a traced program is asked; it is slow at first."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A root file system and what is started there."""

    root: Path
    argv: tuple[str, ...]
    environment: Mapping[str, str]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start it in namespaces of its own, which end with the block."""
        with subprocess.Popen(
            [*_UNSHARE, "sh", "-c", _ENTER, str(self.root), *self.argv],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()


@dataclass(frozen=True, kw_only=True)
class Run:
    """Of one start: seconds until it listens (or ends), requests a second, bytes."""

    seconds: float
    rate: float = 0.0
    memory: float = 0.0


def run_once(program: Measured, place: Place, *, connections: int, seconds: int) -> Run:
    """Start it, wait for it, ask it; return when all of it has ended."""
    began = time.monotonic()
    if program.port is None or program.client is None:
        with place.started() as process:
            if process.wait(_START_SECONDS):
                raise SystemExit(f"{program.name}: exit code {process.returncode}")
            return Run(seconds=time.monotonic() - began)
    with place.started() as process:
        while not _listens(program.port):
            if process.poll() is not None or time.monotonic() - began > _START_SECONDS:
                raise SystemExit(f"{program.name}: does not listen in {place.root}")
            time.sleep(_INTERVAL)
        started = time.monotonic() - began
        load = ask(program.client, program.port, program.path, connections=connections, seconds=seconds)
        memory = Running(process=process, port=program.port).memory
    while _listens(program.port):
        time.sleep(_INTERVAL)
    return Run(seconds=started, rate=load.rate, memory=memory)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def places(program: Measured, base: Path) -> dict[str, Place]:
    """Make the four."""
    root = base / "root"
    program.make_root(root)
    variables = dict(text.split("=", 1) for text in program.environment)
    image = _image(program, root, base)
    converter = Converter.create(base)
    writes = [word for path in program.writes for word in ("--tmpfs", path)]
    options = (*_OPTIONS, "--toolchain", os.environ[GRAMINE_VARIABLE], *writes)
    default = converter.tree(image, "default", *options).root
    opened = _trace(program, converter, base)
    traced = converter.tree(image, "traced", *options, "--only-opened", str(opened)).root
    return {
        "native": Place(root=root, argv=program.argv, environment=variables),
        "by hand": _by_hand(program, root, base / "hand", variables),
        "default": _image_place(default),
        "traced": _image_place(traced),
    }


def _image_place(tree: Path) -> Place:
    return Place(root=tree, argv=("/.enclave/bin/runelet",), environment={"ENCLAVIZE_SIMULATE": "1"})


def trusted_names(place: Place) -> int:
    """Return how many files a place's manifest lists."""
    manifests = (place.root / name for name in (_HAND_MANIFEST, ".enclave/instance/app.manifest.sgx"))
    return next(path.read_text().count("sha256") for path in manifests if path.exists()) - 1


def _image(program: Measured, root: Path, base: Path) -> str:
    config = [word for text in program.environment for word in ("--config.env", text)]
    words = [word for text in program.argv for word in ("--config.entrypoint", text)]
    return ordinary_image(base / "layout", root, config=[*config, *words])


def _trace(program: Measured, converter: Converter, base: Path) -> Path:
    """Let it run for a while; return the file with the paths that it opened."""
    report = base / "opened.txt"
    command = [*ENCLAVIZE, "run", "--simulate", "--trace", "--report", str(report), "--network", "host"]
    with subprocess.Popen(
        [*command, f"oci:{base / 'default-layout'}:1"], env=converter.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        if program.port is not None and program.client is not None:
            while process.poll() is None and not _listens(program.port):
                time.sleep(_INTERVAL)
            try:
                ask(program.client, program.port, program.path, connections=2, seconds=_TRACED_SECONDS)
            finally:
                stop(process)
        process.wait()
    return report


def _by_hand(program: Measured, root: Path, hand: Path, variables: Mapping[str, str]) -> Place:
    """Write a manifest as Gramine's examples have them: the program, its libraries, its folders."""
    subprocess.run(["cp", "-a", root, hand], check=True)
    shutil.copytree(
        Path(os.environ[GRAMINE_VARIABLE], "lib/x86_64-linux-gnu/gramine"), hand / "gramine",
        ignore=shutil.ignore_patterns("*.a", "sgx"),
    )  # fmt: skip
    paths = [program.argv[0], *program.programs]
    found = [path for name in paths for path in (name, *_libraries(root, name))]
    for name in program.listed:
        below = [path for path in (root / name).rglob("*") if path.is_file()] or [root / name]
        names = [str(path.relative_to(root)) for path in below]
        libraries = [library for path in names if ".so" in path for library in _libraries(root, path)]
        found += [*names, *libraries]
    found += [f"gramine/{path.relative_to(hand / 'gramine')}" for path in (hand / "gramine").rglob("*.so*")]
    (hand / _HAND_MANIFEST).write_text(_manifest(program, hand, found, variables))
    argv = ("/gramine/direct/loader", "/gramine/direct/libpal.so", "init", "/gramine/app")
    return Place(root=hand, argv=argv, environment={})


def _libraries(root: Path, program: str) -> list[str]:
    command = ["chroot", str(root), "/lib64/ld-linux-x86-64.so.2", "--list", f"/{program.lstrip('/')}"]
    return _LIBRARIES.findall(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def _manifest(program: Measured, hand: Path, found: list[str], variables: Mapping[str, str]) -> str:
    names = sorted({f"/{name.lstrip('/')}" for name in found})
    search = [_RUNTIME, "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"]
    own = variables.get("LD_LIBRARY_PATH", "")
    mounts = [
        *({"type": "tmpfs", "path": path} for path in ("/tmp", *program.writes)),
        *({"path": name, "uri": f"file:{_RUNTIME}/{Path(name).name}"} for name in _EXCHANGED),
    ]
    libos = "/gramine/libsysdb.so"
    manifest: dict[str, Any] = {
        "libos": {"entrypoint": program.argv[0]},
        "loader": {
            "entrypoint": {"uri": f"file:{libos}", "sha256": _digest(hand / libos.lstrip("/"))},
            "argv": list(program.argv),
            "log_level": "error",
            "env": {
                "PATH": "/usr/sbin:/usr/bin:/bin",
                **variables,
                "LD_LIBRARY_PATH": ":".join(filter(None, [*search, own])),
            },
        },
        "fs": {"root": {"type": "chroot", "uri": "file:/"}, "mounts": mounts},
        "sys": {"stack": {"size": "8M"}, "enable_sigterm_injection": True},
        "sgx": {
            "trusted_files": [
                {"uri": f"file:{name}", "sha256": _digest(hand / name.lstrip("/"))} for name in names
            ],
        },
    }  # fmt: skip
    return tomli_w.dumps(manifest)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
