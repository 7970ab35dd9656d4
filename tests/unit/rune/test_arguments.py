"""Which command lines of a container are those of its enclave."""

from __future__ import annotations

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.arguments import command_head

ENTRYPOINT = "/.enclave/bin/runelet"
MEASURED = ("/bin/svc", "tick")


def _runelet_arguments(given: list[str], measured: tuple[str, ...] | None) -> list[str]:
    head = command_head(given, measured)
    assert given[: len(head.given)] == list(head.given)
    rest = given[len(head.given) :]
    assert head.more or not rest
    return [ENTRYPOINT, *rest]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([ENTRYPOINT], [ENTRYPOINT]),
        ([ENTRYPOINT, "a", "b"], [ENTRYPOINT, "a", "b"]),
        (["/bin/svc", "tick"], [ENTRYPOINT]),
        (["/sbin/docker-init", "--", ENTRYPOINT, "a"], [ENTRYPOINT, "a"]),
        (["/sbin/docker-init", "--", "/bin/svc", "tick"], [ENTRYPOINT]),
        (["/run/podman-init", "--", ENTRYPOINT], [ENTRYPOINT]),
        (["/dev/init", "--", ENTRYPOINT], [ENTRYPOINT]),
    ],
)
def test_the_runelet_gets(given: list[str], found: list[str]) -> None:
    assert _runelet_arguments(given, MEASURED) == found


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["sh"],
        ["/bin/svc"],
        ["/bin/svc", "tick", "tock"],
        ["tick", "/bin/svc"],
        ["/bin/svc tick"],
        ["/sbin/docker-init"],
        ["/sbin/docker-init", "--", "sh"],
        ["/sbin/docker-init", "--", "/sbin/docker-init", "--", ENTRYPOINT],
        [f"/.{ENTRYPOINT}"],
        ["a\x1b[2J" * 200],
    ],
)
def test_another_command_line_is_refused_with_both(given: list[str]) -> None:
    with pytest.raises(EnclavizeError, match="told to run") as caught:
        _runelet_arguments(given, MEASURED)
    assert "the enclave runs [/bin/svc tick]" in str(caught.value)
    assert "--entrypoint" in (caught.value.hint or "")
    assert "command" in (caught.value.hint or "")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("measured", [None, ()])
def test_where_nothing_is_known_only_the_runelet_will_do(measured: tuple[str, ...] | None) -> None:
    assert _runelet_arguments([ENTRYPOINT], measured) == [ENTRYPOINT]
    for given in (["/bin/svc", "tick"], []):
        with pytest.raises(EnclavizeError, match="told to run"):
            _runelet_arguments(given, measured)
