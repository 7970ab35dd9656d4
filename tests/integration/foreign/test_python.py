"""CPython's own tests, of Debian's libpython3.11-testsuite."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.downloads import debian
from support.foreign import OWN_NETWORK, Chroot, Expected, differences
from support.programs import REPOSITORY, need
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from support.tee import TeeTree

pytestmark = pytest.mark.integration

DRIVER = REPOSITORY / "tests" / "integration" / "foreign" / "run_unittests.py"
PYTHON = "/usr/bin/python3.11"
LIBRARY = "usr/lib/python3.11"
PROGRAMS = ("env", "id")
"""What tests start from there; ``/bin`` stays whole."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/tmp"}
TIMEOUT = 1500
QUICK = (
    "test_epoll", "test_fcntl", "test_file", "test_fileio", "test_fork1", "test_mmap",
    "test_multiprocessing_fork.WithProcessesTestPool", "test_multiprocessing_fork.WithProcessesTestQueue",
    "test_os", "test_poll", "test_posix", "test_posixpath", "test_pty", "test_resource", "test_select",
    "test_shutil", "test_subprocess.RunFuncTestCase", "test_tempfile", "test_threadsignals", "test_time",
    "test_wait3", "test_wait4",
)  # fmt: skip
LONG = (
    "test_bufio", "test_concurrent_futures", "test_ctypes", "test_io", "test_largefile", "test_lzma",
    "test_multiprocessing_fork", "test_multiprocessing_forkserver", "test_multiprocessing_main_handling",
    "test_pathlib", "test_popen", "test_queue",
    "test_selectors", "test_shelve", "test_signal", "test_subprocess", "test_tarfile", "test_thread",
    "test_threading", "test_zipfile",
)  # fmt: skip
NETWORK_QUICK = (
    "test_asyncio.test_selector_events", "test_asyncio.test_streams", "test_asyncio.test_unix_events",
    "test_httplib", "test_httpservers", "test_socket", "test_socketserver", "test_urllib2_localnet",
)  # fmt: skip
NETWORK_LONG = (
    "test_asyncio.test_base_events", "test_asyncio.test_events", "test_asyncio.test_sendfile",
    "test_asyncio.test_server", "test_asyncio.test_sock_lowlevel", "test_asyncio.test_sslproto",
    "test_asyncio.test_subprocess", "test_asyncio.test_tasks", "test_asynchat", "test_asyncore",
    "test_ftplib", "test_imaplib", "test_nntplib", "test_poplib", "test_smtpd", "test_smtplib", "test_ssl",
    "test_telnetlib", "test_timeout", "test_urllib2", "test_wsgiref", "test_xmlrpc",
)  # fmt: skip
IMPORTED = ("_test_multiprocessing", "fork_wait", "test_dbm", "test_genericpath", "test_urllib")  # by others
IS_QUICK = scaled(100) < 100
NETWORK = NETWORK_QUICK if IS_QUICK else (*NETWORK_QUICK, *NETWORK_LONG)
"""Modules that wait for most of their time: both sides of one run at once."""
MODULES = (*QUICK, *NETWORK) if IS_QUICK else (*QUICK, *LONG, *NETWORK)
KEPT = {module.partition(".")[0] for module in (*MODULES, *IMPORTED)}
OUTCOME = re.compile(r"^@@ (begin|passed|failed|skipped) (\S+) ?(.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The suite in a folder, and in the enclave."""

    chroot: Chroot
    tree: TeeTree


def _not_run(folder: str, names: Sequence[str]) -> list[str]:
    """Return what of a folder no chosen module needs: other tests, programs other than Python."""
    if folder.endswith(f"{LIBRARY}/test"):
        return [name for name in names if name.startswith("test_") and name.partition(".")[0] not in KEPT]
    if folder.endswith("/usr/bin"):
        return [name for name in names if not name.startswith("python") and name not in PROGRAMS]
    return [name for name in names if name in {"idlelib", "lib2to3", "ensurepip", "doc", "perl-base"}]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Convert Debian's Python with its tests once. The byte code is compiled, as Debian's packages do it."""
    need("umoci", "skopeo")
    base = tmp_path_factory.mktemp("python")
    root = base / "rootfs"
    shutil.copytree(
        debian("bookworm", "python3.11", "libpython3.11-testsuite", "dash", "coreutils"),
        root,
        symlinks=True,
        ignore=_not_run,
    )
    shutil.copy(DRIVER, root / DRIVER.name)
    for folder in ("dev", "proc", "tmp", "root"):
        (root / folder).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc" / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
    chroot = Chroot(root=root)
    compiled = chroot.run(
        PYTHON, "-m", "compileall", "-q", "-x", "/test/test_", f"/{LIBRARY}",
        environment=ENVIRONMENT, timeout=TIMEOUT,
    )  # fmt: skip
    assert compiled.returncode in {0, 1}, compiled.stderr  # 1: some of the tests' files are not Python
    config = [
        argument for name, value in ENVIRONMENT.items() for argument in ("--config.env", f"{name}={value}")
    ]
    image = ordinary_image(base / "layout", root, config=["--config.cmd", PYTHON, *config])
    tree = Converter.create(base).tree(
        image, "tree", "--debug", "--allow-args", "--allow-network", "all",
        "--set", "memory=4G", "--set", "threads=128",
    )  # fmt: skip
    return Suite(chroot=chroot, tree=tree)


def outcomes(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    """Return what became of each test: a word, and for a failure the reason behind it."""
    found = {}
    for word, test, why in OUTCOME.findall(done.stdout.decode(errors="replace")):
        found[test] = {"begin": f"never ended, exit code {done.returncode}", "failed": why}.get(word, word)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_what_passes_natively_passes_in_the_enclave(module: str, suite: Suite) -> None:
    expected = Expected.of("python")
    argv: Sequence[str] = (PYTHON, f"/{DRIVER.name}", module, *expected.without(module))
    with ThreadPoolExecutor(2 if module in NETWORK else 1) as pool:
        natively = pool.submit(suite.chroot.run, *argv, environment=ENVIRONMENT, timeout=TIMEOUT)
        in_enclave = pool.submit(suite.tree.run, *argv, wrapper=OWN_NETWORK, timeout=TIMEOUT)
    native, inside = outcomes(natively.result()), outcomes(in_enclave.result())
    assert "passed" in native.values()
    assert not (lines := differences(module, native, inside, expected)), "\n".join(lines)
