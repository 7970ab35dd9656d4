"""Entrypoints, step-downs, the first process and supervisors: said and ended as natively."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integration.servers.places import Place

pytestmark = pytest.mark.integration

IDENTITY = "id; grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs)' /proc/self/status; umask; pwd"
STEP_DOWNS = {
    "gosu": ("gosu", "redis", "sh", "-c", IDENTITY),
    "gosu with ids": ("gosu", "1234:2345", "sh", "-c", IDENTITY),
    "setpriv": ("setpriv", "--reuid=redis", "--regid=redis", "--init-groups", "sh", "-c", IDENTITY),
    "setpriv without new privileges": (
        "setpriv", "--reuid=100", "--regid=100", "--clear-groups", "--inh-caps=-all", "--no-new-privs",
        "sh", "-c", IDENTITY,
    ),
    "runuser": ("runuser", "-u", "postgres", "--", "sh", "-c", IDENTITY),
    "chpst": ("chpst", "-u", "postgres:redis", "sh", "-c", IDENTITY),
    "su-exec": ("su-exec", "redis", "sh", "-c", IDENTITY + "; echo $HOME"),
    "su-exec of glibc": ("su-exec-glibc", "1234:redis", "sh", "-c", IDENTITY + "; echo $HOME"),
    "s6": ("s6-applyuidgid", "-u", "101", "-g", "101", "-G", "100,101", "sh", "-c", IDENTITY),
}  # fmt: skip
SCRIPTS = {
    "template": "A=1 B='two words' envsubst '$A' <<'X'\n$A ${B} $C\nX\n",
    "given away": """
        mkdir -p /tmp/given/deep; touch /tmp/given/deep/file; ln -s deep /tmp/given/link
        find /tmp/given \\! -user redis -exec chown -h redis '{}' +
        find /tmp/given -printf '%p %u %m %y\\n' | sort; rm -r /tmp/given
    """,
    "strict": """
        set -Eeo pipefail; trap 'echo "line fails: $?"' ERR
        f() { false | cat; }; shopt -s nullglob; for x in /none/*; do echo "$x"; done; f; echo not here
    """,
    "secret": """
        file=$(mktemp); printf 'se cret\\n' > "$file"; var=NAME; export "${var}_FILE=$file"
        indirect="${var}_FILE"; value="$(< "${!indirect}")"; echo "<$value>"; unset "${var}_FILE"
        env | grep -c NAME_FILE; rm "$file"
    """,
    "temporary server": """
        mkfifo /tmp/ready
        (trap 'echo down; exit 0' TERM; echo up > /tmp/ready; while :; do sleep 0.1; done) &
        read -r word < /tmp/ready; echo $word; kill -TERM $!; wait $!; echo $?; rm /tmp/ready
    """,
    "usage": "cd /data; redis.sh redis-server --version | cut -c1-12; redis.sh id -u; nginx.sh echo passed",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_entrypoints_do(places: tuple[Place, Place], script: str) -> None:
    native, enclave = (place.run("bash", "-c", SCRIPTS[script]) for place in places)
    assert enclave == native


@pytest.mark.parametrize("way", STEP_DOWNS)
def test_steps_down(places: tuple[Place, Place], way: str) -> None:
    native, enclave = (place.run(*STEP_DOWNS[way]) for place in places)
    assert enclave == native
    assert enclave[1] == 0


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 7", 7),
        ("kill -KILL $$", 137),
        ("mkfifo /tmp/o; ((echo orphan > /tmp/o) &); read -r x < /tmp/o; rm /tmp/o; echo $x; exit 3", 3),
        ("exec /none", 127),
    ],
)
def test_tini_reaps_and_tells_the_status(places: tuple[Place, Place], script: str, status: int) -> None:
    native, enclave = (place.run("tini", "-s", "--", "bash", "-c", script) for place in places)
    assert enclave == native
    assert enclave[1] == status


@pytest.mark.parametrize("group", [(), ("-g",)], ids=["child", "group"])
def test_tini_forwards_signals(place: Place, group: tuple[str, ...]) -> None:
    script = """
        trap 'echo asked; wait; exit 9' TERM; trap 'echo reloaded' USR1
        (trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.1; done) &
        while :; do sleep 0.1; [ -n "$(jobs -r)" ] || exit 8; done
    """
    with place.server("tini", "-s", *group, "--", "bash", "-c", script) as server:
        server.says("ready")
        if not group:
            server.send(signal.SIGUSR1)  # unlike SIGHUP nothing ignores it from the start, as nohup does
            server.says("reloaded")
            server.send(signal.SIGTERM)
            server.says("asked")
        else:
            assert server.ends(signal.SIGTERM) == 9
            assert {"asked", "child"} <= set(server.said)


SUPERVISORS = {
    "s6": ("s6-svscan", "/etc/supervised/s6"),
    "runit": ("runsvdir", "/etc/supervised/runit"),
    "supervisord": ("python3", "-m", "supervisor.supervisord", "-c", "/etc/supervisord.conf"),
}


@pytest.mark.parametrize("supervisor", SUPERVISORS)
def test_a_supervisor_starts_what_ends(place: Place, supervisor: str) -> None:
    """``runsvdir`` tells its services by SIGHUP and waits for none; the others end by SIGTERM."""
    with place.server("sh", "-c", 'rm -f /tmp/count; exec "$@"', "sh", *SUPERVISORS[supervisor]) as server:
        for number in range(3):
            server.says(f"service {number}")
        by = signal.SIGHUP if supervisor == "runit" else signal.SIGTERM
        assert server.ends(by) == (111 if supervisor == "runit" else 0)
        assert "stopped" in server.said or supervisor == "runit"
