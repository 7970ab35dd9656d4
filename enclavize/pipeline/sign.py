"""``enclavize sign``: signing in two steps, without a key on this machine."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.formats import format_of
from enclavize.oci.cache import BlobCache
from enclavize.oci.resolve import resolve
from enclavize.pipeline.build import BuildResult
from enclavize.pipeline.deliver import check_outputs, deliver
from enclavize.pipeline.metadata import forget_image_id, write_image_id, write_metadata
from enclavize.pipeline.verify import annotations_of
from enclavize.pipeline.workspace import workspace
from enclavize.sgx.enclave_file import load_config, write_signed
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.dates import parse_date, tool_date
from enclavize.signing.keys import load_public_key
from enclavize.signing.two_step import attach, open_enclave, read_material, read_signature
from enclavize.tee.attach import attach_signature
from enclavize.tee.contents import read_contents
from enclavize.tee.verify import verify_enclave, verify_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.oci.location import Location
    from enclavize.pipeline.options import BuildOptions
    from enclavize.progress import Reporter
    from enclavize.signing.two_step import Measured, Signable
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.instance import MeasuredEnclave


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Files that came back: the material, its signature, and the key that made it."""

    material: Path
    signature: Path
    public_key: Path

    def attach(self, enclave: Measured) -> Sigstruct:
        """Return the SIGSTRUCT of ``enclave``. Raises EnclavizeError with the reason if it is of another."""
        return attach(
            enclave,
            read_material(self.material),
            read_signature(self.signature),
            load_public_key(self.public_key),
        )


def enclave_to_sign(path: Path, config: Path | None, date: str | None) -> Sigstruct:
    """Return the unsigned SIGSTRUCT of an enclave file.

    Its date is ``date``, else the one that the file has already, else SOURCE_DATE_EPOCH, else today (UTC).
    """
    enclave = _open_file(path, config)
    if date is None and enclave.date is not None:
        return enclave.sigstruct(enclave.date)
    return enclave.sigstruct(tool_date(date, os.environ))


def attach_to_enclave(path: Path, config: Path | None, signature: Signature, output: Path) -> Sigstruct:
    """Write the signed enclave file; what is read is never overwritten. Raises EnclavizeError."""
    check_not_read(output, (path, config, signature.material, signature.signature, signature.public_key))
    enclave = _open_file(path, config)
    signed = signature.attach(enclave)
    write_signed(enclave.enclave, signed, output)
    return signed


def check_not_read(output: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse to write over what is read. Raises UsageError."""
    if any(path and path.resolve() == output.resolve() for path in inputs):
        raise UsageError(f"{output} would be overwritten", hint="choose another name with -o")


def image_to_sign(location: Location, date: str | None, *, insecure: bool, reporter: Reporter) -> Sigstruct:
    """Return the unsigned SIGSTRUCT of a TEE image; its date is ``date``, else the one that is there."""
    cache = BlobCache()
    with opened_image(location, cache, insecure=insecure, reporter=reporter) as opened:
        chosen = parse_date(date) if date is not None else opened.date
        return Sigstruct(measurement=opened.enclave.measurement, date=chosen)


def attach_to_image(options: BuildOptions, signature: Signature, reporter: Reporter) -> BuildResult:
    """Deliver ``options.source`` with the signature. Raises EnclavizeError; nothing is delivered then."""
    forget_image_id(options.image_id_file)
    check_outputs(options)
    cache = BlobCache()
    with opened_image(options.source, cache, insecure=options.insecure, reporter=reporter) as opened:
        with reporter.task("attach the signature"):
            signed = signature.attach(opened.enclave)
            tee = attach_signature(
                opened.image,
                opened.description,
                annotations_of(opened.image),
                signed,
                opened.enclave.signed(signed),
                cache=cache,
            )
        delivered = deliver(tee, opened.image, options, cache, reporter)
    write_metadata(options.metadata_file, tee)
    write_image_id(options.image_id_file, tee)
    return BuildResult(tee=tee, delivered=delivered)


@dataclass(frozen=True, kw_only=True)
class OpenedImage:
    """A TEE image that does not contradict itself, and its enclave, measured again."""

    image: Image
    description: TeeDescription
    enclave: MeasuredEnclave
    date: int


@contextmanager
def opened_image(
    location: Location, cache: BlobCache, *, insecure: bool, reporter: Reporter
) -> Iterator[OpenedImage]:
    """Open and measure a TEE image. Raises EnclavizeError for one that contradicts itself."""
    image = resolve(location, cache=cache, insecure=insecure, reporter=reporter)
    with closing(image.source), workspace(cache) as workdir:
        with reporter.task("measure the enclave"):
            contents = read_contents(image, format_of(image), workdir, cache)
            enclave, sigstruct = verify_enclave(contents)
            verify_labels(image, annotations_of(image), contents)
        yield OpenedImage(image=image, description=contents.description, enclave=enclave, date=sigstruct.date)


def _open_file(path: Path, config: Path | None) -> Signable:
    return open_enclave(path, load_config(config) if config else None)
