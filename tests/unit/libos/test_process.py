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
)
from enclavize.oci.image_config import ImageConfig, parse_config


def config(**members: Any) -> ImageConfig:
    return parse_config(json.dumps({"config": members}).encode(), "the test's image")


def test_the_host_may_ask_to_end_but_never_fake_a_fault() -> None:
    mask = host_signals(signal.SIGSEGV)
    for allowed in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGWINCH):
        assert mask & 1 << (allowed - 1)
    for fault in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP):
        assert not mask & 1 << (fault - 1)
    assert host_signals(37) & 1 << 36


def test_the_environment_gets_a_path_and_a_home() -> None:
    assert environment(config(), "/root") == (f"PATH={DEFAULT_PATH}", "HOME=/root")
    assert environment(config(Env=["A=1", "PATH=/b", "A=2", "HOME=/h", "BARE", "E="]), "/x") == (
        "PATH=/b", "A=2", "HOME=/h", "E=",
    )  # fmt: skip
    assert environment(config(Env=["PATH", ""]), "/root") == ("HOME=/root",)
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
        ({"Healthcheck": {"Test": ["CMD-SHELL", "echo $0", "b"]}}, ("/bin/sh", "-c", "echo $0", "b")),
    ],
)
def test_health_checks_become_arguments(members: dict[str, Any], command: tuple[str, ...]) -> None:
    assert health_command(config(**members)) == command
