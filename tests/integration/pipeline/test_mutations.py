"""No changed TEE image is trusted, whatever was changed, and none ends a command with a traceback."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest

from enclavize.tee.expectations import Expectations
from support.command import Command
from support.forgery import TAG, Forgery
from support.images import build_image, directory, file, symlink, write_layout
from support.mutation_trial import Trial
from support.odd_tars import OddTars
from support.programs import SAMPLES, need, static_musl
from support.same_image import differences
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

CHANGES = {
    "manifest": 2800, "configuration": 4000, "index": 1600, "description": 2800, "headers": 3200,
    "members": 3000, "file": 3000, "signature": 2800, "source": 1600, "layers": 1200, "blob": 2000,
}  # fmt: skip
"""How many different changed images of each kind are tried, at full scale; a twentieth of that is 1,400."""
ARCHIVES = 1200
CONFIG = {
    "Entrypoint": ["/bin/hello"], "Env": ["A=1"], "User": "app", "StopSignal": "SIGUSR1",
    "Labels": {"who": "me"}, "Healthcheck": {"Test": ["CMD-SHELL", "true"]}, "WorkingDir": "/etc",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Laboratory(Trial):
    """The images, and what made them."""

    command: Command
    public_key: Path


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory, native: Path) -> Laboratory:
    base = tmp_path_factory.mktemp("mutations")
    program = static_musl(SAMPLES / "hello" / "hello.c", base / "hello")
    layers = [
        [directory("bin"), file("bin/hello", program.read_bytes(), 0o755), symlink("bin/hi", "hello")],
        [directory("etc"), file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n")],
    ]
    source = write_layout(base / "source", {"1": build_image(layers, config=CONFIG)})
    command = Command(base=base, native=native)
    for name in ("alice", "mallory"):
        command.run("keygen", f"{name}.pem")
        command.run(
            "build", f"oci:{source}", "--key", f"{name}.pem", "-o", f"type=oci,tar=false,dest={base / name}"
        )
    found = json.loads(command.run("inspect", f"oci:{base / 'alice'}", "--format", "json").stdout)
    return Laboratory(
        alice=Forgery.load(base / "alice"),
        stranger=Forgery.load(base / "mallory"),
        expectations=Expectations(signers=frozenset({found["mrsigner"]})),
        command=command,
        public_key=base / "alice.pub.pem",
    )


@pytest.fixture
def layout(laboratory: Laboratory, tmp_path: Path) -> Path:
    laboratory.alice.write(tmp_path / "layout")
    return tmp_path / "layout"


def test_the_genuine_image_is_trusted_and_the_stranger_s_is_not(laboratory: Laboratory, layout: Path) -> None:
    assert laboratory.verdict(f"oci:{layout}:{TAG}") == ""
    laboratory.stranger.write(layout)
    assert "not a trusted signer" in laboratory.verdict(f"oci:{layout}:{TAG}")


@pytest.mark.parametrize("family", CHANGES)
def test_no_changed_image_is_trusted(laboratory: Laboratory, layout: Path, family: str) -> None:
    laboratory.run(family, layout, scaled(CHANGES[family]))


def test_what_belongs_to_another_signer_is_not_trusted(laboratory: Laboratory, layout: Path) -> None:
    for seed in range(20):
        done, forged = laboratory.mutations("transplant", seed).transplant()
        forged.write(layout)
        assert laboratory.verdict(f"oci:{layout}:{TAG}"), done


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_no_changed_archive_is_trusted(
    laboratory: Laboratory, layout: Path, tmp_path: Path, form: str
) -> None:
    need("skopeo")
    archive = tmp_path / "image.tar"
    name = f"{form}:{archive}:{'x:1' if form == 'docker-archive' else TAG}"
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", f"oci:{layout}:{TAG}", name],
        check=True,
        capture_output=True,
    )
    sound = archive.read_bytes()
    genuine = contents_of(sound)
    assert laboratory.verdict(name) == ""
    refused = 0
    for seed in count():
        changed = changed_archive(sound, Random(seed))
        archive.write_bytes(changed)
        if laboratory.verdict(name):
            refused += 1
        else:
            found = contents_of(changed)
            assert {path: found.get(path) for path in genuine} == genuine, f"seed {seed}"
        if refused == scaled(ARCHIVES):
            break


def changed_archive(sound: bytes, random: Random) -> bytes:
    """Change headers or bytes, or put something behind."""
    match random.randrange(4):
        case 0:
            at = random.randrange(len(sound))
            return sound[:at] + bytes([sound[at] ^ 1 << random.randrange(8)]) + sound[at + 1 :]
        case 1:
            return again(sound, random)
        case _:
            return OddTars(random, 0.05).changed(sound)


def again(sound: bytes, random: Random) -> bytes:
    """Return the archive with a member behind all others that is there already, with other content."""
    output = BytesIO()
    with tarfile.open(fileobj=BytesIO(sound)) as old, tarfile.open(fileobj=output, mode="w") as new:
        members = old.getmembers()
        for member in members:
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
        chosen = random.choice([member for member in members if member.isreg()])
        chosen.size = 2
        new.addfile(chosen, BytesIO(b"[]"))
    return output.getvalue()


def contents_of(data: bytes) -> dict[str, set[bytes]]:
    """Return what readers may find by each name, but for what docker before 1.10 read."""
    found: dict[str, set[bytes]] = {}
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            old = member.name == "repositories" or member.name.endswith(("/VERSION", "/json"))
            if stream is not None and not old:
                found.setdefault(member.name.removeprefix("./"), set()).add(stream.read())
    return found


def test_the_command_says_so_without_a_traceback(laboratory: Laboratory, layout: Path) -> None:
    for family in CHANGES:
        tried = (laboratory.mutations(family, seed).families[family]() for seed in count())
        done, forged = next(change for change in tried if list(differences(laboratory.alice, change[1])))
        forged.write(layout)
        ended = laboratory.command.finish("verify", f"oci:{layout}:{TAG}", "--signer", laboratory.public_key)
        assert ended.returncode in (1, 4, 6), done
        assert "Traceback" not in ended.stderr
        assert "ERROR" in ended.stderr
        laboratory.alice.write(layout)
