"""Images for Gramine under rune and ``enclavize run``: what runs outside of the enclave is known, or refused.

Gramine is a stand-in: its loader prints its arguments.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from enclavize.resources import native_file
from enclavize.sgx.enclave_file import read_signed
from enclavize.tee.layout import SIGNED_ENCLAVE
from support.engines import TAG, archives, running_dockerd
from support.programs import need, need_root
from support.rune import ENTRYPOINT, RuneInstallation, write_bundle
from support.tampering import DESCRIPTION, TamperedImage
from support.unpacked import KEPT, kept_layout, pins_of_gramine, unpack

if TYPE_CHECKING:
    from pathlib import Path

    from support.rune import UnpackedTeeImage

pytestmark = pytest.mark.integration

LOADER = ".enclave/gramine/direct/loader"


@pytest.fixture(scope="module")
def rune(tmp_path_factory: pytest.TempPathFactory) -> RuneInstallation:
    need("runc", "unshare")
    need_root()
    if not native_file("runelet-gramine").is_file():
        pytest.skip("the native components are not built")
    return RuneInstallation.create(tmp_path_factory.mktemp("rune"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept_layout("gramine", tmp_path_factory.mktemp("gramine") / "layout")


@pytest.fixture(scope="module")
def tree(layout: Path) -> Path:
    return unpack(layout, layout.with_name("tree"))


@pytest.fixture
def pins(tree: Path, tmp_path: Path) -> Path:
    """Write the digests of the stand-in."""
    (tmp_path / "pins").write_text(pins_of_gramine(tree))
    return tmp_path / "pins"


@pytest.fixture
def bundle(tree: Path, tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    shutil.copytree(tree, tmp_path / "bundle" / "rootfs", symlinks=True)
    folder = write_bundle(tmp_path / "bundle", [ENTRYPOINT])
    spec = json.loads((folder / "config.json").read_text())
    spec["linux"]["maskedPaths"] = spec["linux"]["readonlyPaths"] = []
    (folder / "config.json").write_text(json.dumps(spec))
    return folder


def _run(
    rune: RuneInstallation, bundle: Path, name: str, settings: str | None
) -> subprocess.CompletedProcess[str]:
    """Run with an /etc/rune of its own, in a mount namespace."""
    etc = bundle.parent / "etc"
    (etc / "rune").mkdir(parents=True, exist_ok=True)
    (etc / "rune" / "config.toml").unlink(missing_ok=True)
    if settings is not None:
        (etc / "rune" / "config.toml").write_text(settings)
    script = f'mount --bind {etc} /etc && exec "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", rune.rune, "run", "--bundle", bundle, name],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ENCLAVIZE_SIMULATE": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_rune_runs_no_loader_that_nobody_knows(rune: RuneInstallation, bundle: Path, name: str) -> None:
    done = _run(rune, bundle, name, None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "host_files" in done.stderr
    assert "enclavize toolchain digests" in done.stderr
    assert _run(rune, bundle, name, "allow_unchecked_host_files = true\n").returncode == 0


def test_rune_runs_the_loader_that_was_pinned(
    rune: RuneInstallation, bundle: Path, name: str, pins: Path
) -> None:
    settings = f'host_files = ["{pins}"]\n'
    done = _run(rune, bundle, name, settings)
    assert done.returncode == 0, done.stderr
    assert "/.enclave/instance/app" in done.stdout.splitlines()
    loader = bundle / "rootfs" / LOADER
    loader.write_bytes(loader.read_bytes() + b"evil")
    description = bundle / "rootfs" / DESCRIPTION
    changed = json.loads(description.read_text())
    data = loader.read_bytes()
    changed["files"]["gramine/direct/loader"] = {
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    description.write_text(json.dumps(changed, indent=2) + "\n")
    done = _run(rune, bundle, name, settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert "gramine/direct/loader is another file" in done.stderr


def test_a_node_has_its_liboses(rune: RuneInstallation, bundle: Path, name: str, pins: Path) -> None:
    settings = f'host_files = ["{pins}"]\n'
    for more, word in (
        ('libos = ["builtin"]\n', "does not admit the LibOS gramine"),
        ('min_libos = {gramine = "99"}\n', "admits gramine 99 and later"),
        ('libos = ["gramine"]\nmin_libos = {gramine = "1.9", builtin = "99"}\n', ""),
    ):
        done = _run(rune, bundle, name, settings + more)
        assert done.returncode == (1 if word else 0)
        assert word in done.stderr


def test_a_list_of_flaws_keeps_a_release_out(
    rune: RuneInstallation, bundle: Path, name: str, pins: Path
) -> None:
    flaws = bundle.parent / "flaws.toml"
    flaws.write_text('[[flaw]]\nid = "X-1"\nlibos = "gramine"\ntitle = "t"\nsource = "s"\nfixed = "99"\n')
    settings = f'host_files = ["{pins}"]\nknown_flaws = ["{flaws}"]\n'
    done = _run(rune, bundle, name, settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not admit the LibOS of this image, gramine 1.9: X-1" in done.stderr
    assert _run(rune, bundle, name, settings + 'allow_flaws = ["X-1"]\n').returncode == 0


def _forged(layout: Path, image: UnpackedTeeImage, copy: Path) -> Path:
    """Put another enclave's SIGSTRUCT, which everybody can read, into an image with a loader of one's own."""
    forged = TamperedImage(layout, copy)
    sigstruct = read_signed(image.root / ".enclave" / SIGNED_ENCLAVE).sigstruct
    forged.change_data(".enclave/instance/app.sig", lambda _: sigstruct.to_bytes())

    def describe(data: bytes) -> bytes:
        described = json.loads(data)
        described.update(mrenclave=sigstruct.mrenclave.hex(), mrsigner=sigstruct.mrsigner.hex())
        return json.dumps(described, indent=2).encode() + b"\n"

    forged.change_data(DESCRIPTION, describe)
    forged.save()
    return copy


def _enclavize_run(base: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(base), "XDG_CACHE_HOME": str(base / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "enclavize", "run", "--simulate", *arguments], env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_nobody_runs_a_program_in_the_name_of_a_signature_that_is_not_its_own(
    rune: RuneInstallation, layout: Path, image: UnpackedTeeImage, name: str, tmp_path: Path
) -> None:
    forged = _forged(layout, image, tmp_path / "forged")
    for options in ((), ("--signer", image.mrsigner), ("--signer", str(image.public_key))):
        done = _enclavize_run(tmp_path, *options, f"oci:{forged}")
        assert (done.returncode, done.stdout) == (125, "")
        assert "SIGSTRUCT is not that of this manifest" in done.stderr
    (tmp_path / "bundle").mkdir()
    unpack(forged, tmp_path / "bundle" / "rootfs")
    write_bundle(tmp_path / "bundle", [ENTRYPOINT])
    settings = f'mrsigners = ["{image.mrsigner}"]\nallow_debug = false\nallow_unchecked_host_files = true\n'
    done = _run(rune, tmp_path / "bundle", name, settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert "SIGSTRUCT is not that of this manifest" in done.stderr


def test_enclavize_run_says_what_it_did_not_check(
    rune: RuneInstallation, layout: Path, tmp_path: Path
) -> None:
    done = _enclavize_run(tmp_path, f"oci:{layout}")
    assert done.returncode == 0, done.stderr
    assert "outside of the enclave: NOT checked" in done.stderr
    done = _enclavize_run(tmp_path, "--signer", KEPT / "v1.pub.pem", f"oci:{layout}")
    assert (done.returncode, done.stdout) == (125, "")
    assert "host_files" in done.stderr


def test_enclavize_run_compares_with_pinned_digests(
    rune: RuneInstallation, layout: Path, pins: Path, tmp_path: Path
) -> None:
    options = ("--signer", KEPT / "v1.pub.pem", "--host-files")
    done = _enclavize_run(tmp_path, *options, pins, f"oci:{layout}")
    assert done.returncode == 0, done.stderr
    assert "NOT checked" not in done.stderr
    (tmp_path / "other").write_text(f"{'0' * 64}  gramine/sgx/loader\n")
    done = _enclavize_run(tmp_path, *options, tmp_path / "other", f"oci:{layout}")
    assert (done.returncode, done.stdout) == (125, "")
    assert "are not those of" in done.stderr


def test_dockerd_starts_what_the_node_has_pinned(
    rune: RuneInstallation, layout: Path, tree: Path, tmp_path: Path
) -> None:
    """Under docker's own seccomp profile, which rune lets direct mode pass."""
    archive, _ = archives(layout, tmp_path)
    pins = tmp_path / "pins"
    environment = {"PATH": os.environ["PATH"], "ENCLAVIZE_SIMULATE": "1"}
    run = ("run", "--rm", "--runtime", "rune", "--network", "none", TAG)
    with running_dockerd(rune.rune, environment, settings=f'host_files = ["{pins}"]\n') as docker:
        docker.run("load", "-i", archive, check=True)
        pins.write_text(pins_of_gramine(tree))
        done = docker.run(*run)
        assert done.returncode == 0, done.stderr
        assert "/.enclave/instance/app" in done.stdout.splitlines()
        pins.write_text(f"{'0' * 64}  gramine/sgx/loader\n")
        done = docker.run(*run)
        assert done.returncode == 125
        assert "are not those of" in done.stderr
