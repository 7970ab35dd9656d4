"""``enclavize occlum build``: toolchain, key and date for a build in an instance directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.occlum.build import key_doubts
from enclavize.libos.occlum.instance import BuildRequest, build_instance, instance_configuration
from enclavize.libos.occlum.versions import parse_release
from enclavize.libos.toolchain import open_toolchain
from enclavize.oci.cache import BlobCache
from enclavize.pipeline.dates import signing_date
from enclavize.pipeline.options import SigningOptions
from enclavize.pipeline.signing import signing_identity
from enclavize.pipeline.toolchain import installed_toolchain
from enclavize.signing.local import sign_sigstruct

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from enclavize.libos.occlum.build import ImageKey, SgxMode
    from enclavize.libos.toolchain import Toolchain
    from enclavize.pipeline.options import KeySigner
    from enclavize.progress import Reporter
    from enclavize.sgx.sigstruct import Sigstruct


@dataclass(frozen=True, kw_only=True)
class InstanceBuild:
    """What ``occlum build`` was asked to do; without ``signer`` the user's debug key signs."""

    directory: Path
    toolchain: str | None
    signer: KeySigner | None
    date: dt.date | None
    source_date_epoch: int | None
    mode: SgxMode
    edmm: bool
    image_key: ImageKey | None
    insecure: bool


def occlum_toolchain(text: str | None, *, insecure: bool, reporter: Reporter) -> Toolchain:
    """Return the toolchain that is named, or the Occlum that is installed here. Raises EnclavizeError."""
    if text is None:
        return installed_toolchain("occlum", reporter)
    return open_toolchain(text, libos="occlum", cache=BlobCache(), insecure=insecure, reporter=reporter)


def build_in_directory(options: InstanceBuild, reporter: Reporter) -> Sigstruct:
    """Build and sign the instance. Raises EnclavizeError, before anything is written if that can be known."""
    toolchain = occlum_toolchain(options.toolchain, insecure=options.insecure, reporter=reporter)
    configuration = instance_configuration(
        options.directory, parse_release(toolchain.version), mode=options.mode, edmm=options.edmm
    )
    if options.signer is None and not configuration.debuggable:
        raise UsageError(
            "the instance is not debuggable, and there is no key to sign it with",
            hint="add --sign-key KEY.pem, or set metadata.debuggable in Occlum.json",
        )
    identity = signing_identity(SigningOptions(signer=options.signer))
    assert identity.load is not None
    signer = identity.load()
    with reporter.task(f"build the instance for {toolchain.title}") as task:
        for message in key_doubts(options.image_key):
            task.warn(message)
        request = BuildRequest(
            toolchain=toolchain,
            sign=lambda sigstruct: sign_sigstruct(sigstruct, signer, str(options.directory)),
            date=signing_date(options.date, options.source_date_epoch, ""),
            mode=options.mode,
            edmm=options.edmm,
            image_key=options.image_key,
        )
        return build_instance(options.directory, request, task)
