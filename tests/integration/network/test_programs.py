"""Other people's servers in enclaves, all at once, with all kinds of clients: every answer is right.

They have a network namespace of their own, with the ports that people give them.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.network.programs import PROGRAMS, TEN_KILOBYTES, told, tree
from support.downloads import debian
from support.network_namespace import network_namespace
from support.programs import go_program, need, need_root
from support.scale import scaled
from support.tee import TeeTree

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from integration.network.programs import Program
    from support.network_namespace import NetworkNamespace

pytestmark = pytest.mark.integration

START_TIMEOUT = 300
SETTLE_TIMEOUT = 60
WARM_UP_SECONDS = max(30, scaled(620) - 21)
"""Of half an hour ten minutes: Node keeps what crowds over TLS took, 40 MB and more, natively as well."""
LOAD_SECONDS = max(180, scaled(1_240) - 32)
PATIENCE = 1_500
"""Seconds that the busiest machine may take beyond those: crowds come one after the other."""
BEHIND_OTHERS = ("nice", "-n", "5")
"""Of the clients: so much load for so long is not to slow down the tests that run beside."""
CROWD = scaled(1_000, least=150)
CONNECTIONS = 1_000
GROWTH = 16 << 10
"""Kibibytes by which a server may grow while it works on,"""
GROWTH_OF_COLLECTORS = 48 << 10
"""and a run-time system that compiles, or collects garbage when it thinks fit, as natively."""
COLLECTORS = frozenset({"go", "java", "large", "node", "python"})
COLLECTION_TIMEOUT = 200
"""Go collects garbage every two minutes, if nobody makes any, and gives memory back behind that."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server in its enclave."""

    program: Program
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def descriptors(self) -> int:
        """How many sockets and the like the host's process has. Of the image's files it opens up to 128."""
        count = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += not str(link.readlink()).startswith("/")
        return count

    @property
    def resident(self) -> int:
        """Kibibytes of the host's process, with all of the enclave."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


@dataclass(frozen=True, kw_only=True)
class Rest:
    """What a server holds when nobody asks it anything: seen by the host, and by itself where it tells."""

    descriptors: int
    resident: int
    inside: Mapping[str, int]

    def has_grown(self, other: Rest, growth: int) -> bool:
        """Compare descriptors and memory, on both sides; memory may have grown by so many kibibytes."""
        mine, others = self._seen(), other._seen()
        allowed = (0, 0, growth, growth)
        return any(one > was + more for one, was, more in zip(mine, others, allowed, strict=True))

    def _seen(self) -> tuple[int, ...]:
        inside = (self.inside.get("descriptors", 0), self.inside.get("VmRSS", 0))
        return (self.descriptors, inside[0], self.resident, inside[1])


@dataclass(frozen=True, kw_only=True)
class Servers:
    """All of them, and the clients' program."""

    network: NetworkNamespace
    running: tuple[Running, ...]
    crowd: Path
    left_out: frozenset[str]
    """Why images of the table cannot be had here."""

    def serve(self, seconds: float, crowd: int) -> dict[str, dict[str, int]]:
        """Let all clients at all servers for some time; return the numbers of answers. None may be wrong."""
        targets = told(target for one in self.running for target in one.program.targets)
        command = (*BEHIND_OTHERS, self.crowd, str(seconds), str(crowd))
        done = self.network.run(*command, stdin=targets, timeout=seconds + PATIENCE / 2)
        assert done.returncode == 0, done.stderr + self.ended()
        return dict(json.loads(done.stdout))

    def ended(self) -> str:
        """Return what those said last that are no longer there."""
        gone = [one for one in self.running if one.process.poll() is not None]
        return "\n".join(f"{one.program.name} ended: {one.log.read_text()[-2000:]}" for one in gone)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Start them all. Those whose programs cannot be had here are left out."""
    need("ss", "go")
    need_root()
    base = tmp_path_factory.mktemp("programs")
    images: dict[str, TeeTree] = {}
    left_out = set()
    for name in dict.fromkeys(program.image for program in PROGRAMS):
        try:
            images[name] = TeeTree(root=tree(name, base))
        except pytest.skip.Exception as reason:
            left_out.add(f"{name}: {reason}")
    if not images:
        pytest.skip("; ".join(sorted(left_out)))
    crowd = go_program(Path(__file__).parent / "crowd", base / "crowd")
    with network_namespace() as network, contextlib.ExitStack() as stack:
        running = []
        for program in PROGRAMS:
            if program.image not in images:
                continue
            log = base / f"{program.name}.log"
            with log.open("wb") as output:
                process = images[program.image].start(*program.run, wrapper=network.wrapper, output=output)
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(Running(program=program, process=process, log=log))
        made = Servers(network=network, running=tuple(running), crowd=crowd, left_out=frozenset(left_out))
        _wait_for_all(made)
        yield made


def _wait_for_all(servers: Servers) -> None:
    wanted = {
        int(target.address.rpartition(":")[2]) for one in servers.running for target in one.program.targets
    }
    end = time.monotonic() + START_TIMEOUT
    while missing := wanted - servers.network.listening():
        assert not servers.ended(), servers.ended()
        assert time.monotonic() < end, f"nobody listens at {missing}"
        time.sleep(0.2)


def test_all_servers_of_the_table_are_there(servers: Servers) -> None:
    if servers.left_out:
        pytest.skip("; ".join(sorted(servers.left_out)))
    assert len(servers.running) == len(PROGRAMS)


@pytest.mark.timeout(WARM_UP_SECONDS + LOAD_SECONDS + PATIENCE)
def test_every_answer_is_right_and_nothing_grows(servers: Servers) -> None:
    """Mixed load on all at once: memory and descriptors stay as they are once all have warmed up."""
    servers.serve(WARM_UP_SECONDS, CROWD)
    before = {one.program.name: _settled(servers, one) for one in servers.running}
    answers = servers.serve(LOAD_SECONDS, CROWD)
    print(json.dumps(answers))
    grown = []
    for one in servers.running:
        was, growth = before[one.program.name], _growth(one)
        now = _settled(servers, one, was)
        print(one.program.name, was, now)
        if now.has_grown(was, growth):
            grown.append(f"{one.program.name}: {was}, then {now}")
    assert not grown, "\n".join(grown)


def _growth(one: Running) -> int:
    return GROWTH_OF_COLLECTORS if one.program.image in COLLECTORS else GROWTH


def _settled(servers: Servers, one: Running, wanted: Rest | None = None) -> Rest:
    """Return what a server holds, after a while if it is still more than wanted."""
    patience = COLLECTION_TIMEOUT if wanted and one.program.image in COLLECTORS else SETTLE_TIMEOUT
    end = time.monotonic() + patience
    seen = None
    while True:
        inside = _about_self(servers, one) if one.program.about_self else {}
        now = Rest(descriptors=one.descriptors, resident=one.resident, inside=inside)
        before = wanted or seen
        if (before and not now.has_grown(before, _growth(one))) or time.monotonic() > end:
            return now
        seen = now
        time.sleep(0.5)


def _about_self(servers: Servers, one: Running) -> dict[str, int]:
    """Return what the program reads about itself."""
    url = f"http://{one.program.targets[0].address}{one.program.about_self}"
    _, text = servers.network.get(url)
    return {
        name: int(value) for name, value in re.findall(r"^(descriptors|VmRSS):\s+(\d+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", ["nginx", "caddy", "go-static", "node", "java-nio", "uvicorn-fastapi"])
def test_wrk_keeps_a_thousand_connections(servers: Servers, name: str) -> None:
    found = [target for one in servers.running for target in one.program.targets if target.name == name]
    if not found:
        pytest.skip(f"{name} cannot be had here")
    url = f"http://{found[0].address}{found[0].path}"
    wrk = ("chroot", debian("bookworm", "wrk"), "/usr/bin/wrk")
    seconds = scaled(60, least=4)
    done = servers.network.run(
        *wrk, "-t", "1", "-c", str(CONNECTIONS), "-d", str(seconds), "--timeout", "30", url
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert "Socket errors" not in done.stdout
    assert "Non-2xx" not in done.stdout
    (requests,) = re.findall(r"(\d+) requests in", done.stdout)
    assert int(requests) >= CONNECTIONS


def test_redis_benchmark_and_the_append_only_file(servers: Servers) -> None:
    if not any(one.program.name == "redis" for one in servers.running):
        pytest.skip("Redis cannot be had here")
    tools = debian("bookworm", "redis-tools")
    benchmark = ("chroot", tools, "/usr/bin/redis-benchmark", "-q", "--csv")
    done = servers.network.run(
        *benchmark, "-t", "set,get,incr,lpush,mset", "-c", "50", "-n", str(scaled(100_000, least=5_000)),
        timeout=300,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",")[0].strip('"') for line in done.stdout.splitlines()[1:]]
    assert rows == ["SET", "GET", "INCR", "LPUSH", "MSET (10 keys)"]
    command = ("chroot", tools, "/usr/bin/redis-cli")
    # A forked child writes the file anew, from the data as they were then. One may be at it already.
    end = time.monotonic() + START_TIMEOUT
    while "started" not in (said := servers.network.run(*command, "bgrewriteaof").stdout):
        assert time.monotonic() < end, said
        time.sleep(0.2)
    while "aof_rewrite_in_progress:0" not in (
        about := servers.network.run(*command, "info", "persistence").stdout
    ):
        assert time.monotonic() < end, about
        time.sleep(0.2)
    assert {"aof_enabled:1", "aof_last_write_status:ok", "aof_last_bgrewrite_status:ok"} <= set(about.split())


@pytest.mark.parametrize(("path", "status"), [("/forward/file", 200), ("/nobody/", 502), ("/silent/", 504)])
def test_a_proxy_reaches_others_is_refused_and_loses_patience(
    servers: Servers, path: str, status: int
) -> None:
    """The program inside is the client here: of another enclave, of nobody, of somebody who never answers."""
    if len({"nginx", "caddy"} & {one.program.name for one in servers.running}) < 2:
        pytest.skip("nginx and caddy cannot be had here")
    answered, body = servers.network.get(f"http://127.0.0.1:8080{path}")
    assert answered == status
    assert (body == TEN_KILOBYTES) is (status == 200)
