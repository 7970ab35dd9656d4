"""Verify a TEE image against itself: files, signature, measurement, root file system.

Nothing that the image says is believed. What the enclave is, comes from SIGSTRUCT after its signature and
the measurement were checked; what its root file system is, from the layers, whose metadata is written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, IntegrityError
from enclavize.rootfs.entry import FileType
from enclavize.rootfs.names import printable, sort_key
from enclavize.tee import layout
from enclavize.tee.annotations import MRSIGNER, describe
from enclavize.tee.comparison import conversion_error, converted
from enclavize.tee.engine_names import OWN_PREFIX, acted_on
from enclavize.tee.start import check_start
from enclavize.tee.tar import DIRECTORY_MODE, FILE_MODES, WRITABLE_MODE, WRITTEN_MODE, parents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from enclavize.oci.image import Image
    from enclavize.rootfs.entry import Entry
    from enclavize.rootfs.tree import Rootfs
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.contents import TeeContents
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.format import InstanceFormat
    from enclavize.tee.instance import MeasuredEnclave
    from enclavize.tee.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the enclave is, as SGX will report it. MRENCLAVE and MRSIGNER are in hex; None: it is unsigned."""

    mrenclave: str
    mrsigner: str | None
    isv_prod_id: int
    isv_svn: int
    debug: bool


def identity_of(sigstruct: Sigstruct) -> Identity:
    """Return the identity that a SIGSTRUCT gives; what may be launched for debugging is a debug enclave."""
    measurement = sigstruct.measurement
    return Identity(
        mrenclave=sigstruct.mrenclave.hex(),
        mrsigner=sigstruct.mrsigner.hex() if sigstruct.is_signed else None,
        isv_prod_id=measurement.isv_prod_id,
        isv_svn=measurement.isv_svn,
        debug=measurement.debuggable,
    )


