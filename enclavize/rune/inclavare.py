"""Inclavare Containers' settings of rune: ``enclave.*`` annotations, and variables, which go before them.

Kept: type, log level and the words for the PAL. Not kept: that an image's environment chooses which library
of the host runs as PID 1. The path of a PAL may only name the builtin one, or in a pod for Inclavare's
conversion on the node the one that it would have had: either way it is a name, and opens nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.rune.enclave import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping

ANNOTATION_PREFIX = "enclave."

VARIABLES = {
    "ENCLAVE_TYPE": "enclave.type",
    "ENCLAVE_RUNTIME_PATH": "enclave.runtime.path",
    "ENCLAVE_RUNTIME_ARGS": "enclave.runtime.args",
    "ENCLAVE_RUNTIME_LOGLEVEL": "enclave.runtime.loglevel",
    "ENCLAVE_RA_TYPE": "enclave.attestation.ra_type",
    "ENCLAVE_RA_EPID_SPID": "enclave.attestation.ra_epid_spid",
    "ENCLAVE_RA_EPID_SUB_KEY": "enclave.attestation.ra_epid_subscription_key",
}
"""Variables that rune consumes: the application never sees them."""

_PALS = frozenset({"liberpal-builtin.so", "liberpal-gramine.so"})
"""Those of the runelets; which one runs depends on the image."""

CARRIER = "RUNE_CARRIER"
"""By which a pod asked Inclavare's shim to convert its image (shim/runtime/v2/rune/v2)."""

_CARRIED = MappingProxyType(
    {
        "occlum": frozenset({"libocclum-pal.so", "liberpal-occlum.so"}),
        "graphene": frozenset({"liberpal-graphene.so"}),
    }
)
"""PALs that such pods name."""
CARRIERS = tuple(_CARRIED)
INSTANCES = frozenset({"./", "occlum_instance", "/run/rune/occlum_instance", "/var/run/rune/occlum_instance"})
"""Folders of instances that they name; the shim itself says ``./``."""

_LOG_LEVELS = {level: level for level in ("trace", "debug", "info", "warning", "error")} | dict.fromkeys(
    ("fatal", "panic", "off"), "error"
)
STRICT = ("trap", "step")
"""ENCLAVIZE_ENCLU: simulation that refuses what hardware refuses."""
_WORDS = {
    "enclu": ("ENCLAVIZE_ENCLU", ("gate", *STRICT)),
    "syscall-trap": ("ENCLAVIZE_SYSCALL_TRAP", ("sud", "seccomp")),
    "trace": ("ENCLAVIZE_TRACE", ("",)),
    "profile": ("ENCLAVIZE_PROFILE", ("text", "json")),
    "layers": ("ENCLAVIZE_LAYERS", (f"/{LAYERS}",)),
    "report-fd": ("ENCLAVIZE_REPORT_FD", ("2", "3")),
}
_IGNORED_WORDS = frozenset({"debug", "no-epm"})


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What annotations and variables ask of the runelet; an empty ``log_level`` asks for nothing."""

    log_level: str = ""
    runelet_environment: tuple[tuple[str, str], ...] = ()


def read_wishes(
    annotations: Mapping[str, str], environment: Mapping[str, str], *, converted: bool = False
) -> Wishes:
    """Read the settings; a variable goes before its annotation. Raises EnclavizeError for what is refused.

    ``converted``: the image is an ordinary one, for which pods may name a carrier.
    """
    carried = _CARRIED.get(environment.get(CARRIER, ""), frozenset()) if converted else frozenset[str]()
    asked = {
        annotation: environment.get(variable) or annotations.get(annotation, "")
        for variable, annotation in VARIABLES.items()
    }
    kind, path = asked["enclave.type"], asked["enclave.runtime.path"]
    if kind not in ("", "intelSgx"):
        raise EnclavizeError(f"enclave.type {kind!r} is not supported; only intelSgx is")
    if path and PurePosixPath(path).name not in _PALS | carried:
        raise EnclavizeError(
            f"enclave.runtime.path {path!r}: only {' and '.join(sorted(_PALS | carried))} can be used here"
        )
    level = asked["enclave.runtime.loglevel"]
    return Wishes(
        log_level=_LOG_LEVELS.get(level, "info") if level else "",
        runelet_environment=tuple(_read_words(asked["enclave.runtime.args"], carried=bool(carried))),
    )


def _read_words(text: str, *, carried: bool) -> list[tuple[str, str]]:
    """Words are separated by commas or blanks, as in Inclavare. ``carried``: one may name an instance."""
    found = []
    for word in text.replace(",", " ").split():
        name, equals, value = word.partition("=")
        if word in _IGNORED_WORDS or (carried and word in INSTANCES):
            continue
        if name not in _WORDS or value not in _WORDS[name][1] or (equals and not value):
            raise EnclavizeError(f"enclave.runtime.args: the builtin PAL knows no {word!r}")
        found.append((_WORDS[name][0], value or "1"))
    return found
