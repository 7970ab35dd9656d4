"""What a build says at its end, and a signer before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enclavize.pipeline.build import BuildResult
    from enclavize.sgx.sigstruct import Sigstruct

_UNSIGNED = "UNSIGNED: cannot be started"


def summary(result: BuildResult) -> str:
    """Return a few lines for people."""
    description = result.tee.description
    return _lines(
        f"MRENCLAVE  {description.mrenclave}",
        f"MRSIGNER   {description.mrsigner or _UNSIGNED}",
        _product(description.isv_prod_id, description.isv_svn, debug=description.debug),
        *(["mode       SIMULATION: protects nothing"] if description.simulation else []),
        f"digest     {result.tee.manifest.digest}",
        *result.delivered,
    )


def sigstruct_summary(sigstruct: Sigstruct) -> str:
    """Return what a signature says, or is going to say."""
    from enclavize.tee.verify import identity_of

    identity, date = identity_of(sigstruct), f"{sigstruct.date:08x}"
    return _lines(
        f"MRENCLAVE  {identity.mrenclave}",
        f"MRSIGNER   {identity.mrsigner or 'to be signed'}",
        _product(identity.isv_prod_id, identity.isv_svn, debug=identity.debug),
        f"date       {date[:4]}-{date[4:6]}-{date[6:]}",
    )


def _product(isv_prod_id: int, isv_svn: int, *, debug: bool) -> str:
    kind = "DEBUG: protects nothing" if debug else "production"
    return f"product    {isv_prod_id}, security version {isv_svn}, {kind}"


def _lines(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)
