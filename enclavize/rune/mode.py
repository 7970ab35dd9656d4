"""Whether an enclave runs on SGX hardware or in simulation. Simulation is chosen, never fallen into."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from enclavize.rune.settings import Settings

ENCLAVE_DEVICES = ("/dev/sgx_enclave", "/dev/sgx/enclave", "/dev/isgx")
"""Linux since 5.11; Intel's DCAP driver; the legacy driver for launch control."""
SGX_DEVICE = ENCLAVE_DEVICES[0]


SIMULATE_VARIABLE = "ENCLAVIZE_SIMULATE"
"""``1`` in rune's environment, which is not the container's, asks for simulation."""


class Mode(StrEnum):
    """Simulation protects nothing."""

    HARDWARE = "hardware"
    SIMULATION = "simulation"


BOTH = frozenset(Mode)


def choose_mode(
    settings: Settings,
    *,
    asked: bool,
    device_present: bool,
    debug: bool,
    possible: frozenset[Mode] = BOTH,
) -> Mode:
    """Decide. ``asked``: ENCLAVIZE_SIMULATE=1 in the environment of rune, which is not the container's.

    A debug enclave falls back to simulation unless the administrator forbids it. ``possible``: the modes for
    which the enclave was made. Raises EnclavizeError.
    """
    mode = _wanted(
        settings, asked=asked, device_present=device_present and possible != {Mode.SIMULATION}, debug=debug
    )
    if mode not in possible:
        raise EnclavizeError(
            "the enclave of this image is for SGX hardware: its LibOS has other files for simulation",
            hint="build an image for simulation: enclavize build --sgx-mode SIM",
        )
    return mode


def _wanted(settings: Settings, *, asked: bool, device_present: bool, debug: bool) -> Mode:
    if asked and settings.allow_simulation is False:
        raise EnclavizeError("simulation was asked for, but the administrator of this node does not allow it")
    if asked:
        return Mode.SIMULATION
    if device_present:
        return Mode.HARDWARE
    if settings.allow_simulation or (debug and settings.allow_simulation is None):
        return Mode.SIMULATION
    raise EnclavizeError(
        f"there is no {SGX_DEVICE} on this machine, and simulation was not asked for",
        hint="simulation, which protects nothing, is chosen by 'enclavize run --simulate', by "
        "'rune --simulate' (docker: runtimeArgs; podman: --runtime-flag simulate), or by allow_simulation in "
        "/etc/rune/config.toml, in ~/.config/rune/config.toml or in the file of 'rune --config'",
    )
