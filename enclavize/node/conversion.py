"""One conversion on the node: from an engine's image to a folder that is mounted as ``/.enclave``."""

from __future__ import annotations

import hashlib
import tarfile
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.errors import EnclavizeError
from enclavize.node.engines.elsewhere import registry_name
from enclavize.node.sharing import Share, SharedSigner
from enclavize.node.toolchains import check_rule
from enclavize.oci.digest import sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.storage import storage_errors
from enclavize.pipeline.build import backend_with
from enclavize.pipeline.convert import convert
from enclavize.pipeline.dates import signing_date
from enclavize.pipeline.indexing import index
from enclavize.pipeline.options import KeySigner, ServiceSigner
from enclavize.pipeline.signing import signing_identity
from enclavize.pipeline.statement import statement
from enclavize.progress import Reporter
from enclavize.rootfs.names import printable
from enclavize.tee.image import check_convertible
from enclavize.tee.layout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.libos.base import Backend
    from enclavize.libos.toolchain import Toolchain
    from enclavize.node.engines.found import FoundImage
    from enclavize.oci.cache import BlobCache
    from enclavize.oci.image import Image
    from enclavize.pipeline.options import BuildOptions
    from enclavize.pipeline.signing import SigningIdentity
    from enclavize.tee.image import TeeImage

_FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Job:
    """An image, and how it is converted by the rule of this name. ``toolchain`` is that of its LibOS.

    ``share``: what becomes of the image's registry.
    """

    found: FoundImage
    options: BuildOptions
    rule: str
    toolchain: Toolchain | None = None
    share: Share | None = None

    def __post_init__(self) -> None:
        check_rule(self.options, self.rule)

    @property
    def backend(self) -> Backend:
        """What makes the instance."""
        return backend_with(self.options.libos, self.toolchain, self.options)

    @property
    def key(self) -> str:
        """The name of the result: a hash over all that it depends on, which no name and no registry is."""
        options, backend = self.options, self.backend
        ingredients = [
            _FORMAT,
            __version__,
            backend.fingerprint(),
            self.found.config_digest,
            asdict(options.instance(backend.name)),
            str(options.signing.date),
            [options.strict, *options.forced],
            _signer(options),
        ]
        return hashlib.sha256(canonical_json(ingredients)).hexdigest()

    def run(self, folder: Path, cache: BlobCache) -> dict[str, Any]:
        """Fill ``folder`` with ``.enclave``; return the statement about it. Raises EnclavizeError."""
        image, options, backend = self.found.open(cache), self.options, self.backend
        with closing(image.source):
            if sha256_digest(image.config_bytes) != self.found.config_digest:
                raise EnclavizeError(f"the engine's {printable(image.name)} changes while it is read")
            check_convertible(image)
            identity = signing_identity(options.signing)
            shared = self._shared(identity, image)
            tee = convert(
                image,
                index(image, options, backend, cache, Reporter()),
                options,
                backend=backend,
                identity=replace(identity, load=lambda: shared) if shared else identity,
                date=signing_date(options.signing.date, None, image.config.created),
                cache=cache,
                reporter=Reporter(),
            )
            _unpack(tee, image, folder, cache)
            return {
                **statement(image, options, backend, tee.description.mrenclave),
                "image": {"name": self.found.name, "config": self.found.config_digest},
                "mrsigner": tee.description.mrsigner,
                "rule": self.rule,
                "entrypoint": list(image.config.entrypoint),
                **({"shared": self._share_result(shared, tee, cache)} if shared else {}),
            }

    def _shared(self, identity: SigningIdentity, image: Image) -> SharedSigner | None:
        reference = registry_name(self.found.name) if self.share and self.found.pulled else None
        if reference is None or identity.load is None:
            return None
        return SharedSigner(signer=identity.load(), reference=reference, image=image)

    def _share_result(self, shared: SharedSigner, tee: TeeImage, cache: BlobCache) -> str:
        """Push what nobody has pushed; tell what came of it. No conversion fails for that."""
        if shared.taken:
            return "its signature was taken from the registry"
        if self.share is not Share.PUSH:
            return shared.said or "no signature was in the registry"
        try:
            shared.push(tee, cache)
        except EnclavizeError as error:
            return f"it could not be pushed: {error}"
        return "it was pushed"


def _signer(options: BuildOptions) -> list[str]:
    """Return who signs, without asking: a converted image starts while the service is away."""
    match options.signing.signer:
        case ServiceSigner(url=url, token_file=token_file):
            return [url, str(token_file)]
        case KeySigner(reference=reference):
            return [reference]
        case _:
            raise EnclavizeError("a node's enclaves are signed by a key or by a signing service")


def _of_enclave(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Take what is below ``/.enclave``, with its mode: Occlum writes to files of its images.

    What else an image has, such as the link by which Inclavare's users name the instance, is for engines.
    """
    if PurePosixPath(member.name).parts[:1] != (ROOT,):
        return None
    return tarfile.data_filter(member, folder).replace(mode=member.mode & 0o1777, deep=False)


def _unpack(tee: TeeImage, image: Image, folder: Path, cache: BlobCache) -> None:
    """Write what our layers have. They are tar archives of our own, without compression."""
    theirs = {layer.digest for layer in image.layers}
    for layer in tee.layers:
        if layer.digest in theirs:
            continue
        with storage_errors("write", folder), cache.open(layer) as blob:
            with tarfile.open(fileobj=blob, mode="r|*") as archive:
                for member in archive:
                    archive.extract(member, folder, filter=_of_enclave)
            while blob.read(1 << 16):  # the digest is verified with the last byte
                pass
    (folder / ROOT).chmod(0o755)
