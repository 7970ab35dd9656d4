"""The network of LibOSes that do not restrict it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.tee.policy import Network

if TYPE_CHECKING:
    from enclavize.tee.policy import Policy


def with_host_network(policy: Policy, libos: str) -> Policy:
    """Return the policy as an enclave can keep it that leaves the network to the host.

    Raises UsageError where less than all was asked for.
    """
    if policy.network not in (None, Network.ALL):
        raise UsageError(
            f"--allow-network {policy.network}: {libos} leaves the network to the host",
            hint="leave it out, and restrict the container's network",
        )
    return replace(policy, network=None)
