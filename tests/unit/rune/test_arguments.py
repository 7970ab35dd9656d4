"""Which command lines of a container are those of its enclave."""

from __future__ import annotations

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.arguments import command_head, located_program

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


@pytest.mark.parametrize(
    ("given", "entrypoint", "found"),
    [
        (["svc", "tick"], ("svc",), ["/bin/svc", "tick"]),
        (["svc"], ("svc",), ["/bin/svc"]),
        (["/bin/svc", "other", "words"], ("svc",), ["/bin/svc", "other", "words"]),
        (["svc", "tick", "more"], ("svc", "tick"), ["/bin/svc", "tick", "more"]),
        (["svc", "tick"], (), ["/bin/svc", "tick"]),
        (["/usr/bin/svc", "tick"], (), ["/bin/svc", "tick"]),
    ],
)
def test_a_pal_gets_the_measured_program(
    given: list[str], entrypoint: tuple[str, ...], found: list[str]
) -> None:
    assert list(located_program(given, MEASURED, entrypoint)) == found


@pytest.mark.parametrize(
    ("given", "entrypoint"),
    [
        ([], ("svc",)),
        (["sh"], ("svc",)),
        (["/usr/bin/svc"], ("svc",)),
        (["svc", "other"], ("svc", "tick")),
        (["svc"], ("svc", "tick")),
        (["svc"], ()),
        (["svc", "tick", "tock"], ()),
        (["tick"], ()),
    ],
)
def test_a_pal_gets_no_other_program(given: list[str], entrypoint: tuple[str, ...]) -> None:
    with pytest.raises(EnclavizeError, match=r"told to run .*, the enclave runs \[/bin/svc tick\]"):
        located_program(given, MEASURED, entrypoint)


def test_a_pal_gets_nothing_that_was_not_measured() -> None:
    with pytest.raises(EnclavizeError, match="its enclave decides what it runs"):
        located_program(["svc"], None, ("svc",))
