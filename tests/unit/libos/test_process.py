"""What an image starts with, as an engine would read it."""

import json
import signal
from typing import Any

import pytest

from enclavize.errors import InvalidImageError
from enclavize.libos.builtin.process import (
    DEFAULT_PATH,
    environment,
    health_command,
    host_signals,
    parse_signal,
)
from enclavize.oci.image import ImageConfig, parse_config


def config(**members: Any) -> ImageConfig:
    return parse_config(json.dumps({"config": members}).encode(), "the test's image")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15", 15),
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigusr1", 10),
        ("SIGRTMIN", 34),
        ("SIGRTMIN+3", 37),
        ("RTMAX-1", 63),
    ],
)
def test_signals_have_numbers(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "SIG", "SIGNOTHING", "RTMIN-1", "RTMAX+1", "²", "1" * 50]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidImageError, match="no signal"):
        parse_signal(text)


def test_the_host_may_ask_to_end_but_never_fake_a_fault() -> None:
    mask = host_signals(signal.SIGSEGV)
    for allowed in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGWINCH):
        assert mask & 1 << (allowed - 1)
    for fault in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP):
        assert not mask & 1 << (fault - 1)
    assert host_signals(37) & 1 << 36


def test_the_environment_gets_a_path_and_a_home() -> None:
    assert environment(config(), "/root") == (f"PATH={DEFAULT_PATH}", "HOME=/root")
    assert environment(config(Env=["A=1", "PATH=/b", "A=2", "HOME=/h", "BARE", "E="]), "/x") == (
        "PATH=/b", "A=2", "HOME=/h", "E=",
    )  # fmt: skip
    with pytest.raises(InvalidImageError, match="no name"):
        environment(config(Env=["=x"]), "/")


@pytest.mark.parametrize(
    ("members", "command"),
    [
        ({}, ()),
        ({"Healthcheck": {"Test": ["NONE"]}}, ()),
        ({"Healthcheck": {"Test": []}}, ()),
        ({"Healthcheck": {"Test": ["CMD", "curl", "x"]}}, ("curl", "x")),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a | b"]}}, ("/bin/sh", "-c", "a | b")),
        (
            {"Healthcheck": {"Test": ["CMD-SHELL", "a"]}, "Shell": ["/bin/ash", "-ec"]},
            ("/bin/ash", "-ec", "a"),
        ),
    ],
)
def test_health_checks_become_arguments(members: dict[str, Any], command: tuple[str, ...]) -> None:
    assert health_command(config(**members)) == command


@pytest.mark.parametrize("test", [["CMD"], ["RUN", "x"], ["CMD-SHELL", "a", "b"], "curl", [1]])
def test_health_checks_of_another_form_are_refused(test: object) -> None:
    with pytest.raises(InvalidImageError):
        health_command(config(Healthcheck={"Test": test}))
