"""The daemon's memory over many conversions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enclavize.node.protocol import ask
from enclavize.signing.keys import generate_key
from support.command import REPOSITORY
from support.scale import scaled

pytestmark = pytest.mark.integration

MIB = 1 << 20
LARGE = 4 * MIB
WARM = 5
ALLOWED = 16 * MIB
"""What an allocator may keep; the files of four conversions, if they stayed."""

DAEMON = """
import sys
from pathlib import Path
from enclavize.cli.grammar.configured import Configured
from enclavize.cli.grammar.configured_options import options_of_file
from enclavize.node.daemon import Daemon, NodeSettings, listen
from enclavize.node.engines.found import FoundImage
from enclavize.node.engines.peer import EngineSettings
from enclavize.node.trees import Trees
from enclavize.oci.digest import sha256_digest
from enclavize.oci.location import parse_location
from enclavize.oci.platform import LINUX_AMD64
from enclavize.oci.resolve import resolve
from enclavize.pipeline.options import KeySigner
from enclavize.progress import Reporter

folder = Path(sys.argv[1])


class Layout:
    has_pods = False

    def find(self, container):
        image = self._open(None)
        return FoundImage(
            name="layout", config_digest=sha256_digest(image.config_bytes), labels={}, open=self._open
        )

    def _open(self, cache):
        return resolve(parse_location(f"oci:{folder / 'image'}:1"), cache=cache, reporter=Reporter())


settings = NodeSettings(
    socket=folder / "run" / "socket", rules=folder / "rules", jobs=2, engines=EngineSettings(docker_host=""),
    options_of=lambda configuration, source: options_of_file(
        Configured(configuration), source=source, platform=LINUX_AMD64,
        signer=KeySigner(reference=str(folder / "key.pem")),
    ),
)
with listen(settings.socket) as listener:
    print("listening", flush=True)
    Daemon(settings, Trees(folder / "cache", 64 << 20), lambda pid, settings: Layout()).serve(listener)
"""


def test_the_daemons_memory_stays_where_it_is(layout: Path, tmp_path: Path) -> None:
    """Each conversion is another one, by its rule; the cache holds a few of them."""
    subprocess.run(["cp", "-r", layout, tmp_path / "image"], check=True)
    (tmp_path / "large").write_bytes(os.urandom(LARGE))
    insert = ["umoci", "insert", "--image", f"{tmp_path / 'image'}:1", f"{tmp_path}/large", "/large"]
    subprocess.run(insert, check=True, capture_output=True)
    generate_key(tmp_path / "key.pem")
    for name in ("rules", "bundle"):
        (tmp_path / name).mkdir()
    (tmp_path / "bundle" / "config.json").write_text(json.dumps({"root": {"path": "rootfs"}}))
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as daemon:
        try:
            assert daemon.stdout
            assert daemon.stdout.readline() == b"listening\n"
            used = [_converted(tmp_path, number, daemon.pid) for number in range(scaled(500, least=20))]
        finally:
            daemon.kill()
    assert max(used[WARM:]) - used[WARM] < ALLOWED, used


def _converted(folder: Path, number: int, pid: int) -> int:
    """Have the image converted in another way; return the daemon's memory in bytes."""
    (folder / "rules" / "all.toml").write_text(f"isvsvn = {number}\n")
    socket = folder / "run" / "socket"
    bundle = str(folder / "bundle")
    assert ask(socket, operation="convert", id=f"c{number}", bundle=bundle)["tree"]
    status = ask(socket, operation="status")["status"]
    assert status["converted"] == number + 1
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))
