"""What the host's side of a container may do, in docker's words.

The enclave's own root needs nothing of this: its files and ids are the LibOS's. Files of volumes are the
host's, though, and entrypoints give them to the user that they step down to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALL = "ALL"
_PREFIX = "CAP_"

DEFAULT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER")
"""What of docker's default set concerns files of volumes; nothing in an enclave makes use of the others."""

_KNOWN = (
    *DEFAULT, "CAP_DAC_READ_SEARCH", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
    "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""capabilities(7)."""


def chosen_capabilities(added: Sequence[str], dropped: Sequence[str]) -> tuple[str, ...]:
    """Return what ``--cap-add`` and ``--cap-drop`` make of the default set, as docker does.

    Raises UsageError for a name that is none.
    """
    add, drop = _named("--cap-add", added), _named("--cap-drop", dropped)
    if _ALL in add:
        return tuple(name for name in _KNOWN if name not in drop)
    kept = [] if _ALL in drop else [name for name in DEFAULT if name not in drop]
    return tuple(dict.fromkeys([*kept, *add]))


def _named(option: str, words: Sequence[str]) -> list[str]:
    return [_name(option, word) for word in words]


def _name(option: str, word: str) -> str:
    upper = word.upper()
    name = upper if upper == _ALL or upper.startswith(_PREFIX) else _PREFIX + upper
    if name != _ALL and name not in _KNOWN:
        raise UsageError(f"{option} {word!r}: unknown capability", hint="capabilities(7) has the names")
    return name
