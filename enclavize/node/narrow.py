"""What a pod may say about its enclave: less than the node's rule, never more.

The annotation ``enclave.policy`` has lines as they stand in ``[policy]`` of a rule:

    allow-args = false
    allow-env = ["TZ"]

A key that is not there stays as the rule has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.pipeline.configuration import parse_configuration
from enclavize.tee.policy import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from enclavize.pipeline.configuration import Configuration
    from enclavize.tee.policy import Policy, Volume

ANNOTATION = "enclave.policy"
_TABLE = "policy"
_NETWORKS = (Network.NONE, Network.LOOPBACK, Network.ALL)
"""Each has what the ones before it have."""


def narrowed(allowed: Policy, text: str, read: Callable[[Configuration], Policy]) -> Policy:
    """Return the rule's policy as a pod narrows it. Raises EnclavizeError for what the rule does not open.

    ``read`` makes a policy of a configuration.
    """
    try:
        wish, _ = parse_configuration(f"[{_TABLE}]\n{text}".encode(), f"the pod's annotation {ANNOTATION}")
        asked = read(wish)
    except UsageError as error:
        raise EnclavizeError(str(error), hint=error.hint) from error
    if wish.tables or any(table != _TABLE for table, _ in wish.values):
        raise EnclavizeError(f"the pod's annotation {ANNOTATION} may have keys of [{_TABLE}] alone")
    members = dict(_members(allowed, asked, {key for _, key in wish.values}))
    return replace(allowed, **members)


def _members(allowed: Policy, asked: Policy, keys: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for key in sorted(keys):
        match key:
            case "allow-args":
                _require(key, asked.allow_arguments <= allowed.allow_arguments)
                yield "allow_arguments", asked.allow_arguments
            case "allow-env":
                names = {variable.name for variable in allowed.allowed_environment}
                extra = [item.name for item in asked.allowed_environment if item.name not in names]
                _require(key, not extra, extra)
                yield "allowed_environment", asked.allowed_environment
            case "allow-exec":
                commands = set(asked.allowed_exec) - set(allowed.allowed_exec)
                free = allowed.allow_any_exec
                _require(key, free or not (asked.allow_any_exec or commands))
                yield "allow_any_exec", asked.allow_any_exec
                yield "allowed_exec", asked.allowed_exec
            case "volume":
                extra = [item.path for item in asked.volumes if not _is_opened(item, allowed.volumes)]
                _require(key, not extra, extra)
                yield "volumes", asked.volumes
            case "allow-host-network-files":
                _require(key, asked.allow_host_network_files <= allowed.allow_host_network_files)
                yield "allow_host_network_files", asked.allow_host_network_files
            case "allow-network":
                most = allowed.network or Network.LOOPBACK  # what every image gets that asks for nothing
                wanted = asked.network or most
                _require(key, _NETWORKS.index(wanted) <= _NETWORKS.index(most), [wanted])
                yield "network", wanted
            case _:
                _require(key, False)


def _is_opened(wanted: Volume, volumes: Iterable[Volume]) -> bool:
    return any(
        (wanted.path == volume.path or wanted.path.startswith(f"{volume.path}/"))
        and wanted.read_only >= volume.read_only
        and wanted.executable <= volume.executable
        for volume in volumes
    )


def _require(key: str, holds: bool, what: Iterable[str] = ()) -> None:
    if not holds:
        raise EnclavizeError(
            f"the pod's annotation {ANNOTATION} asks for more than the node's rule opens: "
            f"{' '.join((key, *what))}"
        )
