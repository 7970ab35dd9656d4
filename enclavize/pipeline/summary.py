"""What a build says at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclavize.pipeline.build import BuildResult


def summary(result: BuildResult) -> str:
    """Return a few lines for people."""
    description = result.tee.description
    kind = "DEBUG: protects nothing" if description.debug else "production"
    lines = [
        f"MRENCLAVE  {description.mrenclave}",
        f"MRSIGNER   {description.mrsigner or 'UNSIGNED: cannot be started'}",
        f"product    {description.isv_prod_id}, security version {description.isv_svn}, {kind}",
        f"digest     {result.tee.manifest.digest}",
        *result.delivered,
    ]
    return "".join(f"{line}\n" for line in lines)
