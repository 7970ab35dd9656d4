"""Tests of Go's own packages, of Debian's golang-src: static programs, one a package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.foreign import OWN_NETWORK, PASSED, Chroot, Expected, differences
from support.programs import need
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from support.tee import TeeTree

pytestmark = pytest.mark.integration

QUICK = (
    "context", "internal/poll", "io", "io/fs", "net", "net/http", "os", "os/exec", "path/filepath", "sync",
)  # fmt: skip
LONG = (
    "archive/tar", "bufio", "compress/gzip", "crypto/tls", "log/syslog", "math/big", "net/http/cgi",
    "net/http/fcgi", "net/http/httptest", "net/http/httputil", "net/rpc", "net/smtp", "net/textproto",
    "os/signal", "sync/atomic",
)  # fmt: skip
PACKAGES = QUICK if scaled(100) < 100 else (*QUICK, *LONG)
SOURCES = "usr/share/go/src"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "TZ": "UTC"}
TIMEOUT = 900
OUTCOME = re.compile(r"--- (PASS|FAIL|SKIP): (Test\w+) ", re.MULTILINE)
WORDS = {"PASS": PASSED, "FAIL": "failed", "SKIP": "skipped"}
DIRECTORY = """package {name}_test

import "os"

func init() {{
	if err := os.Chdir("/{folder}"); err != nil {{
		panic(err)
	}}
}}
"""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The test programs in a folder, and in the enclave."""

    chroot: Chroot
    tree: TeeTree


def program(package: str) -> str:
    """Return the path of a package's test program in the image."""
    return f"/bin/{package.replace('/', '_')}.test"


def _compile(package: str, sources: Path, root: Path, scratch: Path) -> None:
    """Compile a package's tests; they start in the package's folder, as under ``go test``."""
    folder = root / SOURCES / package
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-R", f"{(sources / package).resolve()}/.", folder], check=True)
    directory = scratch / f"{package.replace('/', '_')}.go"
    directory.write_text(DIRECTORY.format(name=Path(package).name, folder=f"{SOURCES}/{package}"))
    overlay = scratch / "overlay.json"
    overlay.write_text(json.dumps({"Replace": {f"{sources / package}/directory_test.go": str(directory)}}))
    environment = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off"}
    output = root / program(package).lstrip("/")
    subprocess.run(
        ["go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", output, package],
        cwd=sources, env=environment, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Compile and convert the programs once."""
    need("go", "umoci", "skopeo")
    found = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True)
    sources = Path(found.stdout.strip()) / "src"
    if not (sources / "os" / "os_test.go").is_file():
        pytest.skip("the sources of Go's tests are not installed here")
    base = tmp_path_factory.mktemp("go")
    root = base / "rootfs"
    for folder in ("bin", "dev", "etc", "proc", "tmp"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    shutil.copytree(sources / "testdata", root / SOURCES / "testdata")
    for package in PACKAGES:
        _compile(package, sources, root, base)
    config = [
        argument for name, value in ENVIRONMENT.items() for argument in ("--config.env", f"{name}={value}")
    ]
    image = ordinary_image(base / "layout", root, config=["--config.cmd", program("os"), *config])
    tree = Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--allow-network", "all",
        "--set", "memory=2G", "--set", "threads=64",
    )  # fmt: skip
    return Suite(chroot=Chroot(root=root), tree=tree)


def listed(package: str, suite: Suite) -> list[str]:
    """Return the names of a package's tests."""
    done = suite.chroot.run(program(package), "-test.list=^Test", environment=ENVIRONMENT, timeout=TIMEOUT)
    return [name for name in done.stdout.decode().splitlines() if name.startswith("Test")]


def outcomes(package: str, done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    """Return what became of each test; of none after one that ends the program."""
    found = OUTCOME.findall(done.stdout.decode(errors="replace"))
    return {f"{package}.{test}": WORDS[word] for word, test in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_what_passes_natively_passes_in_the_enclave(package: str, suite: Suite) -> None:
    expected = Expected.of("go")
    names = [name for name in listed(package, suite) if f"{package}.{name}" not in expected.left_out]
    argv = (program(package), "-test.v", "-test.short", f"-test.run=^({'|'.join(names)})$")
    done = suite.chroot.run(*argv, environment=ENVIRONMENT, timeout=TIMEOUT)
    assert done.stdout.endswith((b"PASS\n", b"FAIL\n")), done.stderr.decode()
    native = outcomes(package, done)
    inside = outcomes(package, suite.tree.run(*argv, wrapper=OWN_NETWORK, timeout=TIMEOUT))
    assert not (lines := differences(package, native, inside, expected)), "\n".join(lines)
