"""What a script comes to, as far as its conditions are known."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.compat.script_commands import script_commands
from enclavize.compat.shell_conditions import Known
from support.entrypoints import REDIS


def last(text: str, *arguments: str, uid: int = 0) -> tuple[tuple[str, ...], bool]:
    command = script_commands(text, Known("/run.sh", arguments, uid))[-1]
    return command.words, command.certain


SETPRIV = ("setpriv", "--reuid=redis", "--regid=redis", "--clear-groups", "--", "/run.sh", "redis-server")


@pytest.mark.parametrize(
    ("arguments", "uid", "wanted"),
    [
        (("redis-server",), 0, SETPRIV),
        (("redis-server",), 999, ("redis-server",)),
        (("--port", "1"), 0, (*SETPRIV, "--port", "1")),
        (("a.conf",), 999, ("redis-server", "a.conf")),
        (("sh", "-c", "x"), 0, ("sh", "-c", "x")),
    ],
)
def test_the_entrypoint_of_redis_is_followed(arguments: tuple[str, ...], uid: int, wanted: Any) -> None:
    assert last(REDIS, *arguments, uid=uid) == (wanted, True)


@pytest.mark.parametrize(
    ("text", "wanted", "certain"),
    [
        ("[ $UID -eq 0 ] && exec gosu a b; exec c", ("gosu", "a", "b"), True),
        ("[ $UID -ne 0 ] && exec gosu a b; exec c", ("c",), True),
        ("[[ $EUID == 0 && $1 == x ]] || exec a; exec c", ("c",), True),
        ("if ! [ `id -u` = 0 ]; then exec a; fi; exec c", ("c",), True),
        ("if [ -f /x ]; then exec a; fi; exec c", ("c",), False),
        ("if [ -f /x ]; then exec a; else exec b; fi; exec c", ("b",), False),
        ("f() { if [ -f /x ]; then return; fi; ls; }; f; exec c", ("c",), True),
        ("main() { exec a \"$@\"; }; main \"$@\"", ("a", "x"), True),
        ("main() { exec a \"$@\"; }; main 1", ("a",), True),
        ('case "$1" in x) exec a;; esac; exec c', ("c",), False),
        ('shift; exec a "$@"', ("a",), True),
        ('shift 0; exec a "$@"', ("a", "x"), True),
        ('shift $N; exec a "$@"', ("a",), True),
        ('if [ -f /x ]; then set -- b "$@"; fi; exec a "$@"', ("a",), True),
        ('exec a "${1:0:1}" $NOTHING z', ("a", "x"), True),
        ('exec a "$2" "$0"', ("a", "", "/run.sh"), True),
        ("exit 0; exec a", ("ls",), True),
        ("false && exec a; true || exec b; exec c", ("c",), True),
        ("false || false && exec a; exec c", ("c",), True),
        ("true && true || exec a; exec c", ("c",), True),
    ],
)  # fmt: skip
def test_conditions_count_as_far_as_they_are_known(text: str, wanted: tuple[str, ...], certain: bool) -> None:
    assert last(f"ls\n{text}", "x") == (wanted, certain)


def test_what_is_not_understood_comes_to_nothing() -> None:
    for text in ("((i++))\nexec a", "if true; then", "f() { f; }; f", "{ " * 5000, "exec a\n" * 5000):
        assert script_commands(text, Known("x", (), 0)) == ()


def test_arguments_that_a_script_doubles_are_not_counted_out() -> None:
    """2 ** 40 words, which once were."""
    doubled = 'set -- "$@" "$@"\n'
    assert last(doubled * 3 + 'exec a "$@"', "x") == (("a", *["x"] * 8), True)
    for text in (doubled * 40, doubled * 14 + 'ls "$@"\n' * 900, "ls " + '"$@" ' * 3000):
        assert script_commands(text, Known("/run.sh", ("x",) * 20, 0)) == ()


@settings(deadline=None)
@given(st.text(alphabet="[]$@#%{}\"'=!-aodex01&|; \n()", max_size=200))
def test_no_text_makes_the_walk_fail(text: str) -> None:
    script_commands(text, Known("x", ("-a", ""), 0))
