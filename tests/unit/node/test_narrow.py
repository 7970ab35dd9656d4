"""A pod may close what the node's rule opens, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from enclavize.cli.grammar.configured import Configured
from enclavize.cli.grammar.configured_options import configured_policy
from enclavize.errors import EnclavizeError
from enclavize.node.narrow import narrowed
from enclavize.tee.policy import AllowedVariable, Network, Policy, Volume

if TYPE_CHECKING:
    from enclavize.pipeline.configuration import Configuration

RULE = Policy(
    allow_arguments=True,
    allowed_environment=(AllowedVariable(name="A"), AllowedVariable(name="B")),
    allowed_exec=(("sh", "-c", "date"), ("ls",)),
    volumes=(Volume(path="/data"), Volume(path="/secrets", read_only=True)),
    allow_host_network_files=True,
    network=Network.LOOPBACK,
)
CLOSED = Policy()


def _read(configuration: Configuration) -> Policy:
    return configured_policy(Configured(configuration))


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", {}),
        ("allow-args = true", {}),
        ("allow-args = false", {"allow_arguments": False}),
        ('allow-env = ["B"]', {"allowed_environment": (AllowedVariable(name="B"),)}),
        ("allow-env = []\nallow-exec = []", {"allowed_environment": (), "allowed_exec": ()}),
        ('allow-exec = ["ls"]', {"allowed_exec": (("ls",),)}),
        ("allow-exec = false", {"allowed_exec": ()}),
        ('volume = ["/data/x:ro"]', {"volumes": (Volume(path="/data/x", read_only=True),)}),
        ('volume = ["/secrets:ro"]', {"volumes": (Volume(path="/secrets", read_only=True),)}),
        ("allow-host-network-files = false", {"allow_host_network_files": False}),
        ('allow-network = "none"', {"network": Network.NONE}),
        ('allow-network = "loopback"', {}),
    ],
)
def test_less_is_taken(text: str, changed: dict[str, object]) -> None:
    assert narrowed(RULE, text, _read) == replace(RULE, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "text", "message"),
    [
        (CLOSED, "allow-args = true", "allow-args"),
        (RULE, 'allow-env = ["A", "C"]', "allow-env C"),
        (RULE, 'allow-exec = ["sh"]', "allow-exec"),
        (RULE, "allow-exec = true", "allow-exec"),
        (RULE, 'volume = ["/secrets"]', "volume /secrets"),
        (RULE, 'volume = ["/data:exec"]', "volume /data"),
        (RULE, 'volume = ["/database"]', "volume /database"),
        (CLOSED, "allow-host-network-files = true", "allow-host-network-files"),
        (RULE, 'allow-network = "all"', "allow-network all"),
        (CLOSED, 'allow-network = "all"', "allow-network all"),
        (RULE, "isvsvn = 1", "isvsvn is unknown"),
        (RULE, "[resources]\nmemory = 1", "may have keys of"),
        (RULE, "[policy]\n", "TOML|twice|overwrite|declare"),
        (RULE, "[occlum]\nx = 1", "may have keys of"),
        (RULE, "[match]\nimage = []", "match is unknown"),
        (RULE, "allow-args", "enclave.policy"),
        (RULE, "x" * (2 << 20), "at most"),
        (RULE, 'allow-env = ["LD_PRELOAD"]', "can make the program run other code"),
    ],
)
def test_more_is_refused(rule: Policy, text: str, message: str) -> None:
    with pytest.raises(EnclavizeError, match=message):
        narrowed(rule, text, _read)


def test_whoever_may_run_anything_may_choose_something() -> None:
    rule = replace(RULE, allow_any_exec=True)
    assert narrowed(rule, 'allow-exec = ["date"]', _read) == replace(
        rule, allow_any_exec=False, allowed_exec=(("date",),)
    )
