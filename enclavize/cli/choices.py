"""Values that options choose from."""

from enum import StrEnum


class LibOS(StrEnum):
    """Values of ``--libos``."""

    BUILTIN = "builtin"
    GRAMINE = "gramine"
    GRAPHENE = "graphene"
    OCCLUM = "occlum"


class ReportFormat(StrEnum):
    """Values of ``check --format``."""

    TABLE = "table"
    JSON = "json"
