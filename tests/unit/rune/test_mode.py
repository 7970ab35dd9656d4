"""Simulation is chosen, never fallen into."""

from __future__ import annotations

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.mode import Mode, choose_mode
from enclavize.rune.settings import Settings


@pytest.mark.parametrize(
    ("allowed", "asked", "device", "debug", "mode"),
    [
        (None, False, True, False, Mode.HARDWARE),
        (None, True, True, False, Mode.SIMULATION),
        (None, True, False, False, Mode.SIMULATION),
        (None, False, False, True, Mode.SIMULATION),
        (True, False, False, False, Mode.SIMULATION),
        (True, False, True, False, Mode.HARDWARE),
        (False, False, True, True, Mode.HARDWARE),
    ],
)
def test_the_mode(allowed: bool | None, asked: bool, device: bool, debug: bool, mode: Mode) -> None:
    settings = Settings(allow_simulation=allowed)
    assert choose_mode(settings, asked=asked, device_present=device, debug=debug) is mode


def test_a_production_enclave_without_device_names_it() -> None:
    with pytest.raises(EnclavizeError, match="/dev/sgx_enclave"):
        choose_mode(Settings(), asked=False, device_present=False, debug=False)


@pytest.mark.parametrize(("asked", "debug"), [(True, False), (True, True), (False, True)])
def test_the_administrator_can_forbid_simulation(asked: bool, debug: bool) -> None:
    with pytest.raises(EnclavizeError):
        choose_mode(Settings(allow_simulation=False), asked=asked, device_present=False, debug=debug)
