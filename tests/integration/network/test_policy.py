"""The measured policy about the network: what a build makes of an image, and that it is kept inside."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, need, need_root, static_musl
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.tee import TeeTree

pytestmark = pytest.mark.integration

PROGRAM = REPOSITORY / "tests" / "native" / "programs" / "network_policy.c"
BOTH_FAMILIES = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program, compiled for this machine."""
    need("musl-gcc", "umoci", "skopeo")
    need_root()
    folder = tmp_path_factory.mktemp("program")
    static_musl(PROGRAM, folder / "network_policy")
    return folder / "network_policy"


@pytest.fixture(scope="module")
def convert(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TeeTree]:
    """Return what converts an image of the program: with these options, and exposing ports."""
    base = tmp_path_factory.mktemp("network")
    converter = Converter.create(base)
    made: dict[tuple[object, ...], TeeTree] = {}

    def build(*options: str, ports: tuple[str, ...] = ()) -> TeeTree:
        if (options, ports) not in made:
            exposed = [word for port in ports for word in ("--config.exposedports", port)]
            config = ["--config.cmd", "/network_policy", *exposed]
            image = ordinary_image(base / f"layout{len(made)}", program.parent, config=config)
            made[options, ports] = converter.tree(image, f"tee{len(made)}", "--allow-args", *options)
        return made[options, ports]

    return build


def network_of(tree: TeeTree) -> str:
    """Return what ``enclave.json`` says; verifying compares it with what is measured."""
    described = json.loads((tree.root / ".enclave" / "enclave.json").read_text())
    return str(described["policy"].get("network", "none"))


def answers(output: bytes) -> dict[str, str]:
    """Return the answer to each call."""
    return dict(line.rsplit(": ", 1) for line in output.decode().splitlines())


def test_an_image_that_exposes_a_port_has_the_whole_network(
    program: Path, convert: Callable[..., TeeTree]
) -> None:
    tree = convert(ports=("8080/tcp",))
    assert network_of(tree) == "all"
    native = subprocess.run([program], capture_output=True, check=True)
    done = tree.run()
    assert done.returncode == 0, done.stderr
    assert done.stdout == native.stdout
    assert set(answers(done.stdout).values()) == {"allowed", "everywhere"}


def test_any_other_image_has_loopback_alone(convert: Callable[..., TeeTree]) -> None:
    tree = convert()
    assert network_of(tree) == "loopback"
    done = tree.run()
    assert done.returncode == 0, done.stderr
    found = answers(done.stdout)
    allowed = {call for call, answer in found.items() if answer == "allowed"}
    # The unspecified address is this machine for those who reach out, and everybody for those who listen.
    reached = {
        f"{call} {address}" for call in ("sendto", "connect") for address in BOTH_FAMILIES | {"0.0.0.0", "::"}
    }
    bound = {f"bind {address}" for address in BOTH_FAMILIES}
    assert allowed == {"socket", "a connection over loopback"} | reached | bound
    assert found["listen without a name"] == "loopback"
    (line,) = [line for line in done.stderr.decode().splitlines() if "--allow-network" in line]
    assert line.startswith("enclave: bind to 0.0.0.0 port 0: the measured policy allows loopback only")


def test_what_was_asked_for_counts_more_than_ports(convert: Callable[..., TeeTree]) -> None:
    tree = convert("--allow-network", "none", ports=("8080/tcp",))
    assert network_of(tree) == "none"
    done = tree.run()
    assert answers(done.stdout) == {"socket": "refused"}
    assert (
        b"socket: the measured policy allows no network (build with --allow-network loopback or all)"
        in done.stderr
    )


def test_proc_tells_of_the_sockets_of_the_program(program: Path, convert: Callable[..., TeeTree]) -> None:
    native = subprocess.run([program, "proc"], capture_output=True, check=True)
    done = convert(ports=("8080/tcp",)).run("/network_policy", "proc")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(native.stdout.splitlines())


def test_interfaces_are_the_hosts_or_one_that_is_made_inside(
    program: Path, convert: Callable[..., TeeTree]
) -> None:
    native = subprocess.run([program, "interfaces"], capture_output=True, check=True)
    done = convert(ports=("8080/tcp",)).run("/network_policy", "interfaces")
    assert done.returncode == 0, done.stderr
    assert done.stdout == native.stdout
    alone = convert().run("/network_policy", "interfaces")
    assert alone.stdout.decode().splitlines() == [
        "lo 49 family 17   index 1",
        "lo 49 family 2 127.0.0.1 255.0.0.0 index 1",
        "lo 49 family 10 ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff index 1",
        "lo 127.0.0.1 mask ff000000 mtu 65536",
    ]


def asked_of_the_host(tree: TeeTree, log: Path) -> dict[str, set[str]]:
    """Run the program; return the addresses that the host's kernel was asked for by system call."""
    calls = "trace=socket,bind,connect,sendto,sendmsg"
    done = tree.run(wrapper=("strace", "-f", "-qq", "-e", calls, "-o", str(log)))
    assert done.returncode == 0, done.stderr
    asked: dict[str, set[str]] = {"socket": set(re.findall(r" socket\((AF_INET6?)", log.read_text()))}
    for line in log.read_text().splitlines():
        if called := re.search(r" (\w+)\(.*(?:inet_addr\(|AF_INET6, )\"([^\"]+)\"", line):
            asked.setdefault(called[1], set()).add(called[2])
    return asked


def test_what_is_refused_the_host_is_not_asked_for(convert: Callable[..., TeeTree], tmp_path: Path) -> None:
    need("strace")
    everything = asked_of_the_host(convert(ports=("8080/tcp",)), tmp_path / "all")
    assert everything["socket"] == {"AF_INET", "AF_INET6"}
    assert everything["bind"] - BOTH_FAMILIES
    assert everything["connect"] - BOTH_FAMILIES - {"0.0.0.0", "::"}
    loopback = asked_of_the_host(convert(), tmp_path / "loopback")
    assert loopback["bind"] == BOTH_FAMILIES
    assert loopback["connect"] == loopback["sendmsg"] == BOTH_FAMILIES | {"0.0.0.0", "::"}
    nothing = asked_of_the_host(convert("--allow-network", "none", ports=("8080/tcp",)), tmp_path / "nothing")
    assert nothing == {"socket": set()}
