"""What a container with a PAL of somebody else runs, and what of its wishes is heard."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.rune.arguments import INIT_PROGRAMS
from enclavize.rune.pal_folder import RUN, RUNELET
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from enclavize.rune.pal_list import PalList

PAL_ROOT = ".rune"
"""Where loader, libraries and runelet are mounted."""

PAL_ARGUMENTS = {"occlum": f"/{ROOT}/instance"}
"""``args`` of ``pal_init``, by LibOS. They name the instance that was verified, and no other."""

KEPT_PREFIX = "ENCLAVIZE_ENV_"
"""native/runelet_pal/options.c gives variables their names back."""

OF_PAL = "OCCLUM_"
"""How variables begin that Occlum's PAL acts on; those of pods must not."""

RELEASE = "OCCLUM_RELEASE_ENCLAVE=1"
"""Without it Occlum's PAL asks for an enclave that can be debugged."""

LOG_LEVELS = ("trace", "debug", "info", "warning", "error", "fatal", "panic", "off")

_NAMES = (
    "GLIBC_TUNABLES", "GCONV_PATH", "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH", "NIS_PATH",
    "NLSPATH", "RES_OPTIONS", "TMPDIR", "TZDIR",
)  # fmt: skip
ACTED_ON = ("LD_", "MALLOC_", "RESOLV_", *(f"{name}=" for name in _NAMES))
"""How variables begin that glibc takes from setuid programs (sysdeps/generic/unsecvars.h), and all LD_*."""


def program_of(arguments: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Return how many of the arguments go, and those that stay: the program inside of the enclave, its own.

    What goes is an engine's init, or what rune has put there before. Raises EnclavizeError.
    """
    head = 0
    if arguments[:1] and arguments[0].startswith(f"/{PAL_ROOT}/"):
        if "--" not in arguments:
            raise EnclavizeError(f"this container is told to run {arguments[0]!r}, which is rune's own")
        head = arguments.index("--") + 1
    elif arguments[:1] and arguments[0] in INIT_PROGRAMS:
        head = 2 if arguments[1:2] == ["--"] else 1
    if not arguments[head:]:
        raise EnclavizeError("this container is told to run nothing")
    return head, tuple(arguments[head:])


def runelet_command(pal: PalList, log_level: str) -> list[str]:
    """Return what stands before the program: loader, runelet, and what that is to do."""
    root = f"/{PAL_ROOT}"
    names = ":".join(f"{root}/{name}" for name in (*sorted(pal.files), RUNELET))
    return [
        f"{root}/{pal.loader}", "--inhibit-cache", "--inhibit-rpath", names, "--library-path", root,
        f"{root}/{RUNELET}", f"--pal={root}/{pal.pal}", f"--libraries={root}", f"--run={root}/{RUN}",
        f"--args={PAL_ARGUMENTS[pal.libos]}", f"--log-level={log_level}", f"--exit-status={pal.exit_status}",
        *(f"--signal={number}" for number in pal.signals), "--",
    ]  # fmt: skip


def is_acted_on(variable: str) -> bool:
    """Whether loader or C library outside of the enclave would act on a variable, NAME=VALUE."""
    return "=" in variable and variable.startswith(ACTED_ON)


def log_level_of(asked: Mapping[str, str], pal: PalList, default: str, working_directory: str) -> str:
    """Check Inclavare's settings, by annotation; return the log level for the PAL. Raises EnclavizeError."""
    kind, path = asked.get("enclave.type", ""), asked.get("enclave.runtime.path", "")
    if kind not in ("", "intelSgx"):
        raise EnclavizeError(f"enclave.type {kind!r} is not supported; only intelSgx is")
    if path and not pal.is_named(path):
        raise EnclavizeError(
            f"enclave.runtime.path {path!r}: this node runs these images with {pal.pal} of its own list, "
            "and with no other library"
        )
    _check_instance(asked.get("enclave.runtime.args", ""), pal, working_directory)
    level = asked.get("enclave.runtime.loglevel", "")
    return (level if level in LOG_LEVELS else "info") if level else default


def _check_instance(words: str, pal: PalList, working_directory: str) -> None:
    """Inclavare's ``args`` may name the instance as its users do: it is that one in any case."""
    instance = PAL_ARGUMENTS[pal.libos]
    places = {instance, "/run/rune/occlum_instance", "/var/run/rune/occlum_instance"}
    for word in words.replace(",", " ").split():
        if word != "debug" and posixpath.normpath(posixpath.join(working_directory, word)) not in places:
            raise EnclavizeError(
                f"enclave.runtime.args: {word!r} is not the verified instance, which is {instance}",
                hint="leave ENCLAVE_RUNTIME_ARGS out",
            )
