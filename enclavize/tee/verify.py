"""Verify a TEE image against itself: files, signature, measurement, root file system.

Nothing that the image says is believed. What the enclave is, comes from SIGSTRUCT after its signature and
the measurement were checked; what its root file system is, from the layers, whose metadata is written again.
"""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.libos.builtin.backend import INLINE_FILES, BuiltinBackend
from enclavize.libos.builtin.config import parse_configuration
from enclavize.libos.builtin.enclave import read_configuration
from enclavize.oci.stream import chunks
from enclavize.rootfs.entry import FileType, printable
from enclavize.rootfs.erofs import write_erofs
from enclavize.rootfs.tree import Rootfs
from enclavize.rootfs.verity import VerityStream
from enclavize.sgx.enclave_file import read_signed
from enclavize.sgx.structures import AttributeFlags
from enclavize.tee import layout
from enclavize.tee.annotations import describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from enclavize.libos.builtin.config import MeasuredConfiguration, RootfsBinding
    from enclavize.oci.image import Image
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.description import TeeDescription


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the enclave is, as SGX will report it. MRENCLAVE and MRSIGNER are in hex."""

    mrenclave: str
    mrsigner: str
    isv_prod_id: int
    isv_svn: int
    debug: bool


def identity_of(sigstruct: Sigstruct) -> Identity:
    """Return the identity that a SIGSTRUCT gives; what may be launched for debugging is a debug enclave."""
    measurement = sigstruct.measurement
    fixed = measurement.attributes_mask.flags & AttributeFlags.DEBUG
    return Identity(
        mrenclave=sigstruct.mrenclave.hex(),
        mrsigner=sigstruct.mrsigner.hex(),
        isv_prod_id=measurement.isv_prod_id,
        isv_svn=measurement.isv_svn,
        debug=measurement.attributes.debug or not fixed,
    )


def verify_enclave(contents: TeeContents) -> tuple[Identity, MeasuredConfiguration]:
    """Check signature and measurement of the enclave, and the description. Raises IntegrityError."""
    contents.check_files()
    description = contents.description
    if description.libos != BuiltinBackend.name:
        raise InvalidImageError(f"images for the LibOS {description.libos[:40]!r} cannot be verified yet")
    path = f"/{layout.ROOT}/{layout.SIGNED_ENCLAVE}"
    image = contents.path(layout.SIGNED_ENCLAVE).read_bytes()
    try:
        signed = read_signed(image)
        signed.verify()
        configuration = parse_configuration(read_configuration(image))
    except EnclavizeError as error:
        raise IntegrityError(f"{path}: {error}") from error
    identity = identity_of(signed.sigstruct)
    _check_description(description, identity, configuration)
    return identity, configuration


def _check_description(
    description: TeeDescription, identity: Identity, configuration: MeasuredConfiguration
) -> None:
    """Compare enclave.json with what is measured: tools and people read the former."""
    for name, said, found in (
        ("mrenclave", description.mrenclave, identity.mrenclave),
        ("mrsigner", description.mrsigner, identity.mrsigner),
        ("isvprodid", description.isv_prod_id, identity.isv_prod_id),
        ("isvsvn", description.isv_svn, identity.isv_svn),
        ("debug", description.debug, identity.debug),
        ("policy", description.policy, configuration.policy),
    ):
        if said != found:
            shown = "" if name == "policy" else f" {said}, the enclave {found}"
            raise IntegrityError(f"enclave.json and the enclave contradict each other: {name}{shown}")


def verify_labels(image: Image, annotations: Mapping[str, str], description: TeeDescription) -> None:
    """Compare annotations, labels and entrypoint with the enclave. Raises IntegrityError."""
    for key, value in describe(description).items():
        for kind, found in (("label", image.config.labels), ("annotation", annotations)):
            if key in found and found[key] != value:
                raise IntegrityError(f"the {kind} {key} is {found[key][:100]!r}, the enclave says {value!r}")
    start = (*image.config.entrypoint, *image.config.cmd)
    if start != (layout.ENTRYPOINT,):
        raise IntegrityError(f"the image starts {list(start)!r}"[:300] + f", and not {layout.ENTRYPOINT}")


def verify_layers(rootfs: Rootfs, image: Image) -> None:
    """Check that nothing was put on top of the enclave's layers. Raises IntegrityError."""
    description = rootfs.get(_DESCRIPTION)
    if description is None:
        raise IntegrityError(f"{image.name} has no /{_DESCRIPTION}")
    last = len(image.layers) - 1
    if description.layer != last:
        added = next((entry for entry in rootfs.entries if entry.layer > description.layer), None)
        what = f": it brings /{printable(added.path)}" if added else ""
        raise IntegrityError(
            f"{image.name}: layer {image.layers[last].digest} was put on top of the enclave's layers{what}"
        )


