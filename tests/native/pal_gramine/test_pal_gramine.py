"""The runelet for Gramine with a script in place of Gramine's loader: what is started and refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclavize.resources import native_file
from support.programs import need

if TYPE_CHECKING:
    from collections.abc import Mapping

LOADER = """#!/bin/sh
for argument in "$@"; do printf 'argument %s\\n' "$argument"; done
printf 'TOKEN %s\\nLD_PRELOAD %s\\n' "$TOKEN" "$LD_PRELOAD"
exit 42
"""
WAITER = """#!/bin/sh
trap 'echo ended; exit 3' TERM
echo ready
while :; do sleep 0.05; done
"""
SIGSTRUCT_SIZE = 1808


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A Gramine instance in a folder, without Gramine."""

    root: Path

    def environment(self, *, simulate: bool = True, **more: str) -> dict[str, str]:
        return {
            "ENCLAVIZE_INSTANCE": str(self.root / "instance"),
            **({"ENCLAVIZE_SIMULATE": "1"} if simulate else {}),
            **more,
        }

    def run(
        self, *arguments: str, simulate: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [native_file("runelet-gramine"), *arguments],
            env=self.environment(simulate=simulate, **(environment or {})),
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def write(self, path: str, content: str | bytes, mode: int = 0o444) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    """Return a complete instance."""
    made = Instance(root=tmp_path)
    made.write("gramine/direct/loader", LOADER, 0o555)
    made.write("gramine/direct/libpal.so", "a stand-in", 0o555)
    made.write("gramine/sgx/loader", LOADER, 0o555)
    made.write("gramine/sgx/libpal.so", "a stand-in")
    made.write("gramine/libsysdb.so", "a stand-in")
    made.write("instance/app.manifest.sgx", "[sgx]\nallowed_files = [\n]\n")
    made.write("instance/app.sig", b"\1" * SIGSTRUCT_SIZE)
    (tmp_path / "instance" / "app.manifest").symlink_to("app.manifest.sgx")
    return made


def test_direct_mode_is_started_with_the_manifests_path_and_the_arguments(instance: Instance) -> None:
    done = instance.run("one", "two words")
    assert done.stdout.splitlines()[:5] == [
        f"argument {instance.root}/gramine/direct/libpal.so",
        "argument init",
        f"argument {instance.root}/instance/app",
        "argument one",
        "argument two words",
    ]
    assert done.returncode == 42
    assert "Gramine's direct mode protects NOTHING" in done.stderr


def test_loaders_variables_and_our_own_are_dropped(instance: Instance) -> None:
    done = instance.run(environment={"TOKEN": "x", "LD_PRELOAD": "/nowhere.so", "ENCLAVIZE_OTHER": "y"})
    assert done.stdout.splitlines()[-2:] == ["TOKEN x", "LD_PRELOAD "]


def test_the_images_defaults_give_the_loader_nothing_of_its_own(instance: Instance) -> None:
    """They are no more trusted than the host: the loader runs outside of any enclave."""
    instance.write("instance/defaults", b"VLD_PRELOAD=/nowhere.so\0VLD_LIBRARY_PATH=/\0VTOKEN=a\0")
    assert instance.run().stdout.splitlines()[-2:] == ["TOKEN a", "LD_PRELOAD "]


def test_defaults_stand_where_the_host_gives_nothing(instance: Instance) -> None:
    instance.write("instance/defaults", b"Afirst\0Cshow\0VTOKEN=a\nb\0")
    assert "argument first\nargument show\nTOKEN a\nb\n" in instance.run().stdout
    chosen = instance.run("mine", environment={"TOKEN": "c"}).stdout
    assert "argument first\nargument mine\nTOKEN c\n" in chosen
    assert "show" not in chosen


@pytest.mark.parametrize("content", [b"A", b"\0\0\0", b"Axxx", b"VTOKEN", b"?\0A\0V\0", b"V=x\0"])
def test_odd_defaults_do_no_harm(instance: Instance, content: bytes) -> None:
    instance.write("instance/defaults", content)
    assert instance.run().returncode == 42


def test_the_end_by_a_signal_is_told(instance: Instance) -> None:
    instance.write("gramine/direct/loader", "#!/bin/sh\nkill -SEGV $$\n", 0o555)
    assert instance.run().returncode == 128 + signal.SIGSEGV


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_what_asks_for_an_end_is_sigterm(instance: Instance, number: int) -> None:
    instance.write("gramine/direct/loader", WAITER, 0o555)
    with subprocess.Popen(
        [native_file("runelet-gramine")],
        env=instance.environment(PATH=os.defpath),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGWINCH)
        time.sleep(0.1)
        process.send_signal(number)
        assert process.stdout.read() == "ended\n"
        assert process.wait(120) == 3


def test_the_child_ends_with_the_runelet(instance: Instance) -> None:
    instance.write("gramine/direct/loader", "#!/bin/sh\necho $$\nexec sleep 100\n", 0o555)
    with subprocess.Popen(
        [native_file("runelet-gramine")],
        env=instance.environment(PATH=os.defpath),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        assert process.stdout.read() == ""
    for _ in range(100):
        if not Path(f"/proc/{child}/stat").exists():
            return
        time.sleep(0.05)
    raise AssertionError("the child is still there")


@pytest.mark.parametrize(
    ("path", "content", "mode", "message"),
    [
        ("gramine/direct/loader", None, 0, "direct/loader: No such file"),
        ("gramine/libsysdb.so", None, 0, "libsysdb.so: No such file"),
        ("instance/app.manifest.sgx", None, 0, "app.manifest: No such file"),
        ("gramine/libsysdb.so", "", 0o444, "not a file with content"),
        ("gramine/direct/loader", LOADER, 0o444, "direct/loader: Permission denied"),
        ("gramine/direct/loader", "#!/nowhere\n", 0o555, "cannot be started: No such file"),
        ("instance/app.sig", None, 0, "app.sig: No such file"),
        ("instance/app.sig", b"\1" * (SIGSTRUCT_SIZE + 1), 0o444, "not a SIGSTRUCT of 1808 bytes"),
        ("instance/app.sig", bytes(SIGSTRUCT_SIZE), 0o444, "is not signed"),
        ("instance/defaults", bytes((1 << 20) + 1), 0o444, "at most 1048576 bytes"),
    ],
)
def test_what_is_wrong_with_an_instance_is_told(
    instance: Instance, path: str, content: str | bytes | None, mode: int, message: str
) -> None:
    if content is None:
        (instance.root / path).unlink()
    else:
        instance.write(path, content, mode)
    done = instance.run()
    assert done.returncode == 125
    assert message in done.stderr


def test_without_sgx_direct_mode_must_be_asked_for(instance: Instance) -> None:
    if Path("/dev/sgx_enclave").exists():
        pytest.skip("this machine has SGX")
    done = instance.run(simulate=False)
    assert done.returncode == 125
    assert "/dev/sgx_enclave is missing" in done.stderr
    assert "ENCLAVIZE_SIMULATE=1" in done.stderr


def test_the_root_is_the_containers(instance: Instance) -> None:
    done = instance.run(environment={"ENCLAVIZE_ROOT": "/somewhere"})
    assert (done.returncode, "the container's own root" in done.stderr) == (125, True)


def test_a_second_command_is_refused(instance: Instance) -> None:
    """In a mount namespace of its own: another test's enclave beside it would take the command."""
    need("unshare")
    done = subprocess.run(
        ["unshare", "--mount", native_file("runelet-gramine"), "exec", "--", "ls"],
        env=instance.environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "no runelet of this container answers" in done.stderr) == (126, True)


def test_the_library_exports_the_pal_api() -> None:
    import ctypes

    library = ctypes.CDLL(str(native_file("liberpal-gramine.so")))
    assert library.pal_get_version() == 3
    assert library.pal_get_local_report(None, 0, None, None) == -38
    assert library.pal_kill(1, 15) == -3
    assert library.pal_create_process(None) == -22


def test_an_ignored_sigchld_is_not_inherited(instance: Instance) -> None:
    done = subprocess.run(
        ["sh", "-c", 'trap "" CHLD; exec "$0"', native_file("runelet-gramine")],
        env=instance.environment(PATH=os.defpath), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 42, done.stderr


LIBRARY_USER = """
import ctypes, os, signal, sys
class Attributes(ctypes.Structure):
    _fields_ = [("args", ctypes.c_char_p), ("log_level", ctypes.c_char_p), ("fd", ctypes.c_int),
                ("addr", ctypes.c_uint64)]
class Create(ctypes.Structure):
    _fields_ = [("path", ctypes.c_char_p), ("argv", ctypes.c_void_p), ("env", ctypes.c_void_p),
                ("stdio", ctypes.c_void_p), ("pid", ctypes.POINTER(ctypes.c_int))]
class Exec(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_int), ("exit_value", ctypes.POINTER(ctypes.c_int))]
library = ctypes.CDLL(sys.argv[1])
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
none = (ctypes.c_char_p * 1)()
before = os.listdir("/proc/self/fd")
for number, expected in ((signal.SIGKILL, 137), (signal.SIGINT, 143), (0, 42), (None, None)) * 3:
    attributes = Attributes(b"instance=" + sys.argv[2].encode() + b" mode=sim", None, 0, 0)
    assert library.pal_init(ctypes.byref(attributes)) == 0
    pid, value = ctypes.c_int(0), ctypes.c_int(0)
    create = Create(b"", ctypes.addressof(none), ctypes.addressof(none), None, ctypes.pointer(pid))
    assert library.pal_create_process(ctypes.byref(create)) == 0
    if number:
        assert library.pal_kill(pid, number) == 0
        os.waitid(os.P_PID, pid.value, os.WEXITED | os.WNOWAIT)
    if expected:
        assert library.pal_exec(ctypes.byref(Exec(pid.value, ctypes.pointer(value)))) == 0
        assert value.value == expected, value
        assert library.pal_kill(pid, 9) == -3
    assert library.pal_destroy() == 0
    assert library.pal_exec(ctypes.byref(Exec(pid.value, ctypes.pointer(value)))) == -3
    assert not os.path.exists(f"/proc/{pid.value}")
assert os.listdir("/proc/self/fd") == before
"""


def test_a_child_that_dies_before_it_runs_harms_nobody(instance: Instance) -> None:
    library = native_file("liberpal-gramine.so")
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY_USER, library, instance.root],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
