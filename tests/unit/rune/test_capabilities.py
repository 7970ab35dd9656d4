"""What ``--cap-add`` and ``--cap-drop`` make of the default set: as moby's TweakCapabilities()."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclavize.errors import UsageError
from enclavize.rune.capabilities import DEFAULT, chosen_capabilities
from enclavize.rune.container import Container, container_spec


@pytest.mark.parametrize(
    ("added", "dropped", "expected"),
    [
        ((), (), set(DEFAULT)),
        ((), ("ALL",), set()),
        ((), ("chown", "CAP_FOWNER"), {"CAP_DAC_OVERRIDE", "CAP_FSETID"}),
        (("cap_net_admin",), ("all",), {"CAP_NET_ADMIN"}),
        (("CHOWN", "SYS_NICE"), (), {*DEFAULT, "CAP_SYS_NICE"}),
        (("CHOWN",), ("CHOWN",), set(DEFAULT)),
    ],
)
def test_as_docker_does(added: tuple[str, ...], dropped: tuple[str, ...], expected: set[str]) -> None:
    chosen = chosen_capabilities(added, dropped)
    assert set(chosen) == expected
    assert len(chosen) == len(expected)


def test_all_but_what_is_dropped() -> None:
    everything = chosen_capabilities(("ALL",), ())
    assert len(everything) == len(set(everything)) == 41  # CAP_LAST_CAP of Linux 6 is 40
    assert set(everything) - set(chosen_capabilities(("all",), ("KILL", "ALL"))) == {"CAP_KILL"}


@pytest.mark.parametrize("option", ["--cap-add", "--cap-drop"])
def test_an_unknown_one_is_named(option: str) -> None:
    words = {"--cap-add": (("FLY",), ()), "--cap-drop": ((), ("FLY",))}[option]
    with pytest.raises(UsageError, match=f"{option} 'FLY': unknown capability"):
        chosen_capabilities(*words)


@pytest.mark.parametrize(("user", "effective"), [((0, 0), ["CAP_CHOWN"]), ((1000, 1000), [])])
def test_a_user_who_is_not_root_has_none_in_effect(user: tuple[int, int], effective: list[str]) -> None:
    container = Container(name="a", rootfs=Path("/tree"), user=user, capabilities=("CAP_CHOWN",))
    assert container_spec(container)["process"]["capabilities"] == {
        "bounding": ["CAP_CHOWN"],
        "effective": effective,
        "permitted": effective,
        "inheritable": [],
        "ambient": [],
    }
