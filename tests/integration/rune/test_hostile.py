"""Images, volumes and pods that want another program, another enclave or a weaker mode than the node's.

Each is tried when rune knows the image, and has a plan for it, and each either runs the node's runelet on the
image's own enclave, or nothing.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from support.rune import ENTRYPOINT, read_spec, tee_image, write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

SIMULATE = {"ENCLAVIZE_SIMULATE": "1"}
OWN = "words instance=/.enclave/instance root=/ mode=sim"
"""What the stand-in PAL says it is told: the enclave of the image, in simulation, as the node asks for."""


@pytest.fixture
def known(tee: Callable[..., Path], installation: RuneInstallation, name: str) -> Path:
    """Return a bundle whose image has run before."""
    folder = tee("show")
    done = installation.run("run", "--bundle", folder, name, env=SIMULATE)
    assert OWN in done.stdout.splitlines(), done.stderr
    rootfs = folder / "rootfs"
    (rootfs / "evil").mkdir()
    shutil.copytree(rootfs / ".enclave", rootfs / "evil" / ".enclave", symlinks=True)
    (rootfs / "evil" / "evil.so").write_bytes(b"\x7fELF")
    (rootfs / "to-enclave").symlink_to(".enclave")
    return write_bundle(folder, [ENTRYPOINT, "show"])


def _change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    spec = read_spec(folder)
    edit(spec)
    (folder / "config.json").write_text(json.dumps(spec))


@pytest.mark.parametrize(
    "variable",
    [
        "ENCLAVE_RUNTIME_PATH=/evil/evil.so", "ENCLAVE_RUNTIME_PATH=evil/evil.so",
        "ENCLAVE_RUNTIME_PATH=../../../evil/evil.so", "ENCLAVE_RUNTIME_PATH=/usr/lib/../../evil/evil.so",
        "ENCLAVE_RUNTIME_ARGS=instance=/evil/.enclave/instance", "ENCLAVE_RUNTIME_ARGS=mode=sim,root=/evil",
        "ENCLAVE_TYPE=none", "ENCLAVE_TYPE=kvmvm", "ENCLAVE_RUNTIME_LOGLEVEL=trace\nENCLAVIZE_ROOT=/evil",
        "ENCLAVIZE_ROOT=/evil", "ENCLAVIZE_INSTANCE=/evil/.enclave/instance", "ENCLAVIZE_ENCLU=evil",
        "LD_PRELOAD=/evil/evil.so", "LD_LIBRARY_PATH=/evil", "RUNE_CARRIER=evil",
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["variable", "annotation"])
def test_an_image_chooses_no_code_of_the_host(
    known: Path, installation: RuneInstallation, name: str, variable: str, way: str
) -> None:
    key, _, value = variable.partition("=")
    if way == "variable":
        _change(known, lambda spec: spec["process"]["env"].append(variable))
    else:
        annotation = f"enclave.{key.removeprefix('ENCLAVE_').lower().replace('_', '.')}"
        _change(known, lambda spec: spec.update(annotations={annotation: value}))
    done = installation.run("run", "--bundle", known, name, env=SIMULATE)
    if done.returncode == 0:
        assert OWN in done.stdout.splitlines()
    else:
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "level trace" not in done.stdout


@pytest.mark.parametrize(
    "destination",
    [
        "/.enclave", "/.enclave/", "//.enclave", "/./.enclave/instance", "/.enclave/bin/runelet",
        "/evil/../.enclave/instance", "/to-enclave", "/to-enclave/bin", "/", "/.", ".enclave",
        "to-enclave/bin",
    ],
)  # fmt: skip
def test_no_volume_lies_over_the_enclave(
    known: Path, installation: RuneInstallation, name: str, destination: str
) -> None:
    mount = {"destination": destination, "type": "bind", "source": str(known / "rootfs" / "evil")}
    _change(known, lambda spec: spec["mounts"].append({**mount, "options": ["rbind"]}))
    done = installation.run("run", "--bundle", known, name, env=SIMULATE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "/.enclave" in done.stderr or "mount" in done.stderr


@pytest.mark.parametrize("destination", ["/.enclave2", "/evil", "/folder/.enclave", "/data"])
def test_a_volume_beside_it_may_be(
    known: Path, installation: RuneInstallation, name: str, destination: str
) -> None:
    mount = {"destination": destination, "type": "bind", "source": str(known / "rootfs" / "evil")}
    _change(known, lambda spec: spec["mounts"].append({**mount, "options": ["rbind"]}))
    done = installation.run("run", "--bundle", known, name, env=SIMULATE)
    assert OWN in done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("name_of_file", "target"),
    [
        ("instance", "../evil/.enclave/instance"),
        ("instance/enclave.signed.so", "../../evil/.enclave/instance/enclave.signed.so"),
        ("enclave.json", "../evil/.enclave/enclave.json"),
        ("bin/runelet", "/evil/evil.so"),
        ("more", "/etc/shadow"),
    ],
)
def test_no_link_below_the_folder_leads_anywhere(
    known: Path, installation: RuneInstallation, name: str, name_of_file: str, target: str
) -> None:
    path = known / "rootfs" / ".enclave" / name_of_file
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    done = installation.run("run", "--bundle", known, name, env=SIMULATE)
    if (
        name_of_file == "enclave.json"
    ):  # no TEE image any more: nothing of it is an enclave, nothing of the host's is run
        assert OWN not in done.stdout
    else:
        assert (done.returncode, done.stdout) == (1, "")


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another signer": lambda said: said.update(mrsigner="ab" * 32),
    "another enclave": lambda said: said.update(mrenclave="cd" * 32),
    "a later version": lambda said: said.update(isvsvn=said["isvsvn"] + 7),
    "another product": lambda said: said.update(isvprodid=9),
    "a debug enclave": lambda said: said.update(debug=True),
    "another LibOS": lambda said: said.update(libos={**said["libos"], "name": "gramine"}),
    "a PAL of others": lambda said: said.update(libos={**said["libos"], "name": "occlum"}),
    "a LibOS from elsewhere": lambda said: said.update(libos={**said["libos"], "name": "../evil"}),
    "a member that nobody knows": lambda said: said.update(evil="/evil/evil.so"),
    "another command": lambda said: said.update(argv=["/evil/evil.so"]),
    "another policy": lambda said: said["policy"].update(exec=True),
    "a file less": lambda said: said["files"].popitem(),
    "a file of the host": lambda said: said["files"].update(
        {"../evil/evil.so": said["files"]["bin/runelet"]}
    ),
}


def test_what_an_image_says_of_its_enclave_is_not_believed(
    known: Path, installation: RuneInstallation, name: str
) -> None:
    path = known / "rootfs" / ".enclave" / "enclave.json"
    written = path.read_text()
    path.chmod(0o644)
    for lie, change in LIES.items():
        said = json.loads(written)
        change(said)
        path.write_text(json.dumps(said, indent=2) + "\n")
        done = installation.run("run", "--bundle", known, name, env=SIMULATE)
        assert (done.returncode, done.stdout) == (1, ""), lie
        assert done.stderr.startswith("rune: error: "), lie


def test_the_release_of_a_libos_is_told_by_its_code(
    known: Path, installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    path = known / "rootfs" / ".enclave" / "enclave.json"
    said = json.loads(path.read_text())
    said["libos"]["version"] = "99.0.0"
    path.chmod(0o644)
    path.write_text(json.dumps(said, indent=2) + "\n")
    (tmp_path / "config.toml").write_text('min_libos = { builtin = "99.0.0" }\n')
    command = ("--config", tmp_path / "config.toml", "run", "--bundle", known, name)
    done = installation.run(*command, env=SIMULATE)
    assert (done.returncode, done.stdout) == (1, "")
    assert "99.0.0" in done.stderr


@pytest.mark.parametrize(
    "case",
    [
        (f'mrsigners = ["{"ab" * 32}"]', "does not admit enclaves of signer"),
        ("min_isvsvn = 7", "security version 7 and later"),
        ("product_ids = [9]", "product id"),
        ('libos = ["gramine"]', "does not admit the LibOS"),
        ("allow_simulation = false", "does not allow it"),
    ],
)
def test_an_enclave_that_the_node_does_not_want(
    known: Path, installation: RuneInstallation, name: str, tmp_path: Path, case: tuple[str, str]
) -> None:
    settings, word = case
    (tmp_path / "config.toml").write_text(settings)
    command = ("--config", tmp_path / "config.toml", "run", "--bundle", known, name)
    done = installation.run(*command, env=SIMULATE)
    assert (done.returncode, done.stdout) == (1, "")
    assert word in done.stderr


def test_a_debug_image_where_the_node_wants_none(
    installation: RuneInstallation, name: str, tmp_path: Path
) -> None:
    folder = tee_image(tmp_path / "image", "--debug").root.parent
    (folder / "tree").rename(folder / "rootfs")
    write_bundle(folder, [ENTRYPOINT, "show"])
    (tmp_path / "config.toml").write_text("allow_debug = false\n")
    assert installation.run("run", "--bundle", folder, name).returncode == 0
    write_bundle(folder, [ENTRYPOINT, "show"])
    done = installation.run("--config", tmp_path / "config.toml", "run", "--bundle", folder, name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not admit debug enclaves" in done.stderr


def test_a_production_image_never_falls_into_simulation(
    known: Path, installation: RuneInstallation, name: str
) -> None:
    """Though it has just been simulated, and a plan for that is kept."""
    done = installation.run("run", "--bundle", known, name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "simulation was not asked for" in done.stderr