def verify_enclave(contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
    """Check measurement, signature if there is one, and the description. Raises IntegrityError.

    Returns the enclave, measured again, and its SIGSTRUCT.
    """
    contents.check_files()
    return measure_enclave(contents)


def measure_enclave(contents: TeeContents) -> tuple[MeasuredEnclave, Sigstruct]:
    """Do the same but for the files: reads those alone that the enclave is made of. Raises IntegrityError."""
    form = contents.format
    try:
        enclave, sigstruct = form.enclave(contents)
        if sigstruct.is_signed:
            sigstruct.verify()
        policy, argv = form.policy(contents), form.argv(contents)
        simulation = form.simulation(contents)
    except EnclavizeError as error:
        raise IntegrityError(f"/{layout.ROOT}/{form.signature_path}: {error}") from error
    if not form.measures_marks:
        policy = policy.with_marks_of(contents.description.policy)
    _check_description(contents.description, identity_of(sigstruct), policy, argv)
    if contents.description.simulation != simulation:
        told, found = ("simulation", "hardware") if not simulation else ("hardware", "simulation")
        raise IntegrityError(f"enclave.json says that the enclave is for {told}, and it is for {found}")
    return enclave, sigstruct


def _check_description(
    description: TeeDescription, identity: Identity, policy: Policy, argv: tuple[str, ...]
) -> None:
    """Compare enclave.json with what is measured: tools and people read the former."""
    for name, said, found in (
        ("mrenclave", description.mrenclave, identity.mrenclave),
        ("mrsigner", description.mrsigner, identity.mrsigner),
        ("isvprodid", description.isv_prod_id, identity.isv_prod_id),
        ("isvsvn", description.isv_svn, identity.isv_svn),
        ("debug", description.debug, identity.debug),
        ("argv", description.argv, None if description.argv is None else argv),
        ("policy", description.policy, policy),
    ):
        if said != found:
            shown = "" if name in {"argv", "policy"} else f" {said}, the enclave {found}"
            raise IntegrityError(f"enclave.json and the enclave contradict each other: {name}{shown}")


def verify_labels(image: Image, annotations: Mapping[str, str], contents: TeeContents) -> None:
    """Compare annotations, labels and entrypoint with the enclave. Raises IntegrityError."""
    facts = describe(contents.description)
    for kind, found in (("label", image.config.labels), ("annotation", annotations)):
        for key, value in facts.items():
            # Annotations get lost on the way through archives and daemons; labels belong to the image ID.
            if key not in found and kind == "label":
                raise IntegrityError(f"the label {key} is missing")
            if found.get(key, value) != value:
                raise IntegrityError(f"the {kind} {key} is {found[key][:100]!r}, the enclave says {value!r}")
        if MRSIGNER in found and contents.description.mrsigner is None:
            raise IntegrityError(f"there is a {kind} {MRSIGNER}, but the enclave is unsigned")
        own = (key for key in sorted(found) if key.startswith(OWN_PREFIX) and key not in facts)
        for key in (*own, *acted_on(found)):
            raise IntegrityError(f"no build writes the {kind} {printable(key)[:100]}, which tools act on")
    check_start(image.config, contents.format.start(contents))


def verify_layers(rootfs: Rootfs, image: Image) -> None:
    """Check that nothing was put on top of the enclave's layers, or takes the place of one.

    Raises IntegrityError.
    """
    for layer in image.layers:
        for key in acted_on(layer.annotations):
            if name := converted(layer):
                raise conversion_error(f"layer {layer.digest}", name)
            raise IntegrityError(
                f"layer {layer.digest} has the annotation {printable(key)[:100]}, which tools act on"
            )
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


def verify_rootfs(rootfs: Rootfs, image: Image, contents: TeeContents, workdir: Path) -> None:
    """Check that the enclave is bound to the files of the layers and nothing else. Raises IntegrityError."""
    owned = frozenset(_own_entries(rootfs, image, contents))
    contents.format.verify_instance(contents)
    contents.format.verify_rootfs(rootfs.changed(left_out=owned), image, contents, workdir)


def _own_entries(rootfs: Rootfs, image: Image, contents: TeeContents) -> Iterator[str]:
    """Yield the paths of the enclave's own entries. Raises IntegrityError for what hides among them."""
    form = contents.format
    described = {f"{layout.ROOT}/{path}": file for path, file in contents.description.files.items()}
    own_layers = {len(image.layers) - 1}
    for path, file in described.items():
        entry = rootfs.get(path)
        if entry is None or entry.type is not FileType.REGULAR or entry.sha256.hex() != file.sha256:
            raise IntegrityError(f"/{printable(path)} is not the file that enclave.json describes")
        own_layers.add(entry.layer)
    outer = {path for path, target in form.links.items() if _is_link(rootfs.get(path), target)}
    outer |= {path for path in form.mount_files if _is_empty(rootfs.get(path))}
    directories_outside = form.mount_directories(contents)
    _check_mount_points(rootfs, form.mount_files | directories_outside, image.name)
    writable = {f"{layout.ROOT}/{path}" for path in form.writable_directories} | directories_outside
    files = {*described, *(f"{layout.ROOT}/{path}" for path in contents.hashes), _DESCRIPTION}
    directories = writable | {above for path in outer | writable | files for above in parents(path)}
    concerned = (
        *rootfs.entries.below([layout.ROOT]),
        *(entry for path in outer if (entry := rootfs.get(path))),
        *rootfs.entries.of_layers(own_layers),
    )
    for _, entry in sorted({sort_key(entry.path): entry for entry in concerned}.items()):
        is_below = entry.path == layout.ROOT or entry.path.startswith(f"{layout.ROOT}/")
        is_directory = entry.type is FileType.DIRECTORY and entry.path in directories
        if entry.path in outer or (is_below and (is_directory or _belongs(entry, described, form))):
            _check_permissions(entry, writable, form)
            yield entry.path
        elif is_below:
            raise IntegrityError(f"/{printable(entry.path)} does not belong to the enclave")
        elif entry.layer in own_layers:
            if not is_directory:
                raise IntegrityError(
                    f"/{printable(entry.path)} is in layer {image.layers[entry.layer].digest}, the enclave's"
                )
            _check_permissions(entry, writable, form)
            yield entry.path


def _is_link(entry: Entry | None, target: str) -> bool:
    return entry is not None and entry.type is FileType.SYMLINK and entry.link_target == target


def _check_mount_points(rootfs: Rootfs, wanted: Collection[str], name: str) -> None:
    """Check that what engines mount on is all there, or nothing of it, as in images of older builds.

    Raises IntegrityError.
    """
    missing = sorted(path for path in wanted if rootfs.get(path) is None)
    if missing and len(missing) < len(wanted):
        raise IntegrityError(
            f"{name} has no /{printable(missing[0])}, on which engines mount, but others of these"
        )


def _is_empty(entry: Entry | None) -> bool:
    return entry is not None and entry.type is FileType.REGULAR and not entry.size


def _check_permissions(entry: Entry, writable: Collection[str], form: InstanceFormat) -> None:
    """Compare owner and mode with those that a build gives: a setuid runelet would be root's.

    Raises IntegrityError.
    """
    match entry.type:
        case FileType.DIRECTORY if entry.path in writable:
            modes = frozenset({WRITABLE_MODE})
        case FileType.DIRECTORY:
            modes = frozenset({DIRECTORY_MODE})
        case FileType.SYMLINK:
            modes = frozenset({entry.mode})
        case _:
            written = form.is_written(entry.path.removeprefix(f"{layout.ROOT}/"))
            modes = FILE_MODES | {WRITTEN_MODE} if written else FILE_MODES
    if entry.mode not in modes or (entry.uid, entry.gid) != (0, 0) or entry.xattrs:
        raise IntegrityError(
            f"/{printable(entry.path)} has mode {entry.mode:04o}, owner {entry.uid}:{entry.gid}"
            + (" and extended attributes" if entry.xattrs else "")
            + ", not those that a build gives it"
        )


def _belongs(entry: Entry, described: Collection[str], form: InstanceFormat) -> bool:
    """Whether a file below /.enclave is listed in enclave.json, or bound by what is measured."""
    if entry.path in described or entry.path == _DESCRIPTION:
        return True
    name = entry.path.removeprefix(f"{layout.ROOT}/")
    return entry.type is FileType.REGULAR and form.limit(name) is not None and not form.describes(name)


_DESCRIPTION = f"{layout.ROOT}/{layout.DESCRIPTION}"
