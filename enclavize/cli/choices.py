"""Values that options choose from."""

from enum import StrEnum
from typing import Annotated

import typer

from enclavize.errors import UsageError
from enclavize.progress.mode import ProgressMode

Progress = Annotated[
    ProgressMode, typer.Option(envvar="ENCLAVIZE_PROGRESS", show_envvar=False, help="How progress is shown.")
]
"""``--progress``."""

Platform = Annotated[
    str,
    typer.Option(
        metavar="OS/ARCH[/LEVEL]",
        help="Which image of an index: linux/amd64, where SGX is; linux/amd64/v3 also takes those for newer "
        "processors.",
    ),
]
"""``--platform``."""


def canonical_libos(name: str) -> str:
    """Return the LibOS that a value of ``--libos`` means, ``NAME`` or ``NAME@VERSION``."""
    base, at, version = name.partition("@")
    return f"{'gramine' if base == 'graphene' else base}{at}{version}"


class LibOS(StrEnum):
    """Values of ``--libos``."""

    AUTO = "auto"
    BUILTIN = "builtin"
    GRAMINE = "gramine"
    GRAPHENE = "graphene"
    OCCLUM = "occlum"

    @classmethod
    def parse(cls, text: str) -> "LibOS":
        """Read a value that did not come from the command line. Raises UsageError."""
        if text not in list(cls):
            raise UsageError(f"{text!r} is no LibOS", hint=f"LibOSes: {', '.join(cls)}")
        return cls(text)

    @property
    def canonical(self) -> str:
        """The name of today: Graphene became Gramine."""
        return canonical_libos(self.value)


class SgxModeChoice(StrEnum):
    """What an enclave of Occlum is for."""

    HARDWARE = "HW"
    SIMULATION = "SIM"


class ShareChoice(StrEnum):
    """What a node does with converted images in registries (enclavize/node/sharing.py)."""

    TAKE = "take"
    PUSH = "push"


class InitRaChoice(StrEnum):
    """How an init of Occlum's gets its keys."""

    GRPC_RATLS = "grpc_ratls"


class ToolchainLibOS(StrEnum):
    """LibOSes that come as toolchains."""

    GRAMINE = "gramine"
    GRAPHENE = "graphene"
    OCCLUM = "occlum"

    @property
    def canonical(self) -> str:
        """The name of today: Graphene became Gramine."""
        return canonical_libos(self.value)


class ListFormat(StrEnum):
    """Values of ``toolchain --format``."""

    TABLE = "table"
    JSON = "json"


class ReportFormat(StrEnum):
    """Values of ``check --format``."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
