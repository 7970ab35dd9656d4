"""Configurations as the world writes them: what programs can do without does not make an image unreadable."""

from __future__ import annotations

import json
from typing import Any

import pytest

from enclavize.errors import InvalidImageError
from enclavize.oci.image_config import parse_config
from enclavize.oci.stop_signal import parse_signal


@pytest.mark.parametrize(
    ("execution", "field", "value"),
    [
        ({"Entrypoint": [""]}, "entrypoint", ()),
        ({"Entrypoint": "/e"}, "entrypoint", ("/e",)),
        ({"Cmd": "/c"}, "cmd", ("/c",)),
        ({"Cmd": ["a", None]}, "cmd", ("a", "")),
        ({"Env": ["A=1", None]}, "env", ("A=1", "")),
        ({"Shell": "/bin/ash"}, "shell", ("/bin/ash",)),
        ({"Shell": 1}, "shell", ()),
        ({"Labels": {"a": None, "b": "x"}}, "labels", {"a": "", "b": "x"}),
        ({"Labels": {"a": 1, "b": "x", "c": True}}, "labels", {"b": "x"}),
        ({"Labels": []}, "labels", {}),
        ({"Labels": "text"}, "labels", {}),
        ({"StopSignal": "SIGNOTHING"}, "stop_signal", ""),
        ({"StopSignal": 15}, "stop_signal", ""),
        ({"Volumes": ["/data"]}, "volumes", ()),
        ({"ExposedPorts": ["80"]}, "exposed_ports", ()),
        ({"Healthcheck": []}, "healthcheck", None),
        ({"Healthcheck": {"Test": "curl"}}, "healthcheck", {}),
        ({"Healthcheck": {"Test": ["curl", "-f", "x"]}}, "healthcheck", None),
        ({"Healthcheck": {"Test": [""]}}, "healthcheck", None),
        ({"Healthcheck": {"Test": ["CMD"]}}, "healthcheck", None),
        ({"Healthcheck": {"Test": ["CMD-SHELL"]}}, "healthcheck", None),
        ({"Healthcheck": {"Test": ["CMD", "a\0"]}}, "healthcheck", {}),
        ({"Healthcheck": {"Test": 1, "Retries": 2}}, "healthcheck", {"Retries": 2}),
        ({"Healthcheck": {"Test": ["NONE"], "Interval": "30s"}}, "healthcheck", {"Test": ["NONE"]}),
        ({"Healthcheck": {"Test": ["CMD", None]}}, "healthcheck", {"Test": ["CMD", ""]}),
    ],
)
def test_a_member_that_programs_do_without_is_left_out_and_told(
    execution: dict[str, Any], field: str, value: object
) -> None:
    config = parse_config(json.dumps({"config": execution}).encode(), "the configuration")
    assert getattr(config, field) == value
    assert config.oddities
    assert all(oddity.startswith("the configuration, config") for oddity in config.oddities)


@pytest.mark.parametrize("value", [None, {}])
@pytest.mark.parametrize(
    "name", ["Labels", "Volumes", "ExposedPorts", "Healthcheck", "Env", "Cmd", "Entrypoint", "User", "Shell"]
)
def test_null_and_empty_members_are_absent(name: str, value: object) -> None:
    if value == {} and name not in ("Labels", "Volumes", "ExposedPorts", "Healthcheck"):
        value = [] if name != "User" else ""
    config = parse_config(json.dumps({"config": {name: value}}).encode(), "c")
    assert config.oddities == ()
    assert (config.entrypoint, config.cmd, config.env, config.user) == ((), (), (), "")
    assert not config.healthcheck


@pytest.mark.parametrize(
    "test", [["NONE"], ["NONE", "x"], ["CMD", "a"], ["CMD-SHELL", "a"], ["CMD-SHELL", "echo $0", "b"]]
)
def test_health_checks_that_docker_runs_are_kept(test: list[str]) -> None:
    document = {"config": {"Healthcheck": {"Test": test, "Interval": 5, "Timeout": None}}}
    config = parse_config(json.dumps(document).encode(), "c")
    assert config.healthcheck == document["config"]["Healthcheck"]
    assert config.oddities == ()


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("created", "yesterday"),
        ("created", ""),
        ("created", 5),
        ("created", "2024-01-01"),
        ("author", ["me"]),
        ("variant", 8),
        ("os.version", 10),
        ("os.features", "win32k"),
        ("history", {}),
        ("history", [1]),
        ("history", [{"created": "x"}]),
        ("history", [{"created_by": 1}]),
    ],
)
def test_information_that_engines_would_choke_on_is_not_passed_on(member: str, value: object) -> None:
    config = parse_config(json.dumps({member: value, "os": "linux"}).encode(), "c")
    assert member not in config.raw
    assert config.raw["os"] == "linux"
    assert (config.created, config.history) == ("", ())
    assert len(config.oddities) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"config": {"Cmd": {}}},
        {"config": {"Cmd": ["a\0b"]}},
        {"config": {"Cmd": [["a"]]}},
        {"config": {"Entrypoint": 7}},
        {"config": {"Env": [1]}},
        {"config": {"Env": {}}},
        {"config": {"Env": "A=1"}},
        {"config": {"User": 5}},
        {"config": {"User": "\ud800"}},
        {"config": {"WorkingDir": []}},
        {"config": []},
        {"rootfs": []},
        {"rootfs": {"type": "other"}},
        {"rootfs": {"diff_ids": ["sha256:x"]}},
        {"rootfs": {"diff_ids": [None]}},
        {"architecture": 1},
        {"os": []},
    ],
)
def test_a_member_that_says_what_runs_is_never_guessed(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidImageError):
        parse_config(json.dumps(config).encode(), "c")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("15", 15),
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigusr1", 10),
        ("SIGCLD", 17),
        ("SIGSTKFLT", 16),
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
def test_other_texts_are_no_signals(text: str) -> None:
    assert parse_signal(text) is None