def verify_rootfs(
    rootfs: Rootfs, image: Image, contents: TeeContents, binding: RootfsBinding, workdir: Path
) -> None:
    """Check that the enclave is bound to the files of the layers and nothing else. Raises IntegrityError."""
    erofs, verity = contents.path(layout.ROOTFS_IMAGE), contents.path(layout.ROOTFS_VERITY)
    name = f"/{layout.ROOT}/{layout.ROOTFS_IMAGE}"
    if (erofs.stat().st_size, _verity_digest(erofs)) != (binding.size, binding.verity_digest):
        raise IntegrityError(f"{name} is not the one that the enclave is bound to")
    if verity.stat().st_size != binding.merkle_size:
        raise IntegrityError(f"/{layout.ROOT}/{layout.ROOTFS_VERITY} is not of the size that is measured")
    _check_own_files(rootfs, image, contents.description)
    original = _without_ours(rootfs)
    again = workdir / "again.erofs"
    verity_again = workdir / "again.verity"
    write_erofs(original, again, verity_again, inline=INLINE_FILES)
    if not filecmp.cmp(erofs, again, shallow=False):
        raise IntegrityError(
            f"the files in the layers of {image.name} are not those that {name} binds the enclave to"
        )
    if not filecmp.cmp(verity, verity_again, shallow=False):
        raise IntegrityError(
            f"/{layout.ROOT}/{layout.ROOTFS_VERITY} does not hold the hashes of the layers' files"
        )


def _check_own_files(rootfs: Rootfs, image: Image, description: TeeDescription) -> None:
    """Look at everything below /.enclave, and at what else came with its layers."""
    own = {f"{layout.ROOT}/{path}": file.sha256 for path, file in description.files.items()}
    own_layers: set[int] = {len(image.layers) - 1}
    for path, sha256 in own.items():
        entry = rootfs.get(path)
        if entry is None or entry.type is not FileType.REGULAR or entry.sha256.hex() != sha256:
            raise IntegrityError(f"/{printable(path)} is not the file that enclave.json describes")
        own_layers.add(entry.layer)
    for entry in rootfs.entries:
        is_own = entry.path == layout.ROOT or entry.path.startswith(f"{layout.ROOT}/")
        if is_own and entry.type is not FileType.DIRECTORY and entry.path not in own.keys() | {_DESCRIPTION}:
            raise IntegrityError(f"/{printable(entry.path)} does not belong to the enclave")
        if not is_own and entry.layer in own_layers:
            raise IntegrityError(
                f"/{printable(entry.path)} is in layer {image.layers[entry.layer].digest}, the enclave's"
            )


_DESCRIPTION = f"{layout.ROOT}/{layout.DESCRIPTION}"


def _without_ours(rootfs: Rootfs) -> Rootfs:
    return Rootfs(
        (
            entry
            for entry in rootfs.entries
            if entry.path != layout.ROOT and not entry.path.startswith(f"{layout.ROOT}/")
        ),
        merkle_reader=rootfs.merkle,
    )


def _verity_digest(path: Path) -> bytes:
    tree = VerityStream(path.stat().st_size, lambda _offset, _hashes: None)
    with path.open("rb") as stream:
        for data in chunks(stream):
            tree.update(data)
    return tree.finish()
