"""The full verification of a TEE image that is unpacked: what ``enclavize verify`` does, without the layers.

Whoever unpacked the image is not trusted, and the files may change: each is hashed from the very bytes that
are looked at. The files of the program itself are not read, the enclave knows their digests. What costs
little, and what only the signer can bring about, comes first: a stranger must not keep this node busy.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, IntegrityError, InvalidImageError
from enclavize.libos.formats import format_for
from enclavize.libos_version import version_key
from enclavize.rootfs.names import printable
from enclavize.rootfs.verity import VerityStream
from enclavize.rune.enclave import RUNELETS, Enclave, admit
from enclavize.rune.settings import SETTINGS_FILE
from enclavize.tee.contents import TeeContents
from enclavize.tee.description import parse_description
from enclavize.tee.layout import DESCRIPTION, ROOT, RUNELET
from enclavize.tee.outside import Outside, compare_host_files
from enclavize.tee.verify import measure_enclave

if TYPE_CHECKING:
    from enclavize.rune.enclave_folder import EnclaveFolder
    from enclavize.rune.policy import NodePolicy
    from enclavize.rune.settings import Settings
    from enclavize.sgx.sigstruct import Sigstruct
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.format import InstanceFormat


@dataclass(frozen=True, kw_only=True)
class UnpackedContents(TeeContents):
    """An instance in a root file system; each file is read when it is asked for, once.

    ``staging`` is a folder of ours for what a format wants to have as files.
    """

    source: EnclaveFolder
    staging: Path
    _read: dict[str, bytes] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where a copy of a file or folder is: of what was read, as nobody may read it again.

        The enclave itself is not in it: that is large, and read by ``read``.
        """
        for path in self.source.files:
            copy = self.staging / path
            wanted = (path == name or path.startswith(f"{name}/")) and path != self.format.signature_path
            if wanted and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self.read(path))
        return self.staging / name

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        if name not in self._read:
            data = b"".join(self.source.pieces(name))
            self._note(name, hashlib.sha256(data).hexdigest())
            self._read[name] = data
        return self._read[name]

    def size(self, name: str) -> int:
        """Return the size of a file, which reading compares."""
        if name not in self.source.files:
            raise InvalidImageError(f"the TEE image has no /{ROOT}/{name}")
        return self.source.files[name].size

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file in hex, "" if it is not there."""
        if name not in self.hashes and name in self.source.files:
            self._note(name, self.source.sha256(name))
        return self.hashes.get(name, "")

    def fs_verity(self, name: str) -> bytes:
        """Return the fs-verity digest of a file, from the bytes that are hashed."""
        digest, verity = hashlib.sha256(), VerityStream(self.size(name), lambda _offset, _hashes: None)
        for data in self.source.pieces(name):
            digest.update(data)
            verity.update(data)
        self._note(name, digest.hexdigest())
        return verity.finish()

    def _note(self, name: str, sha256: str) -> None:
        if self.hashes.setdefault(name, sha256) != sha256:
            raise IntegrityError(f"/{ROOT}/{name} changes while it is read")


def verify_unpacked(
    source: EnclaveFolder, described: bytes, policy: NodePolicy
) -> tuple[Enclave, dict[str, str]]:
    """Verify and admit an image; ``described`` is its ``enclave.json``. Raises EnclavizeError.

    Returns the enclave, and the SHA-256 of every file but that one, in hex.
    """
    with tempfile.TemporaryDirectory(prefix="enclavize-") as staging:
        return _verify(source, described, policy, Path(staging))


def _verify(
    source: EnclaveFolder, described: bytes, policy: NodePolicy, staging: Path
) -> tuple[Enclave, dict[str, str]]:
    description = parse_description(described)
    if description.to_bytes() != described:
        raise IntegrityError(f"/{ROOT}/{DESCRIPTION} is not as a build writes it")
    libos, settings = description.libos, policy.settings
    if settings.libos and libos not in settings.libos:
        raise EnclavizeError(f"this node does not admit the LibOS {libos}")
    if libos not in RUNELETS:
        policy.pal_for(libos, description.libos_version)
    form = format_for(libos)
    _check_names(source, description, form)
    contents = UnpackedContents(
        description=description, format=form, folder=source.path, hashes={}, source=source, staging=staging
    )
    enclave = _signed_enclave(contents)
    admit(enclave, settings)
    measure_enclave(contents)
    form.verify_instance(contents)
    for name in source.files.keys() - {DESCRIPTION}:
        contents.digest(name)
    contents.check_files()
    _check_release(contents, policy)
    if libos in RUNELETS:
        _check_host_files(contents, policy)  # a PAL of others, and what it needs, is the node's own
    _check_integrity(contents, settings, debug=enclave.debug)
    return enclave, contents.hashes


def _check_names(source: EnclaveFolder, description: TeeDescription, form: InstanceFormat) -> None:
    """Compare what is there with what enclave.json lists, and with what an instance may have at all."""
    for name, found in source.files.items():
        limit = form.limit(name)
        if name == DESCRIPTION:
            continue
        listed = form.describes(name)
        if limit is None or (listed and name not in description.files):
            raise IntegrityError(f"/{ROOT}/{printable(name)} does not belong to the enclave")
        if found.size > limit or (listed and found.size != description.files[name].size):
            raise IntegrityError(f"/{ROOT}/{name} is not the file that enclave.json describes")
    for name in sorted(source.unlisted - form.unlisted_directories):
        raise IntegrityError(f"/{ROOT}/{name} does not belong to the enclave")
    own = {RUNELET} if description.libos in RUNELETS else set()
    for name in sorted(form.required | description.files.keys() | own):
        if name not in source.files:
            raise IntegrityError(f"the TEE image has no /{ROOT}/{printable(name)}")
    links = {f"{ROOT}/{name}": target for name, target in source.links.items()}
    wanted = {path: target for path, target in form.links.items() if path.startswith(f"{ROOT}/")}
    for path in sorted(links.items() ^ wanted.items()):
        raise IntegrityError(f"/{printable(path[0])} is not the link that belongs to the enclave")


def _check_release(contents: UnpackedContents, policy: NodePolicy) -> None:
    """Compare the LibOS with the lowest version, and with the lists of known flaws."""
    libos, version = contents.description.libos, contents.format.libos_version(contents)
    shown = "of an unknown release" if version is None else printable(version)[:40]
    lowest = policy.settings.min_libos.get(libos)
    if lowest and version_key(version or "") < version_key(lowest):
        raise EnclavizeError(f"this node admits {libos} {lowest} and later, not {shown}")
    flaws = policy.flaws_of(libos, version)
    if flaws:
        raise EnclavizeError(
            f"this node does not admit the LibOS of this image, {libos} {shown}: "
            + "; ".join(map(str, flaws)),
            hint=f"build the image again; allow_flaws of {SETTINGS_FILE} lists those that are put up with",
        )


def _check_integrity(contents: UnpackedContents, settings: Settings, *, debug: bool) -> None:
    """Refuse an enclave whose files anybody could have changed, where it is to protect anything."""
    if debug or contents.description.simulation or settings.allow_integrity_only:
        return
    if weak := contents.format.integrity_only(contents):
        raise EnclavizeError(
            f"this node does not admit the image: {weak}",
            hint=f"build it with --image-key, or set allow_integrity_only = true in {SETTINGS_FILE}",
        )


def _check_host_files(contents: UnpackedContents, policy: NodePolicy) -> None:
    """Compare what comes from a toolchain, and runs outside of the enclave, with pinned digests."""
    libos = contents.description.libos
    hint = (
        f"write the digests of one that you trust with 'enclavize toolchain digests PREFIX --libos {libos}', "
        f"and name the file in host_files of {SETTINGS_FILE}"
    )
    outside, problems = compare_host_files(contents, policy.host_files())
    match outside:
        case Outside.CHECKED:
            return
        case Outside.NOT_CHECKED if policy.settings.allow_unchecked_host_files:
            return
        case Outside.NOT_CHECKED:
            raise EnclavizeError(
                f"this node has no digests of the files of {libos} that run outside of the enclave", hint=hint
            )
        case Outside.UNKNOWN:
            raise EnclavizeError("; ".join(problems), hint=hint)


def _signed_enclave(contents: UnpackedContents) -> Enclave:
    """Return what SIGSTRUCT says, after its signature; that it is of this enclave is still to be seen."""
    path = contents.format.signature_path
    try:
        sigstruct = contents.format.sigstruct(contents.read(path))
    except EnclavizeError as error:
        raise IntegrityError(f"/{ROOT}/{path}: {error}") from error
    if not sigstruct.is_signed:
        raise EnclavizeError(
            "the TEE image is unsigned: no enclave can be started from it",
            hint="sign it: enclavize sign material, enclavize sign attach",
        )
    try:
        sigstruct.verify()
    except EnclavizeError as error:
        raise IntegrityError(f"/{ROOT}/{path}: {error}") from error
    return _enclave_of(contents.description.libos, sigstruct)


def _enclave_of(libos: str, sigstruct: Sigstruct) -> Enclave:
    measurement = sigstruct.measurement
    return Enclave(
        libos=libos,
        mrenclave=sigstruct.mrenclave,
        mrsigner=sigstruct.mrsigner,
        isv_prod_id=measurement.isv_prod_id,
        isv_svn=measurement.isv_svn,
        debug=measurement.debuggable,
    )
