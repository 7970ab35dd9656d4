"""Values that options choose from."""

from enum import StrEnum
from typing import Annotated

import typer

from enclavize.progress.mode import ProgressMode

Progress = Annotated[
    ProgressMode, typer.Option(envvar="ENCLAVIZE_PROGRESS", show_envvar=False, help="How progress is shown.")
]
"""``--progress``."""


class LibOS(StrEnum):
    """Values of ``--libos``."""

    AUTO = "auto"
    BUILTIN = "builtin"
    GRAMINE = "gramine"
    GRAPHENE = "graphene"
    OCCLUM = "occlum"


class ReportFormat(StrEnum):
    """Values of ``check --format``."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"
