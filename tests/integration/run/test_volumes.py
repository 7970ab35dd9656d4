"""Entrypoints that give a volume to the user they step down to, as under docker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.run.conftest import Corpus

pytestmark = pytest.mark.integration

GIVE_AWAY = """
    set -e; PATH=/bin
    busybox mkdir -p /data/db/deep; busybox touch /data/db/deep/old
    busybox chown -R user:user /data/db
    exec su-exec user sh -c '
        umask 077; echo mine > /data/db/deep/new; busybox chmod 4750 /data/db/deep/old
        busybox chown 0 /data/db/deep/new 2>&-; echo $?
        cd /data; busybox find db -exec busybox stat -c "%n %u:%g %a" {} + | busybox sort
    '
"""


def test_a_volume_is_given_away(corpus: Corpus, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    native = corpus.native("/bin/busybox", "sh", "-c", GIVE_AWAY)
    enclave = corpus.enclave("/bin/busybox", "sh", "-c", GIVE_AWAY, options=("-v", f"{tmp_path}:/data"))
    assert (enclave.status, enclave.stdout) == (native.status, native.stdout), enclave.stderr.decode()
    assert b"db/deep/new 1000:1000 600" in enclave.stdout
    assert {path.stat().st_uid for path in (tmp_path / "db").rglob("*")} == {1000}


@pytest.mark.parametrize("options", [(), ("--cap-drop", "chown")], ids=["default", "dropped"])
def test_a_volume_that_is_nobodys(corpus: Corpus, options: tuple[str, ...]) -> None:
    """It ends with the container, and is given away as well, unless that is dropped."""
    script = "busybox mkdir /data/a && busybox chown user /data/a && busybox stat -c %u /data/a"
    enclave = corpus.enclave("/bin/busybox", "sh", "-c", script, options=options)
    assert enclave.stdout == (b"" if options else b"1000\n"), enclave.stderr.decode()
    assert (b"Operation not permitted" in enclave.stderr) == bool(options)


def test_a_capability_that_nobody_knows(corpus: Corpus) -> None:
    enclave = corpus.enclave("/bin/hello", options=("--cap-add", "fly"))
    assert enclave.status == 125
    assert b"--cap-add 'fly': unknown capability" in enclave.stderr


def test_a_mountpoint_does_not_outlive_its_run(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given\n")
    options = ("-v", f"{tmp_path / 'given'}:/mnt/new/file")
    given = corpus.enclave("/bin/busybox", "cat", "/mnt/new/file", options=options)
    assert given.stdout == b"given\n", given.stderr.decode()
    trees = list((Path(corpus.environment["XDG_CACHE_HOME"]) / "enclavize" / "unpacked").glob("*/"))
    assert trees
    assert not any((tree / "mnt" / "new").exists() for tree in trees)
