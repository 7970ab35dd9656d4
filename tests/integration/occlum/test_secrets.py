"""Keys and passphrases are in no cache, output, message or command line that a build leaves or shows."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.libos.occlum.sefs.keys import read_image_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.occlum.conftest import Converter

pytestmark = pytest.mark.integration

PASSPHRASE = "correct-horse-battery-staple"


def forms(secret: bytes) -> list[bytes]:
    """Return how a secret may be written."""
    return [secret, secret.hex().encode(), secret.hex("-").encode(), secret.hex(":").encode()]


def encrypt(key: Path) -> None:
    """Give a key file the passphrase."""
    from cryptography.hazmat.primitives import serialization as form

    private = form.load_pem_private_key(key.read_bytes(), None)
    protection = form.BestAvailableEncryption(PASSPHRASE.encode())
    key.write_bytes(private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, protection))


def holders(folder: Path, secrets: list[bytes], but: set[Path]) -> list[str]:
    """Return the files below a folder that hold a secret."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and path not in but and any(secret in path.read_bytes() for secret in secrets)
    ]


def command_lines(found: set[bytes], stop: threading.Event) -> None:
    """Collect what all processes of the machine were started with."""
    while not stop.wait(0.01):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                found.add((process / "cmdline").read_bytes() + (process / "environ").read_bytes())
            except OSError:
                continue


def test_a_build_keeps_its_secrets(converter: Converter, make: Callable[..., str], tmp_path: Path) -> None:
    source, base = make(), converter.command.base
    secret_files = tmp_path / "secrets"
    secret_files.mkdir()
    image_key, key, passphrase = (secret_files / name for name in ("image.key", "key.pem", "passphrase"))
    passphrase.write_text(f"{PASSPHRASE}\n")
    passphrase.chmod(0o600)
    run = converter.command.run
    said = [
        run("occlum", "gen-image-key", image_key),
        run("keygen", key),
    ]
    encrypt(key)
    secrets = [*forms(read_image_key(image_key)), PASSPHRASE.encode()]
    seen: set[bytes] = set()
    stop = threading.Event()
    watcher = threading.Thread(target=command_lines, args=(seen, stop))
    watcher.start()
    try:
        output = f"type=oci,tar=false,dest={base / 'tee'}"
        build = (
            "build", source, "--libos", "occlum", "--toolchain", converter.toolchain, "--key", key,
            "--passphrase-file", passphrase, "--image-key", image_key, "--metadata-file",
            base / "metadata.json", "--iidfile", base / "iid", "--progress", "plain",
        )  # fmt: skip
        said += [run(*build, "-o", output)]
        said += [run("inspect", f"oci:{base / 'tee'}", "--format", "json")]
        said += [run("diff", f"oci:{base / 'tee'}", f"oci:{base / 'tee'}", "--image-key", image_key)]
        passphrase.write_text("wrong-" + PASSPHRASE)
        wrong = ("--isvsvn", "2", "-o", f"type=oci,tar=false,dest={base / 'other'}")
        said += [converter.command.finish(*build, *wrong)]
        assert said[-1].returncode
    finally:
        stop.set()
        watcher.join()
    assert holders(base, secrets, set()) == []
    assert [
        done for done in said if any(secret.decode() in done.stdout + done.stderr for secret in secrets[1:])
    ] == []
    assert not any(secret in line for line in seen for secret in secrets)
    assert {path.stat().st_mode & 0o077 for path in (image_key, key)} == {0}
